"""The few curves every schedule is made of: a value at a step, and sums of values over steps.

`Segment` says where in a schedule a curve is in force. Each `value` takes a float or an array and
uses the same numpy functions for both, so that scalar and array calls agree to the last bit
(`math.pow` and `numpy.power` do not always).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from ._sums import falling_power_sum, rising_power_sum


def power(base: Any, exponent: float) -> Any:
    """`base ** exponent`, the common exponents by their exact operation."""
    if exponent == 1.0:
        return base
    if exponent == 2.0:
        return base * base
    if exponent == 0.5:
        return np.sqrt(base)
    if exponent == -0.5:
        return 1.0 / np.sqrt(base)
    if exponent == -1.0:
        return 1.0 / base
    return powers(base, exponent)


def powers(base: Any, exponent: Any) -> Any:
    """`base ** exponent` of floats or arrays, to the same last bit.

    Where numpy is handed one exponent such as 1/2 it may take the root, and in an array the power,
    which may differ in the last bit: here it is always handed several.
    """
    if isinstance(base, float) and isinstance(exponent, float):
        return float(np.power(np.array((base, 1.0, 1.0)), np.array((exponent, 1.0, 1.0)))[0])
    shape = np.broadcast_shapes(np.shape(base), np.shape(exponent))
    both = (np.append(np.broadcast_to(each, shape), [1.0, 1.0]) for each in (base, exponent))
    values = np.power(*both)[:-2]
    return values.reshape(shape)


class Curve(ABC):
    """A learning rate as a function of the step, smooth except at its `kinks`.

    A schedule is a few curves one after another: see `Segment`, which also says from which step of
    the schedule a curve counts its own steps. Rates are in the user's own units.

    >>> from etastar.schedule import Curve, parse_schedule
    >>> segments = parse_schedule("step:peak=0.1,horizon=100,at=50,factor=0.5").segments
    >>> all(isinstance(segment.curve, Curve) for segment in segments)
    True
    """

    @abstractmethod
    def value(self, step: Any) -> Any:
        """The learning rate at a step: a float gives a float, an array an array of its shape."""

    @abstractmethod
    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the values at the steps first, first + 1, ..., first + count - 1.

        `count` is an array of whole numbers of steps; one sum for each, in units of the rate times
        steps.
        """

    def kinks(self) -> tuple[float, ...]:
        """Steps inside the curve where its value or slope jumps."""
        return ()


@dataclass(frozen=True)
class Flat(Curve):
    """eta(t) = rate, the same at every step.

    Attributes:
        rate: learning rate.

    >>> from etastar.schedule import Flat
    >>> Flat(0.1).value(7.0)
    0.1
    """

    rate: float

    def value(self, step: Any) -> Any:
        return self.rate if isinstance(step, float) else np.full(step.shape, self.rate)

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.rate * count


@dataclass(frozen=True)
class Ramp(Curve):
    """The warmup: eta(t) = rate t / length, from 0 at step 0.

    Attributes:
        rate: learning rate at step `length`.
        length: number of steps until it is reached, above 0.

    >>> from etastar.schedule import Ramp
    >>> Ramp(rate=0.1, length=10.0).value(5.0)
    0.05
    """

    rate: float
    length: float

    def value(self, step: Any) -> Any:
        return self.rate * step / self.length

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return count * ((first + (count - 1.0) / 2) * (self.rate / self.length))


