"""PyTorch: the planned learning rate, momentum and batch size drive the training.

scheduler = ScheduledLR(optimizer, "plan/schedule.json")
for batch in loader:
    ...
    optimizer.step()
    scheduler.step()
"""

from __future__ import annotations

import contextlib
import math
import warnings
import weakref
from typing import Any

import numpy as np

try:
    import torch
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "etastar.integrations.torch needs PyTorch: pip install 'etastar[torch]'"
    ) from None

from torch.optim.lr_scheduler import LRScheduler

from etastar._checks import one_of, real, shown, whole
from etastar._errors import InputError
from etastar.schedule import Schedule, join

from ._log import RunLog
from ._source import control_of, controls_of, schedule_of
from ._torch_average import AveragedWeights
from ._torch_batches import RampedBatchSampler, accumulation
from ._torch_state import DRIVEN, SchedulerState, checked_state

__all__ = [
    "AveragedWeights",
    "RampedBatchSampler",
    "RunLog",
    "ScheduledLR",
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

    *Parameter groups* keep their ratios: the LR of a group is the schedule's times (its own LR at
    the start) / `base_lr`, by default that of the first group; so where all groups have the same
    LR, whatever it is, they follow the schedule exactly. One that `optimizer.add_param_group` adds
    later follows with its ratio from the next `step()` on.

    *Momentum*: `momentum` is a number, or anything that `schedule_of` takes, and sets `momentum`
    (SGD) or the first of `betas` (Adam and its like) of every group; by default it is that of a
    source that holds one, such as a `Solution`, and else is left alone. An LR or beta that is a
    tensor is filled in place, as compiled and capturable optimisers need.

    *Steps or samples*: with `unit="samples"` the schedule goes by the samples seen. Each update
    adds `batch_size` samples, summed over all processes, and stands for batch_size /
    `planned_batch_size` updates of the schedule; the planned batch size is by default `batch_size`
    and belongs to the checkpoint, so that a run resumed with more or fewer processes keeps the LR
    of every sample. Where the batch size varies, set the attribute `batch_size` before `step()`.

    *Resuming*: `state_dict()` is small and holds numbers and text only; the schedule is part of it.
    `load_state_dict` sets the LR and momentum, so the scheduler may be made before or after
    `optimizer.load_state_dict`. A checkpoint that follows another schedule than `source` is an
    InputError, unless `on_change="keep"` (go on with the checkpoint's) or `on_change="replace"`
    (follow `source` from here). Changes stand in `changes`, as [updates done, old, new].

    Attributes: `schedule`, `momentum` (Schedule, number or None), `changes`, `batch_size`,
    `last_epoch` (updates done), `samples` and `position` (updates of the schedule done).

    Raises: InputError for a source that is none, groups whose LRs have no ratio, an optimiser
    without momentum, a state that is not a `ScheduledLR`'s or of another number of groups.

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
        momentum: Any = None,
        base_lr: float | None = None,
        unit: str = "steps",
        batch_size: int | None = None,
        planned_batch_size: int | None = None,
        on_change: str | None = None,
        last_epoch: int = -1,
    ) -> None:
        controls = controls_of(source)
        self.schedule: Schedule = controls.schedule
        self.momentum = control_of("momentum", controls.momentum if momentum is None else momentum)
        self.changes: list[list[Any]] = []
        self.unit = one_of("unit", unit, ("steps", "samples"))
        self.on_change = one_of("on_change", on_change, (None, "keep", "replace"))
        if unit == "samples" and batch_size is None:
            raise InputError("unit='samples' needs batch_size, the samples of one update")
        self._batch_size = whole(
            "batch_size", 1 if batch_size is None else batch_size, 1, unit="sample"
        )
        self.planned_batch_size = (
            self._batch_size
            if planned_batch_size is None
            else whole("planned_batch_size", planned_batch_size, 1, unit="sample")
        )
        self._mark = (0, 0)  # updates and samples when the batch size was set
        self._reference, self._ratios = _ratios(optimizer, base_lr)
        self._first, self._rates, self._momenta = 0, [], None
        self._warned = self._changed = False
        if self.momentum is not None:
            for group in optimizer.param_groups:
                _momentum_key(optimizer, group)
        super().__init__(optimizer, last_epoch)
        _watch_loading(self)

    @property
    def batch_size(self) -> int:
        """Samples of the next update, over all processes; it may be set."""
        return self._batch_size

    @batch_size.setter
    def batch_size(self, value: int) -> None:
        value = whole("batch_size", value, 1, unit="sample")
        self._mark = (self.last_epoch, self.samples)
        self._batch_size = value
        self._rates = []

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
        """The LRs of the next update, one a group; sets the momentum, as OneCycleLR does here."""
        self._adopt_groups()
        place = self.last_epoch - self._first
        if not 0 <= place < len(self._rates):
            self._compute()
            place = 0
        if self._momenta is not None:
            for group in self.optimizer.param_groups:
                _put_momentum(group, self._momenta[place])
        rate = self._rates[place]
        return [rate * ratio for ratio in self._ratios]

    def replan(self, source: Any, *, momentum: Any = None, start: str = "run") -> None:
        """Follow another schedule from the next update on, and record it in `changes`.

        `source` and `momentum` as for the class; a momentum of None stays. `start="run"`: the new
        schedule counts its steps from the start of the run, as one with a longer horizon does.
        `start="now"`: it counts from the next update, as one made for the rest of the run does, and
        `schedule` becomes the old one with the new one joined on.

        Raises: InputError for a source that is none; for "now" between two updates of the schedule.

        >>> import torch
        >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
        >>> scheduler = ScheduledLR(optimizer, "wsd:peak=0.5,horizon=100,cooldown=0.1")
        >>> scheduler.replan("wsd:peak=0.5,horizon=200,cooldown=0.1")
        >>> scheduler.schedule.horizon, scheduler.changes[0][0]
        (200, 0)
        """
        controls = controls_of(source)
        new = controls.schedule
        changed = control_of("momentum", controls.momentum if momentum is None else momentum)
        if one_of("start", start, ("run", "now")) == "now":
            new = _joined(self.schedule, new, self.position)
            if isinstance(changed, Schedule) and isinstance(self.momentum, Schedule):
                changed = _joined(self.momentum, changed, self.position)
        self._follow(new, self.momentum if changed is None else changed)
        self._changed = True
        self._put(self.get_lr())

    def state_dict(self) -> dict[str, Any]:
        """All that `load_state_dict` needs, as numbers, text and lists of them."""
        groups = self.optimizer.param_groups
        self._adopt_groups()
        rates = [float(group["lr"]) for group in groups]
        state = {
            "last_epoch": self.last_epoch,
            "_step_count": self._step_count,
            "schedule": self.schedule.spec,
            "momentum": _spec(self.momentum),
            "unit": self.unit,
            "samples": self.samples,
            "planned_batch_size": self.planned_batch_size,
            "ratios": list(self._ratios),
            # As they are in the optimiser: in a SequentialLR another scheduler may have set them.
            "lr": rates,
            "momentum_now": None
            if self.momentum is None
            else [_momentum_in(group) for group in groups],
            "changes": [list(change) for change in self.changes],
        }
        planned = self._as_applied(self._planned_by(checked_state(state, len(groups))))
        return {**state, DRIVEN: self.last_epoch >= 0 and rates == planned}

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
        given, kept = (self.schedule, self.momentum), (state.schedule, state.momentum)
        if given != kept and self.on_change is None:
            raise InputError(
                f"after {state.last_epoch} updates the checkpoint follows "
                f"{_described(*kept)} and this scheduler {_described(*given)}: give "
                "on_change='keep' to go on with the checkpoint's or 'replace' to change"
            )
        if state.momentum is not None:
            for group in self.optimizer.param_groups:
                _momentum_key(self.optimizer, group)
        state.check_rates(self._planned_by(state))

        # From here on nothing is refused, so a state is taken as a whole or not at all.
        self.schedule, self.momentum = kept
        self.last_epoch, self._step_count = state.last_epoch, state.step_count
        self.planned_batch_size = state.planned_batch_size
        self._mark = (self.last_epoch, state.samples)
        self._ratios, self.changes = state.ratios, state.changes
        self._rates, self._momenta, self._changed = [], None, False
        # A scheduler whose turn in a SequentialLR has not come, or is over, set none of the LRs.
        active = self.last_epoch >= 0 and state.lr == self._as_applied(self.get_lr())
        if state.momentum_now is not None:
            for group, value in zip(self.optimizer.param_groups, state.momentum_now, strict=True):
                _put_momentum(group, value)
        self._put(state.lr)
        if given != kept and self.on_change == "replace":
            self._follow(*given)
            self._changed = active
            if active:
                self._put(self.get_lr())

    def _planned_by(self, state: SchedulerState) -> list[float]:
        """The LRs of the next update by the schedule of a state."""
        done = max(state.last_epoch, 0)
        by_samples = state.samples / state.planned_batch_size
        rate = state.schedule(done if state.unit == "steps" else by_samples)
        return [rate * ratio for ratio in state.ratios]

    def _adopt_groups(self) -> None:
        """Give a ratio to parameter groups that were added since the last look."""
        groups = self.optimizer.param_groups
        if len(groups) == len(self._ratios):
            return
        if len(groups) < len(self._ratios):
            raise InputError(
                f"the optimiser has {len(groups)} parameter groups and had {len(self._ratios)}: a "
                "group that is to rest keeps its place and loses its parameters' gradients"
            )
        self._ratios = [
            *self._ratios,
            *(_ratio(_start(group), self._reference) for group in groups[len(self._ratios) :]),
        ]

    def _follow(self, schedule: Schedule, momentum: float | Schedule | None) -> None:
        old, new = (self.schedule, self.momentum), (schedule, momentum)
        if momentum is not None:
            for group in self.optimizer.param_groups:
                _momentum_key(self.optimizer, group)
        self.changes.append([max(self.last_epoch, 0), _described(*old), _described(*new)])
        self.schedule, self.momentum = new
        self._rates, self._momenta = [], None
        self._warned = False

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
        self._rates = self.schedule(positions).tolist()
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


