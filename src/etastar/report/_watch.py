"""What is shown of a run under way."""

from __future__ import annotations

from collections.abc import Sequence

from rich import box
from rich.console import Group, RenderableType
from rich.progress_bar import ProgressBar
from rich.table import Table
from rich.text import Text

from etastar.watch import Alarm, RunReport

from ._numbers import loss_text

MOST_ALARMS = 5


def watch_view(report: RunReport, alarms: Sequence[Alarm]) -> Group:
    """A run under way for a terminal: how far it is, its losses with intervals, its alarms.

    Arguments:
        report: from `etastar.watch.report_on`.
        alarms: those to show, the latest last; of more than five the latest.

    Returns: a group of what rich prints; steps in updates, losses in the unit of the logs.

    >>> report = RunReport("a", 5e2, 1000, 3.1, (2.8, 2.7, 2.9), None, None, None, (), 0.9)
    >>> _, _, rows = watch_view(report, ()).renderables
    >>> [list(column.cells) for column in rows.columns[:2]]
    [['so far', 'final loss'], ['3.1000', '2.8000']]
    """
    title = Text.assemble(
        (report.run, "bold"),
        f"  step {report.step:,.0f} of {report.horizon:,}",
        "  ended" if report.ended else "",
    )
    rows = Table(box=box.SIMPLE_HEAD)
    rows.add_column("", no_wrap=True)
    for name in ("loss", f"{report.level:.0%} from", "to"):
        rows.add_column(name, justify="right", no_wrap=True)
    rows.add_row("so far", loss_text(report.loss), "", "")
    for name, interval in (
        ("expected now by the pilots", report.planned),
        ("final loss by the pilots alone", report.alone),
        ("final loss", report.final),
    ):
        if interval is not None:
            rows.add_row(name, *map(loss_text, interval))
    parts: list[RenderableType] = [title]
    parts.append(ProgressBar(total=report.horizon, completed=report.step, width=60))
    parts.append(rows)
    if report.on_plan is not None:
        parts.append(Text(report.plan_words, style="green" if report.on_plan else "yellow"))
    parts += [Text(f"WARNING: {each.message}", style="red") for each in alarms[-MOST_ALARMS:]]
    return Group(*parts)
