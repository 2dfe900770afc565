"""The state of a `ScheduledLR`: what it holds, and the check of one that was loaded from a file."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etastar._checks import at_least, real_between, shown, whole
from etastar._errors import InputError
from etastar.schedule import GroupSchedules, Schedule, join, parse_schedule

from ._source import control_of
from ._weight_decay import DecayRule, decay_rule

KEYS = (
    "last_epoch", "_step_count", "schedule", "momentum", "unit", "samples", "planned_batch_size",
    "ratios", "lr", "momentum_now", "changes", "groups", "names", "weight_decay",
    "weight_decay_now",
)  # fmt: skip

DRIVEN = "lr_is_planned"
"""Key of a state: whether its LRs were those of the schedule. In a SequentialLR another scheduler
may have set them, and a user may have."""

TOLERANCE = 1e-5
"""Relative distance of a LR from the schedule's: LRs that are tensors may be held in 32 bits."""


@dataclass(frozen=True)
class Followed:
    """What a scheduler makes an optimiser follow; a checkpoint of another is refused.

    Attributes:
        schedule: of the LR; of several the first.
        groups: the schedules by name, where there are several.
        momentum: a number or a schedule; None where it is left alone.
        rules: of the weight decay, one a parameter group.
    """

    schedule: Schedule
    groups: GroupSchedules | None
    momentum: float | Schedule | None
    rules: tuple[DecayRule, ...]

    @staticmethod
    def by_name(
        schedules: Mapping[str | None, Schedule],
        momentum: float | Schedule | None,
        rules: tuple[DecayRule, ...],
    ) -> Followed:
        """From the schedules by name; of one for all groups the name is None."""
        if None in schedules:
            return Followed(schedules[None], None, momentum, rules)
        groups = GroupSchedules(schedules)  # type: ignore[arg-type]
        return Followed(groups[groups.planned], groups, momentum, rules)

    @property
    def text(self) -> str:
        """It in words, for a message and the record of changes."""
        text = self.schedule.spec
        if self.groups is not None:
            text = "; ".join(f"{name} {each.spec}" for name, each in self.groups.items())
        if self.momentum is not None:
            momentum = self.momentum
            text += (
                f" with momentum {momentum.spec if isinstance(momentum, Schedule) else momentum}"
            )
        if any(not rule.coupled for rule in self.rules):
            text += f" with weight decay {', '.join(rule.text for rule in self.rules)}"
        return text

    def unlike(self, other: Followed) -> str:
        """In few words what it has that another has not."""
        mine, others = self._parts(), other._parts()
        found = [name + _brief(what) for name, what in mine.items() if others.get(name) != what]
        more = f", and {len(found) - 1} more" if len(found) > 1 else ""
        return found[0] + more if found else "nothing else"

    def _parts(self) -> dict[str, object]:
        parts: dict[str, object] = {"": self.schedule}
        if self.groups is not None:
            parts = {f"{name}: ": each for name, each in self.groups.items()}
        decay = ", ".join(rule.text for rule in self.rules)
        return {**parts, "momentum: ": self.momentum, "weight decay: ": decay}


def _brief(what: object) -> str:
    """A control for a message, where the many knots of a table would hide the rest.

    >>> from etastar.schedule import parse_schedule
    >>> _brief(parse_schedule("linear:peak=0.1,horizon=9"))
    'linear:peak=0.1,horizon=9'
    >>> knots = "/".join(f"{step}:{0.1 / (1 + step)}" for step in range(50))
    >>> _brief(parse_schedule(f"table:knots={knots},horizon=60"))
    'a table with horizon 60, peak 0.1, half-way 0.003226, end 0.002'
    """
    if not isinstance(what, Schedule):
        return "none" if what is None else str(what)
    if len(spec := what.spec) <= 100:
        return spec
    return (
        f"a {spec.partition(':')[0]} with horizon {what.horizon}, peak {what.peak:.4g}, "
        f"half-way {what(what.horizon // 2):.4g}, end {what(what.horizon):.4g}"
    )


