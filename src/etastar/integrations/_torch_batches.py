"""Batches whose size follows a schedule, and what is needed to train with large ones."""

from __future__ import annotations

import numbers
import os
from array import array
from collections.abc import Iterator, Mapping, Sized
from typing import Any

import numpy as np
import torch
from torch.utils.data import Sampler

from etastar._checks import one_of, shown, step_horizon, whole
from etastar._errors import InputError
from etastar.schedule import Schedule, make_schedule, parse_schedule

from ._source import control_of, controls_of

STATE = ("step", "samples", "batch_size", "seed", "size", "unit", "multiple_of", "horizon")


class RampedBatchSampler(Sampler[list[int]]):
    """The batch sampler of a `DataLoader` whose batch size follows a schedule.

    Update t takes the next B(t) samples of one stream: the data in a new random order each epoch,
    one epoch after another, so that each sample is seen once an epoch and a batch may end one epoch
    and begin the next. B is `batch_size` rounded to the nearest multiple of `multiple_of`, at least
    one. One pass through the sampler is the whole run, from where it was resumed to its end:

        unit="steps"    B is a function of the updates done; the run ends after `horizon` updates
        unit="samples"  B is a function of the samples seen; the run ends after `horizon` samples,
                        less what is no multiple, its last batch being cut to end there

    `data` is the number of samples, something with a length such as the dataset, or a `Sampler`
    with `set_epoch` whose order is then used. `batch_size` counts the samples of an update over all
    processes: a number (with `horizon`), or a schedule, spec, file or solution whose values are
    batch sizes. `seed` and `shuffle` decide the order.

    *Distributed*: every process makes the same sampler and gets each `world_size`-th sample of the
    batch, beginning at its `rank`; both are those of `torch.distributed`, else of the environment
    (RANK, WORLD_SIZE), unless given. A batch must divide among the processes: `multiple_of` is by
    default their number.

    *Resuming*: `state_dict(step)` takes the number of updates done, because the workers of a
    `DataLoader` fetch ahead. A state may be loaded in a job with another number of processes; the
    batches are the same, each process has another part of them. A state of another batch size is an
    InputError unless `on_change` is "keep" or "replace".

    Raises: InputError for what is out of range, a batch that does not divide among the processes, a
    state of other data.

    >>> sampler = RampedBatchSampler(10, "table:knots=0:2/4:6", shuffle=False)
    >>> list(sampler)
    [[0, 1], [2, 3, 4], [5, 6, 7, 8], [9, 0, 1, 2, 3]]
    >>> sampler.total_samples
    14
    """

    def __init__(
        self,
        data: int | Sized,
        batch_size: Any,
        *,
        horizon: int | None = None,
        seed: int = 0,
        shuffle: bool = True,
        unit: str = "steps",
        multiple_of: int | None = None,
        rank: int | None = None,
        world_size: int | None = None,
        on_change: str | None = None,
    ) -> None:
        self.source = data if isinstance(data, Sampler) else None
        if self.source is not None and not callable(getattr(data, "set_epoch", None)):
            raise InputError(
                f"{type(data).__name__} has no set_epoch, so a resumed run could not repeat its "
                "order: give the dataset instead, with seed and shuffle"
            )
        self.size = whole("data", data if isinstance(data, int) else len(data), 1, unit="sample")
        self.unit = one_of("unit", unit, ("steps", "samples"))
        self.on_change = one_of("on_change", on_change, (None, "keep", "replace"))
        self.seed, self.shuffle = whole("seed", seed), shuffle
        self.rank, self.world_size = _place(rank, world_size)
        self.multiple_of = whole("multiple_of", multiple_of or self.world_size, 1, unit="sample")
        if self.multiple_of % self.world_size:
            raise InputError(
                f"batches are multiples of {self.multiple_of} samples and cannot be dealt equally "
                f"to {self.world_size} processes: give multiple_of={self.world_size}"
            )
        self.schedule = _sizes_of(batch_size, horizon)
        self.horizon = self.schedule.horizon if horizon is None else step_horizon(horizon)
        self.step = 0
        self._starts = array("q", [0])  # samples seen before update step, step + 1, ...
        self._order: tuple[int, np.ndarray] | None = None

    def batch_size_of(self, step: int) -> int:
        """Samples of an update, over all processes; 0 after the end of the run."""
        begin = self.samples_before(step)
        return 0 if begin is None else (self.samples_before(step + 1) or begin) - begin

    def samples_before(self, step: int) -> int | None:
        """Samples seen before an update, at or after the one resumed from; None after the end."""
        if step < self.step:
            raise InputError(f"step {step} is before {self.step}, from which the run was resumed")
        starts = self._starts
        while len(starts) <= step - self.step:
            size = self._size(self.step + len(starts) - 1, starts[-1])
            if size == 0:
                return None
            starts.append(starts[-1] + size)
        return starts[step - self.step]

    def _size(self, step: int, samples: int) -> int:
        place = step if self.unit == "steps" else samples
        if place >= self.horizon:
            return 0
        unit = self.multiple_of
        size = max(round(self.schedule(place) / unit), 1) * unit
        if self.unit == "samples":
            left = self.horizon - samples
            size = min(size, left - left % unit)
        return size

    @property
    def total_samples(self) -> int:
        """Samples of the whole run, over all processes."""
        while self.samples_before(self.step + len(self._starts)) is not None:
            pass
        return self._starts[-1]

    def __len__(self) -> int:
        """Updates from the one resumed from to the end."""
        if self.unit == "steps":
            return max(self.horizon - self.step, 0)
        _ = self.total_samples
        return len(self._starts) - 1

    def __iter__(self) -> Iterator[list[int]]:
        step = self.step
        while (end := self.samples_before(step + 1)) is not None:
            begin = self.samples_before(step)
            assert begin is not None
            yield self._samples(begin, end)[self.rank :: self.world_size]
            step += 1

    def _samples(self, begin: int, end: int) -> list[int]:
        """Entries begin..end of the stream."""
        chosen: list[int] = []
        while begin < end:
            epoch, offset = divmod(begin, self.size)
            stop = min(offset + end - begin, self.size)
            chosen += self._epoch(epoch)[offset:stop].tolist()
            begin += stop - offset
        return chosen

    def _epoch(self, epoch: int) -> np.ndarray:
        if self._order is None or self._order[0] != epoch:
            self._order = (epoch, self._new_order(epoch))
        return self._order[1]

    def _new_order(self, epoch: int) -> np.ndarray:
        if self.source is not None:
            self.source.set_epoch(epoch)  # type: ignore[attr-defined]
            return np.fromiter(self.source, dtype=np.int64, count=self.size)
        if self.shuffle:
            return np.random.default_rng([self.seed, epoch]).permutation(self.size)
        return np.arange(self.size)

    def state_dict(self, step: int) -> dict[str, Any]:
        """The state after `step` updates of the training, as numbers and text.

        Raises: InputError for a step before the one resumed from, or after the end.
        """
        samples = self.samples_before(step)
        if samples is None:
            raise InputError(f"step {step} is after the end of the run")
        return {
            "step": step,
            "samples": samples,
            "batch_size": self.schedule.spec,
            "seed": self.seed,
            "size": self.size,
            "unit": self.unit,
            "multiple_of": self.multiple_of,
            "horizon": self.horizon,
        }

    def load_state_dict(self, state_dict: Mapping[str, Any]) -> None:
        """Go on after the updates that a state counts.

        Raises: InputError where it is not a state, of other data, seed or unit, or of another batch
        size and `on_change` is not given.
        """
        if not isinstance(state_dict, Mapping):
            raise InputError(f"a state must be a dictionary, got {shown(state_dict)}")
        missing = [key for key in STATE if key not in state_dict]
        if missing:
            raise InputError(f"the state is not of a RampedBatchSampler: it has no {missing[0]!r}")
        for key in ("size", "seed", "unit"):
            if state_dict[key] != getattr(self, key):
                raise InputError(
                    f"the checkpoint has {key} {shown(state_dict[key])} and this sampler "
                    f"{getattr(self, key)!r}: make the sampler as it was"
                )
        theirs = tuple(state_dict[key] for key in ("batch_size", "multiple_of", "horizon"))
        ours = (self.schedule.spec, self.multiple_of, self.horizon)
        if theirs != ours and self.on_change is None:
            raise InputError(
                f"the checkpoint's (batch size, multiple_of, horizon) are {shown(theirs)} and this "
                f"sampler's {ours}: give on_change='keep' to go on with the checkpoint's or "
                "'replace' to change"
            )
        step, samples = (whole(f"{key} of the state", state_dict[key]) for key in STATE[:2])
        if max(step, samples) >= 2**62:
            raise InputError(f"{step} updates and {samples} samples of the state: too many")
        if self.on_change != "replace":
            unit = whole("multiple_of of the state", state_dict["multiple_of"], 1, unit="sample")
            horizon = step_horizon(state_dict["horizon"], "horizon of the state")
            if unit % self.world_size:
                raise InputError(
                    f"the checkpoint's batches are multiples of {unit} samples"
                    f" and cannot be dealt equally to {self.world_size} processes: take a number "
                    "that divides it, or on_change='replace'"
                )
            self.schedule = parse_schedule(state_dict["batch_size"])
            self.multiple_of, self.horizon = unit, horizon
        self.step = step
        self._starts = array("q", [samples])