@dataclass(frozen=True)
class Decay(Curve):
    """A fall to a part of the rate: eta(t) = rate (final + (1 - final) g(x)).

    Here x = (t - start) / length is the part of the fall that is done; each subclass has its own g,
    which falls from 1 at x = 0 to 0 at x = 1.

    Attributes:
        rate: learning rate at step `start`.
        final: rate at the end of the fall over `rate`, from 0 to 1.
        start: step at which the fall starts.
        length: number of steps that it takes, above 0.

    >>> from etastar.schedule import Decay, LinearDecay
    >>> issubclass(LinearDecay, Decay)
    True
    """

    rate: float
    final: float
    start: float
    length: float

    @abstractmethod
    def fraction(self, progress: Any) -> Any:
        """g(x), the part of the fall still to come; `progress` x, a float or an array in [0, 1]."""

    @abstractmethod
    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of g((offset + j) / length) over j = 0, ..., count - 1."""

    def value(self, step: Any) -> Any:
        fraction = self.fraction((step - self.start) / self.length)
        return self.rate * (self.final + (1.0 - self.final) * fraction)

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        fractions = self.fraction_total(first - self.start, count)
        return self.rate * (self.final * count + (1.0 - self.final) * fractions)


class LinearDecay(Decay):
    """A `Decay` with g(x) = 1 - x.

    >>> from etastar.schedule import LinearDecay
    >>> LinearDecay(rate=0.2, final=0.5, start=0.0, length=100.0).value(50.0)
    0.15000000000000002
    """

    def fraction(self, progress: Any) -> Any:
        return 1.0 - progress

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return count * ((self.length - offset - (count - 1.0) / 2) / self.length)


class CosineDecay(Decay):
    """A `Decay` with g(x) = (1 + cos(pi x)) / 2.

    >>> from etastar.schedule import CosineDecay
    >>> fall = CosineDecay(rate=0.2, final=0.0, start=0.0, length=90.0)
    >>> round(float(fall.value(30.0)), 12)
    0.15
    """

    def fraction(self, progress: Any) -> Any:
        return 0.5 * (1.0 + np.cos(math.pi * progress))

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        # Dirichlet kernel: a sum of equally spaced cosines.
        half = math.pi / self.length / 2
        middle = (2.0 * offset + count - 1.0) * half
        return 0.5 * (count + np.sin(count * half) / math.sin(half) * np.cos(middle))


@dataclass(frozen=True)
class PowerDecay(Decay):
    """A `Decay` with g(x) = (1 - x)^exponent.

    Attributes:
        exponent: of the part of the steps that is left, above 0, without a unit.

    >>> from etastar.schedule import PowerDecay
    >>> PowerDecay(rate=0.2, final=0.0, start=0.0, length=100.0, exponent=2.0).value(50.0)
    0.05
    """

    exponent: float

    def fraction(self, progress: Any) -> Any:
        return power(1.0 - progress, self.exponent)

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return falling_power_sum(self.length - offset, count, self.exponent, self.length)


class SqrtDecay(Decay):
    """A `Decay` with g(x) = 1 - sqrt(x).

    >>> from etastar.schedule import SqrtDecay
    >>> float(SqrtDecay(rate=0.2, final=0.0, start=0.0, length=100.0).value(25.0))
    0.1
    """

    def fraction(self, progress: Any) -> Any:
        return 1.0 - np.sqrt(progress)

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return count - rising_power_sum(offset, count, 0.5, self.length)


@dataclass(frozen=True)
class ExponentialDecay(Curve):
    """A fall by the same factor at every step: eta(t) = rate final^x, x = (t - start) / length.

    Attributes:
        rate: learning rate at step `start`.
        final: rate at the end of the fall over `rate`, above 0 and at most 1.
        start: step at which the fall starts.
        length: number of steps that it takes, above 0.

    >>> from etastar.schedule import ExponentialDecay
    >>> fall = ExponentialDecay(rate=0.2, final=0.25, start=0.0, length=100.0)
    >>> float(fall.value(50.0))
    0.1
    """

    rate: float
    final: float
    start: float
    length: float

    def value(self, step: Any) -> Any:
        return self.rate * powers(self.final, (step - self.start) / self.length)

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        slope = math.log(self.final) / self.length
        if slope == 0.0:
            return self.rate * count
        geometric = np.expm1(slope * count) / math.expm1(slope)
        return self.rate * math.exp(slope * (first - self.start)) * geometric


@dataclass(frozen=True)
class PowerLawDecay(Curve):
    """A fall without an end: eta(t) = max(floor, rate ((t + shift) / unit)^-chi).

    A schedule goes over to a `Flat` curve where the floor is met, so that `total` need not know it.

    Attributes:
        rate: learning rate where t + shift = unit.
        chi: exponent of the fall, at least 0, without a unit.
        shift: steps added to t before the power is taken: 1 where the schedule has no warmup, so
            that it starts at a finite rate, and else 0.
        unit: number of steps in which t + shift is measured: the warmup, or 1 without one.
        floor: lowest learning rate, at least 0.

    >>> from etastar.schedule import PowerLawDecay
    >>> fall = PowerLawDecay(rate=0.2, chi=0.5, shift=0.0, unit=10.0, floor=0.01)
    >>> float(fall.value(40.0))
    0.1
    """

    rate: float
    chi: float
    shift: float
    unit: float
    floor: float

    def value(self, step: Any) -> Any:
        return np.maximum(self.rate * power((step + self.shift) / self.unit, -self.chi), self.floor)

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.rate * rising_power_sum(first + self.shift, count, -self.chi, self.unit)


@dataclass(frozen=True)
class Knots(Curve):
    """Straight lines between knots, held flat before the first and after the last.

    Formula: eta(t) = (1 - w) rates[i] + w rates[i + 1] between steps[i] and steps[i + 1], with
    w = (t - steps[i]) / (steps[i + 1] - steps[i]).

    Attributes:
        steps: steps of the knots, (n,), rising, n at least 1.
        rates: learning rates at them, (n,).

    >>> from etastar.schedule import Knots
    >>> Knots(steps=(0.0, 10.0), rates=(0.1, 0.3)).value(5.0)
    0.2
    """

    steps: tuple[float, ...]
    rates: tuple[float, ...]
    _steps: NDArray[np.float64] = field(init=False, repr=False, compare=False)
    _rates: NDArray[np.float64] = field(init=False, repr=False, compare=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "_steps", np.array(self.steps, dtype=np.float64))
        object.__setattr__(self, "_rates", np.array(self.rates, dtype=np.float64))

    def value(self, step: Any) -> Any:
        if isinstance(step, float):
            last = len(self.steps) - 1
            index = bisect_right(self.steps, step) - 1
            if index < 0 or index >= last:
                return self.rates[0] if index < 0 else self.rates[last]
            return self._between(step, index, self.steps, self.rates)
        index = np.searchsorted(self._steps, step, side="right") - 1
        inside = np.clip(index, 0, max(len(self.steps) - 2, 0))
        if len(self.steps) == 1:
            return np.full(step.shape, self.rates[0])
        # Clipping first keeps far steps from overflowing in a value that is not used.
        held = np.clip(step, self.steps[0], self.steps[-1])
        between = self._between(held, inside, self._steps, self._rates)
        after = np.where(index >= len(self.steps) - 1, self.rates[-1], between)
        return np.where(index < 0, self.rates[0], after)

    @staticmethod
    def _between(step: Any, index: Any, steps: Any, rates: Any) -> Any:
        weight = (step - steps[index]) / (steps[index + 1] - steps[index])
        return rates[index] * (1.0 - weight) + rates[index + 1] * weight

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        # Interval i holds the whole steps from firsts[i] up to firsts[i + 1]: an arithmetic series.
        # Starting at `first`, not at 0, leaves nothing to subtract and so no digits to lose.
        firsts = np.maximum(np.concatenate(([0.0], np.ceil(self._steps))), first)
        intervals = np.arange(len(self.steps))
        sums = self._series(intervals, firsts[:-1], np.diff(firsts))
        before = np.concatenate(([0.0], np.cumsum(sums, dtype=np.longdouble))).astype(np.float64)
        stop = first + count
        at = np.searchsorted(firsts, stop, side="right") - 1
        return before[at] + self._series(at, firsts[at], stop - firsts[at])

    def _series(self, interval: Any, first: Any, count: Any) -> NDArray[np.float64]:
        """Sum of `count` values from `first` on interval 0 (before the knots) to n (after them)."""
        middle = first + (count - 1.0) / 2
        last = len(self.steps) - 1
        left = np.clip(interval - 1, 0, max(last - 1, 0))
        flat = np.where(interval == 0, self._rates[0], self._rates[last])
        if last == 0:
            return count * flat
        between = self._between(middle, left, self._steps, self._rates)
        return count * np.where((interval == 0) | (interval > last), flat, between)

    def kinks(self) -> tuple[float, ...]:
        return self.steps


class Segment(NamedTuple):
    """A curve of a schedule, and where in the schedule it is in force.

    Formula: eta(t) = curve.value(t - origin) from step `start` of the schedule until the `start`
    of the next segment, and of the last one until the horizon.

    Attributes:
        start: step of the schedule from which on the curve is in force, not always whole.
        origin: step of the schedule at which the curve counts 0: of a joined piece where it starts,
            else 0.
        curve: learning rate as a function of t - origin.

    >>> from etastar.schedule import parse_schedule
    >>> for segment in parse_schedule("linear:peak=0.1,horizon=50,warmup=10").segments:
    ...     print(segment.start, segment.origin, segment.curve)
    0.0 0.0 Ramp(rate=0.1, length=10.0)
    10.0 0.0 LinearDecay(rate=0.1, final=0.0, start=10.0, length=40.0)
    """

    start: float
    origin: float
    curve: Curve
