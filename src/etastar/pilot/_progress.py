"""What a sweep shows while it runs: a line a run and the plan so far, or plain lines."""

from __future__ import annotations

import math
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from ._types import Pilot, Proposal

if TYPE_CHECKING:
    from rich.console import RenderableType
    from rich.table import Table

    from ._outlook import Outlook


@dataclass(frozen=True)
class Line:
    """A run: `step` of its log so far and the `loss` there (None before the first row), the step it
    began at, and seconds left (None before they can be told)."""

    pilot: Pilot
    step: float | None
    loss: float | None
    begin: int
    seconds_left: float | None


@dataclass(frozen=True)
class View:
    """All that is shown: running lines, runs ended, steps paid of the budget, the plan so far.

    `half` is half the 90% interval of the outlook's loss.
    """

    lines: tuple[Line, ...]
    ended: int
    steps: int
    budget: int
    horizon: int
    half: float | None
    outlook: Outlook | None
    thinking: bool


class Screen(Protocol):
    """Where a sweep speaks."""

    def design(self, proposal: Proposal, costs: Sequence[int], horizon: int) -> None:
        """Show the designed pilots, before any step is paid for."""
        ...

    def say(self, line: str) -> None:
        """Tell one event."""
        ...

    def show(self, view: View) -> None:
        """Show how things stand; called several times a second."""
        ...

    def close(self) -> None:
        """Nothing more is shown."""
        ...


class Silent:
    """Shows nothing; `lines` keeps what was said."""

    def __init__(self) -> None:
        self.lines: list[str] = []

    def design(self, proposal: Proposal, costs: Sequence[int], horizon: int) -> None:
        pass

    def say(self, line: str) -> None:
        self.lines.append(line)

    def show(self, view: View) -> None:
        pass

    def close(self) -> None:
        pass


class Plain:
    """Lines on stderr: the events, each quarter of a run, and the plan when it changes."""

    def __init__(self) -> None:
        self.quarters: dict[str, int] = {}
        self.plan = ""

    def design(self, proposal: Proposal, costs: Sequence[int], horizon: int) -> None:
        from etastar.cli._terminal import console

        console(stderr=True).print(design_table(proposal, costs, horizon))

    def say(self, line: str) -> None:
        print(line, file=sys.stderr, flush=True)

    def show(self, view: View) -> None:
        for line in view.lines:
            steps = line.pilot.steps - line.begin
            quarter = int(4 * ((line.step or 0) - line.begin) / max(steps, 1))
            if quarter > self.quarters.get(line.pilot.name, 0) and quarter < 4:
                self.quarters[line.pilot.name] = quarter
                self.say(
                    f"{line.pilot.name}: step {line.step:.0f}/{line.pilot.steps},"
                    f" lr {line.pilot.schedule(line.step or 0):.3g}, loss {number(line.loss)},"
                    f" {duration(line.seconds_left)} left"
                )
        plan = plan_line(view)
        if plan and plan != self.plan:
            self.plan = plan
            self.say(plan)

    def close(self) -> None:
        pass


class OnTerminal:
    """A table that is redrawn in place, below the events."""

    def __init__(self) -> None:
        from rich.live import Live

        from etastar.cli._terminal import console

        self.console = console(stderr=True)
        self.live = Live(console=self.console, auto_refresh=False, transient=True)

    def design(self, proposal: Proposal, costs: Sequence[int], horizon: int) -> None:
        self.console.print(design_table(proposal, costs, horizon))

    def say(self, line: str) -> None:
        from rich.text import Text

        self.console.print(Text(line))

    def show(self, view: View) -> None:
        if not self.live.is_started:
            self.live.start()
        self.live.update(_whole(view), refresh=True)

    def close(self) -> None:
        self.live.stop()


def screen() -> Screen:
    """The screen that fits stderr."""
    return OnTerminal() if sys.stderr.isatty() else Plain()


def design_table(proposal: Proposal, costs: Sequence[int], horizon: int) -> RenderableType:
    """The designed pilots, the updates each pays for, and the interval expected after each."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("pilot", overflow="fold")
    for name in ("shape", "peak LR", "steps", "paid", "so far", f"90% at {horizon:,}"):
        rows.add_column(name, justify="left" if name == "shape" else "right", no_wrap=True)
    total = 0
    for pilot, cost, width in zip(proposal.pilots, costs, proposal.expected, strict=True):
        total += cost
        shape = pilot.schedule.shape.name
        rows.add_row(
            pilot.name,
            shape if pilot.parent is None else f"{shape} from {pilot.branch_step:,}",
            f"{pilot.schedule.peak:.3g}",
            f"{pilot.steps:,}",
            f"{cost:,}",
            f"{total:,}",
            half_width(width),
        )
    return Group(rows, Text(f"{proposal.reason[:1].upper()}{proposal.reason[1:]}."))


def _whole(view: View) -> Table:
    from rich.table import Table
    from rich.text import Text

    rows = Table.grid(padding=(0, 2))
    for name in ("run", "lr", "step", "part", "loss", "left"):
        rows.add_column(justify="left" if name == "run" else "right", no_wrap=True)
    if view.lines:
        rows.add_row(*(Text(name, "dim") for name in ("run", "lr", "step", "", "loss", "left")))
    for line in view.lines:
        step = line.begin if line.step is None else line.step
        part = (step - line.begin) / max(line.pilot.steps - line.begin, 1)
        rows.add_row(
            Text(line.pilot.name),
            f"{line.pilot.schedule(step):.3g}",
            f"{step:,.0f}/{line.pilot.steps:,}",
            f"{part:.0%}",
            number(line.loss),
            duration(line.seconds_left),
        )
    whole = Table.grid()
    whole.add_row(rows)
    paid = f"{view.ended} runs ended, {view.steps:,} of {view.budget:,} steps paid"
    whole.add_row(Text(paid + (", choosing the next" if view.thinking else ""), "dim"))
    if plan := plan_line(view):
        whole.add_row(Text(plan))
    return whole


def plan_line(view: View) -> str:
    """The plan so far, empty where nothing can be said."""
    if view.outlook is None:
        return ""
    ahead = view.outlook
    return (
        f"so far: {ahead.shape} with peak LR {ahead.peak:.3g} gives loss {ahead.loss:.4g}"
        f" ± {view.half:.2g} (90%) at {view.horizon:,} steps"
    )


def number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def half_width(value: float | None) -> str:
    return "-" if value is None or not math.isfinite(value) else f"± {value:.1%}"


def duration(seconds: float | None) -> str:
    """Seconds as a person says them.

    >>> duration(59.6), duration(3700), duration(200_000)
    ('1:00', '1:01:40', '2 days')
    """
    if seconds is None or not math.isfinite(seconds):
        return "-"
    minutes, rest = divmod(round(seconds), 60)
    hours, minutes = divmod(minutes, 60)
    if hours >= 48:
        return f"{hours / 24:.0f} days"
    return f"{hours}:{minutes:02}:{rest:02}" if hours else f"{minutes}:{rest:02}"
