"""PyTorch: the planned learning rate, momentum and batch size drive the training.

scheduler = ScheduledLR(optimizer, "plan/schedule.json")
for batch in loader:
    ...
    optimizer.step()
    scheduler.step()
"""

from __future__ import annotations

import contextlib
import warnings
import weakref
from collections.abc import Mapping
from typing import Any

import numpy as np

try:
    import torch
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "etastar.integrations.torch needs PyTorch: pip install 'etastar[torch]'"
    ) from None

from torch.optim.lr_scheduler import LRScheduler

from etastar._checks import one_of, shown, whole
from etastar._errors import InputError
from etastar.schedule import GroupSchedules, Schedule

from ._log import RunLog
from ._source import PlannedControls, control_of, controls_of, planned_size, schedule_of
from ._torch_average import AveragedWeights
from ._torch_batches import RampedBatchSampler, accumulation
from ._torch_groups import Followers, momentum_in, momentum_key, put_decays, put_momentum
from ._torch_state import DRIVEN, Followed, checked_state, joined, spec_of
from ._watch import Watch
from ._weight_decay import DecayRule

__all__ = [
    "AveragedWeights",
    "RampedBatchSampler",
    "RunLog",
    "ScheduledLR",
    "Watch",
    "accumulation",
    "schedule_of",
]

CHUNK = 1024
"""Updates whose values are computed at once; one by one they would cost more than a step."""


