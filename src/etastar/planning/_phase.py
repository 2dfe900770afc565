"""Exponents and critical batch size of a fitted law with their intervals, and the phase."""

from __future__ import annotations

import math

from etastar.law import Law, exponents_of

from ._results import Estimate, PhaseEstimate

LEVEL = 0.9
NORMAL = 1.6448536269514722
"""Standard deviations to either side that hold 90% of a normal distribution."""

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


def critical_batch_of(law: Law) -> Estimate | None:
    """The critical batch size with its 90% interval, in the unit of the logs.

    Below it the LR that does the same grows as the root of the batch size, far above it more
    samples an update gain nothing. None for a law that has none.
    """
    if "log_critical" not in law.form.names or law.units.batch is None:
        return None
    place = law.form.names.index("log_critical")
    log_value, spread = float(law.theta[place]), math.sqrt(float(law.covariance[place, place]))
    low, high = log_value - NORMAL * spread, log_value + NORMAL * spread
    return Estimate(*(law.units.batch * math.exp(x) for x in (log_value, low, high)))
