"""Beyond the highest peak LR of the pilots: what it may gain, and the pilot that would tell."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import replace

from scipy.special import ndtr, ndtri

from etastar.control import Solution, last_piece, schedule_at
from etastar.law import AverageLaw, Difference
from etastar.runs import Run
from etastar.schedule import Schedule, Table, make_schedule

from ._batch import Task
from ._results import BeyondCap

FACTOR = 2.0
"""The proposed pilot's peak over the highest of the pilots."""


def beyond_cap_of(task: Task, average: AverageLaw, solution: Solution) -> BeyondCap | None:
    """What a pilot at twice the cap would tell; None where the plan stays below its cap, or the
    user has given it."""
    limits = task.limits_of(solution)
    if task.capped or last_piece(solution.schedule).peak < 0.999 * limits.cap:
        return None
    horizon, batch = solution.schedule.horizon, solution.batch_size
    raised = replace(limits, cap=FACTOR * limits.cap)
    schedule = schedule_at(average, horizon, solution.schedule, raised, batch)
    difference = task.law.difference(
        schedule, solution.schedule, batch_size=batch, other_batch_size=batch
    )
    return BeyondCap(
        peak_lr=raised.cap,
        difference=difference,
        worth=worth_of_knowing(difference),
        pilot=_pilot(task.runs, limits.cap, raised.cap),
    )


def worth_of_knowing(difference: Difference, level: float = 0.9) -> float:
    """The loss that is gained on average by knowing whether the difference is negative.

    E max(-D, 0) of a normal D with the interval's mean and width: the other schedule is taken where
    it is better. A pilot tells less, so that this is the most that it is worth.

    Source: the expected value of perfect information of two actions, Raiffa and Schlaifer, "Applied
        Statistical Decision Theory" (1961), section 5.4.

    >>> round(worth_of_knowing(Difference(0.0, -1.6449, 1.6449)), 3)  # 1 / sqrt(2 pi)
    0.399
    >>> worth_of_knowing(Difference(-0.01, -0.01, -0.01)), worth_of_knowing(Difference(1, 1, 1))
    (0.01, 0.0)
    """
    spread = (difference.high - difference.low) / (2 * float(ndtri(0.5 + level / 2)))
    if spread <= 0:
        return max(-difference.mean, 0.0)
    z = -difference.mean / spread
    density = math.exp(-0.5 * z * z) / math.sqrt(2 * math.pi)
    return spread * (density + z * float(ndtr(z)))


def _pilot(runs: Sequence[Run], highest: float, peak: float) -> Schedule:
    """The shortest of the pilots with a peak next to the highest, at the new one."""

    def rank(schedule: Schedule) -> tuple[float, int]:
        return round(abs(math.log(schedule.peak / highest)), 3), schedule.horizon

    shortest = min((run.schedule for run in runs), key=rank)
    if isinstance(shortest.shape, Table):
        horizon, warmup = shortest.horizon, min(shortest.rise, shortest.horizon // 2)
        return make_schedule("cosine", peak=peak, horizon=horizon, warmup=warmup)
    return shortest.scaled(peak=peak)
