"""Logs that count epochs instead of updates: timm's `summary.csv`, Ultralytics' `results.csv`."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from ._columns import CALLS, STEP, counts_calls, guesses, ordinary
from ._delimited import read_delimited
from ._file_text import read_text, run_folder_name
from ._log_table import LogTable, Reader, numbers

EPOCH = "epoch"
PART = re.compile(r"(train|val)/\w+_loss")
"""A part of the loss of Ultralytics, already weighted: the loss is their sum."""
BIAS_RATES = (("lr/pg0", "lr/pg1"), ("x/lr0", "x/lr1"))
"""Ultralytics' LR of the biases, which begin with a warmup from above, and that of the weights."""


class EpochTable(Reader):
    """`summary.csv` and `results.csv` with a row an epoch; the folder gives the run its name.

    Of Ultralytics, the sum of the parts of the loss is the loss, and the LR is that of the weights.
    """

    def accepts(self, path: Path) -> bool:
        return path.name in ("summary.csv", "results.csv")

    def read(self, path: Path) -> LogTable:
        table = read_delimited(path, read_text(path), name=path.stem)
        if not _has(table, (EPOCH,)):
            return table
        table = replace(table, name=run_folder_name(path))
        for bias, weights in BIAS_RATES:
            if {bias, weights} <= set(table.frame.columns):
                frame = table.frame.drop(bias).rename({weights: "lr"})
                table = _with_sums(replace(table, frame=frame))
        return table


def _with_sums(table: LogTable) -> LogTable:
    """The table with the sums of the parts of the training and of the validation loss."""
    parts: dict[str, list[str]] = {}
    for name in table.frame.columns:
        if found := PART.fullmatch(name):
            parts.setdefault(found.group(1), []).append(name)
    table, columns = numbers(table, [name for names in parts.values() for name in names])
    notes, sums = [], []
    for kind, names in parts.items():
        sums.append(pl.Series(f"{kind}_loss", np.sum([columns[name][0] for name in names], axis=0)))
        notes.append(f"{table.path}: {kind}_loss is the sum of {', '.join(names)}")
    return replace(table, frame=with_made(table.frame, sums), caveats=(*table.caveats, *notes[-1:]))


def with_steps(table: LogTable, steps_per_epoch: float | None) -> LogTable:
    """A table that counts epochs alone, with the updates done in a column `step`.

    Epochs that are whole and begin with 0 name the one that the row ends; others count those done.

    Raises:
        InputError: an epoch that is no number, with its line.
    """
    if steps_per_epoch is None or not _has(table, (EPOCH,)):
        return table
    if _has(table, tuple(name for name in STEP if name != CALLS)):
        return table
    if _has(table, (CALLS,)) and not counts_calls(table):
        return table
    (name,) = guesses(table, (EPOCH,), EPOCH)
    table, columns = numbers(table, [name])
    epoch, there = columns[name]
    whole = np.all(epoch[there] == np.round(epoch[there]))
    begun = bool(there.any() and whole and epoch[there].min() == 0)
    step = pl.Series("step", np.round((epoch + begun) * steps_per_epoch))
    counts = "the epoch that a row ends, from 0 on" if begun else "the epochs done"
    note = (
        f"{table.path}: steps are made from {name}, read as {counts}, at {steps_per_epoch:g} an"
        " epoch"
    )
    return replace(table, frame=with_made(table.frame, [step]), caveats=(*table.caveats, note))


def with_made(frame: pl.DataFrame, made: Sequence[pl.Series]) -> pl.DataFrame:
    """The table with columns that are made of others, before those of the file.

    What ends a file is its last column, where a number that was cut is looked for.
    """
    return pl.DataFrame(made).hstack(frame.drop([series.name for series in made], strict=False))


def _has(table: LogTable, names: tuple[str, ...]) -> bool:
    return any(ordinary(column) in names for column in table.frame.columns)