def _watch_loading(scheduler: ScheduledLR) -> None:
    """Keep a changed schedule's LR where the optimiser's old state is loaded after the change."""
    seen = weakref.ref(scheduler)

    def put_again(_: torch.optim.Optimizer) -> None:
        scheduler = seen()
        if scheduler is not None and scheduler._changed:
            scheduler._put(scheduler.get_lr())

    # A wrapper around an optimiser, as Accelerate's, has no hooks; its inner one was not given.
    with contextlib.suppress(AttributeError):
        scheduler.optimizer.register_load_state_dict_post_hook(put_again)


def _ratios(optimizer: torch.optim.Optimizer, base_lr: float | None) -> tuple[float, list[float]]:
    """The LR that stands for the schedule's, and that of each group over it."""
    if not isinstance(optimizer, torch.optim.Optimizer):
        raise InputError(f"optimizer must be a torch Optimizer, got {type(optimizer).__name__}")
    starts = [_start(group) for group in optimizer.param_groups]
    if base_lr is None and len(set(starts)) == 1:
        return starts[0], [1.0] * len(starts)
    reference = starts[0] if base_lr is None else real("base_lr", base_lr)
    return reference, [_ratio(start, reference) for start in starts]


def _ratio(start: float, reference: float) -> float:
    """The LR of a group over the one that stands for the schedule's."""
    if not (reference > 0 and 0 <= start < math.inf):
        raise InputError(
            f"a group's LR of {start:g} has no ratio to {reference:g}: give base_lr, the LR that "
            "stands for the schedule's own"
        )
    return start / reference


