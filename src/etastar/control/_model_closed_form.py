"""The optimal LR of the solvable model by a formula, noise's own feedback included."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from etastar._checks import whole
from etastar.model import Model, Spectrum, loss, merged
from etastar.schedule import Schedule, table

from ._closed_form import both_ends
from ._limits import FEWEST
from ._solution import Member

Array = NDArray[np.float64]

_KNOTS = 49
_TABLE = 512
_SLOWEST = 1e-4
"""The smallest tabulated LR, in parts of the cap; below it noise hardly feeds itself."""

_MOST = 1.0 - 1e-9
"""The largest gain of the noise: with one mode it is 1 at the cap itself."""

_HALF = 96
_GRID = 17
_TIME = 1e-3
"""How closely the logit of the intrinsic time is found."""


def closed_form(model: Model, horizon: int) -> Member:
    """The optimal LR in closed form: no search over schedules, one over the intrinsic time.

    With tau the intrinsic time of the run, u what of it is still to go, n the noise that acts and

        K(u) = sum_k lambda_k^2 exp(-2 lambda_k u)
        g(eta) = (q/B) sum_k eta lambda_k / (2 - eta lambda_k (1 + h/B))

    it minimises bias(tau) + (1/B) int_0^tau eta / (1 - g(eta)) K(u) n du over eta(u) and tau, where
    n = sigma^2 + q bias(tau - u) and int_0^tau du / eta = T; h and q are those of `Spectrum`. At a
    given tau, pointwise,

        eta^2 d/d eta [eta / (1 - g(eta))] = nu B / (K(u) n),  eta at most the cap

    with nu from T. Exact for LRs small against 1 / lambda and for modes that settle at once;
    `etastar.control.solve` assumes neither, and its loss is lower by 1e-5 to 5e-3 of it (measured
    by the test of this function; the most at horizons of some hundred updates).

    Arguments:
        model: a PowerLaw or a LinearModel.
        horizon: number of updates T, at least 8.

    Returns: a `Member` of the family "closed_form", its schedule a table of up to 49 knots, its
    loss by `etastar.model.loss`.
    Raises: InputError for a horizon below 8.
    Source: arXiv 2602.04774, section 2, for the form without g; docs/solvable.md for g.

    >>> from etastar.model import PowerLaw
    >>> found = closed_form(PowerLaw(1.5, 1.0, 0.25, 8), 10**6)
    >>> f"{found.loss:.3e}", f"{found.schedule.peak:.3f}"
    ('6.096e-05', '0.039')
    """
    steps = whole("horizon", horizon, FEWEST)
    schedule = closed_form_schedule(model, steps)
    return Member("closed_form", schedule, loss(model, schedule))


def closed_form_schedule(model: Model, horizon: int) -> Schedule:
    """The schedule of `closed_form`."""
    problem = _Problem.of(model, horizon)
    span = math.log(horizon)
    grid = np.linspace(-span, span, _GRID)
    values = [problem.profile(x).loss for x in grid]
    i = min(max(int(np.argmin(values)), 1), _GRID - 2)
    best = _golden(lambda x: problem.profile(x).loss, grid[i - 1], grid[i + 1])
    return _table(problem, problem.profile(best))


class _Profile(NamedTuple):
    """Rates against the intrinsic time to go, `to_go` rising from 0, and the loss they leave."""

    loss: float
    to_go: Array
    rate: Array


class _Tabulated(NamedTuple):
    """A positive function by its logarithm at even places, straight in between."""

    low: float
    step: float
    log: Array

    def __call__(self, place: Array) -> Array:
        at = np.clip((place - self.low) / self.step, 0.0, len(self.log) - 1.0)
        i = np.minimum(at.astype(int), len(self.log) - 2)
        return np.exp(self.log[i] + (at - i) * (self.log[i + 1] - self.log[i]))


class _Problem(NamedTuple):
    """`bias` and `kernel` over log(1 + u / unit); `rate` and `cost` over log pressure.

    The pressure of an LR is eta^2 d/d eta [eta / (1 - g)], and its cost eta / (1 - g).
    """

    horizon: int
    cap: float
    noise: float
    batch: float
    scale: float
    unit: float
    bias: _Tabulated
    kernel: _Tabulated
    rate: _Tabulated
    cost: _Tabulated

    @classmethod
    def of(cls, model: Model, horizon: int) -> _Problem:
        spectrum, batch = merged(model.spectrum_to(horizon)), float(model.batch_size)
        cap = spectrum.max_rate(batch)
        unit = 0.1 / float(spectrum.eigenvalue.max())
        place = np.linspace(0.0, math.log1p(cap * horizon / unit), _TABLE)
        time = unit * np.expm1(place)
        logs = [np.log(np.maximum(f(time), 1e-300)) for f in (spectrum.bias, spectrum.kernel)]
        bias, kernel = (_Tabulated(0.0, place[1], log) for log in logs)
        rate, cost = _responses(spectrum, batch, cap)
        scale = spectrum.scale_moment
        return cls(horizon, cap, model.noise, batch, scale, unit, bias, kernel, rate, cost)

    def profile(self, logit: float) -> _Profile:
        """The best rates at the intrinsic time cap T / (1 + exp(-logit))."""
        time = self.cap * self.horizon / (1.0 + math.exp(-logit))
        to_go, _ = both_ends(time, min(0.1 * self.unit, 1e-3 * time), _HALF)
        gap = np.diff(to_go)

        def at(u: Array) -> Array:
            return np.log1p(np.maximum(u, 0.0) / self.unit)

        acting = self.noise + self.scale * self.bias(at(time - to_go))
        left = self.kernel(at(to_go)) * acting / self.batch
        log_left = np.log(left)

        def rates(log_nu: float) -> Array:
            place = log_nu - log_left
            # Below the table noise does not feed itself: the pressure is eta^2.
            return self.rate(place) * np.exp(np.minimum(place - self.rate.low, 0.0) / 2.0)

        def excess(log_nu: float) -> float:
            each = 1.0 / rates(log_nu)
            return math.log(float(gap @ (each[1:] + each[:-1])) / 2.0 / self.horizon)

        high = self.rate.low + self.rate.step * (_TABLE - 1) + float(log_left.max())
        rate = rates(_falling_root(excess, high))
        place = np.log(rate / self.cap)
        part = np.clip(1.0 - place / math.log(_SLOWEST), 0.0, 1.0) * (_TABLE - 1)
        i = np.minimum(part.astype(int), _TABLE - 2)
        log = self.cost.log
        cost = rate * np.exp(log[i] + (part - i) * (log[i + 1] - log[i]))
        noise = float(gap @ (cost[1:] * left[1:] + cost[:-1] * left[:-1])) / 2.0
        return _Profile(float(self.bias(at(np.array([time])))[0]) + noise, to_go, rate)


def _responses(spectrum: Spectrum, batch: float, cap: float) -> tuple[_Tabulated, _Tabulated]:
    """The rate over log pressure, and 1 / (1 - g) over log rate from `_SLOWEST` of the cap."""
    log_rate = np.linspace(math.log(_SLOWEST), 0.0, _TABLE) + math.log(cap)
    rate = np.exp(log_rate)[:, None]
    weight, x = spectrum.multiplicity, spectrum.eigenvalue
    room = 2.0 - rate * x * (1.0 + spectrum.own_noise / batch)
    fed = spectrum.scale_moment / batch
    missing = spectrum.trace - float(weight @ x)
    gain = ((rate * x / room) @ weight + rate[:, 0] * missing / 2.0) * fed
    gain = np.minimum(gain, _MOST)
    slope = ((2.0 * x / room**2) @ weight + missing / 2.0) * fed
    pressure = 2.0 * log_rate + np.log((1.0 - gain + rate[:, 0] * slope) / (1.0 - gain) ** 2)
    even = np.linspace(pressure[0], pressure[-1], _TABLE)
    found = np.interp(even, pressure, log_rate)
    return (
        _Tabulated(even[0], even[1] - even[0], found),
        _Tabulated(log_rate[0], log_rate[1] - log_rate[0], -np.log1p(-gain)),
    )


def _falling_root(function: Callable[[float], float], high: float) -> float:
    """Where a falling function that is at most 0 at `high` is 0, by bisection."""
    width = 8.0
    while function(high - width) < 0.0:
        width *= 2.0
    low = high - width
    while high - low > 1e-10:
        middle = (low + high) / 2.0
        if function(middle) > 0.0:
            low = middle
        else:
            high = middle
    return high


def _golden(function: Callable[[float], float], low: float, high: float) -> float:
    """The least of a function with one minimum, by golden sections."""
    golden = (math.sqrt(5.0) - 1.0) / 2.0
    left, right = high - golden * (high - low), low + golden * (high - low)
    at_left, at_right = function(left), function(right)
    while high - low > _TIME:
        if at_left < at_right:
            high, right, at_right = right, left, at_left
            left = high - golden * (high - low)
            at_left = function(left)
        else:
            low, left, at_left = left, right, at_right
            right = low + golden * (high - low)
            at_right = function(right)
    return (low + high) / 2.0


def _table(problem: _Problem, profile: _Profile) -> Schedule:
    """The rates at whole steps: knots graded in intrinsic time, in steps and in the rate itself."""
    u, each = profile.to_go, 1.0 / profile.rate
    left = np.append(0.0, np.cumsum(np.diff(u) * (each[1:] + each[:-1]) / 2.0))
    left *= problem.horizon / left[-1]
    shortest = 3.0 * problem.unit
    grades = [
        np.log1p(u / shortest),
        0.4 * np.log1p(u[-1] / shortest) - 0.4 * np.log1p((u[-1] - u) / shortest),
        np.append(0.0, np.cumsum(np.abs(np.diff(np.log(profile.rate))))),
        0.2 * math.log1p(u[-1] / shortest) * left / problem.horizon,
    ]
    grade = np.sum(grades, axis=0)
    even = np.linspace(0.0, grade[-1], _KNOTS)
    step = np.unique(np.round(problem.horizon - np.interp(even, grade, left)))
    rate = np.interp(problem.horizon - step, left, profile.rate)
    return table(step.astype(int).tolist(), rate.tolist())
