"""A schedule on a mesh: a fixed number of cells whatever the horizon."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etastar.schedule import Schedule

CELLS = 192
"""Cells of every mesh: one array shape for every schedule, so that XLA compiles once."""

_MOST_PIECES = 80


@dataclass(frozen=True)
class Mesh:
    """Cells [node_i, node_i+1) of a schedule.

    `node` (CELLS + 1,) in steps, `rate` (CELLS,) the mean learning rate of each cell, exact because
    it is a difference of intrinsic times, `length` (CELLS,) in steps, 0 for the padding at the end.
    """

    node: np.ndarray
    rate: np.ndarray
    length: np.ndarray

    def locate(self, step: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Cell index and fraction in that cell of each step, for linear interpolation."""
        cell = np.clip(np.searchsorted(self.node, step, side="right") - 1, 0, CELLS - 1)
        length = np.maximum(self.length[cell], 1e-300)
        return cell, np.clip((step - self.node[cell]) / length, 0.0, 1.0)


def make_mesh(schedule: Schedule, end: float | None = None) -> Mesh:
    """The mesh of a schedule from step 0 to `end` (its horizon by default).

    Nodes are geometric from both ends of every smooth piece: the loss relaxes on all time scales
    after a jump of the learning rate, and the last steps before the end decide the final loss.

    >>> from etastar.schedule import parse_schedule
    >>> mesh = make_mesh(parse_schedule("constant:peak=0.5,horizon=1000000000"))
    >>> mesh.node.shape, float(mesh.node[-1]), float((mesh.rate * mesh.length).sum())
    ((193,), 1000000000.0, 500000000.0)
    """
    end = float(schedule.horizon if end is None else end)
    edges = _edges(schedule, end)
    node = np.concatenate(
        [[0.0]]
        + [
            _graded(a, b, n)
            for a, b, n in zip(edges[:-1], edges[1:], _share(np.diff(edges)), strict=True)
        ]
    )
    time = schedule.intrinsic_time(node)
    length = np.diff(node)
    rate = np.diff(time) / np.where(length > 0, length, 1.0)
    return Mesh(node, np.where(length > 0, np.maximum(rate, 0.0), 0.0), length)


def _edges(schedule: Schedule, end: float) -> np.ndarray:
    inside = np.array([b for b in schedule.breakpoints if 0 < b < end])
    most = _MOST_PIECES - 1
    if len(inside) > most:
        # A table has a kink at every knot; only the sharpest decide where cells must end.
        width = end / (4 * len(inside))
        before, here, after = (schedule(np.clip(inside + d * width, 0, end)) for d in (-1, 0, 1))
        kink = np.abs(after - 2 * here + before)
        inside = np.sort(inside[np.argsort(kink)[-most:]])
    return np.concatenate([[0.0], inside, [end]])


def _share(length: np.ndarray) -> np.ndarray:
    """How many cells each piece gets: at least two, in proportion to the log of its length."""
    want = np.log1p(length)
    count = np.maximum(2, np.floor(CELLS * want / want.sum()).astype(int))
    while count.sum() != CELLS:
        step = 1 if count.sum() < CELLS else -1
        count[np.argmax(step * (want / count))] += step
    return count


def _graded(a: float, b: float, cells: int) -> np.ndarray:
    """`cells` nodes in (a, b], geometric from both ends, the smallest cell about one step."""
    x = np.arange(1, cells + 1) / cells
    growth = np.log1p(min(max((b - a) / 4.0, 1.0), 200.0))
    half = np.expm1(growth)
    up = np.expm1(2 * np.minimum(x, 0.5) * growth)
    down = np.expm1(2 * (1 - np.maximum(x, 0.5)) * growth)
    graded = a + (b - a) * np.where(x < 0.5, up, 2 * half - down) / (2 * half)
    graded[-1] = b
    return graded
