"""A backtest, predicted against measured losses: a table for a terminal, and a figure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from etastar.law import Backtest, BacktestRun

from ._style import GREY, STEP, on_its_own

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLUMNS = ("r2", "mae", "rmse", "mean_rel", "worst_rel", "final_error", "covered")
"""Columns of the table: keys of the runs of `Backtest.to_dict`."""

MOST_CURVES = 12
"""Test runs drawn as curves: more would hide one another. Their final losses are all drawn."""


def backtest_summary(result: Backtest) -> RenderableType:
    """The errors of every test run and their average, as a table for a terminal.

    Arguments:
        result: what `etastar.law.backtest` returned; errors in the unit of the losses, but `r2`,
            `mean_rel` and `worst_rel`, which are ratios.

    Returns: a table and a line of text (rich renderables).

    >>> print(backtest_summary(tested).renderables[1])
    rank correlation 0.9, selection regret 0.01, fit seconds 1.5
    """
    document = result.to_dict()
    # Close columns: eight of them must leave room for the run's name in 80 characters.
    rows = Table(box=box.SIMPLE_HEAD, padding=0, pad_edge=False)
    rows.add_column("run", overflow="fold", min_width=12)
    for name in COLUMNS:
        rows.add_column(name, justify="right", no_wrap=True)
    for run in document["runs"]:
        rows.add_row(Text(str(run["run"])), *(_cell(run[name]) for name in COLUMNS))
    rows.add_section()
    average = document["average"]
    rows.add_row("average", *(_cell(average.get(name)) for name in COLUMNS), style="bold")
    whole = ", ".join(
        f"{name.replace('_', ' ')} {_cell(document[name])}"
        for name in ("rank_correlation", "selection_regret", "fit_seconds")
    )
    return Group(rows, Text(whole))


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, int | float) else "-"


def backtest_figure(result: Backtest) -> go.Figure:
    """Two panels: final losses, predicted (with 90% intervals) over measured; and the curves.

    The curves are those of at most 12 test runs, evenly chosen by measured final loss: points as
    measured, lines as predicted.

    Arguments:
        result: what `etastar.law.backtest` returned.

    Returns: a plotly figure as wide as its page; steps in updates, losses in the unit of the logs.

    >>> figure = backtest_figure(tested)
    >>> [panel.text for panel in figure.layout.annotations]
    ['final losses', 'curves']
    """
    from plotly.subplots import make_subplots

    runs = sorted(result.runs, key=lambda run: run.measured[-1])
    shown = runs[:: -(-len(runs) // MOST_CURVES)]
    color = dict(zip([run.run for run in shown], _colors(len(shown)), strict=True))
    figure = make_subplots(
        rows=1, cols=2, column_widths=[0.45, 0.55], subplot_titles=("final losses", "curves")
    )
    figure.add_traces(_final_losses(runs, color), rows=1, cols=1)
    for run in shown:
        figure.add_traces(_curves(run, color[run.run]), rows=1, cols=2)
    low, high = _frame(runs, shown)
    figure.update_xaxes(title_text="measured loss", row=1, col=1)
    figure.update_yaxes(title_text="predicted loss", row=1, col=1)
    figure.update_xaxes(title_text=STEP, row=1, col=2)
    figure.update_yaxes(
        title_text="loss: points measured, lines predicted",
        range=[low, high],
        row=1,
        col=2,
    )
    on_its_own(figure, width=None, height=None, top=100)
    return figure.update_layout(title=_title(result), hovermode="closest")


def _frame(runs: Sequence[BacktestRun], shown: Sequence[BacktestRun]) -> tuple[float, float]:
    """The losses between which the curves are drawn.

    The ends of all runs, measured and predicted, lie inside, and the last two thirds of what was
    measured of those shown: the first points are steep and would flatten the rest.
    """
    inside = [loss for run in shown for loss in run.measured[len(run.measured) // 3 :]]
    inside += [float(losses[-1]) for run in runs for losses in (run.measured, run.predicted)]
    margin = 0.05 * (max(inside) - min(inside)) + 1e-9
    return min(inside) - margin, max(inside) + margin


def _final_losses(runs: Sequence[BacktestRun], color: Mapping[str, str]) -> list[go.Scatter]:
    """Final losses with their intervals, and the diagonal; runs without a colour are grey."""
    import plotly.graph_objects as go

    measured = [run.measured[-1] for run in runs]
    predicted = [run.predicted[-1] for run in runs]
    ends = [min(*measured, *predicted), max(*measured, *predicted)]
    line = {"color": GREY, "dash": "dash"}
    diagonal = go.Scatter(x=ends, y=ends, mode="lines", line=line, showlegend=False)
    interval = {
        "type": "data",
        "symmetric": False,
        "array": [run.high - run.predicted[-1] for run in runs],
        "arrayminus": [run.predicted[-1] - run.low for run in runs],
        "color": GREY,
        "thickness": 1,
    }
    points = go.Scatter(
        x=measured,
        y=predicted,
        error_y=interval,
        mode="markers",
        marker={"color": [color.get(run.run, GREY) for run in runs], "size": 9},
        text=[escape(run.run) for run in runs],
        hovertemplate="%{text}<br>measured %{x:.4f}, predicted %{y:.4f}<extra></extra>",
        showlegend=False,
    )
    return [diagonal, points]


def _curves(run: BacktestRun, color: str) -> list[go.Scatter]:
    """A test run: points as measured, and a line as predicted."""
    import plotly.graph_objects as go

    # Plotly reads names as HTML.
    name = escape(run.run)
    both = {
        "x": run.step,
        "name": name,
        "legendgroup": name,
        "hovertemplate": f"step %{{x}}, loss %{{y:.4f}}<extra>{name}</extra>",
    }
    points, line = {"color": color, "size": 3}, {"color": color, "width": 1.5}
    return [
        go.Scatter(y=run.measured, mode="markers", marker=points, showlegend=False, **both),
        go.Scatter(y=run.predicted, mode="lines", line=line, showlegend=True, **both),
    ]


def _title(result: Backtest) -> str:
    average = result.average
    return (
        f"{result.law.form.name}: {len(result.runs)} runs that were not fitted, mean relative "
        f"error {average['mean_rel']:.3%}, {average['covered']:.0%} of final losses inside their "
        "90% interval"
    )


def _colors(count: int) -> list[str]:
    from plotly.colors import sample_colorscale

    at = [0.9 * i / max(count - 1, 1) for i in range(count)]
    return [str(color) for color in sample_colorscale("Viridis", at)]
