"""The last-iterate bound of SGD on a convex smooth loss with gradient noise of bounded variance."""

from __future__ import annotations

import math

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import minimize_scalar

from etastar._checks import above, at_least, positives
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._terms import EXACT_STEPS, rates_backwards

_SCALES = 33


def smooth_bound(
    schedule: Schedule,
    scale: ArrayLike = 1.0,
    *,
    distance: float,
    noise: float,
    smoothness: float,
) -> Float[np.ndarray, "*scales"]:
    """The bound on the loss after the last update, for every factor `scale` of the rates.

    Projected SGD in a convex domain of diameter D, on a convex loss with a gradient that is
    beta-Lipschitz and stochastic gradients of variance at most sigma^2, obeys for every start k
    from which on eta_t <= 1/beta

        E f(x_T) - min f <= D^2 / (2 S_k) + sigma^2 sum_{j>=k} v_j eta_j^2 / S_j,

    S_j = sum_{t>=j} eta_t and v_j = 1/(2 (1 - beta eta_j)), or 1 where that is less. The bound is
    the smallest over k; infinite where the last rate is above 1/beta. Without a projection it holds
    for k = 0 alone, with D the distance from the first point to a minimiser.

    Arguments:
        schedule: the LR of every update, at most 2^24 updates.
        scale: factors of the schedule's rates, above 0, of any shape.
        distance: D, in units of the parameters.
        noise: sigma >= 0, root mean square of the gradient's noise, in units of the loss over
            those of the parameters.
        smoothness: beta, in units of one over the LR.

    Returns: one bound for each factor, in units of the loss.
    Raises: InputError for values out of range, or a longer horizon.
    Source: docs/robust.md proves it; the identity behind it is that of arXiv 2310.07831.

    >>> from etastar.schedule import parse_schedule
    >>> schedule = parse_schedule("constant:peak=0.5,horizon=2")
    >>> float(smooth_bound(schedule, distance=1.0, noise=0.0, smoothness=1.0))
    0.5
    """
    scale = positives("scale", scale)
    flat = np.ravel(scale) * schedule.peak
    values = _smallest(_stored(schedule), flat, *_constants(distance, noise, smoothness))
    return values.reshape(scale.shape)


def smooth_best_scale(
    schedule: Schedule, *, distance: float, noise: float, smoothness: float
) -> float:
    """The factor of the rates with the smallest `smooth_bound`.

    Searched on a grid and then by Brent's method.

    Arguments:
        schedule: the LR of every update, at most 2^24 updates.
        distance, noise, smoothness: D, sigma and beta, as of `smooth_bound`.

    Returns: the factor, above 0.
    Raises: InputError for values out of range, or a longer horizon.

    >>> from etastar.schedule import parse_schedule
    >>> schedule = parse_schedule("constant:peak=0.5,horizon=2")
    >>> round(smooth_best_scale(schedule, distance=1.0, noise=0.0, smoothness=1.0), 4)
    2.0
    """
    return _best(_stored(schedule), *_constants(distance, noise, smoothness)) / schedule.peak


def smooth_inflation(
    schedule: Schedule, rho: ArrayLike, *, distance: float, noise: float, smoothness: float
) -> Float[np.ndarray, "*rhos"]:
    """`smooth_bound` at `rho` times the best base LR, over that at the best.

    Here the constants matter: where 1/beta decides the best base LR, a larger one must wait for the
    schedule to bring it below, and a schedule that never does has an infinite bound.

    Arguments:
        schedule: the LR of every update, at most 2^24 updates.
        rho: base LRs over the best one, above 0, of any shape.
        distance, noise, smoothness: D, sigma and beta, as of `smooth_bound`.

    Returns: the bound over the best bound, at least 1, infinite where there is no bound.
    Raises: InputError for values out of range, or a longer horizon.
    Source: arXiv 2503.09411 for the question.

    >>> from etastar.schedule import parse_schedule
    >>> constants = {"distance": 1.0, "noise": 0.1, "smoothness": 1.0}
    >>> for spec in ("constant:peak=1,horizon=100", "linear:peak=1,horizon=100"):
    ...     print(smooth_inflation(parse_schedule(spec), [1.0, 20.0], **constants).round(2))
    [ 1. inf]
    [1.   5.61]
    """
    rho = positives("rho", rho)
    rates, constants = _stored(schedule), _constants(distance, noise, smoothness)
    best = _best(rates, *constants)
    values = _smallest(rates, np.append(1.0, np.ravel(rho)) * best, *constants)
    return values[1:].reshape(rho.shape) / values[0]


def _stored(schedule: Schedule) -> NDArray[np.float64]:
    """The rates over the peak, last update first."""
    if schedule.horizon > EXACT_STEPS:
        raise InputError(
            f"horizon {schedule.horizon} is above {EXACT_STEPS} updates, the most that the smooth"
            " bound sums: shorten the schedule with stretched(horizon=...)"
        )
    return np.concatenate(list(rates_backwards(schedule)))


def _constants(distance: float, noise: float, smoothness: float) -> tuple[float, float, float]:
    return (
        above("distance", distance, 0.0),
        at_least("noise", noise, 0.0),
        above("smoothness", smoothness, 0.0),
    )


def _smallest(
    rates: NDArray, scales: NDArray, distance: float, noise: float, smoothness: float
) -> NDArray[np.float64]:
    sums = np.cumsum(rates)
    density = rates**2 / sums
    values = np.empty(len(scales))
    for i, scale in enumerate(scales):
        relative = rates * (scale * smoothness)
        # Rounding must not forbid the largest stable rate.
        unstable = relative > 1.0 + 1e-12
        stop = int(np.argmax(unstable)) if unstable.any() else len(rates)
        if stop == 0:
            values[i] = math.inf
            continue
        factor = 0.5 / (1.0 - np.minimum(relative[:stop], 0.5))
        spread = np.cumsum(factor * density[:stop])
        bound = distance**2 / (2.0 * scale * sums[:stop]) + noise**2 * scale * spread
        values[i] = bound.min()
    return values


def _best(rates: NDArray, distance: float, noise: float, smoothness: float) -> float:
    """The best factor of rates whose peak is 1."""
    sums = np.cumsum(rates)
    stable = 1.0 / (smoothness * float(rates.max()))
    spread = float(np.sum(rates**2 / sums))
    noisy = math.inf if noise == 0 else distance / (noise * math.sqrt(float(sums[-1]) * spread))
    centre = min(stable, noisy)

    def bound(logs: ArrayLike) -> NDArray[np.float64]:
        return _smallest(rates, np.exp(np.atleast_1d(logs)), distance, noise, smoothness)

    logs = math.log(centre) + np.linspace(-3.0, 7.0, _SCALES)
    values = bound(logs)
    worst = float(values[np.isfinite(values)].max())
    start, step = float(logs[int(np.argmin(values))]), float(logs[1] - logs[0])
    found = minimize_scalar(
        lambda log: min(float(bound(log)[0]), 2.0 * worst),  # finite: its steps are parabolas
        bounds=(start - step, start + step),
        method="bounded",
        options={"xatol": 1e-9},
    )
    # A plateau makes the bound jump where it becomes unstable: a search stops short of that.
    tried = np.array([start, float(found.x), math.log(stable)])  # type: ignore[union-attr]
    return math.exp(float(tried[int(np.argmin(bound(tried)))]))