@dataclass(frozen=True)
class SchedulerState:
    """A state of the right kinds and sizes; the fields are those of `ScheduledLR.state_dict`."""

    last_epoch: int
    step_count: int
    followed: Followed
    names: list[str | None]
    unit: str
    samples: int
    planned_batch_size: int
    ratios: list[float]
    lr: list[float]
    momentum_now: list[float] | None
    decays: list[float] | None
    decays_now: list[float] | None
    changes: list[list[Any]]
    driven: bool | None

    def planned(self) -> list[float]:
        """The LRs of the next update by its schedules, one a group."""
        by_samples = self.samples / self.planned_batch_size
        position = max(self.last_epoch, 0) if self.unit == "steps" else by_samples
        schedule, groups = self.followed.schedule, self.followed.groups
        return [
            (schedule if groups is None else groups.named(name))(position) * ratio
            for name, ratio in zip(self.names, self.ratios, strict=True)
        ]

    def check_names(self, names: list[str | None]) -> None:
        """Refuse a state of parameter groups that follow schedules of other names.

        Raises: InputError.
        """
        if self.names != names:
            raise InputError(
                f"the parameter groups of the checkpoint follow {_listed(self.names)} and the "
                f"optimiser's {_listed(names)}: make optimiser and scheduler as they were"
            )

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
    rules, decays = _decays(state, groups)
    names, by_name = _named(state, groups)
    return SchedulerState(
        last_epoch=_count(state, "last_epoch", -1),  # of one whose turn has not come
        step_count=_count(state, "_step_count", 0),
        followed=Followed(
            parse_schedule(schedule), by_name, control_of("momentum", momentum), rules
        ),
        names=names,
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
        decays=decays,
        decays_now=None
        if decays is None
        else [
            at_least("a weight decay of the state", each, 0)
            for each in _list(state, "weight_decay_now", groups)
        ],
        changes=[_change(each) for each in _list(state, "changes", None)],
        driven=driven,
    )


def _named(state: Mapping[str, Any], groups: int) -> tuple[list[str | None], GroupSchedules | None]:
    """The name of the schedule of each parameter group, and the schedules by name."""
    if state["groups"] is None:
        return [None] * groups, None
    schedules = GroupSchedules(state["groups"])
    names = _list(state, "names", groups)
    for name in names:
        schedules.named(name)
    if schedules[schedules.planned].spec != state["schedule"]:
        raise InputError("schedule of the state is not that of its first group")
    return names, schedules


def _decays(
    state: Mapping[str, Any], groups: int
) -> tuple[tuple[DecayRule, ...], list[float] | None]:
    """The rule of the weight decay of each parameter group, and the weight decays they were made
    with."""
    if state["weight_decay"] is None:
        return (DecayRule(),) * groups, None
    pairs = _list(state, "weight_decay", groups)
    for pair in pairs:
        if not isinstance(pair, list | tuple) or len(pair) != 2:
            raise InputError(
                f"a weight_decay of the state must be [rule, value], got {shown(pair)}"
            )
    decays = [at_least("a weight decay of the state", decay, 0) for _, decay in pairs]
    return tuple(decay_rule(rule) for rule, _ in pairs), decays


def _listed(names: list[str | None]) -> str:
    return "one schedule" if None in names else ", ".join(map(str, names))


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


def joined(old: Schedule, new: Schedule, position: float) -> Schedule:
    """One schedule up to an update, another that counts from there on.

    Raises: InputError for a position between two updates.
    """
    if position == 0:
        return new
    if position != int(position):
        raise InputError(
            f"the run stands at {position:g} updates of its schedule, between two: give a new "
            "schedule that counts from the start of the run, start='run'"
        )
    return join([(old, int(position)), (new, int(position) + new.horizon)])


def spec_of(control: float | Schedule | None) -> float | str | None:
    """A control as a state holds it."""
    return control.spec if isinstance(control, Schedule) else control
