"""Checks that name the parameter they refuse, and a root between two points."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import brentq

from etastar._errors import InputError


def positive(name: str, values: ArrayLike) -> NDArray[np.float64]:
    """Return an array of finite numbers above 0."""
    try:
        array = np.asarray(values, dtype=np.float64)
    except (TypeError, ValueError):
        array = np.asarray(np.nan)
    good = np.isfinite(array) & (array > 0)
    if not np.all(good):
        bad = str(values)[:80] if array.ndim == 0 else f"{array[~good].flat[0]:g}"
        raise InputError(f"{name} must be finite and above 0, got {bad}")
    return array


def root(function: Callable[[float], float], low: float, high: float) -> float:
    """The root of a function that changes sign between two points, by Brent's method."""
    return float(brentq(function, low, high, xtol=1e-14))  # type: ignore[arg-type]
