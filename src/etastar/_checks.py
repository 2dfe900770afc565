"""Checks of single values: each returns the value, or refuses it with an error that names it.

A number is whatever Python, NumPy, PyTorch or JAX hold as one real number, also as an array without
dimensions. Text and booleans are no numbers.
"""

from __future__ import annotations

import math
import numbers
from collections.abc import Collection
from typing import Any, TypeVar

import numpy as np
from numpy.typing import ArrayLike, NDArray

from etastar._errors import InputError

# Steps are float64 inside, which holds integers exactly up to 2^53 (about 9e15).
HORIZON_LIMIT = 10**15
PEAK_LIMIT = 1e100

T = TypeVar("T")


def shown(value: object) -> str:
    """Quote a value, cut where a long one would hide the message around it.

    >>> shown("cosine"), len(shown("x" * 1000))
    ("'cosine'", 80)
    """
    try:
        text = repr(value)
    except ValueError:  # an integer of more digits than Python writes
        return f"an integer of {value.bit_length()} bits" if isinstance(value, int) else "a number"
    return text if len(text) <= 80 else f"{text[:77]}..."


def _advice(hint: str) -> str:
    return f": {hint}" if hint else ""


def _number(name: str, value: Any) -> float:
    """A float, perhaps infinite or NaN."""
    if getattr(value, "shape", None) == () and hasattr(value, "item"):
        value = value.item()
    if isinstance(value, bool) or not isinstance(value, numbers.Real):
        raise InputError(f"{name} must be a number, got {shown(value)}")
    try:
        # Adding zero turns -0.0 into 0.0, so that equal schedules also print equal.
        return float(value) + 0.0
    except OverflowError:
        return math.inf


SUFFIXES = {"k": 1e3, "K": 1e3, "M": 1e6, "B": 1e9, "T": 1e12}


def number_in(text: str) -> float:
    """The number that a text holds, which may end in k (1e3), M (1e6), B (1e9) or T (1e12).

    Raises: ValueError, as `float` does, for anything else.

    >>> number_in("16k"), number_in("1.5e9"), number_in("20 B"), number_in("40_000")
    (16000.0, 1500000000.0, 20000000000.0, 40000.0)
    """
    plain = text.strip()
    factor = SUFFIXES.get(plain[-1:])
    if factor is None:
        return float(plain)
    # In decimals, so that 4.35M is 4,350,000 and no rounding of it.
    digits = float(plain[:-1].rstrip())
    exact = digits * factor
    return float(round(exact)) if abs(exact - round(exact)) < 1e-6 else exact


def positive_of(name: str, text: str) -> float:
    """A number above 0 from text that a user enters, such as 64, 1e9 or 20B.

    Raises: InputError naming what the text was for.

    >>> positive_of("--samples", "1e9"), positive_of("--samples", "20B")
    (1000000000.0, 20000000000.0)
    """
    try:
        number = number_in(text)
    except ValueError:
        number = math.nan
    if not 0 < number < 1e15:
        raise InputError(
            f"{name} {text[:80]!r} must be a number above 0 and below 1e15, such as 64, 40k or 20B"
            " (k, M, B and T are known endings)"
        )
    return number


def real(name: str, value: object) -> float:
    """Return a finite number.

    >>> real("peak", 1)
    1.0
    >>> try:
    ...     real("peak", "1e-3")
    ... except InputError as error:
    ...     print(error)
    peak must be a number, got '1e-3'
    """
    number = _number(name, value)
    if not math.isfinite(number):
        raise InputError(f"{name} must be a finite number, got {shown(value)}")
    return number


def real_between(name: str, value: object, low: float, high: float) -> float:
    """Return a number from `low` to `high`, both allowed.

    >>> real_between("final", 1, 0.0, 1.0)
    1.0
    """
    number = real(name, value)
    if not low <= number <= high:
        raise InputError(f"{name} must be from {low:g} to {high:g}, got {shown(value)}")
    return number


