"""The two numbers that the last-iterate bound needs of each start: exactly, or on a graded mesh.

For updates with rates r_0..r_{T-1} and a start k they are

    time_k   = sum_{t >= k} r_t + w                      (intrinsic time from k to the end)
    spread_k = w + sum_{j >= k} r_j^2 / time_{j+1}       (what the noise of the steps leaves)

with w the rate of one more step that is never taken: the theorem speaks of the point at which the
last gradient is taken, users of the point after the last update. Any w > 0 gives a valid bound; it
is the last rate above 0. Updates behind it, of rate 0, change nothing and are left out.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import NDArray

from etastar._errors import InputError
from etastar.schedule import Schedule

EXACT_STEPS = 2**24
"""Horizons up to this are summed update by update, longer ones on the graded mesh."""

BLOCK = 2**15
"""Updates handled together: their rates, and what is computed from them, stay in the cache."""

_SINGLE = 4096  # updates next to each end of the schedule that are cells of their own
_SINGLE_INSIDE = 1024  # the same next to a breakpoint
_WIDENING = 1 / 512  # width of a cell over its distance to the nearest breakpoint
_NODES = 4
_MANY_BREAKPOINTS = 64


class Terms(NamedTuple):
    """Starts of the bound from the last update backwards, in units of the peak LR.

    `time`, `spread` as the module says; `last` is the last update that moves anything; `step` are
    the starts, or None where they are all the updates last, last - 1, ..., 0.
    """

    time: Float[np.ndarray, " starts"]
    spread: Float[np.ndarray, " starts"]
    last: int
    step: Float[np.ndarray, " starts"] | None = None

    def step_at(self, index: NDArray[np.int64]) -> NDArray[np.float64]:
        """The starts at indices, as updates."""
        return self.last - index.astype(np.float64) if self.step is None else self.step[index]


def rates_backwards(schedule: Schedule) -> Iterator[NDArray[np.float64]]:
    """The rates over the peak, last update first, in blocks; updates of rate 0 at the end left out.

    Raises: InputError where no update has a rate above 0.
    """
    end, found = schedule.horizon, False
    while end > 0:
        begin = max(end - BLOCK, 0)
        block = schedule(np.arange(begin, end, dtype=np.float64))[::-1] / schedule.peak
        end = begin
        if not found:
            block = block[int(np.argmax(block > 0)) :] if np.any(block > 0) else block[:0]
            found = len(block) > 0
        if found:
            yield block
    if not found:
        raise _nothing_moves(schedule)


def exact_terms(schedule: Schedule) -> Terms:
    """The terms of every start, in O(T)."""
    time, spread = np.empty(schedule.horizon), np.empty(schedule.horizon)
    count = 0
    time_after = spread_after = math.nan
    for block in rates_backwards(schedule):
        if count == 0:
            time_after = spread_after = float(block[0])
        here = slice(count, count + len(block))
        add_backwards(block, time_after, spread_after, time[here], spread[here])
        count += len(block)
        time_after, spread_after = time[count - 1], spread[count - 1]
    return Terms(time[:count], spread[:count], last=count - 1)


def add_backwards(
    rates: NDArray[np.float64],
    time_after: NDArray[np.float64] | float,
    spread_after: NDArray[np.float64] | float,
    time: NDArray[np.float64],
    spread: NDArray[np.float64],
) -> None:
    """Fill `time` and `spread` (..., n) for `rates` (..., n), the last update first.

    `time_after` and `spread_after` (...) are those of the update after them all.
    """
    np.copyto(spread, rates)
    spread[..., 0] += time_after
    np.cumsum(spread, axis=-1, out=time)
    # r_j^2 / time_{j+1} (the square alone would be 0 for a small rate), then its running sum
    np.divide(rates[..., 1:], time[..., :-1], out=spread[..., 1:])
    spread[..., 0] = rates[..., 0] / time_after
    spread *= rates
    spread[..., 0] += spread_after
    np.cumsum(spread, axis=-1, out=spread)


def terms_of(schedule: Schedule) -> Terms:
    """The terms of a schedule, exact up to `EXACT_STEPS` updates and on the mesh beyond."""
    return exact_terms(schedule) if schedule.horizon <= EXACT_STEPS else mesh_terms(schedule)


def mesh_terms(schedule: Schedule) -> Terms:
    """The terms on a mesh whose size does not grow with the horizon.

    Near the ends of the schedule and its breakpoints a cell is one update. Farther away cells widen
    with the distance; a sum over the updates of a cell is the integral over it, widened by half an
    update at both sides (midpoint rule, error of order 1/distance^2), by Gauss-Legendre nodes,
    which are also the starts on offer there. Relative error of the bound below 1e-6; that of the
    best base LR, and so of the inflation, below 1e-5.
    """
    edges = _edges(schedule)
    width = np.diff(edges)
    single = width == 1.0
    lone, wide = edges[:-1][single], width[~single][:, None]
    nodes, weight, after = _rule()
    place = edges[:-1][~single][:, None] - 0.5 + wide * nodes
    lone_rate, wide_rate = (schedule(steps) / schedule.peak for steps in (lone, place))

    def suffix(single_part: NDArray, density: NDArray, rest: float) -> tuple[NDArray, NDArray]:
        """Sums from each cell and from each node to the end, `rest` included."""
        cells = np.empty(len(width))
        cells[single], cells[~single] = single_part, wide[:, 0] * (density @ weight)
        sums = np.cumsum(np.append(rest, cells[::-1]))[::-1]
        return sums, sums[1:][~single][:, None] + wide * np.maximum(density @ after.T, 0.0)

    plain, _ = suffix(lone_rate, wide_rate, 0.0)
    moving = np.flatnonzero(plain > 0)
    if len(moving) == 0:
        raise _nothing_moves(schedule)
    # The mean rate of the last cell that moves anything, most often a single update.
    last, rest = int(edges[moving[-1] + 1]) - 1, float(plain[moving[-1]] / width[moving[-1]])
    time, wide_time = suffix(lone_rate, wide_rate, rest)
    # From a node to the end is from half an update before it: time after that update is less.
    wide_after = np.maximum(wide_time - wide_rate / 2, rest)
    gain = lone_rate**2 / time[1:][single]
    spread, wide_spread = suffix(gain, wide_rate**2 / wide_after, rest)

    step = np.concatenate([lone, place.ravel() + 0.5])
    order = np.argsort(-step, kind="stable")
    order = order[step[order] <= last]
    return Terms(
        np.concatenate([time[:-1][single], wide_time.ravel()])[order],
        np.concatenate([spread[:-1][single], wide_spread.ravel()])[order],
        last,
        step[order],
    )


def _nothing_moves(schedule: Schedule) -> InputError:
    return InputError(f"schedule {schedule.spec[:80]!r} has no rate above 0: give it one")


def _rule() -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Gauss-Legendre on [0, 1]: nodes, weights, and the matrix of integrals from a node to 1."""
    from scipy.interpolate import BarycentricInterpolator

    root, weight = np.polynomial.legendre.leggauss(_NODES)
    nodes, weight = (root + 1) / 2, weight / 2
    # The interpolant's integral from nodes[i] to 1 by the same rule, exact for its degree.
    inside = nodes[:, None] + (1 - nodes[:, None]) * nodes
    basis = BarycentricInterpolator(nodes, np.eye(_NODES))(inside.ravel())
    basis = np.asarray(basis).reshape(_NODES, _NODES, _NODES)
    after = (1 - nodes[:, None]) * np.einsum("q,iqj->ij", weight, basis)
    return nodes, weight, after


