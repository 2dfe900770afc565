"""What the plan is compared with: the standard schedules, and the best plans at other horizons."""

from __future__ import annotations

from etastar.control import (
    Limits,
    Member,
    Solution,
    last_piece,
    optimal_schedule,
    steps_to_match,
)
from etastar.law import AverageLaw, Progress
from etastar.schedule import Schedule

from ._results import Alternative, OtherHorizon
from ._stages import HORIZONS, tell

FACTORS = (0.25, 0.5, 2.0, 4.0)
"""Other horizons, over that of the plan."""


def alternatives_of(
    law: AverageLaw, solution: Solution, loss: float, limits: Limits
) -> tuple[Alternative, ...]:
    """The standard schedules of a solution, the best first.

    The loss of each is the plan's forecast `loss` and what the schedule is expected to lose more.
    """

    def alternative(member: Member) -> Alternative:
        regret = member.loss - solution.loss
        steps = steps_to_match(law, member, solution.loss, limits)
        return Alternative(member.family, member.schedule, loss + regret, regret, steps)

    ordered = sorted(solution.baselines, key=lambda member: member.loss)
    return tuple(alternative(member) for member in ordered)


def other_horizons_of(
    law: AverageLaw, solution: Solution, limits: Limits, most: int, progress: Progress | None
) -> tuple[OtherHorizon, ...]:
    """The optimal schedule's peak at other horizons up to `most`, and the loss it would reach.

    In order of the horizon, the plan's own among them; each within the plan's limits.
    """

    def row(schedule: Schedule) -> OtherHorizon:
        loss = float(law.centre.final_losses([schedule])[0])
        return OtherHorizon(schedule.horizon, last_piece(schedule).peak, loss)

    rows = [row(solution.schedule)]
    for done, factor in enumerate(FACTORS):
        tell(progress, HORIZONS, done, len(FACTORS))
        other = round(solution.schedule.horizon * factor)
        if other - limits.done >= 8 * 4 and other <= most:
            rows.append(
                row(optimal_schedule(law, other, limits.at(other), tolerance=1e-9).schedule)
            )
    tell(progress, HORIZONS, len(FACTORS), len(FACTORS))
    return tuple(sorted(rows, key=lambda row: row.horizon))