def part(name: str, value: object) -> float:
    """Return a part of a whole, a number from 0 to below 1.

    >>> part("transient", 0.05)
    0.05
    >>> try:
    ...     part("transient", 5)
    ... except InputError as error:
    ...     print(error)
    transient must be a part from 0 to below 1, got 5: 0.05 is 5%
    """
    number = real(name, value)
    if not 0 <= number < 1:
        raise InputError(f"{name} must be a part from 0 to below 1, got {shown(value)}: 0.05 is 5%")
    return number


def at_least(name: str, value: object, least: float, *, infinite: bool = False) -> float:
    """Return a number that is not below `least`, finite unless `infinite` is allowed.

    >>> at_least("noise", 0, 0.0), at_least("batch_size", math.inf, 1.0, infinite=True)
    (0.0, inf)
    """
    number = _number(name, value) if infinite else real(name, value)
    if not number >= least:
        raise InputError(f"{name} must be at least {least:g}, got {shown(value)}")
    return number


def above(name: str, value: object, low: float, *, infinite: bool = False, hint: str = "") -> float:
    """Return a number above `low`, finite unless `infinite` is allowed.

    `hint` says why, or how to fix one that is not above.

    >>> try:
    ...     above("capacity", 1.0, 1.0, hint="at 1 the trace is infinite")
    ... except InputError as error:
    ...     print(error)
    capacity must be above 1, got 1.0: at 1 the trace is infinite
    """
    number = _number(name, value) if infinite else real(name, value)
    if not number > low:
        raise InputError(f"{name} must be above {low:g}, got {shown(value)}{_advice(hint)}")
    return number


def positives(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return an array of finite numbers above 0, of the shape of `values`.

    >>> positives("rho", [1, 2])
    array([1., 2.])
    """
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be numbers, got {shown(values)}") from None
    good = np.isfinite(array) & (array > 0)
    if not np.all(good):
        raise InputError(f"{name} must be finite and above 0, got {array[~good].flat[0]:g}")
    return array


def whole(name: str, value: object, least: int = 0, *, unit: str = "", hint: str = "") -> int:
    """Return a whole number of at least `least`; 1e4 is one, 0.5 is not.

    `unit`, a noun in the singular, says in the message of what it is a number; `hint` says how to
    fix a wrong one.

    >>> whole("warmup", 1e4, unit="step")
    10000
    >>> try:
    ...     whole("every", 0, 1, unit="update")
    ... except InputError as error:
    ...     print(error)
    every must be at least 1 update, got 0
    """
    number = real(name, value)
    if number != math.floor(number):
        rule = "must be a whole number" + (f" of {unit}s" if unit else "")
    elif number < 0 <= least:
        rule = "must not be negative"
    elif number < least:
        rule = f"must be at least {least} {unit}".rstrip()
    else:
        return int(number)
    raise InputError(f"{name} {rule}, got {shown(value)}{_advice(hint)}")


def one_of(name: str, value: T, allowed: Collection[T]) -> T:
    """Return one of the values that are allowed.

    >>> try:
    ...     one_of("unit", "tokens", ("steps", "samples"))
    ... except InputError as error:
    ...     print(error)
    unit must be one of 'steps', 'samples', got 'tokens'
    """
    if value not in allowed:
        names = ", ".join(map(repr, allowed))
        raise InputError(f"{name} must be one of {names}, got {shown(value)}")
    return value


def peak_rate(value: object, name: str = "peak") -> float:
    """Return a peak learning rate, above 0 and at most 1e100.

    >>> peak_rate(3e-4)
    0.0003
    """
    number = real(name, value)
    if number <= 0:
        raise InputError(f"{name} must be a learning rate above 0, got {shown(value)}")
    # Sums over 1e15 steps must stay finite.
    if number > PEAK_LIMIT:
        raise InputError(f"{name} must be a learning rate below 1e100, got {shown(value)}")
    return number


def step_horizon(value: object, name: str = "horizon") -> int:
    """Return a horizon: a whole number of steps from 1 to below 1e15.

    >>> step_horizon(1e4)
    10000
    """
    steps = whole(name, value, 1, unit="step")
    if steps >= HORIZON_LIMIT:
        raise InputError(
            f"{name} must be below 1e15 steps, got {shown(value)}: count updates, not tokens"
        )
    return steps
