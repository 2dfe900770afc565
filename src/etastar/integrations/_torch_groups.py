"""The parameter groups of a PyTorch optimiser, and what each of them follows."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import torch

from etastar._checks import real, shown
from etastar._errors import InputError, known_names

from ._weight_decay import DecayRule, rules_by_group


@dataclass(frozen=True)
class Follower:
    """What a parameter group follows.

    Attributes:
        name: of the schedule; None where there is one for all groups.
        ratio: LR of the group over the schedule's.
        rule: of its weight decay.
        decay: the weight decay that the group was made with, where a rule drives it.
    """

    name: str | None
    ratio: float
    rule: DecayRule
    decay: float


class Followers:
    """The parameter groups of an optimiser, in order, each with what it follows.

    Arguments:
        optimizer: its groups have the key "name" where there are several schedules.
        names: of the schedules; None where there is one for all groups.
        base_lr: the LR in the optimiser that stands for the schedule's own, for all schedules or by
            name; by default, of each schedule, that of the first group that follows it.
        rule: of the weight decay, one for all or by name.

    Raises: InputError for a group without a name, or one that no schedule has; for LRs without a
        ratio; and for an optimiser whose weight decay is not eta lambda, where a rule is given.
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        names: Iterable[str] | None,
        base_lr: float | Mapping[str, float] | None,
        rule: Any,
    ) -> None:
        if not isinstance(optimizer, torch.optim.Optimizer):
            raise InputError(f"optimizer must be a torch Optimizer, got {type(optimizer).__name__}")
        self._optimizer = optimizer
        self._names = None if names is None else list(names)
        self._rules = rules_by_group(rule, self._names)
        self._references: dict[str | None, float] = _references(base_lr, self._names)
        self.each: list[Follower] = []
        self.adopt()

    def adopt(self) -> None:
        """Take in the groups that were added since the last look."""
        groups = self._optimizer.param_groups
        if len(groups) < len(self.each):
            raise InputError(
                f"the optimiser has {len(groups)} parameter groups and had {len(self.each)}: a "
                "group that is to rest keeps its place and loses its parameters' gradients"
            )
        for number in range(len(self.each), len(groups)):
            self.each.append(self._follower(number, groups[number]))

    def planned(self, rates: Mapping[str | None, float]) -> list[float]:
        """The LR of every group where the schedules have these."""
        return [rates[follower.name] * follower.ratio for follower in self.each]

    def decays(self, rates: list[float], peaks: Mapping[str | None, float]) -> list[float | None]:
        """The weight decay of every group at LRs of the groups; None where it is left alone."""
        return [
            None
            if each.rule.coupled
            else each.rule.at(rate, own=each.decay, peak=peaks[each.name] * each.ratio)
            for each, rate in zip(self.each, rates, strict=True)
        ]

    def restore(
        self, ratios: list[float], rules: Sequence[DecayRule], decays: list[float] | None
    ) -> None:
        """Take the ratios, rules and, where there are any, weight decays of a checkpoint."""
        own = [each.decay for each in self.each] if decays is None else decays
        self.each = [
            replace(each, ratio=ratio, rule=rule, decay=decay)
            for each, ratio, rule, decay in zip(self.each, ratios, rules, own, strict=True)
        ]

    def follow(self, rules: Sequence[DecayRule]) -> None:
        """Change the rules of the weight decay, one a group; what none drives is put back."""
        released = [
            each.decay if rule.coupled and not each.rule.coupled else None
            for each, rule in zip(self.each, rules, strict=True)
        ]
        put_decays(self._optimizer.param_groups, released)
        self.each = [replace(each, rule=rule) for each, rule in zip(self.each, rules, strict=True)]

    def _follower(self, number: int, group: dict[str, Any]) -> Follower:
        name = None if self._names is None else _name_of(number, group, self._names)
        start = _start(group, "lr")
        reference = self._references.setdefault(name, start)
        rule = self._rules[name]
        if not rule.coupled:
            _check_decays(type(self._optimizer).__name__, group, rule)
        decay = 0.0 if rule.coupled else _start(group, "weight_decay")
        return Follower(name, _ratio(start, reference), rule, decay)


