"""The shapes by name: the keys each takes, what it refuses, and the curves it is made of.

To add a shape: write a frozen dataclass here whose fields are its keys, and list it in `SHAPES` and
in `__init__.py`. Spec strings, JSON, scaling, stretching, breakpoints and sums then work by
themselves.
"""

from __future__ import annotations

import math
import sys
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar

from etastar._checks import real, real_between, shown
from etastar._errors import InputError, known_names

from ._curves import (
    CosineDecay,
    ExponentialDecay,
    Flat,
    Knots,
    LinearDecay,
    PowerDecay,
    PowerLawDecay,
    Segment,
    SqrtDecay,
)
from ._shape import Frame, Shape

EPSILON = sys.float_info.epsilon
DECAYS = ("linear", "sqrt", "cosine", "exponential")
# Beyond this a power is a jump at one end, and double precision has nothing left to say about it.
POWER_LIMIT = 1000.0


def _whole_fall(curve: type, frame: Frame, **keys: float) -> list[Segment]:
    """One falling curve from the end of the warmup to the horizon."""
    start, length = float(frame.warmup), float(frame.horizon - frame.warmup)
    if length == 0.0:
        return [Segment(start, 0.0, Flat(frame.peak))]
    fall = curve(rate=frame.peak, final=frame.final, start=start, length=length, **keys)
    return [Segment(start, 0.0, fall)]


def _refuse_final_zero(frame: Frame, what: str) -> None:
    if frame.final == 0.0:
        raise InputError(f"final must be above 0 for {what}, which never reaches 0: add final=0.01")


@dataclass(frozen=True)
class Constant(Shape):
    """The rate of the peak at every update after the warmup: eta(t) = peak.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("constant:peak=0.1,horizon=100,warmup=10")([5, 10, 100])
    array([0.05, 0.1 , 0.1 ])
    """

    name: ClassVar[str] = "constant"
    takes_final: ClassVar[bool] = False

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return [Segment(float(frame.warmup), 0.0, Flat(frame.peak))]


@dataclass(frozen=True)
class Linear(Shape):
    """A straight fall: eta(t) = peak (final + (1 - final)(1 - x)).

    x = (t - warmup)/(horizon - warmup) is the part of the updates after the warmup that is done.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("linear:peak=0.1,horizon=100,final=0.5")([0, 50, 100])
    array([0.1  , 0.075, 0.05 ])
    """

    name: ClassVar[str] = "linear"

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _whole_fall(LinearDecay, frame)


@dataclass(frozen=True)
class Cosine(Shape):
    """Half a cosine: eta(t) = peak (final + (1 - final)(1 + cos(pi x))/2), x as in `Linear`.

    Source: arXiv 1608.03983, one cycle.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("cosine:peak=0.1,horizon=100")([0, 50, 100])
    array([0.1 , 0.05, 0.  ])
    """

    name: ClassVar[str] = "cosine"

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _whole_fall(CosineDecay, frame)


@dataclass(frozen=True)
class Polynomial(Shape):
    """A power of the part that is left: eta(t) = peak (final + (1 - final)(1 - x)^power).

    x is that of `Linear`.

    Attributes:
        power: of 1 - x, above 0 and at most 1000, without a unit.

    Raises: InputError for a power out of range.
    Source: arXiv 2602.04774, with the power 2a - 1.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("polynomial:peak=0.1,horizon=100,power=2")([0, 50, 100])
    array([0.1  , 0.025, 0.   ])
    """

    name: ClassVar[str] = "polynomial"
    power: float

    def __post_init__(self) -> None:
        power = real_between("power", self.power, 0.0, POWER_LIMIT)
        if power == 0.0:
            raise InputError("power must be above 0: at 0 nothing falls, use constant")
        object.__setattr__(self, "power", power)

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _whole_fall(PowerDecay, frame, exponent=self.power)


@dataclass(frozen=True)
class Exponential(Shape):
    """A fall by the same factor at every update: eta(t) = peak final^x, x as in `Linear`.

    Raises: InputError for final = 0, which such a fall never reaches.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("exponential:peak=0.1,horizon=100,final=0.01")([0, 50, 100])
    array([0.1  , 0.01 , 0.001])
    """

    name: ClassVar[str] = "exponential"

    def check(self, frame: Frame) -> None:
        _refuse_final_zero(frame, "exponential")

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _whole_fall(ExponentialDecay, frame)


def _power_law(chi: float, frame: Frame) -> list[Segment]:
    shift = 0.0 if frame.warmup > 0 else 1.0
    unit = float(max(frame.warmup, 1))
    floor = frame.final * frame.peak
    curve = PowerLawDecay(frame.peak, chi, shift, unit, floor)
    segments = [Segment(float(frame.warmup), 0.0, curve)]
    if frame.final > 0.0 and chi > 0.0:
        logarithm = -math.log(frame.final) / chi
        # Compared as logarithms, because for a small chi the crossing itself overflows.
        if math.log(unit) + logarithm <= math.log(frame.horizon + shift):
            crossing = max(unit * math.exp(logarithm) - shift, float(frame.warmup))
            segments.append(Segment(crossing, 0.0, Flat(floor)))
    return segments


