"""Optax: code with the schedule function of `etastar.integrations.optax`."""

from __future__ import annotations

from typing import final

from etastar.schedule import GroupSchedules, Schedule

from ._code import PythonCode


@final
class Optax(PythonCode):
    """A function of the step for any optimiser; exact to the rounding of its float type."""

    name = "optax"

    def code(self, schedule: Schedule, literal: str) -> str:
        return f"""\
from etastar.integrations.optax import schedule

HORIZON = {schedule.horizon}
# Give it to any optimiser, such as optax.adamw(learning_rate).
learning_rate = schedule(
{literal}
)
"""

    def group_code(self, groups: GroupSchedules, literal: str) -> str:
        return f"""\
from etastar.integrations.optax import schedule

HORIZON = {groups.horizon}
SCHEDULES = {literal}
# Give each to the optimiser of its group in optax.multi_transform.
learning_rates = {{name: schedule(spec) for name, spec in SCHEDULES.items()}}
"""
