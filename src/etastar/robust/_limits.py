"""What the bound tends to for long horizons, in closed form, shape by shape.

Let x be the fraction of updates still to go, h(x) the rate over the peak, H(x) its integral from 0
to x. Sums become integrals: time = T H(x) and, where h(0) = 0, spread = C(x) = int_0^x h^2 / H. A
rate that does not go to 0 leaves a logarithm of the last updates. With s = scale sqrt(T) G / D the
bound is D G / sqrt(T) times min over x of (1/(s H) + s C) / 2, and the best start obeys
h(x) H(x) = 1/s^2 (or lies at x = 1). Derivations: docs/robust.md.
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from dataclasses import dataclass
from functools import cached_property

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.integrate import quad
from scipy.special import lambertw

from etastar._checks import positives
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._root import root


class Limit(ABC):
    """The bound of one shape at a long horizon."""

    @property
    @abstractmethod
    def best(self) -> float:
        """The smallest bound over all base LRs times sqrt(T) / (D G)."""

    @abstractmethod
    def _inflation(self, rho: float) -> float: ...

    def inflation(self, rho: ArrayLike) -> Float[np.ndarray, "*rhos"]:
        """The bound at `rho` times the best base LR over that at the best, `rho` of any shape.

        Raises: InputError for a factor that is not finite and above 0.

        >>> PolynomialLimit(1.0).inflation([1.0, 1000.0]).round(3)
        array([1.   , 9.449])
        """
        rho = positives("rho", rho)
        return np.array([self._inflation(float(one)) for one in rho.ravel()]).reshape(rho.shape)


def _too_small(rho: float) -> float:
    """The inflation where the bound starts at the first update."""
    return (rho + 1.0 / rho) / 2.0


@dataclass(frozen=True)
class PolynomialLimit(Limit):
    """h = x^p: best = (p+1)/sqrt(p); linear decay is p = 1.

    H = x^(p+1)/(p+1), C = (p+1)/p x^p, so that for rho^2 >= (p+1)/p

        inflation = (2p+1)/(2 p rho) (p rho^2/(p+1))^((p+1)/(2p+1))  ~  rho^(1/(2p+1))

    Attributes:
        power: p, above 0, without a unit.
    """

    power: float

    @property
    def best(self) -> float:
        return (self.power + 1.0) / math.sqrt(self.power)

    def _inflation(self, rho: float) -> float:
        p = self.power
        inverse = p * rho**2 / (p + 1.0)  # x^-(2p+1) at the best start
        if inverse <= 1.0:
            return _too_small(rho)
        return (2.0 * p + 1.0) / (2.0 * p * rho) * inverse ** ((p + 1.0) / (2.0 * p + 1.0))


@dataclass(frozen=True)
class CosineLimit(Limit):
    """h = sin(pi x/2)^2: H = x/2 - sin(pi x)/(2 pi), C by quadrature; near the end pi^2 x^2/4.

    best = sqrt(2 C(1)) = 2.0602, and inflation ~ 1.1213 rho^(1/5) at large rho.
    """

    @property
    def best(self) -> float:
        return math.sqrt(2.0 * self._spread(1.0))

    @staticmethod
    def _rate(x: float) -> float:
        return math.sin(math.pi * x / 2.0) ** 2

    @staticmethod
    def _time(x: float) -> float:
        if x < 1e-2:  # the series: the difference loses its digits
            return (math.pi * x) ** 2 * x / 12.0 * (1.0 - (math.pi * x) ** 2 / 20.0)
        return x / 2.0 - math.sin(math.pi * x) / (2.0 * math.pi)

    def _spread(self, x: float) -> float:
        return quad(lambda y: self._rate(y) ** 2 / self._time(y) if y > 0 else 0.0, 0.0, x)[0]

    @cached_property
    def _whole(self) -> float:
        return self._spread(1.0)

    @property
    def coefficient(self) -> float:
        """The factor of rho^(1/5): x^5 = 12/(c^2 s^2 3), c = pi^2/4, s = rho sqrt(2/C(1))."""
        c, s = math.pi**2 / 4.0, math.sqrt(2.0 / self._whole)
        x = (3.0 / (c * s) ** 2) ** 0.2
        return 2.5 * 1.5 / (c * s * x**3) / self.best

    def _inflation(self, rho: float) -> float:
        s = rho * math.sqrt(2.0 / self._whole)
        target = 1.0 / s**2
        if target >= self._rate(1.0) * self._time(1.0):
            return _too_small(rho)
        x = root(lambda y: self._rate(y) * self._time(y) - target, 0.0, 1.0)
        return (1.0 / (s * self._time(x)) + s * self._spread(x)) / 2.0 / self.best


@dataclass(frozen=True)
class StableDecayLimit(Limit):
    """WSD with a linear cooldown over the last fraction f: h = min(x/f, 1).

    H = x^2/(2f), C = 2x/f inside the cooldown; H = x - f/2, C = 2 + ln(2x/f - 1) before it.
    best = sqrt((2 + ln(2/f - 1)) / (1 - f/2)).

    Attributes:
        cooldown: f, a part of the horizon, above 0 and at most 1.
    """

    cooldown: float

    @property
    def best(self) -> float:
        return math.sqrt(self._spread(1.0) / self._time(1.0))

    def _time(self, x: float) -> float:
        f = self.cooldown
        return x**2 / (2.0 * f) if x < f else x - f / 2.0

    def _spread(self, x: float) -> float:
        f = self.cooldown
        return 2.0 * x / f if x < f else 2.0 + math.log(2.0 * x / f - 1.0)

    def _inflation(self, rho: float) -> float:
        f = self.cooldown
        s = rho / math.sqrt(self._time(1.0) * self._spread(1.0))
        x = (2.0 * f**2 / s**2) ** (1 / 3) if s**2 * f > 2.0 else 1.0 / s**2 + f / 2.0
        x = min(x, 1.0)
        return (1.0 / (s * self._time(x)) + s * self._spread(x)) / 2.0 / self.best


@dataclass(frozen=True)
class ConstantLimit(Limit):
    """h = 1: with n updates to go time = n, spread = l + ln(n), l = 1 + Euler's gamma.

    best = sqrt(L), L = l + ln(T); for rho^2 >= L the best start has n = T L/rho^2 updates to go and

        inflation = rho (1 + L - ln(rho^2/L)) / (2 L),

    for long horizons linear in rho; it holds while n is well above 1.

    Attributes:
        horizon: T, number of updates.
    """

    horizon: float

    @property
    def best(self) -> float:
        return math.sqrt(self._log)

    @property
    def _log(self) -> float:
        return 1.0 + np.euler_gamma + math.log(self.horizon)

    def _inflation(self, rho: float) -> float:
        log = self._log
        if rho**2 <= log:
            return _too_small(rho)
        return rho * (1.0 + log - math.log(rho**2 / log)) / (2.0 * log)


@dataclass(frozen=True)
class InverseSqrtLimit(Limit):
    """Rates t^-1/2: from t = u^2 T on, time = 2 sqrt(T)(1-u), spread sqrt(T) = L + ln(1/u - 1).

    L = 1 + gamma + ln(2T). With z the larger root of z - ln z = L - 1 (Lambert's W) the best start
    has u/(1-u) = rho^2/z, and

        best = (z+1)/sqrt(2z),    inflation = (z/rho + rho (z + 2 - 2 ln rho)) / (2 (z+1)),

    while the updates to go, T (1-u^2), are well above 1.

    Attributes:
        horizon: T, number of updates.
    """

    horizon: float

    @property
    def best(self) -> float:
        return (self._root + 1.0) / math.sqrt(2.0 * self._root)

    @cached_property
    def _root(self) -> float:
        log = 1.0 + np.euler_gamma + math.log(2.0 * self.horizon)
        return -float(np.real(lambertw(-math.exp(1.0 - log), -1)))

    def _inflation(self, rho: float) -> float:
        z = self._root
        return (z / rho + rho * (z + 2.0 - 2.0 * math.log(rho))) / (2.0 * (z + 1.0))


def limit(schedule: Schedule) -> Limit:
    """The closed form for a schedule's shape.

    Arguments:
        schedule: constant, inverse_sqrt, linear, cosine, polynomial or wsd with a linear cooldown,
            without warmup and falling to 0.

    Returns: its `Limit`.
    Raises: InputError for any other.
    Source: docs/robust.md; the exponents are those of arXiv 2503.09411.

    >>> from etastar.schedule import parse_schedule
    >>> limit(parse_schedule("linear:peak=1,horizon=1000")).best
    2.0
    """
    shape, horizon = schedule.shape, schedule.horizon
    falls = schedule.final == 0.0 and schedule.warmup == 0
    if schedule.warmup == 0 and shape.name == "constant":
        return ConstantLimit(horizon)
    if falls and shape.name == "inverse_sqrt":
        return InverseSqrtLimit(horizon)
    if falls and shape.name == "cosine":
        return CosineLimit()
    if falls and shape.name in ("linear", "polynomial"):
        return PolynomialLimit(getattr(shape, "power", 1.0))
    if falls and shape.name == "wsd" and getattr(shape, "decay", "") == "linear":
        start = schedule.breakpoints[-2] if len(schedule.breakpoints) > 2 else 0.0
        return StableDecayLimit(1.0 - start / horizon)
    raise InputError(
        f"schedule {schedule.spec[:80]!r} has no closed form: it must be constant, inverse_sqrt,"
        " linear, cosine, polynomial or wsd with decay=linear, without warmup and with final=0"
    )
