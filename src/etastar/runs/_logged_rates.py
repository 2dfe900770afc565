"""Logged learning rates: a schedule where none is declared, a check where one is."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etastar._errors import InputError
from etastar.schedule import Schedule

from ._log_table import LogTable
from ._logged_values import LoggedValues, in_order
from ._polyline import polyline
from ._standard_shapes import SPREAD, Digits, digits_of, recognised

TOLERANCE = 0.01
"""A logged rate contradicts the schedule beyond this share of the peak ..."""
FEW = 3
"""... at more rows than this, or at every row of a shorter log."""


MOST_SPEC = 120
"""Characters of a spec in a message."""
DIGITS_FROM = 100
"""The digits of a column are taken from this many rows at either end."""


@dataclass(frozen=True)
class LoggedRates:
    """Learning rates at strictly increasing steps, and to how many digits they were written."""

    values: LoggedValues
    digits: Digits


def rates(
    log: LogTable, column: str, step: np.ndarray, rate: np.ndarray, there: np.ndarray
) -> tuple[LoggedRates, list[str]]:
    """The logged learning rates, in order, without those that are not finite or negative."""
    row = np.flatnonzero(there & ~np.isnan(step))
    logged = LoggedValues(step[row], rate[row], row)
    with np.errstate(invalid="ignore"):
        good = np.isfinite(logged.value) & (logged.value >= 0)
    caveats = []
    if not good.all():
        first = int(np.argmin(good))
        caveats.append(
            f"{log.where(int(logged.row[first]))}: lr is {logged.value[first]:g};"
            f" {int((~good).sum())} logged rates that are negative or not finite are left out"
        )
    logged, _ = in_order(log, logged.where(good))
    shown = [*logged.row[:DIGITS_FROM], *logged.row[DIGITS_FROM:][-DIGITS_FROM:]]
    cells = log.frame[column].gather(shown).to_list()
    digits = digits_of([cell if isinstance(cell, str) else repr(float(cell)) for cell in cells])
    return LoggedRates(logged, digits), caveats


def contradictions(log: LogTable, rates: LoggedRates, schedule: Schedule) -> list[str]:
    """A caveat where the logged rates are not those of the declared schedule.

    Loggers differ in whether they write the rate of the update before, of the next one, or count
    steps
    from one: any of `schedule(step - 1)`, `schedule(step)`, `schedule(step + 1)` agrees.
    """
    logged = rates.values.where(rates.values.step <= schedule.horizon)
    if len(logged.step) == 0:
        return []
    shifts = (0, -1, 1)
    near = [np.clip(logged.step + shift, 0, schedule.horizon) for shift in shifts]
    gap = np.min([np.abs(schedule(step) - logged.value) for step in near], axis=0)
    # Logs round: a rate that equals the bound in decimals must not depend on the last bit.
    allowed = TOLERANCE * schedule.peak * (1 + 1e-9)
    bad = gap > np.maximum(allowed, rates.digits.half_unit(logged.value))
    if bad.sum() <= FEW and not bad.all():
        return []
    first = int(np.argmax(bad))
    step = int(logged.step[first])
    return [
        f"{log.where(int(logged.row[first]))}: the logged lr {logged.value[first]:g} at step {step}"
        f" contradicts the declared schedule, which has {schedule(step):g} ({int(bad.sum())} of"
        f" {len(bad)} rows differ by more than 1% of the peak); the declared schedule is used"
    ]


def logged_schedule(
    log: LogTable, rates: LoggedRates, last: float, horizon: int | None, own: int | None = None
) -> tuple[Schedule, list[str]]:
    """The schedule that the logged rates tell, and what had to be assumed around them.

    That is the standard schedule which agrees with all of them, to the digits written, where one
    does and the others that do have the same rates after the last row; see `recognised`. Else it is
    a table through the rates: see `_through`.

    Arguments:
        log, rates: where the rates stand, for messages, and the rates.
        last: step of the last loss.
        horizon: steps that the schedule must have, None where nobody says.
        own: steps that the log says its training has; they serve to recognise a shape only.

    Raises:
        InputError: no logged rate is positive.
    """
    logged = rates.values
    if len(logged.step) == 0 or logged.value.max() <= 0:
        raise InputError(f"{log.path}: no positive lr is logged; declare the schedule in runs.csv")
    needed = int(np.ceil(max(float(logged.step[-1]), last)))
    end = horizon if horizon is not None else needed
    ends = [end] if horizon is not None or own is None or own < needed else [own, needed]
    for steps in dict.fromkeys(ends):
        found = recognised(logged.step, logged.value, rates.digits, steps)
        if found is not None and found.end_known:
            if not found.start_known:
                return found.schedule, [_unseen_warmup(log, logged, found.schedule)]
            if not found.warmup_known:
                return found.schedule, [_unsure_warmup(log, logged, found.schedule)]
            return found.schedule, []
    return _through(log, logged, end)


def _unseen_warmup(log: LogTable, logged: LoggedValues, schedule: Schedule) -> str:
    reason = (
        "as the log may count its steps one early"
        if schedule.warmup
        else "as a warmup that ended earlier would not show"
    )
    return (
        f"{log.where(int(logged.row[0]))}: the first lr is logged at step {logged.step[0]:g};"
        f" before it {schedule.spec[:MOST_SPEC]} is assumed, {reason}"
    )


def _unsure_warmup(log: LogTable, logged: LoggedValues, schedule: Schedule) -> str:
    row = min(int(np.searchsorted(logged.step, schedule.warmup)), len(logged.step) - 1)
    return (
        f"{log.where(int(logged.row[row]))}: {schedule.spec[:MOST_SPEC]} is assumed; its warmup is"
        " a guess, as the few rows of it allow others: declare the schedule, or log the LR at more"
        " steps or to more digits"
    )


def _through(log: LogTable, logged: LoggedValues, end: int) -> tuple[Schedule, list[str]]:
    """A table schedule through the logged rates.

    Before the first logged rate: a linear warmup from 0 where the first rates lie on one, the line
    through the first two of a smooth fall, else that rate held.
    After the last one: up to one more row the line through the last two, then held.
    """
    step, value, caveats = logged.step, logged.value, []
    if step[0] > 0:
        start, assumed = _start(step, value)
        if step[0] > 1:
            caveats.append(
                f"{log.where(int(logged.row[0]))}: the first lr is logged at step {step[0]:g};"
                " before it,"
                f" {assumed} is assumed"
            )
        step, value = np.r_[0.0, step], np.r_[start, value]
    if end > step[-1]:
        gap = float(np.median(np.diff(logged.step))) if len(logged.step) > 1 else 0.0
        slope = (value[-1] - value[-2]) / (step[-1] - step[-2]) if len(logged.step) > 1 else 0.0
        ahead = max(float(value[-1] + slope * (min(end, step[-1] + gap) - step[-1])), 0.0)
        if end > step[-1] + gap:
            ahead = float(value[-1])
        if end > step[-1] + gap or abs(ahead - value[-1]) > SPREAD * value.max():
            caveats.append(
                f"{log.where(int(logged.row[-1]))}: the last lr is logged at step {step[-1]:g};"
                f" from there to step {end:g} the schedule is a guess:"
                + (" it is assumed to hold" if ahead == value[-1] else " it goes on as before")
            )
        step, value = np.r_[step, end], np.r_[value, ahead]
    if end < step[-1]:
        value = np.r_[value[step < end], np.interp(end, step, value)]
        step = np.r_[step[step < end], end]
    return polyline(step, value), caveats


def _start(step: np.ndarray, value: np.ndarray) -> tuple[float, str]:
    """The rate at step 0, and in words what holds between there and the first logged one."""
    if len(step) > 1 and value[1] > value[0] > 0:
        slope = value[:2] / step[:2]
        # Off by one in the count of steps is a slope that differs by 1/step.
        if abs(slope[1] / slope[0] - 1) <= 2 / step[0] + 0.02:
            return 0.0, "a linear warmup from 0"
    if len(step) > 2 and value[0] > value[1] > value[2]:
        first, second = np.diff(value[:3]) / np.diff(step[:3])
        if abs(first - second) <= 0.5 * abs(first):  # a smooth fall
            return float(value[0] - first * step[0]), "the line through the first two"
    return float(value[0]), f"a constant lr of {value[0]:g}"
