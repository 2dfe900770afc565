"""What a plan holds: plain values, so that a report and a JSON file can be made from them."""

from __future__ import annotations

import os
from dataclasses import asdict, dataclass
from typing import Any

from etastar._files import prepare_folder, write_text
from etastar._json import json_text, plain
from etastar.control import last_piece
from etastar.law import Forecast, Law
from etastar.runs import Run
from etastar.schedule import Schedule


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
            are more than 100 times the horizon.
    """

    family: str
    schedule: Schedule
    loss: float
    regret: float
    steps_to_match: float | None


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


@dataclass(frozen=True)
class Plan:
    """The schedule to train with, and all that speaks for and against it.

    Attributes:
        horizon: number of updates, those of a run that is continued included.
        schedule: the LR of every update.
        loss: the final loss to expect, in the unit of the logs.
        forecast: the loss to expect along the run.
        phase: which phase the task is in.
        nearest: the standard schedule closest in loss.
        comparison: all standard schedules, the best first.
        expected_regret: what not knowing the law costs: the expected final loss of the schedule
            minus that of the schedules one would choose if one knew which fit of the runs is true.
        other_horizons: the best plans at a quarter, half, twice and four times the horizon, in
            order, the plan's own among them.
        caveats: what speaks against the plan, a line each.
        runs: the runs of the fit.
        left_out: runs that were given and not fitted.
        law: the fitted law.
        continuation: the run that the plan goes on from, if it goes on from one.
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
    continuation: Continuation | None = None

    @property
    def peak_lr(self) -> float:
        """The highest learning rate of the planned schedule, of one that goes on the highest to
        come."""
        return last_piece(self.schedule).peak

    def to_dict(self) -> dict[str, Any]:
        """The plan as `plan.json` and `etastar plan --json` have it.

        Keys: `phase {name, xi, xi_ci, capacity, capacity_ci, source, source_ci}`, where each `*_ci`
        is the 90% interval [low, high]; `peak_lr`; `schedule`, either `{spec}` or `{knots: [[step,
        lr], ...]}` to be joined by straight lines; `nearest {spec, regret}`, the standard schedule
        closest in predicted loss; `loss {mean, low, high}` at the horizon; `expected_regret`, what
        not knowing the law better costs; `comparison [{spec, loss, regret, steps_to_match}]`;
        `caveats`; and where the plan goes on from a run `continuation {run, step, lr, known_loss,
        known_peak, cost}`. Steps and learning rates are in the user's own units. A number that is
        not finite, or not known, is None.
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
            "comparison": [
                {
                    "spec": other.schedule.spec,
                    "loss": other.loss,
                    "regret": other.regret,
                    "steps_to_match": other.steps_to_match,
                }
                for other in self.comparison
            ],
            "caveats": list(self.caveats),
        }
        if self.continuation is not None:
            document["continuation"] = asdict(self.continuation)
        return plain(document)

    def save(self, folder: str | os.PathLike[str]) -> None:
        """Write `schedule.json`, which `Schedule.load` reads, and `plan.json` to a folder.

        Each file is written under a temporary name and renamed: a reader finds the old one or the
        new one, never half of one.

        Raises: InputError where the folder cannot be made or written in.
        """
        path = prepare_folder(folder)
        self.schedule.save(path / "schedule.json")
        write_text(path / "plan.json", json_text(self.to_dict(), indent=2) + "\n")


def _with_interval(name: str, estimate: Estimate) -> dict[str, Any]:
    return {name: estimate.value, f"{name}_ci": [estimate.low, estimate.high]}