class ScheduledLR(LRScheduler):
    """An `LRScheduler` by which update t = 0, 1, ... has the LR `schedule(t)`, to the last bit.

    Call `step()` after each update, as with every scheduler of PyTorch: not after a micro-batch of
    an accumulated gradient, and not where a `GradScaler` skipped the update. Beyond the horizon the
    end value is held, and a warning says so once.

    `source` is anything that `schedule_of` takes.

    *Parameter groups* of one schedule keep their ratios: the LR of a group is the schedule's times
    (its own LR at the start) / `base_lr`, by default that of the first group; so where all groups
    have the same LR, whatever it is, they follow the schedule exactly. Where the source holds
    schedules by name, a group follows that of its "name", `{"params": ..., "name": "head"}`; groups
    of one name keep their ratios, and `base_lr` may be a mapping by name. With `group="muon"` the
    whole optimiser follows that one schedule. A group that `optimizer.add_param_group` adds later
    follows at once.

    *Weight decay*: `weight_decay_rule` says what becomes of `weight_decay` as the LR changes:
    "coupled" leaves it, so that the weights shrink by the LR times it, as AdamW does; "decoupled"
    keeps that product at its value at the peak; "timescale=5000" keeps it at 1/5000 an update. A
    mapping says so by name of a group.

    *Momentum*: `momentum` is a number, or anything that `schedule_of` takes, and sets `momentum`
    (SGD) or the first of `betas` (Adam and its like) of every group; by default it is that of a
    source that holds one, such as a `Solution`, and else is left alone. An LR or beta that is a
    tensor is filled in place, as compiled and capturable optimisers need.

    *Steps or samples*: with `unit="samples"` the schedule goes by the samples seen. Each update
    adds `batch_size` samples, summed over all processes, and stands for batch_size /
    `planned_batch_size` updates of the schedule; the planned batch size is by default that of the
    source, such as a plan's, where it holds one, else `batch_size`,
    and belongs to the checkpoint, so that a run resumed with more or fewer processes keeps the LR
    of every sample. Where the batch size varies, set the attribute `batch_size` before `step()`.

    *Resuming*: `state_dict()` is small and holds numbers and text only; the schedule is part of it.
    `load_state_dict` sets the LR and momentum, so the scheduler may be made before or after
    `optimizer.load_state_dict`. A checkpoint that follows another schedule than `source` is an
    InputError, unless `on_change="keep"` (go on with the checkpoint's) or `on_change="replace"`
    (follow `source` from here). Changes stand in `changes`, as [updates done, old, new].

    Attributes: `schedule` (of several the first), `groups` (GroupSchedules or None), `momentum`
    (Schedule, number or None), `changes`, `batch_size`, `last_epoch` (updates done), `samples` and
    `position` (updates of the schedule done).

    Raises: InputError for a source that is none, a group without a schedule or a ratio, an
    optimiser without momentum, a state that is not a `ScheduledLR`'s or of another number of
    groups.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> scheduler = ScheduledLR(optimizer, "linear:peak=0.5,horizon=4", momentum=0.5)
    >>> for _ in range(3):
    ...     print(optimizer.param_groups[0]["lr"], optimizer.param_groups[0]["momentum"])
    ...     optimizer.step()
    ...     scheduler.step()
    0.5 0.5
    0.375 0.5
    0.25 0.5
    """

    def __init__(
        self,
        optimizer: torch.optim.Optimizer,
        source: Any,
        *,
        group: str | None = None,
        momentum: Any = None,
        base_lr: float | Mapping[str, float] | None = None,
        weight_decay_rule: Any = "coupled",
        unit: str = "steps",
        batch_size: int | None = None,
        planned_batch_size: int | None = None,
        on_change: str | None = None,
        last_epoch: int = -1,
    ) -> None:
        controls = _controls(source, group)
        self.schedule: Schedule = controls.schedule
        self.groups: GroupSchedules | None = controls.groups
        self.momentum = control_of("momentum", controls.momentum if momentum is None else momentum)
        self.changes: list[list[Any]] = []
        self.unit = one_of("unit", unit, ("steps", "samples"))
        self.on_change = one_of("on_change", on_change, (None, "keep", "replace"))
        if unit == "samples" and batch_size is None:
            raise InputError("unit='samples' needs batch_size, the samples of one update")
        self._batch_size = whole(
            "batch_size", 1 if batch_size is None else batch_size, 1, unit="sample"
        )
        planned = planned_size(controls, unit, planned_batch_size)
        self.planned_batch_size = self._batch_size if planned is None else planned
        self._mark = (0, 0)  # updates and samples when the batch size was set
        self._group = group
        if group is not None and isinstance(weight_decay_rule, Mapping):
            weight_decay_rule = weight_decay_rule.get(group, "coupled")
        self._followers = Followers(optimizer, self.groups, base_lr, weight_decay_rule)
        self._first, self._count, self._rates, self._momenta = 0, 0, {}, None
        self._warned = self._changed = self._alone = False
        if self.momentum is not None:
            for each in optimizer.param_groups:
                momentum_key(optimizer, each)
        super().__init__(optimizer, last_epoch)
        _watch_loading(self)
        _watch_adding(self)

    @property
    def batch_size(self) -> int:
        """Samples of the next update, over all processes; it may be set."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        value = whole("batch_size", value, 1, unit="sample")
        self._mark = (self.last_epoch, self.samples)
        self._batch_size = value
        self._forget()

    @property
    def samples(self) -> int:
        """Samples seen, where `batch_size` is known."""
        updates, samples = self._mark
        return samples + (max(self.last_epoch, 0) - updates) * self._batch_size

    @property
    def position(self) -> float:
        """Updates of the schedule that are done: the argument of `schedule` for the next update."""
        return float(self._positions(np.array([max(self.last_epoch, 0)]))[0])

    def get_lr(self) -> list[float | torch.Tensor]:
        """The LRs of the next update, one a group; sets the momentum, as OneCycleLR does here.

        A weight decay that a rule drives is set too.
        """
        if self._alone:
            self._warn_alone()
        self._followers.adopt()
        place, groups = self._place(), self.optimizer.param_groups
        if self._momenta is not None:
            for group in groups:
                put_momentum(group, self._momenta[place])
        rates = self._planned(place)
        put_decays(groups, self._followers.decays(rates, self._peaks()))
        return list(rates)

    def _planned(self, place: int) -> list[float]:
        """The LRs of an update whose rates were computed, one a group."""
        return self._followers.planned({name: each[place] for name, each in self._rates.items()})

    def _peaks(self) -> dict[str | None, float]:
        return {name: schedule.peak for name, schedule in self._schedules().items()}

    def _schedules(self) -> Mapping[str | None, Schedule]:
        """The schedules by the names in `Followers`."""
        return {None: self.schedule} if self.groups is None else {**self.groups}

    def _place(self) -> int:
        """Where the next update stands in the rates that are computed; computes them if need be."""
        place = self.last_epoch - self._first
        if not 0 <= place < self._count:
            self._compute()
            place = 0
        return place

    def _forget(self) -> None:
        """Compute rates and momenta again when they are next asked for."""
        self._count, self._rates, self._momenta = 0, {}, None

    def _warn_alone(self) -> None:
        self._alone = False
        warnings.warn(
            f"the optimiser's state was loaded and the scheduler's was not, so the schedule goes "
            f"on after {max(self.last_epoch, 0)} updates: call load_state_dict of the scheduler "
            "too, or, where a new schedule begins, make ScheduledLR after the state is loaded",
            stacklevel=4,
        )

    def _drives(self) -> bool:
        """Whether the LRs in the optimiser are those of the schedule.

        In a SequentialLR a scheduler whose turn has not come, or is over, set none of them.
        """
        if self.last_epoch < 0:
            return False
        now = [float(group["lr"]) for group in self.optimizer.param_groups]
        return now == self._as_applied(self._planned(self._place()))

    def replan(self, source: Any, *, momentum: Any = None, start: str = "run") -> None:
        """Follow another schedule from the next update on, and record it in `changes`.

        `source` and `momentum` as for the class; a momentum of None stays, and so does what follows
        each group, so that schedules by name are followed by others. `start="run"`: the new
        schedule counts its steps from the start of the run, as one with a longer horizon does.
        `start="now"`: it counts from the next update, as one made for the rest of the run does, and
        `schedule` becomes the old one with the new one joined on.

        Raises: InputError for a source that is none, or has other groups; for "now" between two
        updates of the schedule.

        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> scheduler = ScheduledLR(optimizer, "wsd:peak=0.5,horizon=100,cooldown=0.1")
        >>> scheduler.replan("wsd:peak=0.5,horizon=200,cooldown=0.1")
        >>> scheduler.schedule.horizon, scheduler.changes[0][0]
        (200, 0)
        """
        controls = _controls(source, self._group, optional=True)
        new = self._like_before(controls)
        changed = control_of("momentum", controls.momentum if momentum is None else momentum)
        if one_of("start", start, ("run", "now")) == "now":
            old = self._schedules()
            new = {name: joined(old[name], each, self.position) for name, each in new.items()}
            if isinstance(changed, Schedule) and isinstance(self.momentum, Schedule):
                changed = joined(self.momentum, changed, self.position)
        self._follow(
            Followed.by_name(new, self.momentum if changed is None else changed, self._rules())
        )
        self._changed = True
        self._put(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs, as numbers, text and lists of them."""
        groups = self.optimizer.param_groups
        self._followers.adopt()
        followers = self._followers.each
        driven_decay = any(not each.rule.coupled for each in followers)
        return {
            "last_epoch": self.last_epoch,
            "_step_count": self._step_count,
            "schedule": self.schedule.spec,
            "groups": None
            if self.groups is None
            else {name: schedule.spec for name, schedule in self.groups.items()},
            "names": None if self.groups is None else [each.name for each in followers],
            "momentum": spec_of(self.momentum),
            "unit": self.unit,
            "samples": self.samples,
            "planned_batch_size": self.planned_batch_size,
            "ratios": [each.ratio for each in followers],
            # As they are in the optimiser: in a SequentialLR another scheduler may have set them.
            "lr": [float(group["lr"]) for group in groups],
            "momentum_now": None
            if self.momentum is None
            else [momentum_in(group) for group in groups],
            "weight_decay": [[each.rule.text, each.decay] for each in followers]
            if driven_decay
            else None,
            "weight_decay_now": [float(group.get("weight_decay", 0.0)) for group in groups]
            if driven_decay
            else None,
            "changes": [list(change) for change in self.changes],
            DRIVEN: self._drives(),
        }

    def load_state_dict(self, state_dict: dict[str, Any]) -> None:
        """Go on from a state that `state_dict` returned; see the class for a changed schedule.

        Raises: InputError where the state is not one of these, has another number of parameter
        groups, or follows another schedule.
        """
        state = checked_state(state_dict, len(self.optimizer.param_groups))
        if state.unit != self.unit:
            raise InputError(
                f"the checkpoint goes by {shown(state.unit)} and this scheduler by {self.unit}: "
                f"give unit={shown(state.unit)}"
            )
        self._followers.adopt()
        state.check_names([each.name for each in self._followers.each])
        given, kept = self._followed(), state.followed
        if given != kept and self.on_change is None:
            before, now = kept.unlike(given), given.unlike(kept)
            raise InputError(
                f"after {state.last_epoch} updates the checkpoint follows {before} and this "
                f"scheduler {now}: give on_change='keep' to go on with the checkpoint's or "
                "'replace' to change"
            )
        if state.momentum_now is not None:
            for group in self.optimizer.param_groups:
                momentum_key(self.optimizer, group)
        state.check_rates(state.planned())

        # From here on nothing is refused, so a state is taken as a whole or not at all.
        self._alone = False
        self._take(kept)
        self.last_epoch, self._step_count = state.last_epoch, state.step_count
        self.planned_batch_size = state.planned_batch_size
        self._mark = (self.last_epoch, state.samples)
        self._followers.restore(state.ratios, kept.rules, state.decays)
        self.changes, self._changed = state.changes, False
        groups = self.optimizer.param_groups
        if state.momentum_now is not None:
            for group, value in zip(groups, state.momentum_now, strict=True):
                put_momentum(group, value)
        if state.decays_now is not None:
            put_decays(groups, list(state.decays_now))
        self._put(state.lr)
        if given != kept and self.on_change == "replace":
            active = self._drives()
            self._follow(given)
            self._changed = active
            if active:
                self._put(self.get_lr())

    def _followed(self) -> Followed:
        return Followed.by_name(self._schedules(), self.momentum, self._rules())

    def _rules(self) -> tuple[DecayRule, ...]:
        return tuple(each.rule for each in self._followers.each)

    def _take(self, followed: Followed) -> None:
        """Follow this from the next update on."""
        self.schedule, self.groups = followed.schedule, followed.groups
        self.momentum = followed.momentum
        self._forget()

    def _follow(self, new: Followed) -> None:
        """Follow this from the next update on, and note the change."""
        if new.momentum is not None:
            for group in self.optimizer.param_groups:
                momentum_key(self.optimizer, group)
        self.changes.append([max(self.last_epoch, 0), self._followed().text, new.text])
        self._take(new)
        self._followers.follow(new.rules)
        self._warned = False

    def _like_before(self, controls: PlannedControls) -> dict[str | None, Schedule]:
        """New schedules for the groups that there are."""
        if self.groups is None and controls.groups is None:
            return {None: controls.schedule}
        if self.groups is None or controls.groups is None:
            raise InputError(
                "this scheduler follows one schedule: give one"
                if self.groups is None
                else f"this scheduler follows schedules for {', '.join(self.groups)}: give a "
                "mapping with one for each"
            )
        return {name: controls.groups.named(name) for name in self.groups}

    def _positions(self, updates: np.ndarray) -> np.ndarray:
        """Where in the schedule updates stand, float64 of the same shape."""
        if self.unit == "steps":
            return updates.astype(np.float64)
        since, samples = self._mark
        return (samples + (updates - since) * self._batch_size) / self.planned_batch_size

    def _compute(self) -> None:
        """The rates and momenta of the next updates."""
        self._first = max(self.last_epoch, 0)
        updates = np.arange(self._first, self._first + CHUNK)
        # The value after the last update is asked for and used by no update.
        inside = self._positions(updates - 1) < self.schedule.horizon
        if inside[0]:
            updates = updates[inside]
        elif not self._warned:
            self._warned = True
            warnings.warn(
                f"{self._first} updates are more than the schedule's horizon "
                f"{self.schedule.horizon}: its end value {self.schedule(self.schedule.horizon):g} "
                "is held; call replan with a longer schedule to extend the run",
                stacklevel=5,
            )
        positions = self._positions(updates)
        self._count = len(positions)
        self._rates = {
            name: schedule(positions).tolist() for name, schedule in self._schedules().items()
        }
        if isinstance(self.momentum, Schedule):
            self._momenta = self.momentum(positions).tolist()
        elif self.momentum is not None:
            self._momenta = [self.momentum] * len(positions)

    def _put(self, rates: list[Any]) -> None:
        for group, rate in zip(self.optimizer.param_groups, rates, strict=True):
            if isinstance(group["lr"], torch.Tensor):
                group["lr"].fill_(rate)
            else:
                group["lr"] = rate
        self._last_lr = [
            lr.clone() if isinstance(lr := group["lr"], torch.Tensor) else lr
            for group in self.optimizer.param_groups
        ]

    def _as_applied(self, rates: list[Any]) -> list[float]:
        """Rates as the optimiser holds them: rounded where its LR is a tensor."""
        return [
            float(torch.full_like(lr, rate))
            if isinstance(lr := group["lr"], torch.Tensor)
            else rate
            for group, rate in zip(self.optimizer.param_groups, rates, strict=True)
        ]


