"""`etastar pilot`: design the pilot runs of a long training and run them."""

from __future__ import annotations

import math
import os
import shlex
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from etastar._checks import number_in
from etastar._errors import InputError
from etastar._files import write_text
from etastar._provenance import Provenance, provenance

from . import _log_options as reading
from . import _options as option
from ._terminal import console, print_json, show, working

if TYPE_CHECKING:
    from rich.console import RenderableType

    from etastar.pilot import Finished, LogReading, Outlook, Proposal, SweepOptions, SweepResult

    _Result = tuple[dict[str, Any], RenderableType, Callable[[], str]]
    """What to print, as JSON and as text, and what makes the page."""

EXAMPLES = (
    "etastar pilot --horizon 40k --budget 60k --dry-run -- python train.py {schedule} {out}.csv",
    "etastar pilot --horizon 40k --budget 60k -- python train.py {schedule} {out}.csv",
)

Words = Annotated[
    list[str],
    typer.Argument(
        metavar="COMMAND",
        help="After --: your training, with placeholders: {schedule} (a schedule.json) or"
        " {spec}, {steps}, {seed}, {out} (write the log to {out}.csv or {out}.jsonl),"
        " {name}, {resume}.",
        show_default=False,
    ),
]
Batch = Annotated[
    str | None,
    typer.Option(metavar="B", help="Samples or tokens of an update, for a --unit but steps."),
]
Horizon = Annotated[str, typer.Option(metavar="STEPS", help="Updates of the long training.")]
Budget = Annotated[str, typer.Option(metavar="STEPS", help="Updates for all pilots together.")]
Out = Annotated[Path, typer.Option(metavar="DIR", help="Folder of the logs; the same one goes on.")]
Jobs = Annotated[
    int | None,
    typer.Option(metavar="N", help="Most runs at a time; 1, on Slurm 8, on Ray all that fit."),
]
Ray = Annotated[
    str | None, typer.Option(metavar="ADDRESS", help="Run on Ray: auto, local or host:port.")
]
Slurm = Annotated[
    str | None,
    typer.Option(metavar="PARTITION", help="Run as jobs of Slurm; auto: its own choice."),
]
SlurmOptions = Annotated[
    list[str] | None,
    typer.Option(
        "--slurm-option",
        metavar="KEY=VALUE",
        help="Passed to sbatch, as time=2:00:00; may be repeated.",
    ),
]
Cpus = Annotated[float, typer.Option(metavar="N", help="CPUs of a run on Ray or Slurm.")]
Gpus = Annotated[float, typer.Option(metavar="N", help="GPUs of a run on Ray or Slurm.")]
Results = Annotated[
    str | None, typer.Option(metavar="URL", help="Where runs on Ray keep their files, for fsspec.")
]
Peak = Annotated[
    str | None,
    typer.Option(metavar="LOW,HIGH", help="Range of peak LRs; by default a range test's."),
]
Warmup = Annotated[str, typer.Option(metavar="STEPS", help="Warmup of every pilot.")]
Interval = Annotated[
    float | None,
    typer.Option(metavar="NATS", help="Stop once the loss is known to plus or minus this."),
]
Seed = Annotated[int, typer.Option(help="Seed of the first pilot; the others count on from it.")]
Patience = Annotated[
    float | None,
    typer.Option(metavar="SECONDS", help="Without a new row for so long, a run has hung."),
]
Retries = Annotated[int, typer.Option(help="How often a failed pilot is started again.")]
DryRun = Annotated[bool, typer.Option("--dry-run", help="Show the designed pilots and stop.")]
Force = Annotated[
    bool, typer.Option("--force", help="Go on in a folder begun with another command.")
]


def pilot_command(
    command: Words,
    horizon: Horizon,
    budget: Budget,
    unit: option.CountUnit = "steps",
    batch: Batch = None,
    epoch_size: option.EpochSize = None,
    sequence_length: reading.SequenceLength = None,
    out: Out = Path("pilots"),
    jobs: Jobs = None,
    ray: Ray = None,
    slurm: Slurm = None,
    slurm_option: SlurmOptions = None,
    cpus: Cpus = 1.0,
    gpus: Gpus = 0.0,
    results: Results = None,
    peak: Peak = None,
    warmup: Warmup = "0",
    interval: Interval = None,
    seed: Seed = 0,
    patience: Patience = None,
    retries: Retries = 2,
    step: reading.StepColumn = None,
    loss: reading.LossColumn = None,
    lr: reading.RateColumn = None,
    pattern: reading.Patterns = None,
    per_epoch: reading.StepsPerEpoch = None,
    runs_batch: reading.RunsBatch = None,
    dry_run: DryRun = False,
    force: Force = False,
    as_json: option.AsJson = False,
    plot: option.Plot = None,
) -> None:
    """Design the pilot runs of a long training, run them, and keep their logs for `plan`."""
    option.check_plot(plot)
    size = None if batch is None else option.positive_of("--batch", batch)
    counted = option.unit_of(unit, size, epoch_size, sequence_length)
    sizes = reading.sizes_of(runs_batch, epoch_size, sequence_length)
    options: SweepOptions = {
        "horizon": option.count_of("--horizon", horizon, unit=counted),
        "budget": option.count_of("--budget", budget, unit=counted),
        "peaks": _peaks(peak),
        "warmup": option.count_of("--warmup", warmup, least=0, unit=counted),
        "interval": interval,
        "seed": seed,
        "jobs": jobs,
        "ray": _cluster_around() if ray is slurm is jobs is None else ray,
        "slurm": slurm,
        "slurm_options": tuple(slurm_option or ()),
        "cpus": cpus,
        "gpus": gpus,
        "results": results,
        "patience": patience,
        "retries": retries,
        "reading": _reading((step, loss, lr), pattern, per_epoch, sizes),
        "force": force,
    }
    made = _designed(command, options) if dry_run else _swept(command, out, options)
    _print(made, plot, as_json)


