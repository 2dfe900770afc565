"""A run cut into segments: fine where the loss changes on short time scales."""

from __future__ import annotations

import itertools
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._controls import Controls
from ._segments import Cells, Drift

_ALL_GRADED = 16
_MOST_GRADED = 64
_SHARP = 0.05
"""A kink this large, as a part of the control, needs fine segments beside it."""

_GAUSS, _GAUSS_WEIGHT = np.polynomial.legendre.leggauss(5)
_SHORT = 12
"""Segments of so few updates are summed one by one."""

_PER_PIECE = 400
_FORGET = 0.3
"""Where the grading ends, in units of the shortest relaxation time 1 / eigenvalue."""

_AFTER_JUMP = 0.5
_IN_STEPS = 0.5
"""Part of the segments graded in steps: velocities and controls change on that scale."""


class Grading(NamedTuple):
    """Where a run needs short segments, for meshes of any size.

    Segments are graded in intrinsic time tau: the noise of an update is forgotten as a power of the
    intrinsic time still to go, and after a jump of a control the loss relaxes as a power of the
    time since. Equal parts of log(1 + u / u0), u the time to go, and of log(1 + v / u0), v the time
    since the last jump, with u0 a part of 1 / eigenvalue, the largest of the spectrum.

    `step` (n,) with the rising `grade` (n,), equal parts of which are segments; steps where a
    control has a kink, `sharp` and `weak`.
    """

    step: NDArray[np.float64]
    grade: NDArray[np.float64]
    sharp: NDArray[np.float64]
    weak: NDArray[np.float64]

    @classmethod
    def of(cls, controls: Controls, end: float, eigenvalue: float) -> Grading:
        points, sharp = _edges(controls, end)
        step = _fine_steps(np.append(sharp, end))
        time = _intrinsic_time(controls, step)
        to_go, since = _ages(time, time[np.searchsorted(step, sharp)], _FORGET / eigenvalue)
        grade = to_go + _AFTER_JUMP * since
        ends, starts = _ages(step, sharp, 1.0)
        grade = grade / grade[-1] + _IN_STEPS * (ends + starts) / (ends + starts)[-1]
        return cls(step, grade, sharp, np.setdiff1d(points, sharp))

    def nodes(self, at: NDArray[np.float64], cells: int) -> NDArray[np.float64]:
        """Whole steps that cut the run into about `cells` segments, `at` among them."""
        # Weak kinks end a segment too, as far as they leave room for the graded ones.
        weak = self.weak[: 0 if 2 * len(self.weak) > cells else None]
        count = max(cells - len(weak) - len(self.sharp), 1)
        even = np.linspace(0.0, self.grade[-1], count + 1)
        graded = np.round(np.interp(even, self.grade, self.step))
        return np.unique(np.concatenate([graded, self.sharp, weak, at, [0.0, self.step[-1]]]))


