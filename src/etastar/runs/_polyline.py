"""Learning rates at many steps as a table schedule of few knots."""

from __future__ import annotations

import numpy as np

from etastar.schedule import Schedule, table

KNOT_TOLERANCE = 1e-5
"""Knots that lie on the line between others, to this share of the peak, are not kept."""


def polyline(step: np.ndarray, rate: np.ndarray) -> Schedule:
    """The table through LRs at increasing steps, less the knots that the others make superfluous.

    Source: Douglas and Peucker, "Algorithms for the reduction of the number of points" (1973).
    """
    kept = _kept(step, rate, KNOT_TOLERANCE * float(rate.max()))
    return table(step[kept], rate[kept])


def _kept(step: np.ndarray, value: np.ndarray, tolerance: float) -> np.ndarray:
    """Knots whose polyline is within a tolerance of all."""
    kept = {0, len(step) - 1}
    stack = [(0, len(step) - 1)]
    while stack:
        low, high = stack.pop()
        if high - low < 2:
            continue
        inside = slice(low + 1, high)
        chord = np.interp(step[inside], step[[low, high]], value[[low, high]])
        gap = np.abs(value[inside] - chord)
        worst = int(np.argmax(gap))
        if gap[worst] > tolerance:
            middle = low + 1 + worst
            kept.add(middle)
            stack += [(low, middle), (middle, high)]
    return np.array(sorted(kept))
