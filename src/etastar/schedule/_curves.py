"""The few curves every schedule is made of: a value at a step, and sums of values over steps.

Each `value` takes a float or an array and uses the same numpy functions for both, so that scalar
and array calls agree to the last bit (`math.pow` and `numpy.power` do not always).
"""

from __future__ import annotations

import math
from abc import ABC, abstractmethod
from bisect import bisect_right
from dataclasses import dataclass, field
from typing import Any

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
    return np.power(base, exponent)


class Curve(ABC):
    """A learning rate as a function of the step, smooth except at `kinks`."""

    @abstractmethod
    def value(self, step: Any) -> Any:
        """The learning rate at a step, a float or an array."""

    @abstractmethod
    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of the values at first, first + 1, ..., first + count - 1."""

    def kinks(self) -> tuple[float, ...]:
        """Steps inside the curve where its value or slope jumps."""
        return ()


@dataclass(frozen=True)
class Flat(Curve):
    """The same rate at every step."""

    rate: float

    def value(self, step: Any) -> Any:
        return self.rate if isinstance(step, float) else np.full(step.shape, self.rate)

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return self.rate * count


@dataclass(frozen=True)
class Ramp(Curve):
    """Warmup: rate * step / length, from 0 at step 0."""

    rate: float
    length: float

    def value(self, step: Any) -> Any:
        return self.rate * step / self.length

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return count * ((first + (count - 1.0) / 2) * (self.rate / self.length))


@dataclass(frozen=True)
class Decay(Curve):
    """rate * (final + (1 - final) g(x)), x = (t - start)/length: from rate to final * rate.

    Subclasses give g, which falls from 1 at x = 0 to 0 at x = 1, and its sums.
    """

    rate: float
    final: float
    start: float
    length: float

    @abstractmethod
    def fraction(self, progress: Any) -> Any:
        """g(x), the part of the fall still to come."""

    @abstractmethod
    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        """Sum of g((offset + j) / length) for j = 0..count-1."""

    def value(self, step: Any) -> Any:
        fraction = self.fraction((step - self.start) / self.length)
        return self.rate * (self.final + (1.0 - self.final) * fraction)

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        fractions = self.fraction_total(first - self.start, count)
        return self.rate * (self.final * count + (1.0 - self.final) * fractions)


class LinearDecay(Decay):
    """g(x) = 1 - x."""

    def fraction(self, progress: Any) -> Any:
        return 1.0 - progress

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return count * ((self.length - offset - (count - 1.0) / 2) / self.length)


class CosineDecay(Decay):
    """g(x) = (1 + cos(pi x)) / 2."""

    def fraction(self, progress: Any) -> Any:
        return 0.5 * (1.0 + np.cos(math.pi * progress))

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        # Dirichlet kernel: a sum of equally spaced cosines.
        half = math.pi / self.length / 2
        middle = (2.0 * offset + count - 1.0) * half
        return 0.5 * (count + np.sin(count * half) / math.sin(half) * np.cos(middle))


@dataclass(frozen=True)
class PowerDecay(Decay):
    """g(x) = (1 - x)^exponent."""

    exponent: float

    def fraction(self, progress: Any) -> Any:
        return power(1.0 - progress, self.exponent)

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return falling_power_sum(self.length - offset, count, self.exponent, self.length)


class SqrtDecay(Decay):
    """g(x) = 1 - sqrt(x)."""

    def fraction(self, progress: Any) -> Any:
        return 1.0 - np.sqrt(progress)

    def fraction_total(self, offset: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        return count - rising_power_sum(offset, count, 0.5, self.length)


@dataclass(frozen=True)
class ExponentialDecay(Curve):
    """rate * final^x, x = (t - start) / length; `final` above 0."""

    rate: float
    final: float
    start: float
    length: float

    def value(self, step: Any) -> Any:
        return self.rate * power_of(self.final, (step - self.start) / self.length)

    def total(self, first: float, count: NDArray[np.float64]) -> NDArray[np.float64]:
        slope = math.log(self.final) / self.length
        if slope == 0.0:
            return self.rate * count
        geometric = np.expm1(slope * count) / math.expm1(slope)
        return self.rate * math.exp(slope * (first - self.start)) * geometric


def power_of(base: float, exponent: Any) -> Any:
    """`base ** exponent` for a varying exponent, by one function for floats and arrays."""
    return np.power(base, exponent)


@dataclass(frozen=True)
class PowerLawDecay(Curve):
    """rate * ((t + shift) / unit)^-chi, never below `floor`."""

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
    """Linear interpolation between knots, held flat before the first and after the last."""

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
