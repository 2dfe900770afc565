"""Nonlinear least squares within bounds, of many problems of one shape at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Residuals = Callable[[Array, Array], tuple[Array, Array]]
"""Residuals (J, m) of some problems at variables (J, d), and their slopes (J, m, d).

The second argument, indices (J,), says which of the problems are asked for.
"""

_FIRST_DAMPING, _MOST_DAMPING = 1e-2, 1e8
_AT_BOUND = 1e-9


class Minima(NamedTuple):
    """Variables (K, d), half sums of squares there (K,), and how often residuals were asked for.

    A problem that has converged is not asked for again.
    """

    x: Array
    cost: Array
    evaluations: int


def least_squares(
    residuals: Residuals,
    start: Array,
    lower: Array,
    upper: Array,
    scale: Array,
    *,
    tolerance: float = 1e-8,
    most: int = 60,
) -> Minima:
    """Minimise |r_k(x)|^2 / 2 for each k from its start (K, d), lower <= x <= upper.

    Levenberg's and Marquardt's steps in the variables that are free: those not held at a bound by
    the slope. A step beyond a bound is cut off there. A problem has converged where a step that is
    taken lowers its cost by less than the relative `tolerance`, or where no step lowers it.

    Arguments: residuals of all K problems at once; bounds and `scale` (d,), the size of a sensible
    step; the most evaluations.
    Source: Marquardt (1963); Bertsekas, "Projected Newton methods" (1982), for the bounds.
    """
    x = np.clip(start, lower, upper)
    left = np.arange(len(x))
    residual, slope = residuals(x, left)
    cost = 0.5 * np.sum(residual**2, axis=1)
    damping, growth = np.full(len(x), _FIRST_DAMPING), np.full(len(x), 2.0)
    evaluations, edge = 1, _AT_BOUND * scale
    bounds = lower + edge, upper - edge
    while evaluations < most and len(left):
        here = x[left]
        step, promised = _steps(residual, slope * scale, here, bounds, damping[left])
        tried = np.clip(here + step * scale, lower, upper)
        residual_there, slope_there = residuals(tried, left)
        evaluations += 1
        there, before = 0.5 * np.sum(residual_there**2, axis=1), cost[left]
        better = there < before
        gain = np.where(better, before - there, 0.0)
        # Nielsen's rule: damping follows how well the last step was foretold.
        ratio = gain / np.maximum(promised, 1e-300)
        shrink = np.maximum(1 / 5, 1 - (2 * np.clip(ratio, 0, 1) - 1) ** 3)
        grown = np.minimum(damping[left] * growth[left], _MOST_DAMPING)
        damping[left] = np.where(better, damping[left] * shrink, grown)
        growth[left] = np.where(better, 2.0, 2 * growth[left])
        x[left] = np.where(better[:, None], tried, here)
        cost[left] = np.where(better, there, before)
        residual = np.where(better[:, None], residual_there, residual)
        slope = np.where(better[:, None, None], slope_there, slope)
        done = better & (gain <= tolerance * before)
        done |= (damping[left] >= _MOST_DAMPING) | (promised <= 1e-3 * tolerance * before)
        left, residual, slope = left[~done], residual[~done], slope[~done]
    return Minima(x, cost, evaluations)


def _steps(
    residual: Array, slope: Array, x: Array, bounds: tuple[Array, Array], damping: Array
) -> tuple[Array, Array]:
    """The damped step of every problem, in units of the scale, and the decrease it promises."""
    gradient = np.matmul(residual[:, None, :], slope)[:, 0]
    curvature = np.matmul(np.swapaxes(slope, 1, 2), slope)
    lower, upper = bounds
    held = ((x <= lower) & (gradient > 0)) | ((x >= upper) & (gradient < 0))
    free = ~held
    gradient = gradient * free
    curvature = curvature * (free[:, :, None] & free[:, None, :])
    diagonal = np.einsum("kjj->kj", curvature)
    added = np.where(free, damping[:, None] * np.maximum(diagonal, 1e-12 * diagonal.max()), 1.0)
    damped = curvature + added[:, :, None] * np.eye(x.shape[1])
    step = -np.linalg.solve(damped, gradient[..., None])[..., 0]
    promised = 0.5 * np.sum(step * (added * free * step - gradient), axis=1)
    return step, promised
