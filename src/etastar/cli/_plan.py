"""`etastar plan`: which schedule to train with, and the loss to expect."""

from __future__ import annotations

import math
import shlex
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etastar._errors import InputError, legible
from etastar._files import prepare_folder
from etastar._provenance import provenance

from . import _log_options as reading
from . import _options as option
from ._open import open_page
from ._terminal import print_json, show, working

if TYPE_CHECKING:
    from etastar.law import Progress
    from etastar.planning import Plan
    from etastar.runs import Run

EXAMPLES = (
    "etastar plan pilots --horizon 40k --out plan --open",
    "etastar plan pilots --horizon 5.12M --unit tokens --warmup 25.6k",
    'etastar plan "pilots/wsd*.csv" --horizon 20k --law power --json',
)

Horizon = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="Updates of the run to plan, such as 40000 or 40k; else in the --unit."
    ),
]
Samples = Annotated[
    str | None,
    typer.Option(
        metavar="N", help="Budget of samples, in the unit of batch sizes, in place of --horizon."
    ),
]
Seconds = Annotated[
    str | None,
    typer.Option(metavar="S", help="Budget of time, in place of --horizon; with --step-time."),
]
StepTime = Annotated[
    str | None,
    typer.Option(metavar="T0,T1", help="An update of B samples takes T0 + T1 * B seconds."),
]
Batch = Annotated[
    str | None,
    typer.Option(
        metavar="B",
        help="Batch size of the run to plan, or LOW,HIGH where it is free; by default the runs'.",
    ),
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Write schedule.json, plan.json and report.html to this folder."
    ),
]
Open = Annotated[bool, typer.Option("--open", help="Open the report in the browser; with --out.")]
PeakCap = Annotated[
    float | None,
    typer.Option(metavar="LR", help="Highest LR allowed; by default the highest of the runs."),
]
Floor = Annotated[float, typer.Option(metavar="LR", help="Lowest LR after the warmup.")]
Warmup = Annotated[
    str | None, typer.Option(metavar="STEPS", help="Warmup; by default as in the runs.")
]
Continue = Annotated[
    str | None,
    typer.Option(
        "--continue",
        metavar="RUN",
        help="Log of a run under way: keep what it has done and plan the rest of it.",
    ),
]


WRITING = "writing the report"
# Beside the weights of `etastar.planning.STAGES`, and measured with them.
WRITING_WEIGHT = 2.0


def plan_command(
    runs: reading.Runs,
    horizon: Horizon = None,
    unit: option.CountUnit = "steps",
    epoch_size: option.EpochSize = None,
    samples: Samples = None,
    seconds: Seconds = None,
    step_time: StepTime = None,
    batch: Batch = None,
    optimiser: option.Optimiser = "auto",
    out: Out = None,
    opened: Open = False,
    as_json: option.AsJson = False,
    peak_cap: PeakCap = None,
    floor: Floor = 0.0,
    warmup: Warmup = None,
    going_on: Continue = None,
    law_name: option.LawName = "etastar",
    transient: option.Transient = None,
    step: reading.StepColumn = None,
    loss: reading.LossColumn = None,
    lr: reading.RateColumn = None,
    runs_schedule: reading.RunsSchedule = None,
    pattern: reading.Patterns = None,
    per_epoch: reading.StepsPerEpoch = None,
    runs_batch: reading.RunsBatch = None,
    sequence_length: reading.SequenceLength = None,
) -> None:
    """Say which schedule to train with, and the loss to expect."""
    asked = _asked(horizon, samples, seconds, step_time, batch)
    asked |= _counts(unit, epoch_size, horizon, warmup)
    option.check_optimiser(optimiser)
    option.check_transient(transient)
    _check_open(opened, out)
    with working("reading the logs"):
        option.check_law(law_name)
        from etastar import planning

        columns = (step, loss, lr, runs_schedule, pattern, per_epoch)
        sizes = (runs_batch, epoch_size, sequence_length)
        logs, continued = _read(runs, going_on, (*columns, *sizes))
    if out is not None:
        prepare_folder(out)
    with working(_stages(planning.STAGES, law_name, out)) as progress:
        result = planning.plan(
            logs,
            **asked,
            optimiser=optimiser,
            peak_cap=peak_cap,
            floor=floor,
            continued=continued,
            form=law_name,
            transient=transient,
            progress=progress,
        )
        result = replace(result, provenance=provenance())
        report = None if out is None else _written(result, out, progress)
    _print(result, report, as_json, opened)


