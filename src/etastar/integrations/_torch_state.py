"""The state of a `ScheduledLR`: what it holds, and the check of one that was loaded from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etastar._checks import at_least, real_between, shown, whole
from etastar._errors import InputError
from etastar.schedule import Schedule, parse_schedule

from ._source import control_of

KEYS = (
    "last_epoch", "_step_count", "schedule", "momentum", "unit", "samples", "planned_batch_size",
    "ratios", "lr", "momentum_now", "changes",
)  # fmt: skip

DRIVEN = "lr_is_planned"
"""Key of a state: whether its LRs were those of the schedule. In a SequentialLR another scheduler
may have set them, and a user may have."""

TOLERANCE = 1e-5
"""Relative distance of a LR from the schedule's: LRs that are tensors may be held in 32 bits."""


@dataclass(frozen=True)
class SchedulerState:
    """A state of the right kinds and sizes; the fields are those of `ScheduledLR.state_dict`."""

    last_epoch: int
    step_count: int
    schedule: Schedule
    momentum: float | Schedule | None
    unit: str
    samples: int
    planned_batch_size: int
    ratios: list[float]
    lr: list[float]
    momentum_now: list[float] | None
    changes: list[list[Any]]
    driven: bool | None

    def check_rates(self, planned: list[float]) -> None:
        """Refuse LRs that the state says are the schedule's, and are not.

        Arguments:
            planned: the schedule's LR of the next update, one a group.

        Raises: InputError where the file must have been changed.
        """
        if not self.driven:
            return
        for number, (lr, wanted) in enumerate(zip(self.lr, planned, strict=True)):
            if not math.isclose(lr, wanted, rel_tol=TOLERANCE, abs_tol=1e-300):
                raise InputError(
                    f"the state's LR of parameter group {number} is {lr:g}, and its schedule's"
                    f" after {self.last_epoch} updates {wanted:g}: take another checkpoint"
                )


def checked_state(state: Any, groups: int) -> SchedulerState:
    """A state for so many parameter groups, from a file that anybody may have written.

    Raises: InputError, which names the key that is missing or wrong.
    """
    if not isinstance(state, Mapping):
        raise InputError(f"a state must be a dictionary, got {shown(state)}")
    missing = [key for key in KEYS if key not in state]
    if missing:
        raise InputError(
            f"the state is not of a ScheduledLR: it has no {missing[0]!r}; load the "
            "scheduler's own state_dict"
        )
    schedule = state["schedule"]
    if not isinstance(schedule, str):
        raise InputError(f"schedule of the state must be a spec, got {shown(schedule)}")
    momentum, momenta = state["momentum"], state["momentum_now"]
    if (momentum is None) != (momenta is None):
        raise InputError("momentum and momentum_now of the state must both be there or both not")
    driven = state.get(DRIVEN)
    if driven is not None and not isinstance(driven, bool):
        raise InputError(f"{DRIVEN} of the state must be True or False, got {shown(driven)}")
    return SchedulerState(
        last_epoch=_count(state, "last_epoch", -1),  # of one whose turn has not come
        step_count=_count(state, "_step_count", 0),
        schedule=parse_schedule(schedule),
        momentum=control_of("momentum", momentum),
        unit=state["unit"],
        samples=_count(state, "samples", 0),
        planned_batch_size=_count(state, "planned_batch_size", 1),
        ratios=[
            at_least("a ratio of the state", each, 0) for each in _list(state, "ratios", groups)
        ],
        lr=[at_least("an LR of the state", each, 0) for each in _list(state, "lr", groups)],
        momentum_now=None
        if momenta is None
        else [_momentum(each) for each in _list(state, "momentum_now", groups)],
        changes=[_change(each) for each in _list(state, "changes", None)],
        driven=driven,
    )


def _count(state: Mapping[str, Any], key: str, least: int) -> int:
    count = whole(f"{key} of the state", state[key], least)
    if count >= 2**62:
        raise InputError(f"{key} of the state must be below 2^62, got {shown(count)}")
    return count


def _list(state: Mapping[str, Any], key: str, length: int | None) -> list[Any]:
    values = state[key]
    if not isinstance(values, list | tuple):
        raise InputError(f"{key} of the state must be a list, got {shown(values)}")
    if length is not None and len(values) != length:
        raise InputError(
            f"the state has {len(values)} parameter groups and the optimiser {length}, by its "
            f"{key}: make the optimiser as it was"
        )
    return list(values)


def _momentum(value: Any) -> float:
    momentum = real_between("a momentum of the state", value, 0.0, 1.0)
    if momentum == 1.0:
        raise InputError("a momentum of the state must be below 1, got 1")
    return momentum


def _change(value: Any) -> list[Any]:
    if not isinstance(value, list | tuple) or len(value) != 3:
        raise InputError(f"a change of the state must be [updates, old, new], got {shown(value)}")
    updates, old, new = value
    if not (isinstance(old, str) and isinstance(new, str)):
        raise InputError(f"a change of the state must name schedules, got {shown(value)}")
    return [whole("updates of a change of the state", updates), old, new]