@dataclass(frozen=True)
class Power(Shape):
    """A power law of the update: eta(t) = peak max(final, (t'/max(warmup, 1))^-chi).

    t' = t, or t + 1 without warmup, so that the rate starts at the peak. It depends on the horizon
    only in that it ends there.

    Attributes:
        chi: exponent of the fall, from 0 to 1000, without a unit.

    Raises: InputError for an exponent out of range.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("power:peak=0.1,horizon=1000,warmup=10,chi=0.5")([10, 40, 1000])
    array([0.1 , 0.05, 0.01])
    """

    name: ClassVar[str] = "power"
    chi: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "chi", real_between("chi", self.chi, 0.0, POWER_LIMIT))

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _power_law(self.chi, frame)


@dataclass(frozen=True)
class InverseSqrt(Shape):
    """`Power` with chi = 1/2: eta(t) = peak max(final, sqrt(max(warmup, 1)/t')).

    Source: arXiv 1706.03762, section 5.3.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("inverse_sqrt:peak=0.1,horizon=1000,warmup=10")([10, 40, 1000])
    array([0.1 , 0.05, 0.01])
    """

    name: ClassVar[str] = "inverse_sqrt"

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _power_law(0.5, frame)


_COOLDOWN_CURVES = {
    "linear": LinearDecay,
    "sqrt": SqrtDecay,
    "cosine": CosineDecay,
    "exponential": ExponentialDecay,
}


@dataclass(frozen=True)
class WarmupStableDecay(Shape):
    """The peak until horizon - C, then a fall to final * peak over the C steps of the cooldown.

    Formula: eta(t) = peak (final + (1 - final) g(y)), y = (t - (horizon - C))/C, where g is the
    linear 1 - y, the sqrt 1 - sqrt(y), or the cosine (1 + cos(pi y))/2; or the exponential
    eta(t) = peak final^y.

    Attributes:
        cooldown: C in steps from 1 on; below 1, C as a fraction of the horizon. Above 0.
        decay: name of the fall: linear, sqrt, cosine or exponential.

    Raises: InputError for a cooldown that is neither, an unknown decay, a cooldown longer than the
    steps after the warmup, or an exponential fall to final = 0.
    Source: arXiv 2405.18392 (sqrt), arXiv 2404.06395 (exponential).

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("wsd:peak=0.1,horizon=100,cooldown=0.2")([50, 80, 90, 100])
    array([0.1 , 0.1 , 0.05, 0.  ])
    """

    name: ClassVar[str] = "wsd"
    cooldown: float
    decay: str = "linear"

    def __post_init__(self) -> None:
        cooldown = real("cooldown", self.cooldown)
        if cooldown <= 0.0 or (cooldown >= 1.0 and cooldown != math.floor(cooldown)):
            raise InputError(
                "cooldown must be a fraction of the horizon below 1, or a whole number of steps, "
                f"above 0, got {shown(self.cooldown)}"
            )
        if self.decay not in DECAYS:
            raise InputError(
                f"decay {shown(self.decay)} is unknown: {known_names(self.decay, DECAYS)}"
            )
        object.__setattr__(self, "cooldown", cooldown)

    def cooldown_start(self, horizon: int) -> float:
        """The step at which the cooldown starts."""
        steps = self.cooldown if self.cooldown >= 1.0 else self.cooldown * horizon
        start = horizon - steps
        # 0.9 * 35000 is not a whole number in binary; without this a step would shift by one.
        nearest = float(round(start))
        return nearest if abs(start - nearest) <= 4 * EPSILON * horizon else start

    def check(self, frame: Frame) -> None:
        if self.cooldown_start(frame.horizon) < frame.warmup:
            raise InputError(
                f"cooldown {self.cooldown:g} is longer than the {frame.horizon - frame.warmup} "
                f"steps between warmup {frame.warmup} and horizon {frame.horizon}: shorten one"
            )
        if self.decay == "exponential":
            _refuse_final_zero(frame, "decay=exponential")

    def after_warmup(self, frame: Frame) -> list[Segment]:
        start = self.cooldown_start(frame.horizon)
        # The length is recomputed from the rounded start, so that the end value is met exactly.
        length = frame.horizon - start
        stable = Segment(float(frame.warmup), 0.0, Flat(frame.peak))
        if length <= 0.0:  # a cooldown below the resolution of a step at this horizon
            return [stable]
        fall = _COOLDOWN_CURVES[self.decay](
            rate=frame.peak, final=frame.final, start=start, length=length
        )
        return [stable, Segment(start, 0.0, fall)]


