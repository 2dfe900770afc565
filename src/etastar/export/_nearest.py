"""The standard schedule nearest to one that a framework cannot follow, and what it costs."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar

from etastar.robust import last_iterate
from etastar.schedule import Schedule, parse_schedule

from ._regret import Regret
from ._target import Target

if TYPE_CHECKING:
    from etastar.law import Law

POINTS = 2000
"""Steps, evenly spaced, at which two schedules are compared."""

EVERY_UPDATE = 10**6
"""Horizons up to this are summed update by update for the bound."""


def nearest(
    schedule: Schedule, target: Target, law: Law | None, plan: Mapping[str, Any] | None
) -> tuple[Schedule, Regret]:
    """The nearest schedule that a framework can follow: by the law, else the plan, else the shape.

    Arguments:
        schedule: one that the framework cannot follow.
        target: the framework.
        law: a law fitted to runs of the task.
        plan: the JSON of a plan made for this schedule.

    Returns: the schedule, and its regret.
    """
    if law is not None:
        return _by_law(schedule, target, law)
    for row in (plan or {}).get("comparison", []):  # from the least loss up
        other = parse_schedule(row["spec"])
        if target.takes(other):
            return other, Regret("plan", loss=row["loss"], regret=row["regret"])
    found = _by_shape(schedule, target)
    return found, Regret("bound", inflation=_inflation(schedule, found))


def _candidates(schedule: Schedule, target: Target) -> list[Schedule]:
    """The framework's standard schedules of the same horizon and warmup, at peak 1.

    Where the framework takes none of that warmup, which only 1 and the whole horizon can be, it is
    one update shorter.
    """
    # A framework's warmup rises from 0.
    warmup = schedule.rise if schedule(0) == 0.0 else 0
    horizon, final = schedule.horizon, round(schedule(schedule.horizon) / schedule.peak, 6)
    for tried in (warmup, max(warmup - 1, 0)):
        standards = target.standards(horizon=horizon, warmup=tried, final=final)
        taken = [standard for standard in standards if target.takes(standard)]
        if taken:
            return taken
    raise AssertionError(f"{target.name} follows no schedule of {horizon} updates")


def _at_peak(candidate: Schedule, peak: float) -> Schedule:
    """At a peak of four digits: more would pretend to a precision that no fit has."""
    return candidate.scaled(peak=float(f"{peak:.4g}"))


def _by_law(schedule: Schedule, target: Target, law: Law) -> tuple[Schedule, Regret]:
    """Peaks on a grid of ratio 2^(1/2) down from the cap, then two finer ones around the best."""
    cap = law.peak_range[1]

    def best(tried: Sequence[tuple[Schedule, float]]) -> tuple[Schedule, float, Regret]:
        # With the schedule itself among them, so that its loss needs no compilation of its own.
        losses = law.final_losses([*(_at_peak(*each) for each in tried), schedule])
        at = int(np.argmin(losses[:-1]))
        loss, planned = float(losses[at]), float(losses[-1])
        return (*tried[at], Regret("law", loss=loss, regret=loss - planned))

    top = min(cap, 2.0 * schedule.peak)
    coarse = [top * 2.0 ** (-k / 2) for k in range(13)]
    candidate, peak, regret = best(
        [(each, peak) for each in _candidates(schedule, target) for peak in coarse]
    )
    for ratio in (2**0.125, 2**0.03125):
        around = np.minimum(peak * ratio ** np.arange(-4, 5), cap)
        candidate, peak, regret = best([(candidate, float(near)) for near in around])
    return _at_peak(candidate, peak), regret


def _by_shape(schedule: Schedule, target: Target) -> Schedule:
    """The smallest mean |difference| of the rates, over the peak and the shapes."""
    steps = np.unique(np.append(np.linspace(0.0, schedule.horizon, POINTS), schedule.breakpoints))
    weight, wanted = np.gradient(steps), schedule(steps)
    span = (np.log(schedule.peak / 30), np.log(schedule.peak * 2))

    def fitted(candidate: Schedule) -> tuple[float, Schedule]:
        unit = candidate(steps)

        def difference(log_peak: float) -> float:
            return float(np.sum(np.abs(np.exp(log_peak) * unit - wanted) * weight))

        found: Any = minimize_scalar(difference, bounds=span, method="bounded")
        return found.fun, _at_peak(candidate, float(np.exp(found.x)))

    fits = [fitted(candidate) for candidate in _candidates(schedule, target)]
    return min(fits, key=lambda fit: fit[0])[1]


def _inflation(schedule: Schedule, other: Schedule) -> float:
    """The bound of `other` over that of `schedule`, where the base LR is the latter's best one."""
    curves = [last_iterate(one, mesh=one.horizon > EVERY_UPDATE) for one in (schedule, other)]
    distance = 1.0 / curves[0].best_scale()
    own, its = (float(curve.bound(distance=distance)) for curve in curves)
    return its / own
