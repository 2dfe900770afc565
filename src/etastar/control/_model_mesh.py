"""The mesh of an optimal schedule: segments and knots where the final loss can tell them apart."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

SEGMENTS = 128
KNOTS = 65
"""One size for every problem, padded: nothing is compiled again for another horizon."""

_SHORTEST = 0.3
_AFTER_START = 0.4
_EVEN = 0.1
_TURNS = 0.3
_SCAN = 1500


@dataclass(frozen=True)
class KnotMesh:
    """Segments of the budget (updates, samples or seconds) and the knots of the controls.

    `node` (S+1,) and `knot` (n,) places in the budget, two segments between knots; `length`
    (SEGMENTS,), `spread` (SEGMENTS + 1, KNOTS), which interpolates knots linearly at the nodes, and
    `ramp` (SEGMENTS + 1,), the part of the rate that the warmup allows there; padded with empty
    segments and knots without influence.
    """

    node: Array
    knot: Array
    length: Array
    spread: Array
    ramp: Array

    @classmethod
    def graded(cls, pace, budget: float, eigenvalue: float, warmup: float, whole: bool) -> KnotMesh:
        """Equal parts of log(1 + u / u0) and, fewer, of log(1 + tau / u0) and of the budget.

        tau and u are the intrinsic times since the start and to the end, u0 a part of the shortest
        relaxation time 1 / eigenvalue. A mesh graded in steps instead leaves so few nodes where the
        rate falls that the optimum exploits them: rates far too low, and a loss that is not there.

        Arguments: `pace`, intrinsic time per unit of budget as a function of the place in it; the
        budget; the largest eigenvalue; the place where the warmup ends, a knot; whether nodes are
        whole numbers.
        """
        half = np.geomspace(0.5, budget / 2, _SCAN)
        place = np.unique(np.concatenate([[0.0], half, budget - half, [budget]]))
        rate = pace(place)
        time = np.append(0.0, np.cumsum(np.diff(place) * (rate[1:] + rate[:-1]) / 2))
        shortest = _SHORTEST / eigenvalue
        whole_time = np.log1p(time[-1] / shortest)
        grade = whole_time - np.log1p((time[-1] - time) / shortest)
        grade += _AFTER_START * np.log1p(time / shortest) + _EVEN * whole_time * place / budget
        # Where the rate itself changes fast, whatever the intrinsic time.
        turns = np.abs(np.diff(np.log(np.maximum(rate, 1e-6 * rate.max()))))
        grade += _TURNS * np.append(0.0, np.cumsum(turns)) + 1e-9 * place / budget
        warm = np.interp(warmup, place, grade)
        # Warming up is a straight line, in a few segments of its own before the first knot.
        warm_segments = 0 if warmup == 0 else int(min(16, max(2, np.ceil(16 * warm / grade[-1]))))
        even = np.linspace(warm, grade[-1], SEGMENTS - warm_segments + 1)
        node = np.interp(even, grade, place)
        node[0], node[-1] = warmup, budget
        before = np.linspace(0.0, warmup, warm_segments + 1)[:-1]
        if whole:
            node, before = np.unique(np.round(node)), np.unique(np.round(before))
        knot = np.append(node[:-1:2], budget)[-KNOTS:] if len(node) > KNOTS else node
        return cls._padded(np.append(before, node), knot, warmup)

    @classmethod
    def _padded(cls, node: Array, knot: Array, warmup: float) -> KnotMesh:
        after = np.clip(np.searchsorted(knot, node, side="right") - 1, 0, len(knot) - 2)
        part = (node - knot[after]) / (knot[after + 1] - knot[after])
        spread = np.zeros((SEGMENTS + 1, KNOTS))
        row = np.arange(len(node))
        spread[row, after] = 1 - part
        spread[row, after + 1] = part
        early = node < warmup
        spread[: len(node)][early] = 0.0
        spread[: len(node)][early, 0] = 1.0
        spread[len(node) :] = spread[len(node) - 1]
        ramp = np.minimum(node / warmup, 1.0) if warmup else np.ones(len(node))
        padding = (0, SEGMENTS + 1 - len(node))
        ramp = np.pad(ramp, padding, mode="edge")
        return cls(node, knot, np.pad(np.diff(node), padding), spread, ramp)

    def padded(self, values: Array) -> Array:
        """Values on the knots (n,) with the padding's, (KNOTS,)."""
        return np.pad(values, (0, KNOTS - len(self.knot)), mode="edge")
