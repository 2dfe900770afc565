"""Charts as plotly figures, for notebooks and for pages of one figure."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape
from typing import TYPE_CHECKING, Any

import numpy as np

from ._charts import Axis, Chart, Line
from ._style import ON_WHITE_AND_BLACK, on_its_own

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOST_NAMED = 24
"""Lines beyond which a legend would be longer than the figure."""


def plotly_figure(charts: Sequence[Chart], title: str = "") -> go.Figure:
    """Charts one below the other; those whose steps are alike move together.

    Arguments:
        charts: at least one; none has a map.
        title: of the legend.

    Returns: a plotly figure, 760 pixels wide.

    >>> chart = Chart(Axis("x"), Axis("y"), [Line("<b>", [1.0, 2.0], [3.0, 4.0], "accent", 2.0)])
    >>> plotly_figure([chart]).data[0].name
    '&lt;b&gt;'
    """
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    alike = len({chart.x.log for chart in charts}) == 1
    figure = make_subplots(
        rows=len(charts),
        shared_xaxes=alike,
        vertical_spacing=0.08 if alike else 0.16,
        row_heights=[chart.height for chart in charts],
    )
    for row, chart in enumerate(charts, start=1):
        for line in chart.series:
            for trace in _traces(line):
                figure.add_trace(go.Scatter(trace), row=row, col=1)
        last = row == len(charts) or not alike
        figure.update_xaxes(_axis(chart.x, chart.x.label if last else None), row=row, col=1)
        figure.update_yaxes(_axis(chart.y, chart.y.label), row=row, col=1)
    height = 140 + sum(chart.height for chart in charts)
    named = sum(bool(line.name) for chart in charts for line in chart.series)
    return on_its_own(figure, height=height).update_layout(
        legend_title_text=title, showlegend=named <= MOST_NAMED
    )


def _traces(line: Line) -> Iterator[dict[str, Any]]:
    """The band of a line, where it has one, and the line itself."""
    color, name = ON_WHITE_AND_BLACK.get(line.color, line.color), escape(line.name)
    x, y = np.asarray(line.x, dtype=np.float64), np.asarray(line.y, dtype=np.float64)
    if line.low is not None and line.high is not None:
        ends = np.asarray(line.low), np.asarray(line.high)[::-1]
        band = {"x": np.concatenate([x, x[::-1]]), "y": np.concatenate(ends), "fill": "toself"}
        look = {"mode": "none", "fillcolor": color, "opacity": 0.2, "hoverinfo": "skip"}
        yield {**band, **look, "name": f"{name}, 90% interval", "showlegend": False}
    trace: dict[str, Any] = {"x": x, "y": y, "name": name, "mode": "lines"}
    if line.width:
        trace["line"] = {"color": color, "width": line.width, "dash": line.dash}
    if line.points:
        trace["mode"] = "lines+markers" if line.width else "markers"
        trace["marker"] = {"color": color, "size": line.points}
    yield trace


def _axis(axis: Axis, title: str | None) -> dict[str, Any]:
    found: dict[str, Any] = {"title_text": title}
    if axis.log:
        found["type"] = "log"
    if axis.range is not None:
        found["range"] = np.log10(axis.range) if axis.log else axis.range
    elif axis.zero:
        found["rangemode"] = "tozero"
    if axis.format == "rate":
        found["tickformat"] = ".2~g"
    return found
