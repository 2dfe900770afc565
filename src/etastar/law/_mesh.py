"""A schedule on a mesh: a fixed number of cells whatever the horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from etastar.schedule import Schedule

CELLS = 192
"""Cells of every mesh: one array shape for every schedule, so that XLA compiles once."""

BatchSize = float | Schedule | None
"""A batch size in the user's unit, the same in all updates or a schedule of it; None if unknown."""

_MOST_PIECES = 80
_MOST_ANCHORS = 12


@dataclass(frozen=True)
class ScheduleMesh:
    """192 cells [node_i, node_i+1) of a schedule.

    Attributes:
        node: ends of the cells, in steps, from 0 on.
        rate: mean learning rate of each cell, exact because it is a difference of intrinsic times.
        length: of each cell, in steps; 0 for the padding at the end.
        batch: mean batch size in each cell, in the user's unit; None where it is not known.
    """

    node: Float[np.ndarray, " cells+1"]
    rate: Float[np.ndarray, " cells"]
    length: Float[np.ndarray, " cells"]
    batch: Float[np.ndarray, " cells"] | None = None

    def locate(self, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cell index and fraction in that cell of each `step`, for linear interpolation."""
        cell = np.clip(np.searchsorted(self.node, step, side="right") - 1, 0, CELLS - 1)
        length = np.maximum(self.length[cell], 1e-300)
        return cell, np.clip((step - self.node[cell]) / length, 0.0, 1.0)


def make_mesh(
    schedule: Schedule, end: float | None = None, batch_size: BatchSize = None
) -> ScheduleMesh:
    """The mesh of a schedule from step 0 to `end` (its horizon by default).

    Every break of the schedule is a node. The others lie densest, in proportion to one over the
    distance, near the start, the end, and the breaks (of a table with many knots only the
    sharpest): the loss relaxes on all time scales after a jump of the learning rate, and the last
    steps before the end decide the final loss.

    Arguments:
        schedule: the LR of every update.
        end: number of updates that the mesh covers, above 0.
        batch_size: of every update, a number or a schedule of the same horizon; None if unknown.

    Returns: a `ScheduleMesh`.

    >>> from etastar.schedule import parse_schedule
    >>> mesh = make_mesh(parse_schedule("constant:peak=0.5,horizon=1000000000"))
    >>> mesh.node.shape, float(mesh.node[-1]), float((mesh.rate * mesh.length).sum())
    ((193,), 1000000000.0, 500000000.0)
    """
    end = float(schedule.horizon if end is None else end)
    edge, sharp = _edges(schedule, end)
    if isinstance(batch_size, Schedule):
        more, sharp_too = _edges(batch_size, end)
        edge, sharp = np.union1d(edge, more), np.union1d(sharp, sharp_too)
    node = _fill(edge, _Density(sharp, end))
    length = np.diff(node)
    rate = _means(schedule, node, length)
    if batch_size is None:
        return ScheduleMesh(node, rate, length)
    if not isinstance(batch_size, Schedule):
        return ScheduleMesh(node, rate, length, np.full(CELLS, float(batch_size)))
    # Padding has the batch size of the cell before: one of no samples makes no sense.
    last = np.maximum.accumulate(np.where(length > 0, np.arange(CELLS), 0))
    return ScheduleMesh(node, rate, length, _means(batch_size, node, length)[last])


def bin_starts(schedule: Schedule, step: Float[np.ndarray, " rows"], most: int) -> np.ndarray:
    """The first row of each of at most `most` bins of a log, the last row being one of its own.

    No bin holds rows before and after a break. Otherwise a row takes a part of a bin in proportion
    to the cells of a mesh that it covers, and at most a whole one.

    Arguments:
        schedule: the LR of every update.
        step: of the rows, rising, more than `most` of them.
        most: the number of bins, at least 4.
    """
    sharp = _edges(schedule, float(step[-1]))[1][1:-1]
    sharp = sharp[sharp > step[0]][: most // 2]
    density = _Density(np.concatenate([[0.0], sharp, step[-1:]]), float(step[-1]))
    wanted = np.append(np.inf, np.diff(density.integral(step[:-1])))
    free, left = np.isfinite(wanted), most - len(sharp) - 1
    while True:  # ends, as each round gives whole bins to more rows
        scale = (left - np.sum(~free)) / wanted[free].sum()
        more = free & (scale * wanted >= 1)
        if not more.any():
            break
        free &= ~more
    part = np.where(free, scale * np.where(free, wanted, 0.0), 1.0)
    place = np.floor(np.cumsum(part) - 0.5 * part)
    piece = np.searchsorted(sharp, step[:-1])
    new = (np.diff(place, prepend=-1) > 0) | (np.diff(piece, prepend=0) > 0)
    return np.append(np.flatnonzero(new), len(step) - 1)


def _means(schedule: Schedule, node: np.ndarray, length: np.ndarray) -> np.ndarray:
    """Mean of a schedule over every cell; 0 in padding."""
    mean = np.diff(schedule.intrinsic_time(node)) / np.where(length > 0, length, 1.0)
    return np.where(length > 0, np.maximum(mean, 0.0), 0.0)


def _edges(schedule: Schedule, end: float) -> tuple[np.ndarray, np.ndarray]:
    """Steps that must be nodes, and those of them near which cells are small."""
    inside = np.array([b for b in schedule.breakpoints if 0 < b < end])
    sharp = inside
    if len(inside) >= _MOST_ANCHORS:
        # A table has a kink at every knot: the warmup's end and the sharpest kinks are the breaks.
        width = end / (4 * len(inside))
        before, here, after = (schedule(np.clip(inside + d * width, 0, end)) for d in (-1, 0, 1))
        order = np.argsort(np.abs(after - 2 * here + before))
        inside = np.sort(inside[order[-(_MOST_PIECES - 1) :]])
        jump = np.abs(schedule(inside + 1e-3 * end) - schedule(np.maximum(inside - 1e-3 * end, 0)))
        sharp = inside[jump > 0.2 * schedule.peak][:_MOST_ANCHORS]
    edge = np.concatenate([[0.0], inside, [end]])
    return edge, np.concatenate([[0.0], sharp, [end]])


@dataclass(frozen=True)
class _Density:
    """Cells per step, sum over the anchors of 1 / (distance + offset), and its integral."""

    anchor: np.ndarray
    end: float

    @property
    def offset(self) -> np.ndarray:
        """Distance at which the density stops growing: fine at the start, for early forecasts."""
        offset = np.full(len(self.anchor), max(1.0, self.end / 2000))
        offset[0] = max(1.0, min(self.end / 2000, self.end ** (1 / 3)))
        return offset

    def integral(self, step: np.ndarray) -> np.ndarray:
        away = np.subtract.outer(step, self.anchor)
        return np.sum(np.sign(away) * np.log1p(np.abs(away) / self.offset), -1)

    def steps(self, value: np.ndarray) -> np.ndarray:
        """The steps at which the integral takes the values, by interpolation."""
        away = self.offset[:, None] * np.expm1(
            np.log1p(self.end / self.offset)[:, None] * np.linspace(0, 1, 48)
        )
        near = np.concatenate([self.anchor[:, None] - away, self.anchor[:, None] + away])
        grid = np.unique(np.clip(near, 0.0, self.end))
        return np.interp(value, self.integral(grid), grid)


def _fill(edge: np.ndarray, density: _Density) -> np.ndarray:
    """CELLS + 1 nodes: the edges, and between them nodes at equal parts of the integral."""
    at_edge = density.integral(edge)
    want = np.diff(at_edge)
    count = np.maximum(1, np.floor(CELLS * want / want.sum()).astype(int))
    while count.sum() != CELLS:
        more = count.sum() < CELLS
        room = want / count if more else np.where(count > 1, -want / count, -np.inf)
        count[np.argmax(room)] += 1 if more else -1
    first = np.repeat(np.arange(len(want)), count)
    part = np.concatenate([np.arange(n) / n for n in count])
    value = at_edge[first] + part * want[first]
    node = np.append(density.steps(value), edge[-1])
    node[np.append(np.concatenate([[0], np.cumsum(count)[:-1]]), CELLS)] = edge
    return np.maximum.accumulate(node)