def put_decays(groups: list[dict[str, Any]], decays: list[float | None]) -> None:
    """Set the weight decays of parameter groups, but for those that are None."""
    for group, decay in zip(groups, decays, strict=True):
        if decay is None:
            continue
        if isinstance(group["weight_decay"], torch.Tensor):
            group["weight_decay"].fill_(decay)
        else:
            group["weight_decay"] = decay


def momentum_key(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> str:
    """The key of a group that holds its momentum.

    Raises: InputError where there is none.
    """
    for key in ("momentum", "betas"):
        if key in group:
            return key
    raise InputError(
        f"{type(optimizer).__name__} has neither momentum nor betas for a momentum to drive: leave "
        "momentum out"
    )


def momentum_in(group: dict[str, Any]) -> float:
    """The momentum of a group, or its first beta."""
    return float(group["momentum"] if "momentum" in group else group["betas"][0])


def put_momentum(group: dict[str, Any], value: float) -> None:
    """Set the momentum or the first beta of a group, in place where it is a tensor."""
    betas = None if "momentum" in group else group["betas"]
    now = group["momentum"] if betas is None else betas[0]
    # Asking first for a float spares the check of tensors, which is slow.
    if type(now) is not float and isinstance(now, torch.Tensor):
        now.fill_(value)
    elif betas is None:
        group["momentum"] = value
    else:
        group["betas"] = (value, *betas[1:])


def _references(
    base_lr: float | Mapping[str, float] | None, names: list[str] | None
) -> dict[str | None, float]:
    if base_lr is None:
        return {}
    if not isinstance(base_lr, Mapping):
        return dict.fromkeys([None] if names is None else names, real("base_lr", base_lr))
    for name in base_lr:
        if name not in (names or ()):
            raise InputError(f"base_lr of {shown(name)}: {known_names(name, names or ['none'])}")
    return {name: real(f"base_lr of {name!r}", value) for name, value in base_lr.items()}


def _name_of(number: int, group: dict[str, Any], names: list[str]) -> str:
    """The name of a group, which says which schedule it follows."""
    name = group.get("name")
    if name is None:
        raise InputError(
            f"parameter group {number} has no name, and the schedules are for {', '.join(names)}: "
            f'make it with "name": {names[0]!r} beside its "params" (or another of these), or give '
            f"ScheduledLR group={names[0]!r}, which all groups of the optimiser then follow"
        )
    if name not in names:
        raise InputError(
            f"parameter group {number} is named {shown(name)}: {known_names(name, names)}; give "
            "it one of these names, or a schedule of its own"
        )
    return name


def _ratio(start: float, reference: float) -> float:
    """The LR of a group over the one that stands for the schedule's."""
    if start == reference:
        return 1.0
    if not (reference > 0 and 0 <= start < math.inf):
        raise InputError(
            f"a group's LR of {start:g} has no ratio to {reference:g}: give base_lr, the LR that "
            "stands for the schedule's own"
        )
    return start / reference


def _start(group: dict[str, Any], key: str) -> float:
    """A group's LR or weight decay before any scheduler, noted in it as PyTorch notes the LR."""
    value = group[key]
    group.setdefault(f"initial_{key}", value.clone() if isinstance(value, torch.Tensor) else value)
    return float(group[f"initial_{key}"])


def _check_decays(optimizer: str, group: dict[str, Any], rule: DecayRule) -> None:
    # Adam, NAdam and RAdam say so; others, as AdamW and SGD, shrink by the LR times weight_decay.
    if "weight_decay" not in group or group.get("decoupled_weight_decay") is False:
        raise InputError(
            f"weight_decay_rule {rule.text!r} needs an optimiser that shrinks the weights by its LR"
            f" times weight_decay, as AdamW, Muon and SGD do; {optimizer} does not: leave it out"
        )
