"""What a result shows of itself in a notebook, and the figure that its `plot()` returns.

A result comes by the name of its class, so that showing a schedule loads neither the laws nor the
solvers.
"""

from __future__ import annotations

import html
from collections.abc import Sequence
from dataclasses import dataclass
from importlib import import_module
from typing import TYPE_CHECKING, Any

from ._charts import Chart
from ._sketch import WIDTH, sketch

if TYPE_CHECKING:
    import plotly.graph_objects as go

FILES = {
    "Schedule": "_schedule",
    "Law": "_law",
    "Plan": "_plan_notebook",
    "Solution": "_solution",
}
"""Which file shows a class: it has `shown(result)`, which returns a `Shown`."""


@dataclass(frozen=True)
class Shown:
    """What is said and drawn of a result, as plain text and charts.

    Attributes:
        rows: names and texts, none of them escaped.
        charts: the drawings, from top to bottom.
        title: of the figure's legend.
        notes: lines below the drawings.

    >>> Shown([("peak LR", "0.1")], []).notes
    ()
    """

    rows: Sequence[tuple[str, str]]
    charts: Sequence[Chart]
    title: str = ""
    notes: Sequence[str] = ()


def figure_of(result: Any) -> go.Figure:
    """The figure of a result: what its `plot()` returns.

    Arguments:
        result: a Schedule, Law, Plan or Solution.

    Returns: a plotly figure, 760 pixels wide.

    >>> from etastar.schedule import parse_schedule
    >>> figure_of(parse_schedule("linear:peak=0.1,horizon=100")).layout.xaxis.title.text
    'step [updates]'
    """
    from ._plotly import plotly_figure

    shown = _shown(result)
    return plotly_figure(shown.charts, shown.title)


def notebook_html(result: Any) -> str:
    """What a notebook shows of a result: some words and a drawing, without scripts, all escaped.

    Arguments:
        result: a Schedule, Law, Plan or Solution.

    Returns: HTML of a few kB to a few tens of kB.

    >>> from etastar.schedule import parse_schedule
    >>> page = notebook_html(parse_schedule("linear:peak=0.1,horizon=100"))
    >>> page.count("<svg viewBox"), len(page) < 10_000
    (1, True)
    """
    shown = _shown(result)
    cell = 'style="text-align:left;vertical-align:top;overflow-wrap:anywhere"'
    rows = "".join(
        f"<tr><th {cell}>{html.escape(name)}</th><td {cell}>{html.escape(text)}</td></tr>"
        for name, text in shown.rows
    )
    notes = "".join(f"<li>{html.escape(note)}</li>" for note in shown.notes)
    table = f'<table style="max-width:{WIDTH}px"><tbody>{rows}</tbody></table>'
    drawn = "".join(f"<div>{sketch(chart)}</div>" for chart in shown.charts)
    return f"<div>{table}{drawn}{f'<ul>{notes}</ul>' if notes else ''}</div>"


def _shown(result: Any) -> Shown:
    names = [kind.__name__ for kind in type(result).__mro__ if kind.__name__ in FILES]
    return import_module(f"etastar.report.{FILES[names[0]]}").shown(result)
