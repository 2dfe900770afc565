"""The shapes by name: the keys each takes, what it refuses, and the curves it is made of.

To add a shape: write a frozen dataclass here whose fields are its keys, and list it in `SHAPES`.
Spec strings, JSON, scaling, stretching, breakpoints and sums then work by themselves.
"""

from __future__ import annotations

import math
import sys
from abc import ABC, abstractmethod
from dataclasses import dataclass
from itertools import pairwise
from typing import ClassVar, NamedTuple

from etastar._checks import real, real_between, shown
from etastar._errors import InputError, known_names

from ._curves import (
    CosineDecay,
    Curve,
    ExponentialDecay,
    Flat,
    Knots,
    LinearDecay,
    PowerDecay,
    PowerLawDecay,
    Ramp,
    SqrtDecay,
)

EPSILON = sys.float_info.epsilon
COOLDOWNS = ("linear", "sqrt", "cosine", "exponential")
# Beyond this a power is a jump at one end, and double precision has nothing left to say about it.
POWER_LIMIT = 1000.0


class Frame(NamedTuple):
    """The keys all shapes share."""

    peak: float
    horizon: int
    warmup: int
    final: float


class Segment(NamedTuple):
    """A curve in force from step `start` on; it is evaluated at step - origin."""

    start: float
    origin: float
    curve: Curve


class Shape(ABC):
    """What a schedule does after its warmup."""

    name: ClassVar[str]
    # Whether the user chooses `final`; otherwise the shape itself says where it ends.
    takes_final: ClassVar[bool] = True

    @property
    def own_peak(self) -> float | None:
        """The highest rate of a shape that holds rates itself; None for a shape that does not."""
        return None

    @property
    def own_horizon(self) -> int | None:
        """The number of steps a shape covers by itself; None for a shape that fits any."""
        return None

    @property
    def own_warmup(self) -> int | None:
        """The warmup of a shape that brings its own; None for a shape that takes any."""
        return None

    @property
    def own_rise(self) -> int:
        """Steps of the rising part that a shape begins with by itself."""
        return 0

    def rescaled(self, peak: float) -> Shape:
        """The same shape with the rates it holds itself brought to another peak."""
        return self

    def stretched(self, frame: Frame, horizon: int) -> Shape:
        """The same shape for another horizon."""
        return self

    def check(self, frame: Frame) -> None:  # noqa: B027 (most shapes have nothing to refuse)
        """Raise InputError where the shape's keys do not go with the common ones."""

    @abstractmethod
    def after_warmup(self, frame: Frame) -> list[Segment]:
        """The segments from step `warmup` on, the first of them in force at `warmup`."""

    def segments(self, frame: Frame) -> list[Segment]:
        """All segments, warmup first."""
        after = self.after_warmup(frame)
        if frame.warmup == 0:
            return after
        first = after[0]
        top = float(first.curve.value(frame.warmup - first.origin))
        return [Segment(0.0, 0.0, Ramp(top, float(frame.warmup))), *after]


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
    """eta = peak."""

    name: ClassVar[str] = "constant"
    takes_final: ClassVar[bool] = False

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return [Segment(float(frame.warmup), 0.0, Flat(frame.peak))]


@dataclass(frozen=True)
class Linear(Shape):
    """eta = peak (final + (1 - final)(1 - x)), x = (t - warmup)/(horizon - warmup)."""

    name: ClassVar[str] = "linear"

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _whole_fall(LinearDecay, frame)


@dataclass(frozen=True)
class Cosine(Shape):
    """eta = peak (final + (1 - final)(1 + cos(pi x))/2) (arXiv 1608.03983, one cycle)."""

    name: ClassVar[str] = "cosine"

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _whole_fall(CosineDecay, frame)


@dataclass(frozen=True)
class Polynomial(Shape):
    """eta = peak (final + (1 - final)(1 - x)^power) (arXiv 2602.04774, power 2a - 1)."""

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
    """eta = peak final^x."""

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
    """eta = peak max(final, (t'/max(warmup, 1))^-chi); t' = t, or t + 1 without warmup."""

    name: ClassVar[str] = "power"
    chi: float

    def __post_init__(self) -> None:
        object.__setattr__(self, "chi", real_between("chi", self.chi, 0.0, POWER_LIMIT))

    def after_warmup(self, frame: Frame) -> list[Segment]:
        return _power_law(self.chi, frame)


@dataclass(frozen=True)
class InverseSqrt(Shape):
    """`Power` with chi = 1/2 (arXiv 1706.03762, section 5.3)."""

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
    """eta = peak until horizon - C, then a fall to final * peak over the C steps of the cooldown.

    C is `cooldown` steps, or `cooldown * horizon` where cooldown < 1; with
    y = (t - (horizon - C))/C the fall is linear (1 - y), sqrt (1 - sqrt(y), arXiv 2405.18392),
    cosine, or exponential final^y (arXiv 2404.06395).
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
        if self.decay not in COOLDOWNS:
            raise InputError(
                f"decay {shown(self.decay)} is unknown: {known_names(self.decay, COOLDOWNS)}"
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
    """eta = peak before step `at`, peak * factor from it on."""

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
    """Linear interpolation between knots (step, rate), held flat outside them."""

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
