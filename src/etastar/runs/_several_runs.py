"""One table with the logs of several runs, as one table a run."""

from __future__ import annotations

import re
from collections import defaultdict
from collections.abc import Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from etastar._errors import InputError, option

from . import _columns
from ._log_table import LogTable, as_numbers

SHOWN = 3
"""A message names so many values of a column."""
MOST_COLUMNS = 200
"""Columns looked at for one that tells runs apart."""
# Weights & Biases names a column of an exported panel after a run and what was logged, and adds the
# extremes of the steps that it merged into one row.
PANEL = re.compile(r"^(?P<run>.+) - (?P<metric>.+?)(?P<extreme>__MIN|__MAX)?$")
PARTS = ("split", "phase", "subset", "partition", "stage", "mode", "set", "dataset")
VALIDATION = ("val", "valid", "validation", "eval", "evaluation", "dev")
TRAINING = ("train", "training")
# Columns that change where a run is resumed.
RESUMED = ("attempt", "restart", "resume", "session", "pid", "host", "hostname", "date", "day")


def table_of_each_run(table: LogTable, step: str | None, loss: str | None) -> list[LogTable]:
    """The tables of the runs that one table holds: itself where it holds one.

    Read are the export of a Weights & Biases panel, with columns a run, and a table in which a
    column such as `run` or `seed` (`RUN` in `_columns.py`) names the run of each row. Where another
    column is what tells runs apart, the table is refused: nobody says that they are runs.

    Arguments:
        table: the table.
        step, loss: names of the columns that the user gave.

    Raises:
        InputError: steps start again where a column that names no run changes.
    """
    panel = _panel(table, loss)
    if panel:
        return panel
    table = _validation_rows(table, step, loss)
    found = _step_and_loss(table, step, loss)
    if found is None:
        return [table]
    steps, rows = found
    keys = [
        name
        for wanted in _columns.RUN
        for name in table.frame.columns
        if _columns.ordinary(name) == wanted and _differs(table.frame[name], rows)
    ]
    if np.all(np.diff(steps) > 0):
        names = [key for key in keys if _columns.ordinary(key) in _columns.RUN_NAME]
        return [_followed(table, names[0], rows)] if names else [table]
    key = _telling(table, keys, steps, rows)
    if key:
        return _split(table, key)
    _refuse_other_keys(table, steps, rows)
    return [table]


def _step_and_loss(
    table: LogTable, step: str | None, loss: str | None
) -> tuple[np.ndarray, np.ndarray] | None:
    """The rows with a step and a loss, and their steps; None where no column can be guessed."""
    try:
        step_name, _ = _columns.counted_column(table, step, None)
        loss_name, _ = _columns.loss_column(table, loss, step_name)
    except InputError:
        return None  # the reading that follows says which
    steps, _ = as_numbers(table.frame[step_name])
    if np.all(np.diff(steps) > 0):
        return steps, np.arange(len(steps))  # as of most logs: no need to look at the losses
    values, _ = as_numbers(table.frame[loss_name])
    rows = np.flatnonzero(~np.isnan(steps) & ~np.isnan(values))
    return steps[rows], rows


def _differs(column: pl.Series, rows: np.ndarray) -> bool:
    if column.dtype.is_nested():
        return False
    return column.gather(rows).drop_nulls().n_unique() > 1


def _codes(table: LogTable, key: Sequence[str], rows: np.ndarray) -> np.ndarray:
    """A number for each distinct combination of values of some columns, row by row."""
    ranks = table.frame.select(key)[rows].select(pl.struct(pl.all()).rank("dense"))
    return ranks.to_series().to_numpy().astype(np.int64)


def _backs(steps: np.ndarray, codes: np.ndarray) -> int:
    """How often steps do not rise within the rows of one code."""
    order = np.argsort(codes, kind="stable")
    same = np.diff(codes[order]) == 0
    return int(np.sum(same & (np.diff(steps[order]) <= 0)))


def _telling(
    table: LogTable, keys: Sequence[str], steps: np.ndarray, rows: np.ndarray
) -> list[str] | None:
    """The columns within whose values steps rise: the first that does alone, else all together.

    Rows that a resumed run wrote again may remain. None where the columns make no difference.
    """
    tried = [[key] for key in keys] + ([list(keys)] if len(keys) > 1 else [])
    left = [_backs(steps, _codes(table, key, rows)) for key in tried]
    if 0 in left:
        return tried[left.index(0)]
    before = int(np.sum(np.diff(steps) <= 0))
    best = min(range(len(tried)), key=left.__getitem__, default=None)
    return None if best is None or left[best] >= before else tried[best]


