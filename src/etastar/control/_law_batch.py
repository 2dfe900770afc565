"""The batch size that minimises a fitted law's final loss under a budget, constant or in steps."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace

import numpy as np

from etastar.law import LossLaw
from etastar.schedule import Schedule, join, make_schedule

from ._budget import Budget
from ._law_families import family_makers
from ._law_joint import JointGrid, LimitsAt
from ._law_schedule import optimal_schedule
from ._limits import FEWEST
from ._solution import Solution

GAIN = 1e-4
"""The relative gain over the best constant batch size below which there is no ramp."""

MOST_STEPS = 6
"""Batch sizes of a ramp, at most: each at least about twice the one before."""

_PER_DOUBLING, _MOST_SIZES = 2, 25
_PEAKS = 2.0 ** -np.arange(7)
_SCREENED = (("linear", 0), ("cosine", 0), ("wsd", 2), ("wsd", 6))
"""Standard schedules, by family and place, that stand for a batch size in the first screen."""

_CLOSE = 0.01
"""Relative loss above the best of the screen up to which another minimum is tried."""


@dataclass(frozen=True)
class BatchSolution:
    """The best constant batch size under a budget, and a ramp where it is better.

    Attributes:
        fixed: the optimum at the best constant batch size, its `batch_size` a constant schedule.
        ramp: the optimum with a batch size that rises in steps; None where it gains less than 1e-4
            of the loss.

    >>> BatchSolution.__dataclass_fields__.keys() == {"fixed", "ramp"}
    True
    """

    fixed: Solution
    ramp: Solution | None


def optimal_controls(
    law: LossLaw,
    budget: Budget,
    sizes: tuple[float, float],
    limits_at: LimitsAt,
    *,
    ramp: bool = True,
) -> BatchSolution:
    """The schedule and the batch size with the lowest predicted final loss under a budget.

    The best standard schedule at batch sizes on a grid shows where the minimum lies. From there the
    loss is minimised over the rates at 49 knots and the log batch size together, the number of
    updates being total / (per_update + per_sample B); a size between the ends is rounded to one
    that computers like, m 2^k with m from 8 to 15. Then the batch size is freed at 13 knots too,
    rising; what it rises by is made at most 5 steps, and the rates are optimised anew for these.

    Arguments:
        law: a fitted law that sees the batch size, or an average of several.
        budget: updates, samples or seconds, and what an update of a batch size costs of them.
        sizes: the lowest and the highest batch size allowed, in the unit of the runs.
        limits_at: what the LR may be where the run begins with a given batch size; the limits of a
            run without a past.
        ramp: whether to try one.

    Returns: a `BatchSolution`; the losses are those that the law reports for whole updates.
    Raises: InputError where the budget leaves fewer than 8 updates of the lowest batch size.

    >>> from etastar.control import Limits
    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"{lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 160 * lr / size,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000"), size)
    ...         for lr, size in ((0.01, 8), (0.02, 8), (0.01, 32), (0.02, 32))]
    >>> law, budget = fit(runs, optimiser="sgd"), Budget.of(None, 64_000, None, (1.0, 0.0))
    >>> found = optimal_controls(law, budget, (8, 32), lambda size: Limits(0.02)).fixed
    >>> 8 <= found.batch_size.peak <= 32
    True
    """
    low, high = _affordable(budget, *sizes)
    best = _best_size(law, budget, (low, high), limits_at) if low < high else low
    fixed = fixed_solution(law, budget, best, limits_at)
    found = None
    if ramp and high >= 2 * low and not budget.in_updates:
        found = _ramped(law, budget, (low, high), limits_at, fixed)
    if found is not None and not found.loss < (1 - GAIN) * fixed.loss:
        found = None
    return BatchSolution(fixed, found)


def fixed_solution(law: LossLaw, budget: Budget, size: float, limits_at: LimitsAt) -> Solution:
    """The optimal schedule at one batch size, for the whole updates that a budget leaves.

    Raises: InputError where these are fewer than 8.
    """
    budget.check(size)
    horizon = budget.whole_updates(size)
    found = optimal_schedule(law, horizon, limits_at(size), batch_size=size)
    return replace(found, batch_size=make_schedule("constant", peak=size, horizon=horizon))


def _affordable(budget: Budget, low: float, high: float) -> tuple[float, float]:
    """The range of batch sizes of which the budget leaves 8 updates."""
    budget.check(low)
    if budget.allows(high):
        return low, high
    high = (budget.total / FEWEST - budget.per_update) / budget.per_sample
    return low, max(low, math.floor(high) if float(low).is_integer() else high)


def _sizes_between(low: float, high: float) -> np.ndarray:
    """Batch sizes of a grid from the lowest to the highest, two or fewer a doubling."""
    if not low < high:
        return np.array([low])
    count = math.ceil(_PER_DOUBLING * math.log2(high / low)) + 1
    return np.geomspace(low, high, min(max(count, 3), _MOST_SIZES))


def _best_size(
    law: LossLaw, budget: Budget, sizes: tuple[float, float], limits_at: LimitsAt
) -> float:
    """The best constant batch size, rounded."""
    grid = _sizes_between(*sizes)
    losses, schedules = _screen(law, budget, grid, limits_at)
    ends = []
    for i in _minima(losses):
        joint = JointGrid.make(law, budget, sizes, limits_at, grid[i], rising=False)
        end = joint.minimise(joint.variables(schedules[i], np.log(grid[i : i + 1])))
        ends.append((end.value, float(np.exp(end.x[-1]))))
    return rounded(min(ends)[1], *sizes)


def _screen(
    law: LossLaw, budget: Budget, grid: np.ndarray, limits_at: LimitsAt
) -> tuple[np.ndarray, list[Schedule]]:
    """The loss of the best of a few standard schedules at each batch size, and that schedule."""
    tried: list[list[Schedule]] = []
    for size in grid:
        limits, horizon = limits_at(float(size)), budget.whole_updates(size)
        makers = family_makers(limits)
        peaks = limits.cap * _PEAKS
        peaks = peaks[peaks >= limits.floor]
        tried.append([
            makers[family][place](horizon, float(peak))
            for family, place in _SCREENED
            for peak in peaks
        ])  # fmt: skip
    flat = [schedule for row in tried for schedule in row]
    batch = [float(size) for size, row in zip(grid, tried, strict=True) for _ in row]
    losses = np.split(law.final_losses(flat, batch), np.cumsum([len(row) for row in tried])[:-1])
    best = [int(np.argmin(row)) for row in losses]
    return (
        np.array([row[i] for row, i in zip(losses, best, strict=True)]),
        [row[i] for row, i in zip(tried, best, strict=True)],
    )


def _minima(losses: np.ndarray) -> list[int]:
    """The lowest place and a second minimum, where there is one about as low."""
    padded = np.concatenate([[np.inf], losses, [np.inf]])
    lowest = np.flatnonzero((losses <= padded[:-2]) & (losses < padded[2:]))
    ordered = sorted(lowest.tolist(), key=lambda i: losses[i])
    return [i for i in ordered[:2] if losses[i] <= (1 + _CLOSE) * losses[ordered[0]]]


def rounded(size: float, low: float, high: float) -> float:
    """A batch size near another and in a range: an end of it, m 2^k with m from 8 to 15, or a
    number of three digits where the ends are not whole.

    >>> rounded(37.9, 1, 4096), rounded(1.001, 1, 4096), rounded(0.12345, 0.1, 2.5)
    (36.0, 1.0, 0.123)
    """
    for end in (low, high):
        if abs(math.log(size / end)) < 1e-2:
            return float(end)
    if not (float(low).is_integer() and float(high).is_integer()):
        return float(f"{size:.3g}")
    unit = 2.0 ** max(0, math.floor(math.log2(size)) - 3)
    return float(min(max(round(size / unit) * unit, low), high))


def _ramped(
    law: LossLaw,
    budget: Budget,
    sizes: tuple[float, float],
    limits_at: LimitsAt,
    fixed: Solution,
) -> Solution | None:
    """The optimum with a batch size that rises in steps; None where it would not rise."""
    assert fixed.batch_size is not None
    size = fixed.batch_size.peak
    joint = JointGrid.make(law, budget, sizes, limits_at, size, rising=True)
    knots = joint.spread.shape[1]
    # A little of a ramp, so that there is a slope at the ends of the range too.
    low, high = np.log(np.clip([size / 1.5, size * 1.5], *sizes)).tolist()
    start = joint.variables(fixed.schedule, np.linspace(low, high, knots))
    controls = joint.controls(joint.minimise(start).x)
    ramp = _in_steps(budget, joint.share, controls.batch, sizes)
    if ramp is None or ramp.horizon < FEWEST:
        return None
    limits = limits_at(float(ramp(0))).at(ramp.horizon)
    found = optimal_schedule(law, ramp.horizon, limits, batch_size=ramp)
    return replace(found, batch_size=ramp, baselines=fixed.baselines)


def _in_steps(
    budget: Budget, share: np.ndarray, batch: np.ndarray, sizes: tuple[float, float]
) -> Schedule | None:
    """A batch size that grows along the budget as a few constant ones, of whole updates.

    Arguments: the parts of the budget that cells take, and their batch sizes, not falling.
    """
    first, last = float(batch[0]), float(batch[-1])
    count = min(max(round(math.log2(last / first)), 1), MOST_STEPS - 1)
    level = [rounded(size, *sizes) for size in np.geomspace(first, last, count + 1)]
    done = np.cumsum(share)
    between = np.sqrt(np.multiply(level[:-1], level[1:]))
    place = np.append(np.interp(np.log(between), np.log(batch), done), 1.0)
    updates, spent = [], 0.0
    for size, end in zip(level, place, strict=True):
        updates.append(max(0, round((end * budget.total - spent) / budget.cost(size))))
        spent += updates[-1] * budget.cost(size)
    while spent > budget.total * (1 + 1e-12) and updates[-1]:
        updates[-1] -= 1
        spent -= budget.cost(level[-1])
    # What rounding left goes to the smaller sizes.
    for i in reversed(range(len(level))):
        more = int((budget.total - spent) / budget.cost(level[i]) + 1e-9)
        updates[i] += more
        spent += more * budget.cost(level[i])
    return stepped(level, updates)


def stepped(sizes: list[float], updates: list[int]) -> Schedule | None:
    """Batch sizes one after another, each for a number of updates; None for fewer than two."""
    pieces, until = [], 0
    kept: list[tuple[float, int]] = []
    for size, count in zip(sizes, updates, strict=True):
        if count and kept and kept[-1][0] == size:
            kept[-1] = (size, kept[-1][1] + count)
        elif count:
            kept.append((size, count))
    for size, count in kept:
        until += count
        pieces.append((make_schedule("constant", peak=size, horizon=count), until))
    return join(pieces) if len(pieces) > 1 else None
