"""A backtest: predicted against measured losses, as a figure and as a table."""

from __future__ import annotations

from typing import TYPE_CHECKING

import plotly.graph_objects as go
from plotly.colors import sample_colorscale
from plotly.subplots import make_subplots

from etastar.law import Backtest

if TYPE_CHECKING:
    from rich.console import RenderableType

MOST_CURVES = 12
"""Test runs drawn as curves: more would hide one another. Their final losses are all drawn."""

GREY = "#94a3b8"


def backtest_figure(result: Backtest) -> go.Figure:
    """Two panels: final losses, predicted (with 90% intervals) over measured; and the curves.

    The curves are those of at most 12 test runs, evenly chosen by measured final loss: points as
    measured, lines as predicted.
    """
    runs = sorted(result.runs, key=lambda run: run.measured[-1])
    figure = make_subplots(
        rows=1, cols=2, column_widths=[0.45, 0.55], subplot_titles=("final losses", "curves")
    )
    measured = [run.measured[-1] for run in runs]
    predicted = [run.predicted[-1] for run in runs]
    diagonal = [min(*measured, *predicted), max(*measured, *predicted)]
    figure.add_trace(
        go.Scatter(x=diagonal, y=diagonal, mode="lines", line={"color": GREY, "dash": "dash"}),
        row=1,
        col=1,
    )
    shown = runs[:: -(-len(runs) // MOST_CURVES)]
    color = dict(zip([run.run for run in shown], _colors(len(shown)), strict=True))
    figure.add_trace(
        go.Scatter(
            x=measured,
            y=predicted,
            error_y={
                "type": "data",
                "symmetric": False,
                "array": [run.high - run.predicted[-1] for run in runs],
                "arrayminus": [run.predicted[-1] - run.low for run in runs],
                "color": GREY,
                "thickness": 1,
            },
            mode="markers",
            marker={"color": [color.get(run.run, GREY) for run in runs], "size": 9},
            text=[run.run for run in runs],
            hovertemplate="%{text}<br>measured %{x:.4f}, predicted %{y:.4f}<extra></extra>",
        ),
        row=1,
        col=1,
    )
    for run in shown:
        for loss, style in (
            (run.measured, {"mode": "markers", "marker": {"color": color[run.run], "size": 3}}),
            (run.predicted, {"mode": "lines", "line": {"color": color[run.run], "width": 1.5}}),
        ):
            figure.add_trace(
                go.Scatter(
                    x=run.step,
                    y=loss,
                    name=run.run,
                    legendgroup=run.run,
                    showlegend="mode" in style and style["mode"] == "lines",
                    hovertemplate="step %{x}, loss %{y:.4f}<extra>" + run.run + "</extra>",
                    **style,
                ),
                row=1,
                col=2,
            )
    # The last two thirds of what is drawn: the first points are steep and would flatten the rest.
    late = [loss for run in shown for loss in run.measured[len(run.measured) // 3 :]]
    figure.update_traces(showlegend=False, row=1, col=1)
    figure.update_xaxes(title_text="measured loss", row=1, col=1)
    figure.update_yaxes(title_text="predicted loss", row=1, col=1)
    figure.update_xaxes(title_text="step [updates]", row=1, col=2)
    margin = 0.05 * (max(late) - min(late)) + 1e-9
    figure.update_yaxes(
        title_text="loss: points measured, lines predicted",
        range=[min(late) - margin, max(late) + margin],
        row=1,
        col=2,
    )
    figure.update_layout(template="plotly_white", title=_title(result), hovermode="closest")
    return figure


def _title(result: Backtest) -> str:
    average = result.average
    return (
        f"{result.law.form.name}: {len(result.runs)} runs that were not fitted, mean relative "
        f"error {average['mean_rel']:.3%}, {average['covered']:.0%} of final losses inside their "
        "90% interval"
    )


def _colors(count: int) -> list[str]:
    at = [0.9 * i / max(count - 1, 1) for i in range(count)]
    return [str(color) for color in sample_colorscale("Viridis", at)]


def backtest_summary(result: Backtest) -> RenderableType:
    """The errors of every test run and their average, as a table for a terminal."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    document = result.to_dict()
    names = ["r2", "mae", "rmse", "mean_rel", "worst_rel", "final_error", "covered"]
    # Close columns: eight of them must leave room for the run's name in 80 characters.
    rows = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    rows.add_column("run", overflow="fold", min_width=12)
    for name in names:
        rows.add_column(name, justify="right", no_wrap=True)
    for run in document["runs"]:
        rows.add_row(Text(str(run["run"])), *(_cell(run[name]) for name in names))
    rows.add_section()
    average = document["average"]
    rows.add_row("average", *(_cell(average.get(name)) for name in names), style="bold")
    whole = ", ".join(
        f"{name} {_cell(document[key])}"
        for name, key in [
            ("rank correlation", "rank_correlation"),
            ("selection regret", "selection_regret"),
            ("fit seconds", "fit_seconds"),
        ]
    )
    return Group(rows, Text(whole))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, int | float) else "-"
