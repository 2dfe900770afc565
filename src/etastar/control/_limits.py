"""What a learning rate may be: one value that goes through plan, solver, families and transfer."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import NamedTuple, cast

from etastar._errors import InputError
from etastar.schedule import Joined, Schedule, join, table

FEWEST = 8
"""The fewest updates that a schedule is made for."""


class Past(NamedTuple):
    """What a run has done.

    Attributes:
        schedule: LR that was in force, counted from the start of the run.
        step: number of updates done, at least 1.
        batch_size: of these updates; None if it is not known.

    >>> from etastar.schedule import parse_schedule
    >>> past = Past(parse_schedule("constant:peak=0.1,horizon=100"), 60)
    >>> whole = past.then(parse_schedule("linear:peak=0.2,horizon=30"), warmup=10)
    >>> whole.horizon, whole(59), round(whole(65), 3), whole(70), whole(100)
    (100, 0.1, 0.15, 0.2, 0.0)
    """

    schedule: Schedule
    step: int
    batch_size: float | None = None

    @property
    def rate(self) -> float:
        """The LR that it has come to."""
        return float(self.schedule(max(self.step - 1, 0)))

    def then(self, rest: Schedule, warmup: int = 0) -> Schedule:
        """The whole run: what it did, a line to the first LR of `rest`, and `rest` after that.

        The line takes `warmup` updates; `rest` is counted from its own step 0.

        Raises: InputError for a past of no update, a line from 0 to 0, or a whole of 1e15 updates.
        """
        start = self.step + warmup
        pieces = [(self.schedule, self.step)]
        if warmup > 0:
            pieces.append((table([0, warmup], [self.rate, rest(0)]), start))
        return join([*pieces, (rest, start + rest.horizon)])


@dataclass(frozen=True)
class Limits:
    """What a learning rate may be.

    Attributes:
        cap: the largest LR, in the user's unit; infinite where the loss model knows a stable one.
        floor: the smallest LR after the warmup, in the same unit.
        warmup: updates of linear warmup, from 0 or from the LR that the past has come to.
        monotone: whether the LR may not rise after the warmup.
        past: what a run has done already: only the LRs from `past.step` on are free.
        annealed: part of the free updates, from 0 to 1: over the last of them the LR that is chosen
            is multiplied by a line from 1 to 0 (counted from the floor). 0 leaves the end free.
            Standard schedules are not changed.

    Raises: InputError where the cap is not above 0, the floor not from 0 to below the cap, the
        warmup negative, or the annealed part not from 0 to 1.

    >>> from etastar.schedule import parse_schedule
    >>> limits = Limits(cap=0.01, floor=1e-3, warmup=50)
    >>> limits.raised(parse_schedule("cosine:peak=4e-3,horizon=1000")).spec
    'cosine:peak=0.004,horizon=1000,final=0.25'
    """

    cap: float
    floor: float = 0.0
    warmup: int = 0
    monotone: bool = True
    past: Past | None = None
    annealed: float = 0.0

    def __post_init__(self) -> None:
        if not self.cap > 0:
            raise InputError(f"cap must be above 0, got {self.cap!r}")
        if not 0 <= self.floor < self.cap:
            below = "" if self.cap == math.inf else f" and below the cap {self.cap:g}"
            raise InputError(f"floor must be at least 0{below}, got {self.floor!r}")
        if self.warmup < 0:
            raise InputError(f"warmup must be at least 0 updates, got {self.warmup!r}")
        if not 0 <= self.annealed <= 1:
            raise InputError(f"annealed must be a part from 0 to 1, got {self.annealed!r}")

    @property
    def done(self) -> int:
        """Updates that the past has taken."""
        return 0 if self.past is None else self.past.step

    @property
    def start(self) -> int:
        """The first update after the warmup, from which on the LR is free."""
        return self.done + self.warmup

    def check(self, horizon: int) -> None:
        """Refuse limits that leave no run.

        Raises: InputError where fewer than 8 of the horizon's updates are free.
        """
        if horizon < FEWEST:
            raise InputError(f"horizon must be at least {FEWEST} updates, got {horizon}")
        if self.start > horizon - FEWEST:
            done = f" after the {self.done} updates that the run has done" if self.past else ""
            raise InputError(
                f"warmup {self.warmup}{done} leaves fewer than {FEWEST} of the {horizon} updates:"
                " shorten it or raise the horizon"
            )

    def at(self, horizon: int) -> Limits:
        """The limits at another `horizon`: the warmup takes at most a tenth of what is left."""
        return replace(self, warmup=min(self.warmup, (horizon - self.done) // 10))

    def raised(self, schedule: Schedule) -> Schedule:
        """A standard schedule that ends no lower than the floor: its `final` is raised to it.

        The ratio is rounded up to four digits, one that a person would write down.
        """
        if not schedule.shape.takes_final or schedule.final * schedule.peak >= self.floor:
            return schedule
        ratio = min(_rounded_up(self.floor / schedule.peak), 1.0)
        return Schedule(
            schedule.shape, schedule.peak, schedule.horizon, schedule.warmup, final=ratio
        )

    def whole(self, rest: Schedule) -> Schedule:
        """The run whose free part is `rest`: with the past and a warmup from its LR before it."""
        return rest if self.past is None else self.past.then(rest, self.warmup)


def _rounded_up(ratio: float, digits: int = 4) -> float:
    unit = 10.0 ** (math.floor(math.log10(ratio)) + 1 - digits)
    return float(f"{math.ceil(ratio / unit * (1 - 1e-12)) * unit:.{digits}g}")


def last_piece(schedule: Schedule) -> Schedule:
    """What a joined schedule does last, such as one of `Past.then` after its warmup; else all.

    Arguments:
        schedule: of any shape.

    Returns: the last piece as a schedule that counts from its own step 0; one that is not joined,
        as it is.

    >>> from etastar.schedule import parse_schedule
    >>> linear = parse_schedule("linear:peak=0.2,horizon=30")
    >>> last_piece(Past(linear, 20).then(linear)) == last_piece(linear) == linear
    True
    """
    shape = schedule.shape
    return cast(Schedule, shape.pieces[-1][0]) if isinstance(shape, Joined) else schedule
