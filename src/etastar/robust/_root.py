"""A root between two points."""

from __future__ import annotations

from collections.abc import Callable

from scipy.optimize import brentq


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a function that changes sign between two points, by Brent's method.

    >>> round(root(lambda x: x * x - 2.0, 0.0, 2.0), 12)
    1.414213562373
    """
    return float(brentq(function, low, high, xtol=1e-14))  # type: ignore[arg-type]
