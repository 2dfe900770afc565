"""What the plan is compared with: the standard schedules, other batch sizes, other horizons."""

from __future__ import annotations

import numpy as np

from etastar.control import (
    Limits,
    Member,
    Solution,
    best_members,
    last_piece,
    schedule_at,
    steps_to_match,
)
from etastar.law import AverageLaw, BatchSize, Progress
from etastar.schedule import Schedule

from ._batch import Task
from ._results import Alternative, OtherHorizon
from ._stages import HORIZONS, tell

FACTORS = (0.25, 0.5, 2.0, 4.0)
"""Other horizons, over that of the plan."""

MOST_OTHERS = 3
"""Other batch sizes in the comparison."""


def alternatives_of(
    task: Task, average: AverageLaw, solution: Solution, fixed: Solution, loss: float
) -> tuple[Alternative, ...]:
    """The standard schedules at the plan's batch size, the best first, then at other sizes.

    The loss of each is the plan's forecast `loss` and what the schedule is expected to lose more;
    `fixed` is the solution at the best constant batch size.
    """

    def alternative(member: Member, batch: Schedule | None) -> Alternative:
        regret = member.loss - solution.loss
        size = None if batch is None else float(batch(batch.horizon))
        limits = task.limits_at(size)
        return Alternative(
            member.family,
            member.schedule,
            loss + regret,
            regret,
            steps_to_match(average, member, solution.loss, limits, batch),
            size,
            task.law.difference(
                member.schedule,
                solution.schedule,
                batch_size=batch,
                other_batch_size=solution.batch_size,
            ),
        )

    own = sorted(fixed.baselines, key=lambda member: member.loss)
    others = sorted(_at_other_sizes(task, average, fixed), key=lambda pair: pair[0].loss)
    pairs = [*((member, fixed.batch_size) for member in own), *others]
    return tuple(alternative(*pair) for pair in pairs)


def _at_other_sizes(
    task: Task, average: AverageLaw, fixed: Solution
) -> list[tuple[Member, Schedule]]:
    """The best standard schedule at a few other batch sizes of the pilots, for the same budget."""
    if not task.compares or fixed.batch_size is None:
        return []
    own, budget = fixed.batch_size.peak, task.data
    sizes = [size for size in task.piloted if abs(np.log(size / own)) > 0.05]
    sizes = [size for size in sizes if budget.allows(size)]
    if len(sizes) > MOST_OTHERS:
        sizes = [sizes[i] for i in np.linspace(0, len(sizes) - 1, MOST_OTHERS).round().astype(int)]
    found = []
    for size in sizes:
        horizon = budget.whole_updates(size)
        limits = task.limits_at(size).at(horizon)
        members = best_members(average, horizon, limits, size)
        batch = task.batch(size, horizon)
        found.append((min(members, key=lambda member: member.loss), batch))
    return found


def other_horizons_of(
    average: AverageLaw, solution: Solution, limits: Limits, most: int, progress: Progress | None
) -> tuple[OtherHorizon, ...]:
    """The optimal schedule's peak at other horizons up to `most`, and the loss it would reach.

    In order of the horizon, the plan's own among them; each within the plan's limits and at its
    batch size, of which a ramp is stretched.
    """

    def row(schedule: Schedule, batch: BatchSize) -> OtherHorizon:
        loss = float(average.centre.final_losses([schedule], [batch])[0])
        return OtherHorizon(schedule.horizon, last_piece(schedule).peak, loss)

    own = solution.batch_size
    rows = [row(solution.schedule, own)]
    for done, factor in enumerate(FACTORS):
        tell(progress, HORIZONS, done, len(FACTORS))
        other = round(solution.schedule.horizon * factor)
        if other - limits.done >= 8 * 4 and other <= most:
            # After a past the last batch size is held on.
            stretch = own is not None and limits.past is None
            batch = own.stretched(horizon=other) if stretch and own is not None else own
            found = schedule_at(average, other, solution.schedule, limits, batch)
            rows.append(row(found, batch))
    tell(progress, HORIZONS, len(FACTORS), len(FACTORS))
    return tuple(sorted(rows, key=lambda row: row.horizon))
