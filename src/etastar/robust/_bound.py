"""The last-iterate bound of SGD on a convex Lipschitz loss, minimised over its start."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import cached_property, partial

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from etastar._checks import above, positives
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._terms import BLOCK, Terms, add_backwards, exact_terms, mesh_terms, terms_of

LARGE_RHO = (1e3, 1e5)
"""Between these factors the exponent of the inflation is read off the schedule."""


@dataclass(frozen=True, eq=False)
class LastIterate:
    """The bound on the loss after the last update, as a function of the base LR.

    Projected SGD x_{t+1} = P(x_t - s r_t g_t) in a convex domain of diameter D, on a convex loss f
    whose stochastic gradients have E|g|^2 <= G^2, obeys for every start k

        E f(x_T) - min f <= D^2 / (2 s time_k) + s G^2/2 spread_k

    with time_k = sum_{t>=k} r_t + w, spread_k = w + sum_{j>=k} r_j^2 / time_{j+1} and w the last
    rate; the bound is the smallest of these. Without a projection it holds for k = 0 alone, with D
    the distance from the first point to a minimiser.

    Make one with `last_iterate`.

    Attributes:
        schedule: rates r_t of the updates, before the factor s.
        terms: time_k and spread_k of the starts k, for the rates over the peak.

    Source: arXiv 2310.07831, theorem 1, summed by parts (docs/robust.md); the minimum over k is
    that of arXiv 2503.09411.
    """

    schedule: Schedule
    terms: Terms

    def bound(
        self, scale: ArrayLike = 1.0, *, distance: float = 1.0, gradient: float = 1.0
    ) -> Float[np.ndarray, "*scales"]:
        """The bound with every rate multiplied by `scale`, in units of the loss.

        Arguments:
            scale: factors of the schedule's rates, above 0, of any shape.
            distance: D, in units of the parameters.
            gradient: G, in units of the loss over those of the parameters.

        Returns: one bound for each factor.
        Raises: InputError for a value that is not finite and above 0.

        >>> from etastar.schedule import parse_schedule
        >>> curve = last_iterate(parse_schedule("constant:peak=0.1,horizon=1"))
        >>> float(curve.bound(distance=1.0, gradient=2.0))  # 1 / (2 * 0.2) + 0.1 * 4/2 * 2
        2.9
        """
        scale = positives("scale", scale)
        distance, gradient = above("distance", distance, 0.0), above("gradient", gradient, 0.0)
        # s = scale G / D turns the bound into D G / 2 (1 / (s time) + s spread).
        s = np.ravel(scale) * (self.schedule.peak * gradient / distance)
        return distance * gradient * self._half_sum(s)[0].reshape(scale.shape)

    def start(
        self, scale: ArrayLike = 1.0, *, distance: float = 1.0, gradient: float = 1.0
    ) -> Float[np.ndarray, "*scales"]:
        """The start k at which `bound` is smallest, as an update counted from 0.

        Arguments:
            scale, distance, gradient: as of `bound`.

        Raises: InputError for a value that is not finite and above 0.

        >>> from etastar.schedule import parse_schedule
        >>> curve = last_iterate(parse_schedule("linear:peak=1,horizon=1000"))
        >>> [float(k) for k in curve.start([0.01, 1.0])]
        [0.0, 875.0]
        """
        scale = positives("scale", scale)
        distance, gradient = above("distance", distance, 0.0), above("gradient", gradient, 0.0)
        s = np.ravel(scale) * (self.schedule.peak * gradient / distance)
        return self.terms.step_at(self._half_sum(s)[1]).reshape(scale.shape)

    def best_scale(self, *, distance: float = 1.0, gradient: float = 1.0) -> float:
        """The factor of the rates with the smallest bound: D/G / sqrt(time_k spread_k), best k.

        Arguments:
            distance: D, in units of the parameters.
            gradient: G, in units of the loss over those of the parameters.

        Raises: InputError for a value that is not finite and above 0.

        >>> from etastar.schedule import parse_schedule
        >>> linear = last_iterate(parse_schedule("linear:peak=1,horizon=10000"))
        >>> round(linear.best_scale(distance=3.0, gradient=1.5) * 100, 3)
        1.999
        """
        distance, gradient = above("distance", distance, 0.0), above("gradient", gradient, 0.0)
        time, spread = self._best_terms
        return distance / gradient / math.sqrt(time) / math.sqrt(spread) / self.schedule.peak

    def best_bound(self, *, distance: float = 1.0, gradient: float = 1.0) -> float:
        """The bound at the best base LR, D G min_k sqrt(spread_k / time_k), in units of the loss.

        Arguments:
            distance: D, in units of the parameters.
            gradient: G, in units of the loss over those of the parameters.

        Raises: InputError for a value that is not finite and above 0.

        >>> from etastar.schedule import parse_schedule
        >>> linear = last_iterate(parse_schedule("linear:peak=1,horizon=10000"))
        >>> round(linear.best_bound() * 100, 3)
        2.001
        """
        distance, gradient = above("distance", distance, 0.0), above("gradient", gradient, 0.0)
        time, spread = self._best_terms
        return distance * gradient * math.sqrt(spread / time)

    def inflation(self, rho: ArrayLike) -> Float[np.ndarray, "*rhos"]:
        """The bound at `rho` times the best base LR, over the bound at the best: 1 at rho = 1.

        D and G cancel: it is a property of the schedule alone.

        Arguments:
            rho: factors above 0, of any shape; below 1 the base LR is too small.

        Raises: InputError for a factor that is not finite and above 0.
        Source: arXiv 2503.09411.

        >>> from etastar.schedule import parse_schedule
        >>> last_iterate(parse_schedule("cosine:peak=1,horizon=20000")).inflation([1, 10]).round(2)
        array([1.  , 1.74])
        """
        rho = positives("rho", rho)
        time, spread = self._best_terms
        values = self._half_sum(np.ravel(rho) / math.sqrt(time) / math.sqrt(spread))[0]
        return values.reshape(rho.shape) / math.sqrt(spread / time)

    @property
    def exponent(self) -> float:
        """The exponent of the inflation at large rho, for horizons long enough not to limit it.

        A rate that goes to 0 as (remaining steps)^p gives 1/(2p + 1), one that does not gives 1. p
        is the slope of log rate against log remaining steps between the starts of the bound at
        rho = 1e3 and 1e5.

        Where the rate does not fall (p = 0) the inflation is rho times a logarithm, so that slopes
        measured at a finite horizon are smaller than 1 until the start has reached the last
        updates; see docs/robust.md.

        Source: arXiv 2503.09411.

        >>> from etastar.schedule import parse_schedule
        >>> for spec in ("linear:peak=1", "cosine:peak=1", "constant:peak=1"):
        ...     print(round(last_iterate(parse_schedule(spec, horizon=10000)).exponent, 3))
        0.333
        0.2
        1.0
        """
        count = self.terms.last + 1
        far, near = (count - float(k) for k in self.start(np.array(LARGE_RHO) * self.best_scale()))
        # Over a short horizon both starts are the last update; two counts there must be.
        far = min(max(far, 2 * near), float(count))
        at_far, at_near = self.schedule([count - far, count - near])
        if far == near or at_far <= 0.0:
            return 1.0
        slope = math.log(at_far / at_near) / math.log(far / near)
        return 1.0 / (2.0 * max(slope, 0.0) + 1.0)

    @property
    def vacuous_from(self) -> float:
        """The inflation at which the bound is D G, which every point of the domain has anyway.

        >>> from etastar.schedule import parse_schedule
        >>> round(last_iterate(parse_schedule("linear:peak=1,horizon=10000")).vacuous_from)
        50
        """
        return 1.0 / self.best_bound()

    @cached_property
    def _best_terms(self) -> tuple[float, float]:
        time, spread = self.terms.time, self.terms.spread
        best = _argmin(lambda part: spread[part] / time[part], 0, len(time))
        return float(time[best]), float(spread[best])

    def _half_sum(self, scales: NDArray[np.float64]) -> tuple[NDArray, NDArray]:
        """min over k of (1 / (s time_k) + s spread_k) / 2 for each s, and its argmin.

        The larger s, the later the best start (time and spread both fall with k). So sorted scales
        have sorted starts, and those in between lie between: O(K log R) for R scales.
        """
        order = np.argsort(scales)
        ordered = scales[order]
        index = np.zeros(len(scales), dtype=np.int64)
        todo = [(0, len(scales), 0, len(self.terms.time))]
        while todo:
            first, stop, low, high = todo.pop()
            if first >= stop:
                continue
            middle = (first + stop) // 2
            at = _argmin(partial(self._at, ordered[middle]), low, high)
            index[middle] = at
            # Starts are stored from the last update backwards: small scales lie at large indices.
            todo.append((first, middle, at, high))
            todo.append((middle + 1, stop, low, at + 1))
        back = np.empty_like(order)
        back[order] = np.arange(len(order))
        index = index[back]
        return self._at(scales, index), index

    def _at(self, scale: NDArray[np.float64] | float, index: slice | NDArray[np.int64]) -> NDArray:
        with np.errstate(over="ignore", divide="ignore"):  # a start with no time left: infinite
            reach = 1.0 / (scale * self.terms.time[index])
        return 0.5 * (reach + scale * self.terms.spread[index])


def _argmin(values: Callable[[slice], NDArray[np.float64]], low: int, high: int) -> int:
    """Index of the smallest of values(slice) over [low, high), by blocks that fit the cache."""
    found, smallest = low, math.inf
    for begin in range(low, high, BLOCK):
        block = values(slice(begin, min(begin + BLOCK, high)))
        best = int(np.argmin(block))
        if block[best] < smallest:
            found, smallest = begin + best, float(block[best])
    return found


def last_iterate(schedule: Schedule, *, mesh: bool | None = None) -> LastIterate:
    """The last-iterate bound of a schedule, for any base LR.

    O(T) time and 16 bytes an update up to 2^24 updates; beyond, a mesh graded towards both ends and
    every breakpoint, of a size that hardly grows, with a relative error below 1e-6 (1e-5 for the
    best base LR and the inflation).

    Arguments:
        schedule: the LR of every update; its peak only sets the unit of scales.
        mesh: True for the mesh at any horizon, False for every update; None decides by horizon.

    Returns: a `LastIterate`.
    Raises: InputError for a schedule without a rate above 0.
    Source: as `LastIterate`.

    >>> from etastar.schedule import parse_schedule
    >>> curve = last_iterate(parse_schedule("linear:peak=1,horizon=1e12"))
    >>> round(curve.best_bound() * 1e6, 5)
    2.0
    """
    if not isinstance(schedule, Schedule):
        raise InputError(
            f"schedule must be an etastar Schedule, got {type(schedule).__name__}: for bare rates"
            " use etastar.schedule.table or last_iterate_bound"
        )
    if mesh is None:
        terms = terms_of(schedule)
    else:
        terms = mesh_terms(schedule) if mesh else exact_terms(schedule)
    return LastIterate(schedule, terms)


def last_iterate_bound(
    rates: ArrayLike, *, distance: ArrayLike = 1.0, gradient: ArrayLike = 1.0
) -> Float[np.ndarray, "*schedules"]:
    """The bound of `LastIterate` for bare rates, many schedules at once.

    Arguments:
        rates: the rate of every update along the last axis, at least 0, the last of each schedule
            above 0; other axes count schedules.
        distance: D in units of the parameters, broadcast against the schedules.
        gradient: G in units of the loss over those of the parameters, likewise.

    Returns: one bound a schedule, in units of the loss.
    Raises: InputError for rates that are not finite, negative, or end at 0, and for a distance or
    gradient that is not finite and above 0.
    Source: as `LastIterate`.

    >>> last_iterate_bound([[0.1, 0.1], [0.2, 0.1]]).round(4)
    array([1.7917, 1.45  ])
    """
    values = np.asarray(rates, dtype=np.float64)
    if values.ndim == 0 or values.shape[-1] == 0:
        raise InputError("rates must be an array (..., T) with at least one update")
    if not np.all(np.isfinite(values) & (values >= 0)) or np.any(values[..., -1] <= 0):
        raise InputError(
            "rates must be finite and at least 0, the last above 0: drop zeros at the end, they"
            " move nothing"
        )
    backwards = values[..., ::-1]
    rest = backwards[..., 0]
    time, spread = np.empty(values.shape), np.empty(values.shape)
    add_backwards(backwards, rest, rest, time, spread)
    reach = positives("distance", distance)[..., None] ** 2 / time
    noise = positives("gradient", gradient)[..., None] ** 2 * spread
    return 0.5 * np.min(reach + noise, axis=-1)


def inflation(schedule: Schedule, rho: ArrayLike) -> Float[np.ndarray, "*rhos"]:
    """How much the bound grows when the base LR is `rho` times its best: `LastIterate.inflation`.

    Arguments:
        schedule: the LR of every update; its peak does not matter.
        rho: base LRs over the best one, above 0, of any shape.

    Returns: the bound over the best bound, at least 1.
    Raises: InputError for a factor that is not finite and above 0, or a schedule without a rate
    above 0.
    Source: arXiv 2503.09411.

    >>> from etastar.schedule import parse_schedule
    >>> inflation(parse_schedule("linear:peak=1e-3,horizon=20000"), [0.5, 2, 10]).round(2)
    array([1.25, 1.19, 2.04])
    """
    return last_iterate(schedule).inflation(rho)
