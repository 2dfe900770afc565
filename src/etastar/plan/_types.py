"""What a plan holds: plain values, so that a report and a JSON file can be made from them."""

from __future__ import annotations

from dataclasses import dataclass

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
class Phase:
    """Which phase the fitted law is in.

    `name` is "easy", "hard" or "undetermined" (the interval of source - (1 - 1/capacity) straddles
    zero). `xi` is the exponent of the peak LR in the horizon, peak ~ T^-xi.
    """

    name: str
    xi: Estimate
    capacity: Estimate
    source: Estimate


@dataclass(frozen=True)
class Alternative:
    """A standard schedule at its own best peak LR, beside the planned one.

    `regret` is its final loss minus the plan's, expected over the fits of the runs, `loss` the
    plan's forecast plus that, and `steps_to_match` the steps this family needs to reach the plan's
    loss (None: not within 100 times the horizon).
    """

    family: str
    schedule: Schedule
    loss: float
    regret: float
    steps_to_match: float | None


@dataclass(frozen=True)
class Transfer:
    """The best peak LR and the predicted loss at another horizon."""

    horizon: int
    peak_lr: float
    loss: float


@dataclass(frozen=True)
class Continuation:
    """A run that the plan goes on from.

    `run` is its name, `step` the updates it has done, `lr` the learning rate it has come to.
    `known_loss` is the final loss expected of a run planned for this horizon from its first
    update, `known_peak` that plan's peak LR, and `cost` the plan's loss minus `known_loss`: what
    the horizon known too late costs. It is negative where the run so far was better than a fresh
    plan's start, which may not rise.
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

    `expected_regret` is what not knowing the law costs: the expected final loss of the schedule
    minus that of the schedules one would choose if one knew which fit of the runs is true.
    """

    horizon: int
    schedule: Schedule
    loss: Estimate
    forecast: Forecast
    phase: Phase
    nearest: Alternative
    comparison: tuple[Alternative, ...]
    expected_regret: float
    transfer: tuple[Transfer, ...]
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
