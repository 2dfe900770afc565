"""Nonlinear least squares within bounds, of many problems of one shape at once."""

from __future__ import annotations

from collections.abc import Callable
from typing import NamedTuple

import numpy as np

Array = np.ndarray
Residuals = Callable[[Array], tuple[Array, Array]]
"""Residuals (K, m) at variables (K, d), and their slopes (K, m, d)."""

_FIRST_DAMPING, _MOST_DAMPING = 1e-2, 1e8
_AT_BOUND = 1e-9


class Minima(NamedTuple):
    """Variables (K, d), half sums of squares there (K,), and how often residuals were asked for."""

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
    residual, slope = residuals(x)
    cost = 0.5 * np.sum(residual**2, axis=1)
    damping, growth = np.full(len(x), _FIRST_DAMPING), np.full(len(x), 2.0)
    open_ = np.ones(len(x), bool)
    evaluations = 1
    edge = _AT_BOUND * scale
    while evaluations < most and open_.any():
        step, promised = _steps(residual, slope * scale, x, (lower + edge, upper - edge), damping)
        tried = np.clip(x + step * scale, lower, upper)
        tried[~open_] = x[~open_]
        residual_there, slope_there = residuals(tried)
        evaluations += 1
        there = 0.5 * np.sum(residual_there**2, axis=1)
        better = open_ & (there < cost)
        gain = np.where(better, cost - there, 0.0)
        # Nielsen's rule: damping follows how well the last step was foretold.
        ratio = gain / np.maximum(promised, 1e-300)
        shrink = np.maximum(1 / 5, 1 - (2 * np.clip(ratio, 0, 1) - 1) ** 3)
        damping = np.where(better, damping * shrink, np.minimum(damping * growth, _MOST_DAMPING))
        growth = np.where(better, 2.0, 2 * growth)
        done = better & (gain <= tolerance * cost)
        x = np.where(better[:, None], tried, x)
        residual = np.where(better[:, None], residual_there, residual)
        slope = np.where(better[:, None, None], slope_there, slope)
        cost = np.where(better, there, cost)
        open_ &= ~done & (damping < _MOST_DAMPING) & (promised > 1e-3 * tolerance * cost)
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
