"""What a sweep of pilots shows: the design, the runs under way, the end."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TYPE_CHECKING

from etastar._errors import legible
from etastar.pilot import Proposal, SweepProgress, SweepResult

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType


class LiveSweep:
    """A screen of `run_pilots`: a table that is redrawn in place, below the events.

    Arguments:
        console: a terminal.

    >>> import io
    >>> from rich.console import Console
    >>> shown = io.StringIO()
    >>> live = LiveSweep(Console(file=shown))
    >>> live.say("first: started")
    >>> live.close()
    >>> shown.getvalue()
    'first: started\\n'
    """

    def __init__(self, console: Console) -> None:
        from rich.live import Live

        self._console = console
        self._live = Live(console=console, auto_refresh=False, transient=True)

    def design(self, proposal: Proposal, paid: Sequence[int], horizon: int) -> None:
        """Print the table of `design_summary`.

        `proposal` holds the pilots, `paid` the updates that each pays for, `horizon` those of the
        long training.
        """
        self._console.print(design_summary(proposal, paid, horizon))

    def say(self, line: str) -> None:
        """Print one event, a `line`, above the table."""
        from rich.text import Text

        self._console.print(Text(legible(line)))

    def show(self, progress: SweepProgress) -> None:
        """Redraw the table: the runs under way and what `progress` says of the whole sweep."""
        if not self._live.is_started:
            self._live.start()
        self._live.update(progress_table(progress), refresh=True)

    def close(self) -> None:
        """Remove the table."""
        self._live.stop()


def design_summary(proposal: Proposal, paid: Sequence[int], horizon: int) -> Group:
    """The designed pilots as a table for a terminal.

    Arguments:
        proposal: the pilots, from `design_pilots` or a designer.
        paid: updates that each pilot pays for.
        horizon: updates of the long training.

    Returns: for each pilot its shape, peak LR, steps, and the 90% interval of the loss at the
        horizon that is expected after it, as a part of the loss.

    >>> from etastar.pilot import Pilot, Proposal
    >>> from etastar.schedule import parse_schedule
    >>> pilot = Pilot("first", parse_schedule("cosine:peak=1e-3,horizon=500"))
    >>> summary = design_summary(Proposal((pilot,), 0.3, (0.1,), "one is enough"), [500], 4000)
    >>> str(summary.renderables[1])
    'One is enough.'
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("pilot", overflow="fold")
    for name in ("shape", "peak LR", "steps", "paid", "so far", f"90% at {horizon:,}"):
        rows.add_column(name, justify="left" if name == "shape" else "right", no_wrap=True)
    for each in proposal.priced(paid):
        pilot, shape = each.pilot, each.pilot.schedule.shape.name
        rows.add_row(
            pilot.name,
            shape if pilot.parent is None else f"{shape} from {pilot.branch_step:,}",
            f"{pilot.schedule.peak:.3g}",
            f"{pilot.steps:,}",
            f"{each.paid:,}",
            f"{each.total:,}",
            "-" if each.interval is None else f"± {each.interval:.1%}",
        )
    return Group(rows, Text(f"{proposal.reason[:1].upper()}{proposal.reason[1:]}."))


def progress_table(progress: SweepProgress) -> RenderableType:
    """The runs under way, a line each, with what is paid and the outlook below them."""
    from rich.table import Table
    from rich.text import Text

    columns = ("run", "lr", "step", "", "loss", "left")
    rows = Table.grid(padding=(0, 2))
    for name in columns:
        rows.add_column(justify="left" if name == "run" else "right", no_wrap=True)
    if progress.runs:
        rows.add_row(*(Text(name, "dim") for name in columns))
    for run in progress.runs:
        rows.add_row(
            Text(run.pilot.name),
            f"{run.pilot.schedule(run.at):.3g}",
            f"{run.at:,.0f}/{run.pilot.steps:,}",
            f"{run.part:.0%}",
            run.loss_text,
            run.time_left,
        )
    whole = Table.grid()
    whole.add_row(rows)
    paid = f"{progress.ended} runs ended, {progress.steps:,} of {progress.budget:,} steps paid"
    whole.add_row(Text(paid + (", choosing the next" if progress.choosing else ""), "dim"))
    if progress.outlook_text:
        whole.add_row(Text(progress.outlook_text))
    return whole


def sweep_summary(result: SweepResult, next_command: str) -> str:
    """What a sweep has run, why it stopped, and what to type next.

    Arguments:
        result: from `run_pilots`.
        next_command: the command that makes a plan of the runs; told where there is a good one.

    Returns: one line, or two.

    >>> from etastar.pilot import SweepResult
    >>> sweep_summary(SweepResult((), 0, None, None, "the budget is spent"), "etastar plan pilots")
    '0 pilots finished, 0 steps: the budget is spent'
    """
    finished = [each for each in result.finished if each.run is not None and not each.diverged]
    diverged = sum(each.diverged for each in result.finished)
    aside = len(result.finished) - len(finished) - diverged
    counts = [f"{len(finished)} pilot{'' if len(finished) == 1 else 's'} finished"]
    counts += [f"{diverged} diverged"] if diverged else []
    counts += [f"{aside} set aside"] if aside else []
    reason = f": {result.reason}" if result.reason else ""
    lines = [f"{', '.join(counts)}, {result.steps:,} steps{reason}"]
    if finished:
        lines.append(f"next: {next_command}")
    return "\n".join(lines)
