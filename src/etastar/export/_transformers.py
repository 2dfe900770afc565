"""Transformers: code for its Trainer, with `etastar.integrations.transformers`."""

from __future__ import annotations

from typing import final

from etastar.schedule import GroupSchedules, Schedule

from ._code import PythonCode


@final
class Transformers(PythonCode):
    """The arguments of a Trainer and its optimizers; the rates are exact to the last bit."""

    name = "transformers"

    def code(self, schedule: Schedule, literal: str) -> str:
        return f'''\
from etastar.integrations.transformers import ScheduledLR
from etastar.schedule import parse_schedule

SCHEDULE = parse_schedule(
{literal}
)
# TrainingArguments(..., **ARGUMENTS)
ARGUMENTS = {{"max_steps": {schedule.horizon}, "learning_rate": {schedule.peak}}}


def optimizers_for(optimizer):
    """Trainer(..., optimizers=optimizers_for(optimizer))"""
    return optimizer, ScheduledLR(optimizer, SCHEDULE)
'''

    def group_code(self, groups: GroupSchedules, literal: str) -> str:
        return f'''\
from etastar.integrations.transformers import ScheduledLR

SCHEDULES = {literal}
# TrainingArguments(..., **ARGUMENTS)
ARGUMENTS = {{"max_steps": {groups.horizon}, "learning_rate": {groups[groups.planned].peak}}}


def optimizers_for(optimizer):
    """Trainer(..., optimizers=optimizers_for(optimizer))

    The parameter groups of the optimizer have a "name", a key of SCHEDULES.
    """
    return optimizer, ScheduledLR(optimizer, SCHEDULES)
'''
