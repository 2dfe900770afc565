"""What a sweep of pilots shows: the design, the runs under way, the end."""

from __future__ import annotations

import math
from collections.abc import Sequence
from typing import TYPE_CHECKING

import numpy as np

from etastar._errors import legible
from etastar._provenance import Provenance
from etastar.pilot import Finished, Proposal, SweepProgress, SweepResult

from ._charts import Axis, Chart, Line
from ._frame import line_keys, result_page, table_html
from ._numbers import count_text, loss_text, rate_text, steps_text
from ._page import section
from ._schedule import rate_axis, rate_line
from ._style import STEP, standard_style

if TYPE_CHECKING:
    from rich.console import Console, Group, RenderableType
    from rich.table import Table


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
    from rich.console import Group
    from rich.text import Text

    return Group(_design(proposal, paid, horizon), Text(_reason(proposal)))


def _reason(proposal: Proposal) -> str:
    return f"{proposal.reason[:1].upper()}{proposal.reason[1:]}."


def _design(proposal: Proposal, paid: Sequence[int], horizon: int) -> Table:
    """The designed pilots, a row each."""
    from rich import box
    from rich.table import Table

    rows = Table(box=box.SIMPLE_HEAD, pad_edge=False)
    rows.add_column("pilot", overflow="fold")
    for name in ("shape", "peak LR", "steps", "paid", "so far", f"90% at {steps_text(horizon)}"):
        rows.add_column(name, justify="left" if name == "shape" else "right", no_wrap=True)
    for each in proposal.priced(paid):
        pilot, shape = each.pilot, each.pilot.schedule.shape.name
        rows.add_row(
            pilot.name,
            shape if pilot.parent is None else f"{shape} from {steps_text(pilot.branch_step)}",
            f"{pilot.schedule.peak:.3g}",
            steps_text(pilot.steps),
            steps_text(each.paid),
            steps_text(each.total),
            "-" if each.interval is None else f"± {each.interval:.1%}",
        )
    return rows


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
    lines = [f"{', '.join(counts)}, {steps_text(result.steps)} steps{reason}"]
    if finished:
        lines.append(f"next: {next_command}")
    return "\n".join(lines)


def design_page(
    proposal: Proposal, paid: Sequence[int], horizon: int, made: Provenance | None = None
) -> str:
    """The designed pilots as one self-contained HTML page, with their schedules.

    Arguments:
        proposal, paid, horizon: as in `design_summary`.
        made: how it was made, for the foot of the page; None where no command made it.

    Returns: the HTML text, 0.1 to 0.2 MB; nothing in it is fetched.

    >>> from etastar.pilot import Pilot, Proposal
    >>> from etastar.schedule import parse_schedule
    >>> pilot = Pilot("first", parse_schedule("cosine:peak=1e-3,horizon=500"))
    >>> proposal = Proposal((pilot,), 0.3, (0.1,), "one is enough")
    >>> "<p>One is enough.</p>" in design_page(proposal, [500], 4000)
    True
    """
    lines = []
    for i, pilot in enumerate(proposal.pilots):
        color, dash = standard_style(i)
        lines.append(rate_line(pilot.schedule, pilot.name, color, 1.8, dash))
    chart = Chart(Axis(STEP, tight=True), rate_axis(), lines)
    last = [width for width in proposal.expected if math.isfinite(width)][-1:]
    numbers = [
        ("pilots", str(len(proposal.pilots)), ""),
        ("steps for all", steps_text(sum(paid)), f"the long training has {steps_text(horizon)}"),
        *(("loss known to", f"± {width:.1%}", "90% interval expected after all") for width in last),
    ]
    sections = [
        section(
            "The pilots",
            table_html(_design(proposal, paid, horizon)),
            '<p class="soft">“paid” are the steps that a pilot costs, without those that it takes'
            " over from another; the last column is the 90% interval of the loss at the horizon"
            " that is expected after it, as a part of the loss.</p>",
        ),
        section("Their schedules", chart.html("schedules"), line_keys(lines)),
    ]
    title = f"Design of pilot runs for {steps_text(horizon)} steps"
    return result_page(title, numbers, [_reason(proposal)], sections, made, _UNITS)


def sweep_page(result: SweepResult, next_command: str, made: Provenance | None = None) -> str:
    """What a sweep has run as one self-contained HTML page, with the losses of the pilots.

    Arguments:
        result, next_command: as in `sweep_summary`.
        made: how it was made, for the foot of the page; None where no command made it.

    Returns: the HTML text; of long logs evenly chosen points are drawn, so that it stays below
        2 MB. Nothing in it is fetched.

    >>> from etastar.pilot import SweepResult
    >>> result = SweepResult((), 0, None, None, "the budget is spent")
    >>> "0 pilots finished" in sweep_page(result, "etastar plan pilots")
    True
    """
    logged = [each for each in result.finished if each.run is not None and not each.diverged]
    ahead = result.outlook
    numbers = [("pilots", str(len(result.finished)), ""), ("steps", steps_text(result.steps), "")]
    words = sweep_summary(result, next_command).splitlines()
    if ahead is not None:
        interval = f"90% interval {loss_text(ahead.low)} to {loss_text(ahead.high)}"
        numbers.append(("loss at the horizon", loss_text(ahead.loss), interval))
        words.append(f"So far the best: {ahead.shape} with peak LR {rate_text(ahead.peak)}.")
    sections = [section("The pilots", table_html(_ended(result.finished)))]
    if logged:
        chart = _losses(logged)
        sections.append(section("Their losses", chart.html("losses"), line_keys(chart.series)))
    title = f"Sweep of {count_text(len(result.finished), 'pilot run')}"
    return result_page(title, numbers, words, sections, made, _UNITS)


_UNITS = "Steps are optimiser updates; learning rates and losses are in the units of the training."

MOST_POINTS = 8000
"""Points that a page draws of all logs together: some hundred kB."""


def _ended(finished: Sequence[Finished]) -> Table:
    """The pilots that have ended, a row each."""
    from rich.table import Table

    rows = Table()
    for name in ("pilot", "shape", "peak LR", "steps", "loss", "status"):
        rows.add_column(name)
    for each in finished:
        schedule, run = each.pilot.schedule, each.run
        rows.add_row(
            each.pilot.name,
            schedule.shape.name,
            rate_text(schedule.peak),
            "" if run is None else steps_text(run.final_step),
            "" if run is None else loss_text(run.final_loss),
            each.status,
        )
    return rows


def _losses(logged: Sequence[Finished]) -> Chart:
    """The losses of pilots, without the first tenth of each, which would flatten the rest."""
    lines, most = [], max(MOST_POINTS // len(logged), 20)
    for i, each in enumerate(logged):
        assert each.run is not None
        color, dash = standard_style(i)
        late = np.flatnonzero(each.run.step >= 0.1 * each.run.final_step)
        if len(late) > most:
            late = late[np.linspace(0, len(late) - 1, most).round().astype(int)]
        step, loss = each.run.step[late], each.run.loss[late]
        lines.append(Line(each.pilot.name, step, loss, color, 1.6, dash))
    return Chart(Axis(STEP), Axis("loss", format="loss4"), lines)
