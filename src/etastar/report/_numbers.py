"""Numbers in words, the same in the terminal, in pages and in notebooks."""

from __future__ import annotations

import math

UNKNOWN = "unknown"

LETTERS = ((1e12, "T"), (1e9, "B"), (1e6, "M"), (1e3, "k"))
"""Endings of round counts, which `etastar._checks.number_in` reads back."""


def rate_text(rate: float) -> str:
    """A learning rate with three digits.

    >>> rate_text(0.00312345), rate_text(3e-05)
    ('0.00312', '3e-05')
    """
    return f"{rate:.3g}" if math.isfinite(rate) else UNKNOWN


def loss_text(loss: float) -> str:
    """A loss with five digits, trailing zeros kept so that columns compare.

    >>> loss_text(3.1), loss_text(0.0123456)
    ('3.1000', '0.012346')
    """
    return f"{loss:#.5g}" if math.isfinite(loss) else UNKNOWN


def regret_text(regret: float) -> str:
    """A difference of losses, signed, in ten-thousandths or two digits where it is smaller.

    >>> regret_text(0.01234), regret_text(0.0), regret_text(2.5e-06)
    ('+0.0123', '0', '+2.5e-06')
    """
    if not math.isfinite(regret):
        return UNKNOWN
    if regret == 0:
        return "0"
    return f"{regret:+.4f}" if abs(regret) >= 1e-3 else f"{regret:+.2g}"


def steps_text(steps: float) -> str:
    """A count of steps, samples or tokens, exact up to ten digits.

    Round ones end in k, M, B or T: whole thousands, and from a million on what three digits say.
    Others stand in groups of three digits, beyond ten digits in powers of ten.

    >>> steps_text(40000), steps_text(1.5e6), steps_text(2e10), steps_text(12345)
    ('40k', '1.5M', '20B', '12,345')
    >>> steps_text(8200), steps_text(12500), steps_text(524288), steps_text(1.23456e13)
    ('8,200', '12,500', '524,288', '1.235e+13')
    """
    if not math.isfinite(steps):
        return UNKNOWN
    for unit, letter in LETTERS:
        if steps >= unit:
            part = f"{steps / unit:.3g}"
            whole = "e" not in part and round(float(part) * unit) == steps
            # 12,500 is read at a glance, and is not longer than 12.5k by much.
            if whole and (unit > 1e3 or "." not in part):
                return part + letter
            break
    return f"{steps:,.0f}" if steps < 1e10 else f"{steps:.4g}"


def multiple_text(steps: float | None, horizon: int) -> str:
    """Steps as a multiple of the horizon; None is more than 100 of them.

    >>> multiple_text(50000.0, 40000), multiple_text(None, 40000)
    ('1.25×', '> 100×')
    """
    return "> 100×" if steps is None else f"{times_text(steps / horizon)}×"


def times_text(ratio: float) -> str:
    """A ratio with three digits, in groups where it is large.

    >>> times_text(4.0123), times_text(41777.6)
    ('4.01', '41,778')
    """
    return f"{ratio:.3g}" if ratio < 1000 else f"{ratio:,.0f}"


def count_text(number: int, noun: str) -> str:
    """A number of things.

    >>> count_text(1, "run"), count_text(3, "run")
    ('1 run', '3 runs')
    """
    return f"{number} {noun}" + ("" if number == 1 else "s")


def size_text(size: float) -> str:
    """A batch size, or a number of samples: whole ones in groups, others with three digits.

    >>> size_text(524288.0), size_text(0.53211)
    ('524,288', '0.532')
    """
    return steps_text(size) if float(size).is_integer() or size >= 1000 else f"{size:.3g}"


def duration_text(seconds: float) -> str:
    """A time in the largest unit of which there are two or more.

    >>> duration_text(90.0), duration_text(5400.0), duration_text(1e6)
    ('90 s', '90 min', '11.6 days')
    """
    for unit, length in (("days", 86400), ("h", 3600), ("min", 60)):
        if seconds >= 2 * length:
            return f"{seconds / length:.3g} {unit}"
    return f"{seconds:.3g} s"


def exponent_text(exponent: float) -> str:
    """An exponent with three decimals; NaN is one that the fitted law does not have.

    >>> exponent_text(0.5), exponent_text(math.nan)
    ('0.500', 'unknown')
    """
    return f"{exponent:.3f}" if math.isfinite(exponent) else UNKNOWN
