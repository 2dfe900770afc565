"""Which peak LRs and batch sizes are about as good as the plan's, and the loss around it."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float

from etastar.control import Solution, last_piece
from etastar.law import AverageLaw
from etastar.schedule import Schedule

from ._batch import Task
from ._results import BatchMap, Within

LOSS = 0.002
"""How much more loss than the plan's counts as close, in the unit of the logs."""

_LOWEST = 64.0
"""Peaks are searched from the cap down to the plan's over this."""

_PER_DOUBLING, _SIZES, _MOST_SIZES = 4, 2, 25
"""Peaks and batch sizes of the map for each doubling, and batch sizes at most."""


def batch_map_of(task: Task, average: AverageLaw, fixed: Solution, loss: float) -> BatchMap | None:
    """The loss of the plan's shape over peak LR and batch size, for the same budget.

    `fixed` is the solution at the best constant batch size, and `loss` the loss to expect of it.
    None where the pilots do not say what the batch size does.
    """
    if not task.compares or task.sizes is None or fixed.batch_size is None:
        return None
    own, budget = fixed.batch_size.peak, task.data
    among = (*task.piloted, *task.sizes, own)
    count = math.ceil(_SIZES * math.log2(max(among) / min(among))) + 1
    sizes = np.geomspace(min(among), max(among), min(count, _MOST_SIZES))
    sizes = np.unique([*sizes[budget.allows(sizes)], own])
    peak, cap = fixed.schedule.peak, max(task.limits_at(float(size)).cap for size in sizes)
    last = int(np.floor(_PER_DOUBLING * np.log2(cap / peak) + 1e-9))
    steps = np.arange(-int(_PER_DOUBLING * np.log2(_LOWEST)) // 2, last + 1)
    peaks = np.unique([*(peak * 2.0 ** (steps / _PER_DOUBLING)), cap])
    schedules, batch = [], []
    for size in sizes:
        shape = fixed.schedule.stretched(horizon=budget.whole_updates(size))
        schedules += [shape.scaled(peak=float(each)) for each in peaks]
        batch += [float(size)] * len(peaks)
    found = average.final_losses(schedules, batch).reshape(len(sizes), len(peaks))
    found += loss - fixed.loss
    for row, size in zip(found, sizes, strict=True):
        row[peaks > task.limits_at(float(size)).cap * (1 + 1e-9)] = np.nan
    return BatchMap(peaks, sizes, found)


def within_of(
    task: Task, average: AverageLaw, solution: Solution, loss: float, charted: BatchMap | None
) -> Within:
    """The peaks and the batch sizes that cost at most 0.002 more than the plan."""
    limits, rest = task.limits_of(solution), last_piece(solution.schedule)
    peaks = np.geomspace(rest.peak / _LOWEST, max(limits.cap, rest.peak), 60)
    peaks = np.unique(np.append(peaks, rest.peak))
    tried: list[Schedule] = [limits.whole(rest.scaled(peak=float(peak))) for peak in peaks]
    losses = average.final_losses(tried, [solution.batch_size] * len(tried))
    at = int(np.flatnonzero(peaks == rest.peak)[0])
    peak_lr = range_within(peaks, losses - solution.loss, at)
    assert peak_lr is not None
    if charted is None:
        return Within(LOSS, peak_lr, None)
    best = np.nanmin(charted.loss, axis=1) - loss
    return Within(LOSS, peak_lr, range_within(charted.batch_size, best, int(np.argmin(best))))


def range_within(
    place: Float[np.ndarray, " n"], above: Float[np.ndarray, " n"], at: int
) -> tuple[float, float] | None:
    """The places around one up to which a curve stays within 0.002; None where it does not there.

    Near its lowest point a curve is a parabola in the logarithm of the place, so its root is taken
    for a line between points.
    """
    if not above[at] <= LOSS:
        return None
    ends, root = [], np.sqrt(np.maximum(above, 0))
    for step in (-1, 1):
        i = at
        while 0 <= i + step < len(place) and above[i + step] <= LOSS:
            i += step
        end = np.log(place[i])
        if 0 <= i + step < len(place) and np.isfinite(above[i + step]):
            part = (math.sqrt(LOSS) - root[i]) / (root[i + step] - root[i])
            end += part * (np.log(place[i + step]) - end)
        ends.append(float(np.exp(end)))
    return ends[0], ends[1]
