"""Checks of single values, each naming the parameter it refuses."""

from __future__ import annotations

import math
import numbers

from etastar._errors import InputError


def _number(name: str, value: object) -> float:
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{name} must be a number, got {str(value)[:80]!r}")
    return float(value)


def positive(name: str, value: object, *, infinite: bool = False) -> float:
    """Return a number above 0, finite unless `infinite` is allowed."""
    number = _number(name, value)
    if not (number > 0 and (infinite or math.isfinite(number))):
        raise InputError(f"{name} must be above 0 and finite, got {value!r}")
    return number


def at_least(
    name: str, value: object, least: float, *, strict: bool = False, hint: str = ""
) -> float:
    """Return a finite number not below `least` (or, where strict, above it)."""
    number = _number(name, value)
    if not (math.isfinite(number) and (number > least if strict else number >= least)):
        rule = "above" if strict else "at least"
        reason = f": at {value!r} {hint}" if hint and number <= least else f", got {value!r}"
        raise InputError(f"{name} must be finite and {rule} {least:g}{reason}")
    return number


def whole(name: str, value: object, least: int) -> int:
    """Return a whole number not below `least`."""
    number = at_least(name, value, least)
    if number != math.floor(number):
        raise InputError(f"{name} must be a whole number, got {value!r}")
    return int(number)
