"""`etastar plan`: which schedule to train with, and the loss to expect."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from etastar._errors import InputError
from etastar._files import prepare_folder

from . import _options as option
from ._terminal import print_json, show, working

if TYPE_CHECKING:
    from etastar.runs import Run

Horizon = Annotated[
    str, typer.Option(metavar="STEPS", help="Updates of the run to plan, such as 40000 or 4e4.")
]
Out = Annotated[
    Path | None,
    typer.Option(
        metavar="DIR", help="Write schedule.json, plan.json and report.html to this folder."
    ),
]
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
    runs: option.Runs,
    horizon: Horizon,
    out: Out = None,
    as_json: option.AsJson = False,
    peak_cap: PeakCap = None,
    floor: Floor = 0.0,
    warmup: Warmup = None,
    going_on: Continue = None,
    law_name: option.LawName = "etastar",
    transient: option.Transient = None,
    step: option.StepColumn = None,
    loss: option.LossColumn = None,
    lr: option.RateColumn = None,
    runs_schedule: option.RunsSchedule = None,
) -> None:
    """Say which schedule to train with, and the loss to expect."""
    steps = option.count_of("--horizon", horizon)
    warmup_steps = None if warmup is None else option.count_of("--warmup", warmup, least=0)
    option.check_transient(transient)
    columns = (step, loss, lr, runs_schedule)
    with working("reading the logs"):
        option.check_law(law_name)
        from etastar import planning

        logs, continued = option.read_logs(runs, *columns), None
        if going_on is not None:
            logs, continued = _with_continued(logs, option.read_logs([going_on], *columns))
    if out is not None:
        prepare_folder(out)
    stages = planning.STAGES if out is None else {**planning.STAGES, WRITING: WRITING_WEIGHT}
    # The seconds of other laws are divided in other ways.
    known = law_name == "etastar"
    with working(stages if known else dict.fromkeys(stages, 0.0)) as progress:
        result = planning.plan(
            logs,
            steps,
            peak_cap=peak_cap,
            floor=floor,
            warmup=warmup_steps,
            continued=continued,
            form=law_name,
            transient=transient,
            progress=progress,
        )
        report = None
        if out is not None:
            progress(WRITING, 0, 1)
            from etastar.report import write_plan

            report = write_plan(result, out)
    if as_json:
        print_json(result.to_dict())
        return
    from etastar.report import plan_summary

    show(plan_summary(result))
    if report is not None:
        print(f"\nreport: {report}")


def _with_continued(logs: list[Run], found: list[Run]) -> tuple[list[Run], Run]:
    """The logs with the run to go on from among them, read once."""
    if len(found) != 1:
        raise InputError(
            f"--continue: stands for {len(found)} runs ({', '.join(run.name for run in found[:3])}"
            ", ...): name the log of one"
        )
    run = found[0]
    same = [other for other in logs if option.file_of(other) == option.file_of(run)]
    return (logs, same[0]) if same else ([*logs, run], run)
