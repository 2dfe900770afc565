"""What a sweep is asked to do, as one value."""

from __future__ import annotations

import math
import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Required, TypedDict

import numpy as np

from etastar._checks import shown
from etastar._errors import InputError

WIDEST = 1e12
"""The highest peak LR of pilots over the lowest, at most: as wide as the range test goes."""

_PARTITION = re.compile(r"[\w.,-]+")


@dataclass(frozen=True)
class LogReading:
    """How the logs of pilots are read, where they do not say it themselves.

    Attributes:
        step, loss, lr: columns; guessed where None.
        pattern: regular expressions that find the rows of text that is no table.
        steps_per_epoch: updates in an epoch, for logs that count epochs and no steps.
        batch_size, epoch_size: samples or tokens of an update and of an epoch.
        sequence_length: tokens of a sample.

    >>> LogReading(loss="val/bpb").words()
    ['--loss', 'val/bpb']
    """

    step: str | None = None
    loss: str | None = None
    lr: str | None = None
    pattern: tuple[str, ...] = ()
    steps_per_epoch: float | None = None
    batch_size: float | None = None
    epoch_size: float | None = None
    sequence_length: float | None = None

    def words(self) -> list[str]:
        """The options with which another command reads the same logs."""
        words = [word for each in self.pattern for word in ("--pattern", each)]
        for name, value in vars(self).items():
            if value is not None and name != "pattern":
                option = "--runs-batch" if name == "batch_size" else f"--{name.replace('_', '-')}"
                words += [option, value if isinstance(value, str) else f"{value:g}"]
        return words

    def of_status(self) -> dict[str, Any]:
        """What `etastar.runs.log_status` takes of it."""
        names = ("step", "loss", "pattern", "steps_per_epoch")
        return {name: getattr(self, name) for name in names}