@dataclass(frozen=True)
class Step(Shape):
    """One drop: eta(t) = peak before step `at`, peak * factor from it on.

    Attributes:
        at: step of the drop, from the end of the warmup to the horizon.
        factor: learning rate after the drop over that before it, from 0 to 1.

    Raises: InputError for a step or a factor out of range.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("step:peak=0.1,horizon=100,at=60,factor=0.5")([59, 60])
    array([0.1 , 0.05])
    """

    name: ClassVar[str] = "step"
    takes_final: ClassVar[bool] = False
    at: float
    factor: float

    def __post_init__(self) -> None:
        at = real("at", self.at)
        if at < 0.0:
            raise InputError(f"at must not be negative, got {shown(self.at)}")
        object.__setattr__(self, "at", at)
        object.__setattr__(self, "factor", real_between("factor", self.factor, 0.0, 1.0))

    def stretched(self, frame: Frame, horizon: int) -> Shape:
        return Step(min(self.at * (horizon / frame.horizon), float(horizon)), self.factor)

    def check(self, frame: Frame) -> None:
        if not frame.warmup <= self.at <= frame.horizon:
            raise InputError(
                f"at must lie between warmup {frame.warmup} and horizon {frame.horizon}, "
                f"got {self.at:g}"
            )

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return [
            Segment(float(frame.warmup), 0.0, Flat(frame.peak)),
            Segment(self.at, 0.0, Flat(frame.peak * self.factor)),
        ]


@dataclass(frozen=True)
class Table(Shape):
    """Straight lines between knots, held flat before the first and after the last.

    Formula: that of `Knots`. A warmup rises from 0 to the rate that the table has where it ends.

    Attributes:
        knots: pairs (step, learning rate), the steps rising, none below 0, one rate above 0.

    Raises: InputError for knots that are none of this, or lie beyond the horizon.

    >>> from etastar.schedule import table
    >>> table([0, 10, 100], [0.0, 0.2, 0.1]).shape
    Table(knots=((0.0, 0.0), (10.0, 0.2), (100.0, 0.1)))
    """

    name: ClassVar[str] = "table"
    takes_final: ClassVar[bool] = False
    knots: tuple[tuple[float, float], ...]

    def __post_init__(self) -> None:
        knots = _checked_knots(self.knots)
        if not knots:
            raise InputError("knots are empty: a table needs at least one (step, lr)")
        for (before, _), (after, _) in pairwise(knots):
            if after <= before:
                raise InputError(
                    f"knots must go up in step, got step {after!r} after {before!r}: sort them "
                    "and keep one of each step"
                )
        if max(rate for _, rate in knots) == 0.0:
            raise InputError("knots have lr 0 everywhere: at least one must be above 0")
        object.__setattr__(self, "knots", knots)

    @property
    def own_peak(self) -> float:
        return max(rate for _, rate in self.knots)

    @property
    def own_horizon(self) -> int:
        return max(math.ceil(self.knots[-1][0]), 1)

    @property
    def own_rise(self) -> int:
        for (step, rate), (_, after) in pairwise(self.knots):
            if after <= rate:
                return math.ceil(step) if rate > self.knots[0][1] else 0
        return 0

    def rescaled(self, peak: float) -> Shape:
        highest = self.own_peak
        return Table(tuple((step, peak * (rate / highest)) for step, rate in self.knots))

    def stretched(self, frame: Frame, horizon: int) -> Shape:
        ratio, end = horizon / frame.horizon, float(horizon)
        return Table(tuple((min(step * ratio, end), rate) for step, rate in self.knots))

    def check(self, frame: Frame) -> None:
        last = self.knots[-1][0]
        if last > frame.horizon:
            raise InputError(
                f"horizon {frame.horizon} is before the last of the knots, at step {last!r}: "
                "raise the horizon or drop the knots beyond it"
            )

    def after_warmup(self, frame: Frame) -> list[Segment]:
        steps, rates = zip(*self.knots, strict=True)
        return [Segment(float(frame.warmup), 0.0, Knots(steps, rates))]


def _checked_knots(knots: object) -> tuple[tuple[float, float], ...]:
    """Knots as pairs of finite floats, none negative."""
    checked = []
    try:
        pairs = [(step, rate) for step, rate in knots]  # pyright: ignore[reportGeneralTypeIssues]
    except (TypeError, ValueError):
        raise InputError(f"knots must be pairs of step and lr, got {shown(knots)}") from None
    for step, rate in pairs:
        pair = (real("step of a knot", step), real(f"lr of the knot at step {step}", rate))
        if min(pair) < 0.0:
            raise InputError(f"knots must not be negative, got step {step!r} with lr {rate!r}")
        checked.append(pair)
    return tuple(checked)


SHAPES: dict[str, type[Shape]] = {
    shape.name: shape
    for shape in (
        Constant,
        Linear,
        Cosine,
        Polynomial,
        Power,
        InverseSqrt,
        Exponential,
        WarmupStableDecay,
        Step,
        Table,
    )
}
