"""What a plan holds: plain values, so that a report and a JSON file can be made from them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

import numpy as np
from jaxtyping import Float

from etastar._display import Displayed
from etastar._files import prepare_folder, write_text
from etastar._json import json_text, plain
from etastar._provenance import Provenance
from etastar.control import Limits, last_piece
from etastar.law import Difference, Forecast, Law
from etastar.runs import Run, columns_read
from etastar.schedule import GroupSchedules, Schedule


@dataclass(frozen=True)
class Estimate:
    """A number with its 90% interval, `low <= value <= high`."""

    value: float
    low: float
    high: float


@dataclass(frozen=True)
class PhaseEstimate:
    """Which phase the fitted law is in.

    Attributes:
        name: easy, hard, or undetermined where the interval of source - (1 - 1/capacity) holds
            zero, or the law has no such exponents.
        xi: the exponent of the peak LR in the horizon, peak ~ T^-xi; NaN where it is not known.
        capacity, source: the exponents of the task; NaN where they are not known.
    """

    name: str
    xi: Estimate
    capacity: Estimate
    source: Estimate


@dataclass(frozen=True)
class Alternative:
    """A standard schedule at its own best peak LR, beside the planned one.

    Attributes:
        family: constant, linear, cosine or wsd.
        schedule: the LR of every update.
        loss: the plan's forecast plus the regret, in the unit of the logs.
        regret: its final loss minus the plan's, expected over the fits of the runs.
        steps_to_match: updates that this family needs to reach the plan's loss; None where they
            are more than 100 times its own.
        batch_size: of every update; None if the logs do not say theirs.
        difference: its final loss minus the plan's with a 90% interval, of two runs trained once
            each, by the fitted law alone.
    """

    family: str
    schedule: Schedule
    loss: float
    regret: float
    steps_to_match: float | None
    batch_size: float | None = None
    difference: Difference | None = None

    @property
    def tie(self) -> bool:
        """Whether the interval of the difference holds zero."""
        return self.difference is not None and self.difference.tie


@dataclass(frozen=True)
class OtherHorizon:
    """The best plan at another horizon, within the same limits.

    Attributes:
        horizon: number of updates.
        peak_lr: the highest LR to come.
        loss: the predicted final loss, in the unit of the logs.
    """

    horizon: int
    peak_lr: float
    loss: float


@dataclass(frozen=True)
class BatchMap:
    """The loss to expect over peak LR and batch size, each run for the same budget.

    All have the shape of the plan at its best constant batch size.

    Attributes:
        peak: peak LRs, rising.
        batch_size: batch sizes, rising.
        loss: in the unit of the logs; NaN where the peak is above what the pilots show to be stable
            at that batch size.
    """

    peak: Float[np.ndarray, " p"]
    batch_size: Float[np.ndarray, " b"]
    loss: Float[np.ndarray, "b p"]


@dataclass(frozen=True)
class Within:
    """The peak LRs and batch sizes that cost at most a given loss more than the plan.

    Attributes:
        loss: the loss above the plan's that is allowed, in the unit of the logs.
        peak_lr: lowest and highest peak LR of the same shape that cost no more; none above the cap
            is tried.
        batch_size: lowest and highest batch size that cost no more, each at its own best peak LR
            and for the same budget; None where the pilots do not say, or none is close enough.
    """

    loss: float
    peak_lr: tuple[float, float]
    batch_size: tuple[float, float] | None


@dataclass(frozen=True)
class BeyondCap:
    """What a pilot at a higher peak LR than the plan's, which is the pilots' highest, would tell.

    Attributes:
        peak_lr: twice the cap of the plan.
        difference: by how much the best schedule up to `peak_lr` ends above the plan, by the law.
        worth: the loss gained on average by knowing which of the two is better, in the unit of the
            logs; a pilot is worth this at most.
        pilot: the run to make: the shortest pilot at the cap, its peak LR doubled.
    """

    peak_lr: float
    difference: Difference
    worth: float
    pilot: Schedule


@dataclass(frozen=True)
class Continuation:
    """A run that the plan goes on from.

    Attributes:
        run: its name.
        step: the updates that it has done.
        lr: the learning rate that it has come to.
        known_loss: the final loss expected of a run planned for this horizon from its first update.
        known_peak: that plan's peak LR.
        cost: the plan's loss minus `known_loss`: what the horizon known too late costs. It is
            negative where the run so far was better than a fresh plan's start, which may not rise.
    """

    run: str
    step: int
    lr: float
    known_loss: float
    known_peak: float
    cost: float


@dataclass(frozen=True, repr=False)
class Plan(Displayed):
    """The schedule to train with, and all that speaks for and against it.

    Attributes:
        horizon: number of updates, those of a run that is continued included.
        schedule: the LR of every update.
        loss: the final loss to expect, in the unit of the logs.
        forecast: the loss to expect along the run.
        phase: which phase the task is in.
        nearest: the standard schedule closest in loss, at the plan's batch size.
        comparison: the standard schedules at the plan's batch size, the best first, and then the
            best ones at other batch sizes of the pilots, for the same budget.
        expected_regret: what not knowing the law costs: the expected final loss of the schedule
            minus that of the schedules one would choose if one knew which fit of the runs is true.
        other_horizons: the best plans at a quarter, half, twice and four times the horizon, in
            order, the plan's own among them.
        caveats: what speaks against the plan, a line each.
        runs: the runs of the fit.
        left_out: runs that were given and not fitted.
        law: the fitted law.
        within: what is about as good.
        batch_size: samples of every update, a constant schedule or a ramp in steps; None if the
            logs do not say theirs.
        samples: what the run takes of them; None if unknown.
        seconds: what it takes by the time of an update, where that was given.
        critical_batch: the batch size from which on more samples an update gain little, with its
            90% interval, in the unit of the logs; None for a law without one.
        batch_map: the loss over peak LR and batch size; None where the pilots do not say.
        beyond_cap: what a pilot above the pilots' highest peak LR would tell, where the plan stands
            at it.
        continuation: the run that the plan goes on from, if it goes on from one.
        members: the fits that the schedule is best for on average, the fitted law first; none where
            a plan was not made from fits.
        limits: what the LR may be; None where a plan was not made within any.
        groups: the schedule of each parameter group, the planned one first and the others at the
            ratios of the pilots; None where these log one LR.
        provenance: the command, the files and the versions that the plan was made with, as
            `etastar plan` says them; None where it was made in Python.
    """

    horizon: int
    schedule: Schedule
    loss: Estimate
    forecast: Forecast
    phase: PhaseEstimate
    nearest: Alternative
    comparison: tuple[Alternative, ...]
    expected_regret: float
    other_horizons: tuple[OtherHorizon, ...]
    caveats: tuple[str, ...]
    runs: tuple[Run, ...]
    left_out: tuple[Run, ...]
    law: Law
    within: Within
    batch_size: Schedule | None = None
    samples: float | None = None
    seconds: float | None = None
    critical_batch: Estimate | None = None
    batch_map: BatchMap | None = None
    beyond_cap: BeyondCap | None = None
    continuation: Continuation | None = None
    members: tuple[Law, ...] = ()
    limits: Limits | None = None
    groups: GroupSchedules | None = None
    provenance: Provenance | None = None

    def __repr__(self) -> str:
        loss = self.loss
        return (
            f"<Plan of {self.horizon} updates: peak LR {self.peak_lr:.4g}, loss {loss.value:.5g} "
            f"({loss.low:.5g} to {loss.high:.5g})>"
        )

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of the planned schedule, of one that goes on the highest to
        come."""
        return last_piece(self.schedule).peak

    @property
    def ramp(self) -> list[list[float]]:
        """The batch sizes as pairs [samples seen, batch size from there on]; none if unknown."""
        batch = self.batch_size
        if batch is None:
            return []
        starts = batch.breakpoints[:-1]
        return [[float(batch.intrinsic_time(step)), float(batch(step))] for step in starts]

    def to_dict(self) -> dict[str, Any]:
        """The plan as `plan.json` and `etastar plan --json` have it.

        Keys: `phase {name, xi, xi_ci, capacity, capacity_ci, source, source_ci}`, where each `*_ci`
        is the 90% interval [low, high]; `peak_lr`; `schedule`, either `{spec}` or `{knots: [[step,
        lr], ...]}` to be joined by straight lines; `nearest {spec, regret}`, the standard schedule
        closest in predicted loss; `loss {mean, low, high}` at the horizon; `expected_regret`, what
        not knowing the law better costs; `batch_size {start, end, ramp [[samples, B], ...]}`, the
        batch size B after so many samples; `samples` and `seconds` of the whole run;
        `critical_batch {value, low, high}`; `within {loss, peak_lr [low, high], batch_size [low,
        high]}`, what is about as good; `beyond_cap {peak_lr, difference {mean, low, high}, worth,
        pilot {spec}}`, what a pilot above the highest peak LR may gain, where the plan stands at
        it; `comparison [{spec, batch_size, loss, regret, difference
        {mean, low, high}, tie, steps_to_match}]`; `caveats`; `columns [{runs, step, loss,
        lr}]`, those that were read from the logs; where the pilots log several LRs
        `groups`, the ratio of each parameter group to `schedule` by name, the planned one first;
        where the plan goes on from a run
        `continuation {run, step, lr, known_loss, known_peak, cost}`; and where a command made it
        `provenance {command, inputs [{name, sha256}], versions {etastar, numpy, jax, python},
        date}`. Steps and learning rates are in the user's own units. A number that is not finite,
        or not known, is None.
        """
        phase = self.phase
        document = {
            "phase": {
                "name": phase.name,
                **_with_interval("xi", phase.xi),
                **_with_interval("capacity", phase.capacity),
                **_with_interval("source", phase.source),
            },
            "peak_lr": self.peak_lr,
            "schedule": self.schedule.to_dict(),
            "nearest": {"spec": self.nearest.schedule.spec, "regret": self.nearest.regret},
            "loss": {"mean": self.loss.value, "low": self.loss.low, "high": self.loss.high},
            "expected_regret": self.expected_regret,
            "batch_size": self._batch_document(),
            "samples": self.samples,
            "seconds": self.seconds,
            "critical_batch": None if self.critical_batch is None else asdict(self.critical_batch),
            "within": asdict(self.within),
            "beyond_cap": None if self.beyond_cap is None else _beyond_document(self.beyond_cap),
            "comparison": [_comparison_document(other) for other in self.comparison],
            "caveats": list(self.caveats),
        }
        if columns := columns_read(self.runs):
            document["columns"] = [each.to_dict() for each in columns]
        if self.groups is not None:
            document["groups"] = self.groups.ratios
        if self.continuation is not None:
            document["continuation"] = asdict(self.continuation)
        if self.provenance is not None:
            document["provenance"] = self.provenance.to_dict()
        return plain(document)

    def _batch_document(self) -> dict[str, Any] | None:
        ramp = self.ramp
        return {"start": ramp[0][1], "end": ramp[-1][1], "ramp": ramp} if ramp else None

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `schedule.json`, which `load_schedules` reads, and `plan.json` to a folder.

        Where the batch size is known `schedule.json` holds that of every update too.

        Each file is written under a temporary name and renamed: a reader finds the old one or the
        new one, never half of one.

        Raises: InputError where the folder cannot be made or written in.
        """
        path = prepare_folder(folder)
        (self.groups or self.schedule).save(path / "schedule.json", batch_size=self.batch_size)
        write_text(path / "plan.json", json_text(self.to_dict(), indent=2) + "\n")


def _comparison_document(other: Alternative) -> dict[str, Any]:
    difference = other.difference
    return {
        "spec": other.schedule.spec,
        "batch_size": other.batch_size,
        "loss": other.loss,
        "regret": other.regret,
        "difference": None if difference is None else asdict(difference),
        "tie": other.tie,
        "steps_to_match": other.steps_to_match,
    }


def _beyond_document(beyond: BeyondCap) -> dict[str, Any]:
    return {
        **vars(beyond),
        "difference": asdict(beyond.difference),
        "pilot": beyond.pilot.to_dict(),
    }


def _with_interval(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_ci": [estimate.low, estimate.high]}
