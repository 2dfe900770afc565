"""What a designer of pilots is asked, and what it answers."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

from etastar.runs import Run
from etastar.schedule import Schedule


@dataclass(frozen=True)
class Pilot:
    """One short run to make.

    Attributes:
        name: also the file name of its log, unique in a folder of pilots.
        schedule: the learning rate of every update, in the training's own unit.
        seed: of the training.
        parent: name of the pilot whose checkpoint it may start from; both have the same learning
            rates before `branch_step`. None for a run of its own.
        branch_step: updates that the parent has done where this run starts, 0 without a parent.

    >>> from etastar.schedule import parse_schedule
    >>> Pilot("first", parse_schedule("cosine:peak=1e-3,horizon=500")).steps
    500
    """

    name: str
    schedule: Schedule
    seed: int = 0
    parent: str | None = None
    branch_step: int = 0

    @property
    def steps(self) -> int:
        """Updates that a run from scratch takes."""
        return self.schedule.horizon


@dataclass(frozen=True)
class Finished:
    """A pilot that has ended.

    Attributes:
        pilot: what was to be run.
        run: its log; None where it has none that can be read.
        diverged: whether its loss rose beyond recovery.
    """

    pilot: Pilot
    run: Run | None
    diverged: bool = False

    @property
    def status(self) -> str:
        """How it ended: finished, diverged, or set aside where it has no log.

        >>> from etastar.schedule import parse_schedule
        >>> Finished(Pilot("a", parse_schedule("linear:peak=1,horizon=9")), None).status
        'set aside'
        """
        return "diverged" if self.diverged else "finished" if self.run else "set aside"


@dataclass(frozen=True)
class PricedPilot:
    """A designed pilot, what it costs, and what is expected of it.

    Attributes:
        pilot: the run to make.
        paid: updates that it pays for, without those that its parent has done.
        total: updates paid for up to and including this pilot.
        interval: relative half width of the 90% interval of the loss at the horizon that is
            expected after it; None where nothing can be said.
    """

    pilot: Pilot
    paid: int
    total: int
    interval: float | None


@dataclass(frozen=True)
class Proposal:
    """The next pilots, and what is expected of them.

    Attributes:
        pilots: in the order to run them; empty where no further pilot is worth its steps.
        interval: relative half width of the 90% interval of the loss at the horizon before these
            pilots (0.05 is 5% of the loss); None before anything can be said.
        expected: the same once each of `pilots` has been added, one value a pilot; NaN where
            nothing can be said.
        reason: one sentence: why these, or why it is enough.
    """

    pilots: tuple[Pilot, ...]
    interval: float | None
    expected: tuple[float, ...]
    reason: str

    def priced(self, paid: Sequence[int]) -> Iterator[PricedPilot]:
        """The pilots with what they cost.

        Arguments:
            paid: updates that each pilot pays for.
        """
        total = 0
        for pilot, steps, width in zip(self.pilots, paid, self.expected, strict=True):
            total += steps
            yield PricedPilot(pilot, steps, total, width if math.isfinite(width) else None)


class Designer(Protocol):
    """Chooses pilots. It keeps no state: what has been done is given to each call."""

    def propose(
        self, finished: Sequence[Finished], running: Sequence[Pilot], steps_left: int
    ) -> Proposal:
        """The pilots to run next.

        Called once at the start, for the whole design, and again after each pilot that has ended;
        the same arguments give the same answer.

        Arguments:
            finished: pilots that have ended.
            running: pilots under way.
            steps_left: updates that the proposed pilots may take: the budget without what finished
                and running pilots take.

        Returns: a `Proposal`.
        """
        ...
