"""What the design of pilots and their running say to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from etastar.runs import Run
from etastar.schedule import Schedule


@dataclass(frozen=True)
class Pilot:
    """One short run to make.

    Attributes: `name` (also the file name of its log, unique in a store), `schedule`, `seed`,
    `parent` (name of the pilot whose checkpoint it may branch from; both have the same schedule
    until `branch_step`), `branch_step` (0 without a parent).
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
    """A pilot that has ended: its log, or None where it gave none worth reading."""

    pilot: Pilot
    run: Run | None
    diverged: bool = False


@dataclass(frozen=True)
class Proposal:
    """The next pilots, and what is expected of them.

    Attributes: `pilots` (in the order to run them; empty: nothing more is worth its steps),
    `interval` (relative half width of the 90% interval of the loss at the horizon now; None
    before anything can be said), `expected` (the same once each of `pilots` has been added, one
    value a pilot), `reason` (one sentence: why these, or why it is enough).
    """

    pilots: tuple[Pilot, ...]
    interval: float | None
    expected: tuple[float, ...]
    reason: str


class Designer(Protocol):
    """Chooses pilots. It keeps no state: what has been done is given to each call."""

    def propose(
        self, finished: Sequence[Finished], running: Sequence[Pilot], steps_left: int
    ) -> Proposal:
        """The pilots to run next for at most `steps_left` updates.

        `steps_left` is the budget without what finished and running pilots took. Called once at
        the start, for the whole design, and again after each pilot that has finished; the same
        arguments give the same answer.
        """
        ...
