"""The solver under every optimal schedule: a loss of log rates on knots, minimised within limits.

What it takes is any function from variables to the final loss and its slope: the segments of the
solvable model or a law fitted to logs.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

Array = NDArray[np.float64]
LossAndSlope = Callable[[Array], tuple[float, Array]]

LOWEST = 1e-14
"""The smallest rate above the floor that a knot may have, as a part of the room below the cap."""

_SMALLEST_EIGENVALUE = 0.05
_SMALL = 3e-5
"""A gap that ends a minimisation."""

_STEEPEST = 6.0
"""The largest fall from knot to knot of a monotone schedule, in the logarithm."""


class Found(NamedTuple):
    """Where a minimisation ended: variables, log loss with its slope, and what is left to gain.

    `decrement` is |slope|^2 / (2 c) over the free variables in units of their
    curvature, with c = 0.05 the smallest eigenvalue of the Hessian in these units.
    """

    x: Array
    value: float
    slope: Array
    decrement: float


def minimise(
    log_loss: LossAndSlope,
    start: Array,
    low: Array,
    high: Array,
    curvature: Array,
    *,
    tolerance: float = 1e-16,
    most: int = 400,
) -> Found:
    """Minimise a log loss between bounds by L-BFGS, each variable in units of its own curvature.

    The scaled Hessian is close to the identity where `curvature` is right: for rates on knots that
    is twice their part of the final loss's noise, since noise goes as the square of a rate whose
    pull on the bias balances it. Its condition number then stays near 20 at any horizon, where that
    of the raw logarithms grows without bound.

    Arguments: log loss with slope (n,); start, low, high (n,); curvature (n,) at least 0; the
    relative change of the loss at which to stop.
    Returns: a `Found`.
    """
    curvature = np.maximum(np.nan_to_num(curvature), 0.0)
    scale = 1.0 / np.sqrt(curvature + 1e-3 * max(float(curvature.max()), 1e-12))

    last: list[tuple[Array, Array]] = []

    def scaled(z: Array) -> tuple[float, Array]:
        x = np.clip(z * scale, low, high)
        value, slope = log_loss(x)
        if not np.isfinite(value):
            return 1e3, np.zeros_like(z)  # an unstable LR: the line search steps back
        last[:] = [(x, np.nan_to_num(slope))]
        return value, last[0][1] * scale

    def enough(intermediate_result: object) -> None:
        x, slope = last[0]
        if promised(slope, x, low, high) <= _SMALL:
            raise StopIteration

    end = minimize(
        scaled,
        np.clip(start, low, high) / scale,
        jac=True,
        method="L-BFGS-B",
        bounds=list(zip(low / scale, high / scale, strict=True)),
        callback=enough,
        options={"maxiter": most, "maxcor": 40, "ftol": tolerance, "gtol": 1e-10},
    )
    x = np.clip(end.x * scale, low, high)
    value, slope = log_loss(x)
    moved = np.clip(x / scale - slope * scale, low / scale, high / scale) - x / scale
    decrement = float(moved @ moved) / (2 * _SMALLEST_EIGENVALUE)
    return Found(x, float(value), slope, decrement)


def promised(slope: Array, x: Array, low: Array, high: Array) -> float:
    """The decrease that the tangent plane promises within the bounds."""
    return float(np.maximum(slope * (x - low), slope * (x - high)).sum())


@dataclass(frozen=True)
class Rates:
    """Variables of the rates on knots: log of a rate above the floor, or its falls when monotone.

    Free: x_i = log((rate_i - floor) / (cap - floor)), from log(1e-14) to 0. Monotone: the first of
    these and then the falls from knot to knot, at least 0. The last axis is that of the knots.
    """

    cap: float
    floor: float
    monotone: bool

    def rates(self, x: Array) -> Array:
        return self.floor + (self.cap - self.floor) * np.exp(self.logs(x))

    def logs(self, x: Array) -> Array:
        if not self.monotone:
            return x
        falls = np.array(x)
        falls[..., 1:] *= -1
        return np.maximum(np.cumsum(falls, axis=-1), np.log(LOWEST))

    def variables(self, rate: Array) -> Array:
        logs = np.log(np.clip((rate - self.floor) / (self.cap - self.floor), LOWEST, 1.0))
        if not self.monotone:
            return logs
        logs = np.minimum.accumulate(logs)
        return np.append(logs[0], -np.diff(logs))

    def slope(self, by_log: Array) -> Array:
        """The slope with respect to the variables from that with respect to the log rates."""
        if not self.monotone:
            return by_log
        after = np.cumsum(by_log[..., ::-1], axis=-1)[..., ::-1]
        after[..., 1:] *= -1
        return after

    def curvature(self, by_log: Array) -> Array:
        return np.cumsum(by_log[..., ::-1], axis=-1)[..., ::-1] if self.monotone else by_log

    def bounds(self, knots: int) -> tuple[Array, Array]:
        low, high = np.full(knots, np.log(LOWEST)), np.zeros(knots)
        if self.monotone:
            low[1:], high[1:] = 0.0, _STEEPEST
        return low, high

    def gap(self, slope: Array, x: Array) -> float:
        """The decrease that the tangent plane promises over all rates allowed.

        An upper bound of what is left to gain where the log loss is convex.
        """
        if not self.monotone:
            return promised(slope, x, *self.bounds(len(x)))
        logs, lowest = self.logs(x), np.log(LOWEST)
        after = np.append(slope[0], -slope[1:])
        by_log = after - np.append(after[1:], 0.0)
        rise, fall = by_log * logs, by_log * (logs - lowest)
        # Extreme points: the cap up to a knot, the least rate from there on.
        first = np.append(0.0, np.cumsum(rise))
        return float(np.max(first + np.append(np.cumsum(fall[::-1])[::-1], 0.0)))