def _print(made: _Result, plot: Path | None, as_json: bool) -> None:
    document, text, page = made
    if plot is not None:
        write_text(plot, page())
    if as_json:
        print_json(document)
    else:
        show(text)


def _reading(
    columns: tuple[str | None, str | None, str | None],
    pattern: list[str] | None,
    per_epoch: float | None,
    sizes: reading.LogSizes,
) -> LogReading:
    """How the logs are read; columns of step, loss and LR."""
    from etastar.pilot import LogReading

    return LogReading(*columns, tuple(pattern or ()), per_epoch, **sizes)


def _designed(command: list[str], options: SweepOptions) -> _Result:
    """The pilots that would be run."""
    with working("designing the pilots"):
        from etastar.pilot import design_pilots

        proposal, paid = design_pilots(command, **options)
    from etastar.report import design_page, design_summary

    horizon = options["horizon"]
    return (
        _design_document(proposal, paid),
        design_summary(proposal, paid, horizon),
        lambda: design_page(proposal, paid, horizon, provenance()),
    )


def _swept(command: list[str], out: Path, options: SweepOptions) -> _Result:
    """Run the pilots."""
    from etastar.pilot import PlainLines, run_pilots
    from etastar.report import LiveSweep, sweep_page, sweep_summary

    screen = LiveSweep(console(stderr=True)) if sys.stderr.isatty() else PlainLines()
    result = run_pilots(command, out=out, show=screen, **options)
    next_command = _plan_command(out, options["horizon"], options.get("reading"))
    return (
        _sweep_document(result, next_command),
        sweep_summary(result, next_command),
        # What a sweep has read are the logs that it has made.
        lambda: sweep_page(result, next_command, replace(_made(), inputs=())),
    )


def _made() -> Provenance:
    made = provenance()
    assert made is not None  # within a command
    return made


def _design_document(proposal: Proposal, paid: Sequence[int]) -> dict[str, Any]:
    """What `--dry-run --json` prints.

    Keys: `pilots` in the order to run them, each with `name`, `schedule`, `parent` (the pilot from
    whose checkpoint it starts), `steps` (updates paid for) and `interval` (relative half width of
    the 90% interval of the loss at the horizon that is expected after it); `steps` (paid for by
    all), `interval` (before the first), `reason`.
    """
    return {
        "pilots": [
            {
                "name": each.pilot.name,
                "schedule": each.pilot.schedule.to_dict(),
                "parent": each.pilot.parent,
                "steps": each.paid,
                "interval": each.interval,
            }
            for each in proposal.priced(paid)
        ],
        "steps": sum(paid),
        "interval": proposal.interval,
        "reason": proposal.reason,
    }


def _sweep_document(result: SweepResult, next_command: str) -> dict[str, Any]:
    """What `--json` prints of a sweep.

    Keys: `pilots` in the order in which they were started, each with `name`, `schedule`, `status`
    ("finished", "diverged" or "set aside"), `steps` (the last of its log) and `loss` (there);
    `steps` (paid for by all), `interval` (relative half width of the 90% interval of the loss at
    the horizon), `outlook {shape, peak_lr, loss {mean, low, high}}`, `reason`, `next` (a command).
    """
    return {
        "pilots": [_pilot_document(each) for each in result.finished],
        "steps": result.steps,
        "interval": result.interval,
        "outlook": None if result.outlook is None else _outlook_document(result.outlook),
        "reason": result.reason,
        "next": next_command,
    }


def _pilot_document(ended: Finished) -> dict[str, Any]:
    return {
        "name": ended.pilot.name,
        "schedule": ended.pilot.schedule.to_dict(),
        "status": ended.status,
        "steps": None if ended.run is None else ended.run.final_step,
        "loss": None if ended.run is None else ended.run.final_loss,
    }


def _outlook_document(ahead: Outlook) -> dict[str, Any]:
    loss = {"mean": ahead.loss, "low": ahead.low, "high": ahead.high}
    return {"shape": ahead.shape, "peak_lr": ahead.peak, "loss": loss}


def _peaks(text: str | None) -> tuple[float, float] | None:
    """LOW,HIGH as two learning rates. Raises: InputError for anything else.

    >>> _peaks("1e-4,1e-2")
    (0.0001, 0.01)
    """
    if text is None:
        return None
    try:
        low, high = (number_in(part) for part in text.split(","))
    except ValueError:
        low = high = math.nan
    if not 0 < low < high < math.inf:
        raise InputError(f"--peak {text!r} must be two rising LRs, such as 1e-4,1e-2")
    return low, high


def _cluster_around() -> str | None:
    """The address for a process that runs inside a Ray cluster, None outside one."""
    return "auto" if os.environ.get("RAY_ADDRESS") else None


def _plan_command(out: Path, horizon: int, read: LogReading | None = None) -> str:
    """The command that makes a plan of the pilots.

    >>> _plan_command(Path("pilots"), 40_000)
    'etastar plan pilots --horizon 40000 --out plan'
    """
    words = ["etastar", "plan", str(out), "--horizon", str(horizon), "--out", "plan"]
    return shlex.join([*words, *(read.words() if read else [])])
