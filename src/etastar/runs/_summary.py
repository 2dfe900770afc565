"""A sweep's summary table: one row a run, with its schedule and its final loss."""

from __future__ import annotations

from dataclasses import replace

import numpy as np

from etastar._errors import InputError
from etastar.schedule import Schedule, parse_schedule

from . import _columns
from ._declarations import BATCH
from ._log_table import MISSING, LogTable
from ._run import Run

FINAL = (
    "final_loss",
    "final_val_loss",
    "final_validation_loss",
    "final_eval_loss",
    "loss_final",
    "val_loss_final",
)
SCHEDULE = ("schedule", "lr_schedule", "schedule_spec")
STEPS = ("horizon", "steps", "num_steps", "total_steps", "max_steps", "train_steps")
PEAK = ("peak", "peak_lr", "max_lr", "lr", "learning_rate", "base_lr")
NAME = ("run", "name", "run_name", "run_id", "id")
MOMENTUM = ("momentum", "beta1")


def is_summary(table: LogTable) -> bool:
    """Whether a table holds one row a run: it has a column for the final loss."""
    return any(_columns.ordinary(name) in FINAL for name in table.frame.columns)


def summary_runs(
    table: LogTable, *, loss: str | None = None, schedule: Schedule | str | None = None
) -> list[Run]:
    """The runs of a summary table, each with one point: its final loss at its horizon.

    The schedule of a row is the spec in its `schedule` column, else `schedule`; the LR column
    (`peak`, `lr`) and the steps column (`horizon`, `steps`) stand in for what a spec leaves out,
    and replace the peak and the horizon of a whole `schedule`. A batch size and a momentum column
    are read too, the others become metadata. A row without a finite loss, as of a run that
    diverged, is left out with a caveat on the first run.

    Raises: InputError for a row without steps or LR, a spec that is wrong, a cell that is no
        number, a loss that is not positive, a name given twice; with file and line.
    """
    row_of = _Rows(table, loss)
    runs: list[Run] = []
    left_out: list[str] = []
    seen: dict[str, str] = {}
    for row in range(table.frame.height):
        where = table.where(row)
        cells = row_of.cells(row)
        name = cells.pop("name", f"{table.name} row {row + 1}")
        if name in seen:
            raise InputError(
                f"{where}: run {name} is in the table before ({seen[name]}); rename one"
            )
        seen[name] = where
        value = _number(where, "final loss", cells.pop("final", "nan"))
        if not np.isfinite(value):
            left_out.append(f"{where}: run {name} has no final loss; it is left out")
            continue
        if value <= 0:
            raise InputError(f"{where}: final loss is {value:g}; losses must be positive")
        whole = _schedule(where, cells, table, schedule)
        runs.append(
            Run(
                name=name,
                step=np.array([float(whole.horizon)]),
                loss=np.array([value]),
                schedule=whole,
                batch_size=_optional(where, "batch size", cells.pop("batch", None)),
                momentum=_optional(where, "momentum", cells.pop("momentum", None)),
                metadata={**cells, "file": str(table.path), "loss_column": row_of.final},
            )
        )
    if not runs:
        raise InputError(
            f"{table.path}: no row has a final loss; check its column {row_of.final!r}"
        )
    return [replace(runs[0], caveats=(*table.caveats, *left_out)), *runs[1:]]


class _Rows:
    """Cells of a summary's rows by what they mean; columns of no known meaning by their names."""

    def __init__(self, table: LogTable, loss: str | None) -> None:
        self.table = table
        self.final = _columns.named(table, loss, "loss") if loss else ""
        self.meaning: dict[str, str] = {}
        for noun, names in (
            ("final", FINAL),
            ("schedule", SCHEDULE),
            ("steps", STEPS),
            ("peak", PEAK),
            ("name", NAME),
            ("momentum", MOMENTUM),
            ("batch", BATCH),
        ):
            found = _columns.guesses(table, names, noun)
            if noun == "final" and self.final:
                found = [self.final]
            if found:
                self.meaning[found[0]] = noun
        self.final = next(name for name, noun in self.meaning.items() if noun == "final")

    def cells(self, row: int) -> dict[str, str]:
        """The cells of a row that hold something."""
        found = {}
        for column in self.table.frame.columns:
            value = self.table.frame[column][row]
            text = "" if value is None else str(value).strip()
            if text.lower() not in MISSING:
                found[self.meaning.get(column, column)] = text
        return found


def _schedule(
    where: str, cells: dict[str, str], table: LogTable, given: Schedule | str | None
) -> Schedule:
    spec = cells.pop("schedule", given)
    steps, peak = cells.pop("steps", None), cells.pop("peak", None)
    if spec is None:
        raise InputError(
            f"{where}: its schedule is unknown; add a schedule column, or give --runs-schedule SPEC"
        )
    horizon = None if steps is None else _number(where, "steps", steps)
    rate = None if peak is None else _number(where, "LR", peak)
    try:
        if isinstance(spec, str):
            return parse_schedule(spec, folder=table.path.parent, horizon=horizon, peak=rate)
        whole = spec if horizon is None else spec.stretched(horizon=int(horizon))
        return whole if rate is None else whole.scaled(peak=rate)
    except InputError as error:
        raise InputError(f"{where}: {error}") from None


def _number(where: str, noun: str, text: str) -> float:
    try:
        return float(text)
    except ValueError:
        raise InputError(f"{where}: {noun} is {text!r}, not a number; correct the cell") from None


def _optional(where: str, noun: str, text: str | None) -> float | None:
    return None if text is None else _number(where, noun, text)