def _check_open(opened: bool, out: Path | None) -> None:
    if opened and out is None:
        raise InputError("--open needs --out DIR: without it no report is written")


def _stages(planning: Mapping[str, float], law_name: str, out: Path | None) -> dict[str, float]:
    """The stages of a command with their weights, from those of the planning."""
    stages = {**planning, **({} if out is None else {WRITING: WRITING_WEIGHT})}
    # The seconds of other laws are divided in other ways.
    return stages if law_name == "etastar" else dict.fromkeys(stages, 0.0)


def _written(plan: Plan, out: Path, progress: Progress) -> Path:
    """The report of a plan, whose files are written."""
    progress(WRITING, 0, 1)
    from etastar.report import write_plan

    return write_plan(plan, out)


def _print(result: Plan, report: Path | None, as_json: bool, opened: bool) -> None:
    if as_json:
        print_json(result.to_dict())
    else:
        from etastar.report import plan_summary

        show(plan_summary(result))
        if report is not None:
            print(f"\nreport: {legible(str(report))}")
            if not opened:
                print(f"next: etastar open {legible(shlex.quote(str(report.parent)))}")
    if opened and report is not None:
        open_page(report)


def _read(
    runs: list[str], going_on: str | None, columns: tuple[Any, ...]
) -> tuple[list[Run], Run | None]:
    """The logs, and the run to go on from where there is one."""
    logs = reading.read_logs(runs, *columns)
    if going_on is None:
        return logs, None
    return _with_continued(logs, reading.read_logs([going_on], *columns))


def _asked(
    horizon: str | None,
    samples: str | None,
    seconds: str | None,
    step_time: str | None,
    batch: str | None,
) -> dict[str, Any]:
    """Budget and batch size as `planning.plan` takes them; errors name the option."""
    given = {"--horizon": horizon, "--samples": samples, "--seconds": seconds}
    named = [name for name, text in given.items() if text is not None]
    if not named:
        raise InputError(
            "Missing option: give --horizon, --samples or --seconds, such as --horizon 40k"
        )
    if len(named) > 1:
        raise InputError(f"{' and '.join(named)}: give one of --horizon, --samples and --seconds")
    if seconds is not None and step_time is None:
        raise InputError(
            "--seconds needs --step-time T0,T1: an update of B samples takes T0 + T1 * B seconds"
        )
    asked: dict[str, Any] = {
        "samples": None if samples is None else option.positive_of("--samples", samples),
        "seconds": None if seconds is None else option.positive_of("--seconds", seconds),
        "step_time": None if step_time is None else option.pair_of("--step-time", step_time),
        "batch_size": None if batch is None else option.batch_of(batch),
    }
    times = asked["step_time"]
    if times is not None and not (min(times) >= 0 and 0 < sum(times) < math.inf):
        raise InputError(
            f"--step-time {step_time!r} must be two times of at least 0, not both 0, such as 1,0.01"
        )
    return asked


def _counts(
    unit: str, epoch_size: str | None, horizon: str | None, warmup: str | None
) -> dict[str, Any]:
    """What is counted in a unit, as `planning.plan` takes it; the batch size may still be free."""
    counted = option.unit_of(unit, 1.0, epoch_size)
    count = option.count_of if unit == "steps" else option.positive_of
    asked: dict[str, Any] = {
        "horizon": None if horizon is None else count("--horizon", horizon),
        "warmup": None if warmup is None else option.count_of("--warmup", warmup, least=0),
    }
    if unit != "steps":
        asked |= {"unit": unit, "epoch_size": counted.epoch_size}
    return asked


def _with_continued(logs: list[Run], found: list[Run]) -> tuple[list[Run], Run]:
    """The logs with the run to go on from among them, read once."""
    if len(found) != 1:
        raise InputError(
            f"--continue: stands for {len(found)} runs ({', '.join(run.name for run in found[:3])}"
            ", ...): name the log of one"
        )
    run = found[0]
    same = [other for other in logs if reading.file_of(other) == reading.file_of(run)]
    return (logs, same[0]) if same else ([*logs, run], run)
