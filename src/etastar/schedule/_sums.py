"""Sums of powers over consecutive integers, at a cost that does not grow with their number.

Euler-Maclaurin (NIST DLMF 2.10.1) turns a long sum into an integral and a few derivatives at both
ends. Near 0 the derivatives of a power blow up, so the terms there are added one by one.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

# B_{2k} / (2k)! for k = 1..8; with 16 terms added directly the remainder is far below 1e-16.
_BERNOULLI = (
    1 / 12,
    -1 / 720,
    1 / 30240,
    -1 / 1209600,
    1 / 47900160,
    -691 / 1307674368000,
    1 / 74724249600,
    -3617 / 10670622842880000,
)
_DIRECT = 16


def _corrections(points: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Sum over k of B_2k/(2k)! times the (2k-1)-th derivative of m^exponent, over m^exponent."""
    total = np.zeros_like(points)
    factor = 1.0
    for k, weight in enumerate(_BERNOULLI):
        order = 2 * k + 1
        factor *= exponent if k == 0 else (exponent - order + 2) * (exponent - order + 1)
        total += weight * factor / points**order
    return total


def _integral(start: float, length: NDArray[np.float64], exponent: float) -> NDArray[np.float64]:
    """Integral of m^exponent from start to start + length, over start^(exponent + 1)."""
    logarithm = np.log1p(length / start)
    if exponent == -1.0:
        return logarithm
    # expm1 keeps every digit where the range is short beside its start.
    return np.expm1((exponent + 1.0) * logarithm) / (exponent + 1.0)


def _smooth_sum(start: float, count: NDArray[np.float64], exponent: float, scale: float):
    """Sum of ((start + j) / scale)^exponent for j < count, where Euler-Maclaurin converges."""
    first = np.asarray(np.float64(start))
    last = start + count
    at_first = np.power(first / scale, exponent)
    at_last = np.power(last / scale, exponent)
    ends = at_last * _corrections(last, exponent) - at_first * _corrections(first, exponent)
    body = at_first * start * _integral(start, count, exponent)
    return np.where(count > 0, body + (at_first - at_last) / 2 + ends, 0.0)


def rising_power_sum(
    start: float, count: NDArray[np.float64], exponent: float, scale: float
) -> NDArray[np.float64]:
    """Sum of ((start + j) / scale)^exponent for j = 0..count-1, exponent <= 1, start >= 0.

    >>> float(rising_power_sum(1.0, np.array(4.0), -1.0, 1.0)) == 1 + 1 / 2 + 1 / 3 + 1 / 4
    True
    """
    count = np.asarray(count, dtype=np.float64)
    longest = int(min(_DIRECT, max(count.max(initial=0.0), 0.0)))
    terms = np.power((start + np.arange(longest, dtype=np.float64)) / scale, exponent)
    table = np.concatenate(([0.0], np.cumsum(terms)))
    direct = table[np.minimum(count, longest).astype(np.int64)]
    rest = np.maximum(count - _DIRECT, 0.0)
    if not np.any(rest):
        return direct
    return direct + _smooth_sum(start + _DIRECT, rest, exponent, scale)


def falling_power_sum(
    start: float, count: NDArray[np.float64], exponent: float, scale: float
) -> NDArray[np.float64]:
    """Sum of ((start - j) / scale)^exponent for j = 0..count-1 <= start, exponent >= 0.

    >>> float(falling_power_sum(3.0, np.array(3.0), 2.0, 1.0))
    14.0
    """
    count = np.asarray(count, dtype=np.float64)
    # Closer to 0 than this a power of that order is not smooth on the scale of one step.
    margin = _DIRECT + math.ceil(exponent)
    smooth = max(math.floor(start) - margin, 0)
    tail_length = math.floor(start) - smooth + 1
    tail = start - smooth - np.arange(tail_length, dtype=np.float64)
    table = np.concatenate(([0.0], np.cumsum(np.power(np.maximum(tail, 0.0) / scale, exponent))))
    direct = table[np.clip(count - smooth, 0, tail_length).astype(np.int64)]
    if smooth == 0:
        return direct
    return direct + _smooth_falling(start, np.minimum(count, smooth), exponent, scale)


def _smooth_falling(start: float, count: NDArray[np.float64], exponent: float, scale: float):
    first = np.asarray(np.float64(start))
    last = start - count
    at_first = np.power(first / scale, exponent)
    at_last = np.power(last / scale, exponent)
    body = -at_first * start * _integral(start, -count, exponent)
    # Running downwards the odd derivatives change sign.
    ends = at_first * _corrections(first, exponent) - at_last * _corrections(last, exponent)
    return body + (at_first - at_last) / 2 + ends