@dataclass(frozen=True, kw_only=True)
class SweepConfig:
    """What a sweep of pilots is asked to do. Steps are updates of the optimiser everywhere.

    Attributes:
        horizon: updates of the long training.
        budget: updates that all pilots together may take. Attempts after a failure are not charged
            again; pilots that are set aside are not charged.
        peaks: lowest and highest peak learning rate of a pilot, in the training's own unit; by
            default None: a range test finds them.
        warmup: updates of linear warmup of every pilot; 0 by default.
        interval: stop when half the width of the 90% interval of the loss at the horizon is below
            this, in the unit of the losses (nats); by default None: the budget is spent.
        seed: of the first pilot, at least 0; 0 by default. The other pilots count on from it, and
            a branch from a checkpoint has its parent's.
        jobs: most runs at a time; by default None: 1 here, on Ray what the cluster has room for,
            and on Slurm 8, in the queue or running.
        ray: address of a Ray cluster, `auto`, or `local` for one of this machine; by default None:
            pilots are processes of this machine.
        slurm: partition of a Slurm cluster, `auto` for the cluster's own choice, or `local` for
            submitit's jobs on this machine; by default None.
        slurm_options: further options of `sbatch`, each as `key=value`, such as `time=2:00:00`,
            `account=physics`; none by default. The time limit is then that of the partition.
        cpus: CPUs that a run on Ray or Slurm reserves, 1 by default.
        gpus: GPUs that a run on Ray or Slurm reserves, 0 by default; on Slurm on each node.
        results: URL that fsspec knows, where runs on Ray keep their files; by default None: the
            folder of the pilots, which every node must see then.
        patience: seconds without a new row of its log after which a run counts as hung; by default
            None: twenty times its longest gap between rows and at least five minutes, and half an
            hour before the second row.
        retries: how often a pilot whose training failed is started again, 2 by default.
        reading: how the logs are read, where they do not say it themselves; by default they do.
        force: whether to go on in a folder that was begun with another command, horizon, peaks,
            warmup or seed; False by default.

    Raises: InputError naming the field that is out of range.

    >>> SweepConfig(horizon=40_000, budget=60_000).retries
    2
    >>> SweepConfig(horizon=40_000, budget=0)
    Traceback (most recent call last):
    etastar._errors.InputError: budget must be a whole number of at least 1, got 0
    """

    horizon: int
    budget: int
    peaks: tuple[float, float] | None = None
    warmup: int = 0
    interval: float | None = None
    seed: int = 0
    jobs: int | None = None
    ray: str | None = None
    slurm: str | None = None
    slurm_options: tuple[str, ...] = ()
    cpus: float = 1.0
    gpus: float = 0.0
    results: str | None = None
    patience: float | None = None
    retries: int = 2
    reading: LogReading = LogReading()
    force: bool = False

    def __post_init__(self) -> None:
        for name, least in (("horizon", 1), ("budget", 1), ("warmup", 0), ("seed", 0)):
            self._set(name, whole_number(name, getattr(self, name), least))
        self._set("retries", whole_number("retries", self.retries, 0))
        if self.jobs is not None:
            self._set("jobs", whole_number("jobs", self.jobs, 1))
        if self.peaks is not None:
            self._set("peaks", peak_range(self.peaks))
        for name in ("interval", "patience"):
            value = getattr(self, name)
            if value is not None and not 0 < value < math.inf:
                raise InputError(f"{name} must be above 0, got {shown(value)}")
        self._check_place()

    def _check_place(self) -> None:
        """Where the runs take place, and what they reserve there. Raises: InputError."""
        if self.ray is not None and self.slurm is not None:
            raise InputError("runs take place on Ray or on Slurm: give ray or slurm, not both")
        if self.ray is None and self.results is not None:
            raise InputError("results are for runs on Ray: give ray (--ray ADDRESS) too")
        if self.slurm is None and self.slurm_options:
            raise InputError("slurm options are for runs on Slurm: give --slurm PARTITION too")
        if self.slurm is not None and not _PARTITION.fullmatch(self.slurm):
            raise InputError(f"slurm must be the name of a partition, got {shown(self.slurm)}")
        reserved = self.cpus, self.gpus
        on_cluster = self.ray is not None or self.slurm is not None
        if on_cluster and not (min(reserved) >= 0 and 0 < sum(reserved) < math.inf):
            raise InputError(
                f"a run must reserve something: cpus is {self.cpus:g}, gpus is {self.gpus:g}"
            )
        if self.slurm is not None and any(each != int(each) for each in reserved):
            raise InputError(
                f"Slurm gives whole CPUs and GPUs: cpus is {self.cpus:g}, gpus is {self.gpus:g}"
            )

    def _set(self, name: str, value: object) -> None:
        object.__setattr__(self, name, value)

    def identity(self, command: Sequence[str]) -> dict[str, Any]:
        """What decides which runs are made: a folder of pilots is for one such choice."""
        return {
            "command": list(command),
            "horizon": self.horizon,
            "peak": None if self.peaks is None else list(self.peaks),
            "warmup": self.warmup,
            "seed": self.seed,
        }


class SweepOptions(TypedDict, total=False):
    """The fields of `SweepConfig`, where they are explained, as keyword arguments.

    All but `horizon` and `budget` may be left out: horizon, budget, peaks, warmup, interval, seed,
    jobs, ray, slurm, slurm_options, cpus, gpus, results, patience, retries, reading, force.

    >>> options: SweepOptions = {"horizon": 40_000, "budget": 60_000}
    >>> SweepConfig(**options).warmup
    0
    """

    horizon: Required[int]
    budget: Required[int]
    peaks: tuple[float, float] | None
    warmup: int
    interval: float | None
    seed: int
    jobs: int | None
    ray: str | None
    slurm: str | None
    slurm_options: tuple[str, ...]
    cpus: float
    gpus: float
    results: str | None
    patience: float | None
    retries: int
    reading: LogReading
    force: bool


def whole_number(name: str, value: object, least: int) -> int:
    """An int that is at least `least`; a NumPy integer serves too. Raises: InputError."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {shown(value)}")
    return int(value)


def peak_range(peaks: Sequence[float]) -> tuple[float, float]:
    """The lowest and the highest of a range of peak learning rates. Raises: InputError."""
    try:
        low, high = (float(peak) for peak in peaks)
    except (TypeError, ValueError, OverflowError):
        low, high = math.nan, math.nan
    if not 0 < low <= high < math.inf:
        raise InputError(f"peaks must be two LRs (low, high), 0 < low <= high, got {shown(peaks)}")
    if high / WIDEST > low:
        raise InputError(
            f"peaks from {low:g} to {high:g} are too far apart: the highest may be {WIDEST:g} times"
            " the lowest"
        )
    return low, high
