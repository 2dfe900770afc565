"""Rows of a log in order: resumed runs, losses that are not finite, steps beyond the horizon."""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np

from etastar._checks import HORIZON_LIMIT
from etastar._errors import InputError, option
from etastar.schedule import Unit

from ._log_table import LogTable, as_numbers
from ._run import risen


@dataclass(frozen=True)
class LoggedValues:
    """Values at strictly increasing steps, each with its row in the table."""

    step: np.ndarray
    value: np.ndarray
    row: np.ndarray

    def where(self, keep: np.ndarray | slice) -> LoggedValues:
        """The rows that a mask or an index keeps."""
        return LoggedValues(self.step[keep], self.value[keep], self.row[keep])


OFF = 1e-3
"""A count further than this from a whole number of updates, in updates, is rounded with a caveat"""


def updates(
    table: LogTable, column: str, count: np.ndarray, unit: Unit
) -> tuple[np.ndarray, list[str]]:
    """The updates that a column of samples, tokens or epochs stands for, and what to say of it.

    Raises:
        InputError: the whole log is less than one update.
    """
    if unit.name == "steps":
        return count, []
    exact = unit.updates(count)
    whole = np.round(exact)
    logged = exact[np.isfinite(exact)]
    size = f"updates of {unit.update:g} {unit.name}"
    if len(logged) and logged.max() < 1.0:
        raise InputError(
            f"{table.path}: {column} goes up to {count[np.isfinite(exact)].max():g}, less than an"
            f" update of {unit.update:g} {unit.name}: correct the batch size"
        )
    off = int(np.sum(np.abs(logged - np.round(logged)) > OFF))
    rounded = f"; {off} rows are rounded to the nearest" if off else ""
    return whole, [f"{table.path}: the column {column} is counted in {size}{rounded}"]


def check_steps(table: LogTable, step: np.ndarray, there: np.ndarray) -> None:
    """Steps must count updates.

    Raises:
        InputError: a step that is not finite, negative, not whole or huge, with its line.
    """
    with np.errstate(invalid="ignore"):
        bad = there & ~(np.isfinite(step) & (step >= 0) & (step == np.round(step)))
        bad |= there & (step >= HORIZON_LIMIT)
    if bad.any():
        row = int(np.argmax(bad))
        raise InputError(
            f"{table.where(row)}: step is {step[row]:g}; steps count updates and are whole numbers"
            " >= 0 and below 1e15"
        )


def in_order(table: LogTable, logged: LoggedValues) -> tuple[LoggedValues, list[str]]:
    """The rows that a later row did not write again.

    A run that resumes from step s writes the steps from s on again: of the rows before, those at or
    beyond s belong to an abandoned branch. A log that runs backwards throughout is turned round,
    and rows that only came late, such as those of an evaluation beside the training, are sorted.
    """
    step = logged.step
    if np.all(np.diff(step) > 0):
        return logged, []
    if len(step) > 2 and np.all(np.diff(step) < 0):
        return logged.where(slice(None, None, -1)), [
            f"{table.path}: steps run backwards; the log is turned round"
        ]
    back = 1 + int(np.argmax(np.diff(step) <= 0))
    where = f"{table.where(int(logged.row[back]))}: steps go back to {step[back]:g}"
    if _only_late(step):
        return logged.where(np.argsort(step, kind="stable")), [
            f"{where}, into a gap that the rows before left; the rows are sorted by step"
        ]
    later = np.minimum.accumulate(step[::-1])[::-1]
    keep = np.ones(len(step), dtype=bool)
    keep[:-1] = step[:-1] < later[1:]
    gone = int((~keep).sum())
    if step[back] <= step[0]:
        return logged.where(keep), [
            f"{where}, where the log starts again; the rows before are left out: {gone}"
        ]
    return logged.where(keep), [
        f"{where} (a resumed or unsorted log); rows left out, repeated or abandoned: {gone}"
    ]


def _only_late(step: np.ndarray) -> bool:
    """Whether rows that step back fill gaps that the others left for them.

    No step is there twice; late rows that follow one another fall into one gap between two of the
    others, which rise; and they leave it no narrower than gaps without late rows are. The rows of a
    resumed run that writes other steps than before fall between rows a usual gap apart.
    """
    if len(step) < 3 or np.any(np.diff(np.sort(step)) == 0):
        return False
    front = step == np.maximum.accumulate(step)
    rising = step[front]
    place = np.searchsorted(rising, step)  # of the gap, by the row that ends it
    together = ~front[1:] & ~front[:-1]
    if np.any(np.diff(place)[together] != 0):
        return False
    late = np.bincount(place[~front], minlength=len(rising))
    gap = np.diff(rising, prepend=-np.inf)
    usual = gap[(late == 0) & np.isfinite(gap)]
    least = np.median(usual) if len(usual) else np.min(gap / (late + 1))
    filled = late > 0
    return bool(np.all(gap[filled] >= (late[filled] + 1) * least * (1 - 1e-9)))


