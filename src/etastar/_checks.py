"""Checks of single values, each naming the parameter it refuses."""

from __future__ import annotations

import math
import numbers

from etastar._errors import InputError

# Steps are float64 inside, which holds integers exactly up to 2^53 (about 9e15).
HORIZON_LIMIT = 10**15
PEAK_LIMIT = 1e100


def shown(value: object) -> str:
    """Quote a value, cut where a long one would hide the message around it."""
    text = repr(value)
    return text if len(text) <= 80 else f"{text[:77]}..."


def real(name: str, value: object) -> float:
    """Return `value` as a finite float, or refuse it by name; text and booleans are refused."""
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{name} must be a number, got {shown(value)}")
    try:
        number = float(value)
    except OverflowError:
        number = math.inf
    if not math.isfinite(number):
        raise InputError(f"{name} must be a finite number, got {shown(value)}")
    # Adding zero turns -0.0 into 0.0, so that equal schedules also print equal.
    return number + 0.0


def real_between(name: str, value: object, low: float, high: float) -> float:
    """Return `value` as a float in [low, high]."""
    number = real(name, value)
    if not low <= number <= high:
        raise InputError(f"{name} must be from {low:g} to {high:g}, got {shown(value)}")
    return number


def whole(name: str, value: object) -> int:
    """Return `value` as an int of at least 0; 1e4 is a whole number, 0.5 is not."""
    number = real(name, value)
    if number != math.floor(number):
        raise InputError(f"{name} must be a whole number of steps, got {shown(value)}")
    if number < 0:
        raise InputError(f"{name} must not be negative, got {shown(value)}")
    return int(number)


def peak_rate(value: object, name: str = "peak") -> float:
    """Return a peak learning rate, a positive float."""
    number = real(name, value)
    if number <= 0:
        raise InputError(f"{name} must be a learning rate above 0, got {shown(value)}")
    # Sums over 1e15 steps must stay finite.
    if number > PEAK_LIMIT:
        raise InputError(f"{name} must be a learning rate below 1e100, got {shown(value)}")
    return number


def step_horizon(value: object, name: str = "horizon") -> int:
    """Return a horizon: a whole number of steps from 1 to below 1e15."""
    steps = whole(name, value)
    if steps < 1:
        raise InputError(f"{name} must be at least 1 step, got {shown(value)}")
    if steps >= HORIZON_LIMIT:
        raise InputError(
            f"{name} must be below 1e15 steps, got {shown(value)}: count updates, not tokens"
        )
    return steps
