"""How a sweep tells what happens: what it shows, and plain lines on stderr."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from etastar._errors import legible

from ._outlook import Outlook
from ._proposal import Pilot, Proposal


@dataclass(frozen=True)
class RunProgress:
    """How far a run is.

    Attributes:
        pilot: the run.
        step: updates done at the last row of its log, None before the first row.
        loss: loss of that row in the log's own unit, None before the first row.
        begin: the update that it started from: that of its parent's checkpoint, or 0.
        seconds_left: seconds to its end, None before they can be told.
    """

    pilot: Pilot
    step: float | None
    loss: float | None
    begin: int
    seconds_left: float | None

    @property
    def at(self) -> float:
        """Updates done, as far as is known."""
        return self.begin if self.step is None else self.step

    @property
    def part(self) -> float:
        """Part of its updates that are done, from 0 to 1."""
        return (self.at - self.begin) / max(self.pilot.steps - self.begin, 1)

    @property
    def loss_text(self) -> str:
        """The loss in four digits, or a dash."""
        return "-" if self.loss is None else f"{self.loss:.4g}"

    @property
    def time_left(self) -> str:
        """The time to its end as a person says it, or a dash."""
        return duration_text(self.seconds_left)


@dataclass(frozen=True)
class SweepProgress:
    """How far a sweep is.

    Attributes:
        runs: those under way.
        ended: number of runs that have ended.
        steps: updates paid for.
        budget: updates that may be paid for.
        horizon: updates of the long training.
        half_interval: half the width of the 90% interval of the loss at the horizon, in the unit
            of the losses; None where it is not known.
        outlook: what the runs that have ended say of the horizon, None before they say anything.
        choosing: whether the next pilots are being chosen.
    """

    runs: tuple[RunProgress, ...]
    ended: int
    steps: int
    budget: int
    horizon: int
    half_interval: float | None
    outlook: Outlook | None
    choosing: bool

    @property
    def outlook_text(self) -> str:
        """The best schedule so far and its loss in one line, empty where nothing can be said."""
        ahead = self.outlook
        if ahead is None:
            return ""
        return (
            f"so far: {ahead.shape} with peak LR {ahead.peak:.3g} gives loss {ahead.loss:.4g}"
            f" ± {self.half_interval:.2g} (90%) at {self.horizon:,} steps"
        )


class Screen(Protocol):
    """Where a sweep tells what happens."""

    def design(self, proposal: Proposal, paid: Sequence[int], horizon: int) -> None:
        """Show the designed pilots, before any step is paid for.

        Arguments:
            proposal: the pilots.
            paid: updates that each of them pays for.
            horizon: updates of the long training.
        """
        ...

    def say(self, line: str) -> None:
        """Tell one event.

        Arguments:
            line: what happened, in one line without a line end.
        """
        ...

    def show(self, progress: SweepProgress) -> None:
        """Show how things stand; called several times a second.

        Arguments:
            progress: the runs under way, the updates paid for, and what is known so far.
        """
        ...

    def close(self) -> None:
        """Nothing more is shown."""
        ...


class Silent:
    """A screen that shows nothing; `lines` keeps what was said.

    >>> screen = Silent()
    >>> screen.say("a: finished, loss 2.5 at step 200")
    >>> screen.lines
    ['a: finished, loss 2.5 at step 200']
    """

    def __init__(self) -> None:
        self.lines: list[str] = []

    def design(self, proposal: Proposal, paid: Sequence[int], horizon: int) -> None:
        """The `proposal`, what is `paid` and the `horizon` are not shown."""

    def say(self, line: str) -> None:
        """Keep the `line`."""
        self.lines.append(line)

    def show(self, progress: SweepProgress) -> None:
        """The `progress` is not shown."""

    def close(self) -> None:
        """Nothing is open."""


class PlainLines:
    """Lines on stderr: the events, each quarter of a run, and the outlook when it changes.

    >>> import contextlib, io
    >>> said = io.StringIO()
    >>> with contextlib.redirect_stderr(said):
    ...     PlainLines().say("a: finished, loss 2.5 at step 200")
    >>> said.getvalue()
    'a: finished, loss 2.5 at step 200\\n'
    """

    def __init__(self) -> None:
        self._quarters: dict[str, int] = {}
        self._outlook = ""

    def design(self, proposal: Proposal, paid: Sequence[int], horizon: int) -> None:
        """A line a pilot of the `proposal`: LR, steps, those `paid`, the interval at `horizon`."""
        for each in proposal.priced(paid):
            pilot = each.pilot
            width = "not known" if each.interval is None else f"± {each.interval:.1%}"
            self.say(
                f"pilot {pilot.name}: peak LR {pilot.schedule.peak:.3g}, {pilot.steps:,} steps,"
                f" {each.paid:,} paid ({each.total:,} so far), 90% at {horizon:,} then {width}"
            )
        self.say(f"{proposal.reason[:1].upper()}{proposal.reason[1:]}.")

    def say(self, line: str) -> None:
        """Print the `line` at once."""
        print(legible(line), file=sys.stderr, flush=True)

    def show(self, progress: SweepProgress) -> None:
        """Print what of the `progress` is new: a quarter of a run done, another outlook."""
        for run in progress.runs:
            name, quarter = run.pilot.name, int(4 * run.part)
            if self._quarters.get(name, 0) < quarter < 4:
                self._quarters[name] = quarter
                self.say(
                    f"{name}: step {run.at:.0f}/{run.pilot.steps}, lr"
                    f" {run.pilot.schedule(run.at):.3g}, loss {run.loss_text},"
                    f" {run.time_left} left"
                )
        text = progress.outlook_text
        if text and text != self._outlook:
            self._outlook = text
            self.say(text)

    def close(self) -> None:
        """Nothing is open."""


def duration_text(seconds: float | None) -> str:
    """Seconds as a person says them, a dash where there is nothing to say.

    >>> duration_text(59.6), duration_text(3700), duration_text(200_000), duration_text(None)
    ('1:00', '1:01:40', '2 days', '-')
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