def _edges(schedule: Schedule) -> NDArray[np.float64]:
    """Whole steps from 0 to the horizon, between which the cells of the mesh lie."""
    horizon = float(schedule.horizon)
    breaks = np.unique(np.ceil(np.array(schedule.breakpoints)))
    if len(breaks) > _MANY_BREAKPOINTS:
        # A table: straight between its knots, so that only the ends need grading.
        return np.unique(np.concatenate([_graded(0.0, horizon, _SINGLE, _SINGLE), breaks]))
    pieces = []
    for begin, end in pairwise(breaks):
        left = _SINGLE if begin == 0.0 else _SINGLE_INSIDE
        right = _SINGLE if end == horizon else _SINGLE_INSIDE
        pieces.append(_graded(begin, end, left, right))
    return np.unique(np.concatenate(pieces))


def _graded(begin: float, end: float, left: int, right: int) -> NDArray[np.float64]:
    """Edges from begin to end, one update apart near both and widening in between."""
    length = end - begin
    if length <= left + right:
        return begin + np.arange(length + 1)
    middle = math.floor(length / 2)
    up = _widening(min(left, middle), middle)
    down = _widening(min(right, length - middle), length - middle)
    return np.concatenate([begin + up, end - down[::-1]])


def _widening(single: float, length: float) -> NDArray[np.float64]:
    ones = np.arange(single + 1, dtype=np.float64)
    if length <= single:
        return ones
    count = math.ceil(math.log(length / single) / math.log1p(_WIDENING))
    return np.unique(np.concatenate([ones, np.floor(np.geomspace(single, length, count + 1))]))