def losses(
    table: LogTable, step: np.ndarray, loss: np.ndarray, there: np.ndarray, noun: str
) -> tuple[LoggedValues, list[str]]:
    """The rows that hold a loss, NaN where the training has collapsed, and a caveat of that.

    Raises:
        InputError: a loss without a step, or one that is zero or negative, with its line.
    """
    orphan = there & np.isnan(step) & ~np.isnan(loss)
    if orphan.any():
        row = int(np.argmax(orphan))
        raise InputError(
            f"{table.where(row)}: {noun} without a step; add the step or remove the line"
        )
    with np.errstate(invalid="ignore"):
        low = there & np.isfinite(loss) & (loss <= 0)
    caveats = []
    if low.any():
        collapsed = low & _collapsed(table, loss, there)
        if collapsed.any():
            row = int(np.argmax(collapsed))
            caveats.append(
                f"{table.where(row)}: {noun} is 0 from step {step[row]:g} on, as trainers log it"
                " when gradients or losses are no longer finite"
            )
            loss = np.where(collapsed, np.nan, loss)
        low &= ~collapsed
    if low.any():
        row = int(np.argmax(low))
        raise InputError(
            f"{table.where(row)}: {noun} is {loss[row]:g}; losses must be positive, as"
            " laws are fitted to their logarithm; correct the line or name another column with"
            f" {option('loss')}"
        )
    # A NaN beside a loss of the same step, or without one: the row is that of another column.
    there = there & ~np.isnan(step)
    absent = there & np.isnan(loss)
    if absent.any():
        there &= ~(absent & np.isin(step, step[there & np.isfinite(loss)]))
    row = np.flatnonzero(there)
    return LoggedValues(step[row], loss[row], row), caveats


def _collapsed(table: LogTable, loss: np.ndarray, there: np.ndarray) -> np.ndarray:
    """Rows whose loss of exactly 0 stands for NaN.

    Their gradient is not finite, or they are the last rows, two at least, after a positive loss.
    """
    zero = there & (loss == 0)
    row = np.flatnonzero(there)
    last = row[np.flatnonzero(~zero[row])[-1] + 1 :] if not zero[row].all() else row[:0]
    found = np.zeros(len(loss), dtype=bool)
    if len(last) > 1:
        found[last] = True
    for column in table.frame.columns:
        if re.search(r"grad(ient)?_?norm", column.lower()):
            values, given = as_numbers(table.frame[column])
            found |= zero & given & ~np.isfinite(values)
    return found


def finite_losses(
    table: LogTable, logged: LoggedValues, noun: str
) -> tuple[LoggedValues, list[str], bool]:
    """The rows with a finite loss, and whether the run diverged.

    Raises:
        InputError: none is left, or a single one of a run that did not diverge.
    """
    diverged = risen(logged.value)
    good = np.isfinite(logged.value)
    caveats = []
    if not good.all():
        first = int(np.argmin(good))
        caveats.append(
            f"{table.where(int(logged.row[first]))}: {noun} is"
            f" {table.frame[noun][int(logged.row[first])]};"
            f" rows left out, not finite: {int((~good).sum())}"
        )
        logged = logged.where(good)
    if diverged:
        caveats.append(f"{table.path}: the run diverged; fits leave it out")
    _enough(table, logged, noun, needed=1 if diverged else 2)
    return logged, caveats, diverged


def within(table: LogTable, logged: LoggedValues, horizon: int) -> tuple[LoggedValues, list[str]]:
    """The rows up to the horizon of the schedule.

    Raises:
        InputError: fewer than two are left.
    """
    inside = logged.step <= horizon
    if inside.all():
        return logged, []
    first = int(np.argmin(inside))
    if inside.sum() < min(2, len(inside)):
        raise InputError(
            f"{table.path}: {_count(inside.sum())} row within the horizon {horizon} of its"
            " schedule; a run needs at least two: correct the horizon"
        )
    return logged.where(inside), [
        f"{table.where(int(logged.row[first]))}: step {logged.step[first]:g} lies beyond the"
        f" horizon {horizon} of the schedule; rows left out: {int((~inside).sum())}"
    ]


def _enough(table: LogTable, logged: LoggedValues, noun: str, needed: int) -> None:
    if len(logged.step) >= needed:
        return
    raise InputError(
        f"{table.path}: {_count(len(logged.step))} row with a finite {noun}; a run"
        f" needs at least two: log more often, name another column with {option('loss')}, or leave"
        " the file out"
    )


def _count(rows: int) -> str:
    return "no" if rows == 0 else "only one"
