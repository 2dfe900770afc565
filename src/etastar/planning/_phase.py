"""Exponents of a fitted law with their intervals, and the phase they name."""

from __future__ import annotations

import math

from etastar.law import Law, exponents_of

from ._results import Estimate, PhaseEstimate

LEVEL = 0.9
UNKNOWN = Estimate(math.nan, math.nan, math.nan)


def phase_of(law: Law) -> PhaseEstimate:
    """Phase, capacity, source and xi of a fitted law, each with its 90% interval.

    The formulas are those of `etastar.law.exponents_of`: the phase is easy where s > 1 - 1/a, hard
    where s < 1 - 1/a, and undetermined where the interval of the difference holds zero, or where
    the law has no such exponents; then these are NaN.
    """
    if not law.form.has_exponents:
        return PhaseEstimate("undetermined", UNKNOWN, UNKNOWN, UNKNOWN)
    found = exponents_of(law, LEVEL)
    return PhaseEstimate(
        found.name, Estimate(*found.xi), Estimate(*found.capacity), Estimate(*found.source)
    )