def _split(table: LogTable, key: Sequence[str]) -> list[LogTable]:
    """One table for each combination of values, in the order in which they first appear."""
    kept = table.frame.select(pl.all_horizontal(pl.col(key).is_not_null())).to_series()
    groups: dict[tuple[object, ...], list[int]] = defaultdict(list)
    values = table.frame.select(key).rows()
    for row in np.flatnonzero(kept.to_numpy()).tolist():
        groups[values[row]].append(row)
    tables = []
    for cells, rows in groups.items():
        name = " ".join([table.name, *(f"{k}={v}" for k, v in zip(key, cells, strict=True))])
        if len(key) == 1 and isinstance(cells[0], str) and _is_name(key[0]):
            name = cells[0].strip()
        tables.append(replace(table.only(np.array(rows)), name=name))
    return tables


def _is_name(column: str) -> bool:
    return _columns.ordinary(column) in (*_columns.RUN_NAME, "name")


def _followed(table: LogTable, column: str, rows: np.ndarray) -> LogTable:
    names = table.frame[column].gather(rows).unique(maintain_order=True).drop_nulls().to_list()
    caveat = (
        f"{table.path}: column {column!r} names several runs ({_some(names)}) whose steps follow"
        " one another; they are read as one run that was resumed"
    )
    return replace(table, caveats=(*table.caveats, caveat))


def _some(values: Sequence[object]) -> str:
    more = ", ..." if len(values) > SHOWN else ""
    return ", ".join(str(value)[:40] for value in values[:SHOWN]) + more


def _validation_rows(table: LogTable, step: str | None, loss: str | None) -> LogTable:
    """The table less its training losses, where a column such as `split` tells the two apart."""
    for column in table.frame.columns:
        if _columns.ordinary(column) not in PARTS or table.frame.schema[column] != pl.String:
            continue
        found = _step_and_loss(table, step, loss)
        if found is None:
            return table
        there = np.zeros(table.frame.height, dtype=bool)
        there[found[1]] = True
        cells = table.frame[column].str.strip_chars().str.to_lowercase()
        validation, training = (
            cells.is_in(words).fill_null(False).to_numpy() & there
            for words in (VALIDATION, TRAINING)
        )
        if not validation.any() or not training.any():
            continue
        few = validation.sum() < _columns.ENOUGH <= training.sum()
        kept, kind = (training, "training") if few else (validation, "validation")
        caveat = (
            f"{table.path}: column {column!r} tells training from validation rows; those of the"
            f" {kind} loss are taken"
        )
        smaller = table.only(np.flatnonzero(kept | ~there))
        return replace(
            smaller,
            caveats=(*table.caveats, caveat),
            metadata={**table.metadata, "loss_kind": kind},
        )
    return table


def _refuse_other_keys(table: LogTable, steps: np.ndarray, rows: np.ndarray) -> None:
    """Raise where steps start again from the beginning wherever some other column changes."""
    beginning = np.unique(steps)[:2][-1]
    for column in table.frame.columns[:MOST_COLUMNS]:
        plain = _columns.ordinary(column)
        if plain in (*_columns.STEP, *_columns.LOSS, *RESUMED):
            continue
        if not _differs(table.frame[column], rows):
            continue
        codes = _codes(table, [column], rows)
        groups, first, sizes = np.unique(codes, return_index=True, return_counts=True)
        if len(groups) < 2 or sizes.min() < 2 or np.any(steps[first] > beginning):
            continue
        if _backs(steps, codes) == 0:
            values = table.frame[column].gather(rows[np.sort(first)]).to_list()
            raise InputError(
                f"{table.path}: steps start again where column {column!r} changes"
                f" ({_some(values)}); call that column run if these are runs, or name one with"
                f" {option('step')} whose steps count on; of a table with a row a run, call the"
                " column of losses final_loss"
            )


def _panel(table: LogTable, loss: str | None) -> list[LogTable]:
    """The runs of an exported panel; none where the table is none."""
    columns = table.frame.columns
    if loss in columns or " - " not in "".join(columns):
        return []
    runs: dict[str, dict[str, str]] = defaultdict(dict)
    for column in columns:
        found = PANEL.match(column)
        if found and not found["extreme"]:
            runs[found["run"]][found["metric"]] = column
    metrics = {_columns.ordinary(metric): metric for run in runs.values() for metric in run}
    wanted = [_columns.ordinary(loss)] if loss else _columns.LOSS
    chosen = next((metrics[name] for name in wanted if name in metrics), None)
    if any(_columns.ordinary(column) in _columns.LOSS for column in columns):
        return []
    if chosen is None:
        common = [m for m in metrics.values() if sum(m in own for own in runs.values()) > 1]
        if loss is None and common:
            raise InputError(
                f"{table.path}: its columns are those of several runs ({_some(list(runs))}), each"
                f" with {_some(common)}; name the loss with {option('loss')}"
            )
        return []
    rate = next((metrics[name] for name in _columns.RATE if name in metrics), None)
    shared = [column for column in columns if not PANEL.match(column)]
    tables = []
    for name, own in runs.items():
        if chosen not in own:
            continue
        kept = {own[chosen]: chosen} | ({own[rate]: rate} if rate and rate in own else {})
        frame = table.frame.select(*shared, *kept).rename(kept)
        tables.append(replace(table, name=name, frame=frame))
    return tables