def accumulation(batch_size: int, micro_batch: int) -> list[tuple[slice, float]]:
    """A batch of `batch_size` samples in pieces of at most `micro_batch`: [(slice, weight), ...].

    A loss that is a mean over its samples, times the weight (piece / batch) and summed over the
    pieces, is the mean over the batch, and so is its gradient: sum_i (n_i / n) grad mean_i.

    Raises: InputError unless both are whole numbers of at least 1.

    >>> accumulation(10, 4)
    [(slice(0, 4, None), 0.4), (slice(4, 8, None), 0.4), (slice(8, 10, None), 0.2)]
    """
    total = whole("batch_size", batch_size, 1, unit="sample")
    most = whole("micro_batch", micro_batch, 1, unit="sample")
    starts = range(0, total, most)
    return [(slice(i, min(i + most, total)), min(most, total - i) / total) for i in starts]


def _sizes_of(batch_size: Any, horizon: int | None) -> Schedule:
    """The schedule of batch sizes: that of a number, a source, or the batch size of a solution."""
    if isinstance(batch_size, numbers.Real):
        size = control_of("batch_size", batch_size)
        if horizon is None:
            raise InputError("a fixed batch_size needs horizon, where the run ends")
        return make_schedule("constant", peak=size, horizon=horizon)
    controls = controls_of(batch_size)
    return controls.batch_size or controls.schedule


def _place(rank: int | None, world_size: int | None) -> tuple[int, int]:
    if (rank is None) != (world_size is None):
        raise InputError("rank and world_size belong together: give both or none")
    if rank is None or world_size is None:
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            rank, world_size = distributed.get_rank(), distributed.get_world_size()
        else:
            rank, world_size = (
                _from_environment(*each) for each in (("RANK", 0), ("WORLD_SIZE", 1))
            )
    rank, world_size = whole("rank", rank), whole("world_size", world_size, 1)
    if not 0 <= rank < world_size:
        raise InputError(f"rank {rank} is none of {world_size} processes, 0 to {world_size - 1}")
    return rank, world_size


def _from_environment(name: str, otherwise: int) -> int:
    text = os.environ.get(name, str(otherwise))
    if not text.isdecimal():
        raise InputError(f"environment variable {name} is {shown(text)}: it must be a whole number")
    return int(text)