def _start(group: dict[str, Any]) -> float:
    """The LR of a group before any scheduler, which is noted in it as PyTorch's schedulers do."""
    lr = group["lr"]
    group.setdefault("initial_lr", lr.clone() if isinstance(lr, torch.Tensor) else lr)
    return float(group["initial_lr"])


def _momentum_key(optimizer: torch.optim.Optimizer, group: dict[str, Any]) -> str:
    for key in ("momentum", "betas"):
        if key in group:
            return key
    raise InputError(
        f"{type(optimizer).__name__} has neither momentum nor betas for a momentum to drive: leave "
        "momentum out"
    )


def _momentum_in(group: dict[str, Any]) -> float:
    return float(group["momentum"] if "momentum" in group else group["betas"][0])


def _put_momentum(group: dict[str, Any], value: float) -> None:
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


def _joined(old: Schedule, new: Schedule, position: float) -> Schedule:
    if position == 0:
        return new
    if position != int(position):
        raise InputError(
            f"the run stands at {position:g} updates of its schedule, between two: give a new "
            "schedule that counts from the start of the run, start='run'"
        )
    return join([(old, int(position)), (new, int(position) + new.horizon)])


def _spec(control: float | Schedule | None) -> float | str | None:
    return control.spec if isinstance(control, Schedule) else control


def _described(schedule: Schedule, momentum: float | Schedule | None) -> str:
    return schedule.spec if momentum is None else f"{schedule.spec} with momentum {_spec(momentum)}"