def _ages(
    time: NDArray[np.float64], starts: NDArray[np.float64], shortest: float
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Rising functions of time, equal parts of which grade it toward its end and after `starts`."""
    to_go = np.log1p(time[-1] / shortest) - np.log1p((time[-1] - time) / shortest)
    since = np.zeros_like(time)
    for first, stop in itertools.pairwise(np.append(starts, time[-1])):
        since += np.log1p(np.clip(time - first, 0.0, stop - first) / shortest)
    return to_go, since


def _fine_steps(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Steps close enough to integrate over, geometric from both ends of every piece."""
    pieces = []
    for first, last in itertools.pairwise(edges):
        half = np.geomspace(0.25, max((last - first) / 2, 0.25), _PER_PIECE)
        pieces += [[first], first + half, last - half, [last]]
    return np.unique(np.clip(np.concatenate(pieces), edges[0], edges[-1]))


def _intrinsic_time(controls: Controls, step: NDArray[np.float64]) -> NDArray[np.float64]:
    """Sum of eta / (1 - mu) before each step."""
    inside = (step[1:] + step[:-1]) / 2
    rate, _, momentum = controls.at(np.minimum(inside, max(step[-1] - 1.0, 0.0)))
    return np.append(0.0, np.cumsum(np.diff(step) * rate / (1.0 - momentum)))


def _edges(controls: Controls, end: float) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Whole steps where a control has a jump or a kink, and the sharp ones among them."""
    points = np.unique(np.ceil([point for point in controls.breakpoints() if point < end]))
    points = points[points < end]
    if len(points) <= _ALL_GRADED:
        return points, points
    # A table has a kink at every knot; only the sharp ones make the loss change quickly.
    width = end / (4.0 * len(points))
    sides = [np.clip(np.floor(points + shift), 0, end) for shift in (-width, 0.0, width)]
    before, here, after = (_finite(controls.at(step)) for step in sides)
    scale = np.abs([before, here, after]).max(axis=(0, 2))[:, None] + 1e-300
    kink = (np.abs(after - 2 * here + before) / scale).max(axis=0)
    jump = (np.abs(here - _finite(controls.at(np.maximum(points - 1, 0)))) / scale).max(axis=0)
    size = np.maximum(kink, jump)
    size[0] = np.inf
    sharpest = np.argsort(size)[-_MOST_GRADED:]
    return points, np.sort(points[sharpest[size[sharpest] > _SHARP]])


def _finite(values: tuple[NDArray[np.float64], ...]) -> NDArray[np.float64]:
    """Controls with 0 for an infinite batch size, which never changes."""
    return np.nan_to_num(np.array(values), posinf=0.0)


def make_cells(controls: Controls, nodes: NDArray[np.float64], cells: int) -> Cells:
    """The controls over the segments between `nodes`, padded to `cells` segments."""
    start, length = nodes[:-1], np.diff(nodes)
    eta, square, inverse_batch, hastened = _means(controls, start, length)
    if len(np.setdiff1d(_edges(controls, nodes[-1])[0], nodes)):
        # Kinks inside segments: the sum of the rates is still known exactly.
        exact = np.maximum(np.diff(controls.rate.intrinsic_time(nodes)), 0.0) / length
        square = square * _ratio(exact, eta) ** 2
        hastened = hastened * _ratio(exact, eta)
        eta = exact
    # A constant mu with the same sum of eta / (1 - mu), the pace of the slow modes.
    momentum = 1.0 - eta / np.where(hastened > 0, hastened, 1.0)
    momentum = np.where(hastened > 0, np.maximum(momentum, 0.0), controls.at(start)[2])
    first, ending = controls.at(start), _ending(controls, start, length)
    sides = [side for pair in zip(first, ending, strict=True) for side in pair]
    drift = (np.maximum(square, eta * eta), *sides)
    padding = (0, cells - len(length))
    size, momentum, *drift = (
        np.pad(x, padding, mode="edge") for x in (_inverse(inverse_batch), momentum, *drift)
    )
    plain = controls.momentum is None
    return Cells(
        np.pad(length, padding),
        np.pad(eta, padding, mode="edge"),
        size,
        None if plain else momentum,
        Drift(*drift),
    )


def _ratio(value: NDArray[np.float64], other: NDArray[np.float64]) -> NDArray[np.float64]:
    """value / other, 1 where both vanish."""
    return np.where(other > 0, value / np.where(other > 0, other, 1.0), 1.0)


def _ending(
    controls: Controls, start: NDArray[np.float64], length: NDArray[np.float64]
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """The controls one update past each segment, extrapolated: beyond it there may be a jump."""
    last = np.array(controls.at(start + length - 1))
    before = np.array(controls.at(start + np.maximum(length - 2, 0)))
    rate, momentum = 2 * last[[0, 2]] - before[[0, 2]]
    inverse = 2 / last[1] - 1 / before[1]
    inverse = np.clip(inverse, 0.5 / last[1], 2.0 / last[1])
    return np.maximum(rate, 0.0), _inverse(inverse), np.clip(momentum, 0.0, last[2].max())


def _inverse(value: NDArray[np.float64]) -> NDArray[np.float64]:
    """1 / value, infinite at 0: a batch of all the data."""
    return np.where(value > 0, 1.0 / np.where(value > 0, value, 1.0), np.inf)


def _means(
    controls: Controls, start: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.float64]:
    """(4, N) means of eta, eta^2, 1 / B and eta / (1 - mu) over the updates of each segment."""
    short = length <= _SHORT
    result = np.empty((4, len(length)))
    steps = np.arange(_SHORT, dtype=np.float64)
    inside = steps < length[short, None]
    values = _values(controls, start[short, None] + np.where(inside, steps, 0.0))
    result[:, short] = (values * inside).sum(axis=-1) / length[short]
    result[:, ~short] = _long_means(controls, start[~short], length[~short])
    return result


def _long_means(
    controls: Controls, start: NDArray[np.float64], length: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Euler-Maclaurin from the first update to the last, never looking past a jump."""
    span = length - 1.0
    middle = start + span / 2
    inside = _values(controls, middle[:, None] + span[:, None] / 2 * _GAUSS)
    integral = inside @ _GAUSS_WEIGHT * span / 2
    last = start + span
    ends = _values(controls, np.stack([start, start + 1, last - 1, last], axis=1))
    first, second, before, final = np.moveaxis(ends, -1, 0)
    slopes = (final - before) - (second - first)
    return (integral + (first + final) / 2 + slopes / 12) / length


def _values(controls: Controls, step: NDArray[np.float64]) -> NDArray[np.float64]:
    eta, batch, momentum = controls.at(step)
    return np.stack([eta, eta * eta, 1.0 / batch, eta / (1.0 - momentum)])
