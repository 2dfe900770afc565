"""The options that say how logs are read, and the runs that they stand for."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, TypedDict

import typer

from etastar._checks import positive_of
from etastar._errors import InputError
from etastar.schedule import Schedule, parse_schedule

from ._options import epoch_of, length_of, parsed_schedule

if TYPE_CHECKING:
    from etastar.runs import Run

Runs = Annotated[
    list[str],
    typer.Argument(
        metavar="RUNS...",
        help="Logs of the pilot runs: files, folders or globs, or runs of a tracker"
        " (wandb:ENTITY/PROJECT, mlflow:URI#EXPERIMENT, trackio:PROJECT). A runs.csv beside the"
        " files declares their schedules; an lr column serves otherwise.",
        show_default=False,
    ),
]
StepColumn = Annotated[
    str | None, typer.Option("--step", metavar="COLUMN", help="Column of the step; guessed.")
]
LossColumn = Annotated[
    str | None, typer.Option("--loss", metavar="COLUMN", help="Column of the loss; guessed.")
]
RateColumn = Annotated[
    str | None, typer.Option("--lr", metavar="COLUMN", help="Column of the LR; guessed.")
]
Patterns = Annotated[
    list[str] | None,
    typer.Option(
        "--pattern",
        metavar="REGEX",
        help="Finds the rows of text that is no table; its named groups step, loss, lr become"
        " columns. May be given several times.",
        show_default=False,
    ),
]
StepsPerEpoch = Annotated[
    float | None,
    typer.Option(
        "--steps-per-epoch",
        metavar="N",
        help="Updates in an epoch, for logs that count epochs and no steps.",
        show_default=False,
    ),
]
RunsSchedule = Annotated[
    str | None,
    typer.Option("--runs-schedule", metavar="SPEC", help="Schedule of the logs that declare none."),
]
RunsBatch = Annotated[
    str | None,
    typer.Option(
        "--runs-batch",
        metavar="B",
        help="Batch size of the logs that declare none: samples or tokens of an update.",
    ),
]
SequenceLength = Annotated[
    str | None,
    typer.Option(
        metavar="N",
        help="Tokens of a sample, where the logs do not say; needed to count tokens where batch"
        " sizes count sequences.",
        show_default=False,
    ),
]


class LogSizes(TypedDict):
    """Samples of an update and of an epoch, tokens of a sample; None where nothing is said."""

    batch_size: float | None
    epoch_size: float | None
    sequence_length: float | None


def sizes_of(batch: str | None, epoch_size: str | None, sequence_length: str | None) -> LogSizes:
    """What the logs do not say themselves, as `read_runs` takes it."""
    return {
        "batch_size": None if batch is None else positive_of("--runs-batch", batch),
        "epoch_size": epoch_of(epoch_size),
        "sequence_length": length_of(sequence_length),
    }


def read_logs(
    sources: list[str],
    step: str | None = None,
    loss: str | None = None,
    lr: str | None = None,
    schedule: str | None = None,
    patterns: list[str] | None = None,
    steps_per_epoch: float | None = None,
    batch: str | None = None,
    epoch_size: str | None = None,
    sequence_length: str | None = None,
) -> list[Run]:
    """The runs that the words of a command name."""
    from etastar.runs import read_runs

    return read_runs(
        sources,
        step=step,
        loss=loss,
        lr=lr,
        schedule=declared(schedule),
        pattern=patterns or (),
        steps_per_epoch=steps_per_epoch,
        **sizes_of(batch, epoch_size, sequence_length),
    )


def declared(text: str | None) -> Schedule | str | None:
    """The schedule of logs that declare none; a spec as it stands where a sweep's rows fill it in.

    Raises:
        InputError: it is no schedule even with a peak and a horizon.
    """
    if text is None:
        return None
    try:
        return parsed_schedule(text)
    except InputError:
        if text.lower().endswith(".json"):
            raise
        parse_schedule(text, horizon=10**9, peak=1.0)
        return text


def file_of(run: Run) -> Path:
    """The log that a run was read from."""
    return Path(str(run.metadata["file"])).resolve()