def _controls(source: Any, group: str | None, *, optional: bool = False) -> PlannedControls:
    """What a source holds, for one group where it is named; `optional`: where it has groups."""
    controls = controls_of(source)
    if group is None or (optional and controls.groups is None):
        return controls
    return controls.of_group(group)


def _watch_loading(scheduler: ScheduledLR) -> None:
    """Keep a changed schedule's LR where the optimiser's old state is loaded after the change.

    Without a change, note where a state is loaded that has other LRs than the scheduler set: its
    own state must follow.
    """
    seen = weakref.ref(scheduler)

    def put_again(optimizer: torch.optim.Optimizer) -> None:
        scheduler = seen()
        if scheduler is None:
            return
        if scheduler._changed:
            scheduler._put(scheduler.get_lr())
        else:
            rates = [float(group["lr"]) for group in optimizer.param_groups]
            scheduler._alone = rates != [float(rate) for rate in scheduler._last_lr]

    # A wrapper around an optimiser, as Accelerate's, has no hooks; its inner one was not given.
    with contextlib.suppress(AttributeError):
        scheduler.optimizer.register_load_state_dict_post_hook(put_again)


def _watch_adding(scheduler: ScheduledLR) -> None:
    """Give a parameter group that is added later its LR for the very next update."""
    seen, add = weakref.ref(scheduler), scheduler.optimizer.add_param_group

    def add_and_schedule(param_group: dict[str, Any]) -> None:
        scheduler = seen()
        drives = scheduler is not None and scheduler._drives()
        add(param_group)
        if scheduler is None:
            return
        try:
            scheduler._followers.adopt()
        except InputError:
            scheduler.optimizer.param_groups.pop()
            raise
        if drives:
            scheduler._put(scheduler.get_lr())

    scheduler.optimizer.add_param_group = add_and_schedule  # type: ignore[method-assign]
