"""A sweep's summary table: one row a run, with its schedule and its final loss."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from etastar._checks import HORIZON_LIMIT, shown
from etastar._errors import InputError, option
from etastar.schedule import Schedule, parse_schedule

from . import _columns
from ._declarations import BATCH
from ._log_table import MISSING, LogTable, as_numbers
from ._run import Run

FINAL = re.compile(r"(final|last|end)_(\w+_)?loss|(\w+_)?loss_(final|last|end)")
SCHEDULE = ("schedule", "lr_schedule", "schedule_spec")
STEPS = (*_columns.HORIZON, *_columns.STEP, "updates")
PEAK = (
    "peak",
    "peak_lr",
    "max_lr",
    "lr",
    "learning_rate",
    "base_lr",
    "lr_max",
    "lr_peak",
    "peak_learning_rate",
    "max_learning_rate",
    "init_lr",
    "initial_lr",
    "eta",
)
MOMENTUM = ("momentum", "beta1")
# Tables of trackers say whether a column was set or measured.
PREFIX = re.compile(r"^(config|params?|args|hparams|hyperparameters|metrics?|summary)_")


def is_summary(table: LogTable) -> bool:
    """Whether a table holds one row a run.

    It does where a column holds final losses and none the steps of a curve; where each row names
    another run; where it has losses and the steps of whole runs; and where rows at the same step
    differ in their LR.
    """
    found = {_plain(name): name for name in table.frame.columns}
    if any(FINAL.fullmatch(name) for name in found):
        return not (found.keys() & set(LOGGED_STEP) and found.keys() & set(_columns.LOSS))
    if table.frame.height < 2 or not found.keys() & set(_columns.LOSS):
        return False
    step = next((found[name] for name in _columns.STEP if name in found), None)
    rising = step is not None and bool(np.all(np.diff(as_numbers(table.frame[step])[0]) > 0))
    for name in _columns.RUN:
        if name in found and (name in _columns.RUN_NAME or not rising):
            cells = table.frame[found[name]]
            if cells.dtype.is_nested() or cells.null_count() > 0:
                continue
            if cells.n_unique() == len(cells):
                return True
    peak = next((found[name] for name in PEAK if name in found), None)
    if peak is None or rising:
        return False
    if step is None:
        return "epoch" not in found and bool(found.keys() & set(_columns.HORIZON))
    loss = next(found[name] for name in _columns.LOSS if name in found)
    cells = np.array([as_numbers(table.frame[name])[0] for name in (step, peak, loss)])
    # Rows that lack one of the three are those of a log, where training and validation take turns.
    steps, rates, _ = cells[:, np.isfinite(cells).all(axis=0)]
    budgets = len(np.unique(steps))
    each_once = len({*zip(steps, rates, strict=True)}) == len(steps)
    return each_once and len(steps) >= max(2 * budgets, 2) and len(np.unique(rates)) > budgets


LOGGED_STEP = tuple(name for name in _columns.STEP if name not in _columns.HORIZON)


def _plain(name: str) -> str:
    return PREFIX.sub("", _columns.ordinary(name))


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
    for row, cells in enumerate(row_of.cells()):
        where = table.where(row)
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
        batch, momentum = (
            _optional(where, noun, cells.pop(key, None))
            for noun, key in (("batch size", "batch"), ("momentum", "momentum"))
        )
        metadata = {**cells, "file": str(table.path), "loss_column": row_of.final}
        end = np.array([float(whole.horizon)])
        try:
            run = Run(name, end, np.array([value]), whole, batch, momentum, metadata)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
        runs.append(run)
    if not runs:
        raise InputError(
            f"{table.path}: no row has a final loss; check its column {row_of.final!r}"
        )
    return [replace(runs[0], caveats=(*table.caveats, *left_out)), *runs[1:]]


class _Rows:
    """Cells of a summary's rows by what they mean; columns of no known meaning by their names."""

    def __init__(self, table: LogTable, loss: str | None) -> None:
        self.table = table
        self.final = _columns.named(table, loss, "loss") if loss else self._final_loss()
        self.meaning = {self.final: "final"}
        for noun, names in (
            ("schedule", SCHEDULE),
            ("steps", STEPS),
            ("peak", PEAK),
            ("name", _columns.RUN),
            ("momentum", MOMENTUM),
            ("batch", BATCH),
        ):
            for column in self._guesses(names):
                # A name that several rows share is not that of one run.
                one_each = noun != "name" or table.frame[column].drop_nulls().is_unique().all()
                if column not in self.meaning and (one_each or column in _columns.RUN_NAME):
                    self.meaning[column] = noun
                    break

    def _final_loss(self) -> str:
        found = [name for name in self.table.frame.columns if FINAL.fullmatch(_plain(name))]
        validation = [name for name in found if re.search("val|eval", _plain(name))]
        chosen = [*validation, *found] or self._guesses(_columns.LOSS)
        if len(set(chosen[:2])) == 2 and _plain(chosen[0]) == _plain(chosen[1]):
            raise InputError(
                f"{self.table.path}: {chosen[0]!r} and {chosen[1]!r} could both be the final loss;"
                f" name one with {option('loss')}"
            )
        return chosen[0]

    def _guesses(self, names: Sequence[str]) -> list[str]:
        """Columns of these names, the likeliest first; those with a prefix after those without."""
        columns = self.table.frame.columns
        return [
            column
            for spelled in (_columns.ordinary, _plain)
            for name in names
            for column in columns
            if spelled(column) == name
        ]

    def cells(self) -> list[dict[str, str]]:
        """The cells of each row that hold something."""
        names = [self.meaning.get(column, column) for column in self.table.frame.columns]
        rows = []
        for values in self.table.frame.iter_rows():
            texts = ("" if value is None else str(value).strip() for value in values)
            pairs = zip(names, texts, strict=True)
            rows.append({name: text for name, text in pairs if text.lower() not in MISSING})
        return rows


def _schedule(
    where: str, cells: dict[str, str], table: LogTable, given: Schedule | str | None
) -> Schedule:
    spec = cells.pop("schedule", given)
    steps, peak = cells.pop("steps", None), cells.pop("peak", None)
    if spec is None:
        raise InputError(
            f"{where}: its schedule is unknown; add a schedule column, or give"
            f" {option('schedule', 'SPEC')}"
        )
    horizon = None if steps is None else _number(where, "steps", steps)
    if horizon is not None and not (1 <= horizon < HORIZON_LIMIT and horizon == round(horizon)):
        raise InputError(
            f"{where}: steps is {shown(steps)}; give a whole number from 1, the horizon of the run"
        )
    rate = None if peak is None else _number(where, "LR", peak)
    if rate is not None and not 0 < rate < math.inf:
        raise InputError(f"{where}: LR is {shown(peak)}; give a number above 0")
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
        raise InputError(
            f"{where}: {noun} is {shown(text)}, not a number; correct the cell"
        ) from None


def _optional(where: str, noun: str, text: str | None) -> float | None:
    return None if text is None else _number(where, noun, text)
