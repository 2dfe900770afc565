"""PyTorch: code with the learning-rate scheduler of `etastar.integrations.torch`."""

from __future__ import annotations

from typing import final

from etastar.schedule import GroupSchedules, Schedule

from ._code import PythonCode


@final
class Torch(PythonCode):
    """A function that makes the scheduler of an optimizer; the rates are exact to the last bit."""

    name = "torch"

    def code(self, schedule: Schedule, literal: str) -> str:
        return f'''\
from etastar.integrations.torch import ScheduledLR
from etastar.schedule import parse_schedule

HORIZON = {schedule.horizon}
SCHEDULE = parse_schedule(
{literal}
)


def scheduler_for(optimizer):
    """Call step() of what it returns after every optimizer.step()."""
    return ScheduledLR(optimizer, SCHEDULE)
'''

    def group_code(self, groups: GroupSchedules, literal: str) -> str:
        return f'''\
from etastar.integrations.torch import ScheduledLR

HORIZON = {groups.horizon}
SCHEDULES = {literal}


def scheduler_for(optimizer, group=None):
    """Call step() of what it returns after every optimizer.step().

    The parameter groups of the optimizer have a "name", a key of SCHEDULES; or the whole optimizer
    follows the schedule that `group` names.
    """
    return ScheduledLR(optimizer, SCHEDULES, group=group)
'''
