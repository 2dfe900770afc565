"""A backtest, predicted against measured losses: a table for a terminal, and a figure."""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from html import escape
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from etastar._provenance import Provenance
from etastar.law import Backtest, BacktestRun

from ._charts import Axis, Chart, Line
from ._frame import line_keys, result_page, table_html
from ._numbers import count_text
from ._page import keys, section, swatch
from ._style import GREY, STEP, on_its_own

if TYPE_CHECKING:
    import plotly.graph_objects as go

COLUMNS = ("r2", "mae", "rmse", "mean_rel", "worst_rel", "final_error", "covered")
"""Columns of the table: keys of the runs of `Backtest.to_dict`."""

MOST_CURVES = 12
"""Test runs drawn as curves: more would hide one another. Their final losses are all drawn."""

MOST_POINTS = 8000
"""Points that a page draws of all curves together: some hundred kB."""


def backtest_summary(result: Backtest) -> RenderableType:
    """The errors of every test run and their average, as a table for a terminal.

    Arguments:
        result: what `etastar.law.backtest` returned; errors in the unit of the losses, but `r2`,
            `mean_rel` and `worst_rel`, which are ratios.

    Returns: a table and a line of text (rich renderables).

    >>> print(backtest_summary(tested).renderables[1])
    rank correlation 0.9, selection regret 0.01, fit seconds 1.5
    """
    return Group(_errors(result), Text(_whole(result)))


def _errors(result: Backtest) -> Table:
    """The errors of every test run, and their average."""
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
    return rows


def _whole(result: Backtest) -> str:
    """What the runs say together."""
    document = result.to_dict()
    return ", ".join(
        f"{name.replace('_', ' ')} {_cell(document[name])}"
        for name in ("rank_correlation", "selection_regret", "fit_seconds")
    )


def _cell(value: object) -> str:
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:.3g}" if isinstance(value, int | float) else "-"


MEANINGS = (
    "r2 is the coefficient of determination; mae and rmse are the mean absolute and the root mean"
    " square error; mean_rel and worst_rel are the mean and the largest relative error, as parts of"
    " the measured loss; final_error is predicted minus measured at the last step; covered says"
    " whether the measured final loss lies in its 90% interval."
)


def backtest_page(result: Backtest, made: Provenance | None = None) -> str:
    """A backtest as one self-contained HTML page: predicted over measured losses, and the errors.

    Arguments:
        result: what `etastar.law.backtest` returned.
        made: how it was made, for the foot of the page; None where no command made it.

    Returns: the HTML text; nothing in it is fetched. Of long logs evenly chosen points are drawn,
        so that it stays below 2 MB.

    >>> "<h1>Backtest of the law etastar</h1>" in backtest_page(tested)
    True
    """
    runs = sorted(result.runs, key=lambda run: run.measured[-1])
    shown = runs[:: -(-len(runs) // MOST_CURVES)]
    color = dict(zip([run.run for run in shown], _colors(len(shown)), strict=True))
    average = result.average
    rank = result.rank_correlation
    numbers = [
        ("mean relative error", f"{average['mean_rel']:.3%}", "of all losses of the test runs"),
        ("inside their 90% interval", f"{average['covered']:.0%}", "of the final losses"),
        ("rank correlation", "-" if rank is None else f"{rank:.3g}", "of the final losses"),
    ]
    curves = _curves_chart(runs, shown, color)
    sections = [
        section(
            "Final losses, predicted over measured",
            _ends_chart(runs, color).html("ends"),
            keys([(swatch(GREY, "dash", 1.5), "as measured"), (swatch(GREY), "90% interval")]),
        ),
        section(
            "Losses along the runs",
            '<p class="soft">Points are measured, lines are predicted.</p>',
            curves.html("curves"),
            line_keys([line for line in curves.series if line.width]),
        ),
        section(
            "Errors",
            table_html(_errors(result), tall=len(runs) > 20),
            f'<p class="soft">{escape(MEANINGS)}</p>',
        ),
    ]
    words = [f"{count_text(len(runs), 'run')} that the law was not fitted to.", _whole(result)]
    title = f"Backtest of the law {result.law.form.name}"
    units = "Steps are updates; losses are in the unit of the logs."
    return result_page(title, numbers, words, sections, made, units)


def _ends_chart(runs: Sequence[BacktestRun], color: Mapping[str, str]) -> Chart:
    """Final losses with their intervals, and the diagonal; runs without a colour are grey."""
    measured = [float(run.measured[-1]) for run in runs]
    ends = [run.predicted[-1] for run in runs]
    both = [min(*measured, *ends), max(*measured, *ends)]
    intervals = [loss for run in runs for loss in (run.low, run.high, math.nan)]
    across = [loss for loss in measured for _ in range(3)]
    lines = [
        Line("", both, both, "grey", 1.5, "dash"),
        Line("", across, intervals, "grey", 1.2),
        *(
            Line(run.run, [x], [y], color.get(run.run, "grey"), points=9)
            for run, x, y in zip(runs, measured, ends, strict=True)
        ),
    ]
    side = Axis("measured loss", format="loss4", tip="loss", short="measured")
    return Chart(side, Axis("predicted loss", format="loss4"), lines, height=360)


def _curves_chart(
    runs: Sequence[BacktestRun], shown: Sequence[BacktestRun], color: Mapping[str, str]
) -> Chart:
    """The curves of some runs: points as measured, lines as predicted."""
    lines = []
    for run in shown:
        count = len(run.step)
        most = MOST_POINTS // len(shown)
        kept = slice(None) if count <= most else np.linspace(0, count - 1, most).round().astype(int)
        step = run.step[kept]
        lines.append(Line("", step, run.measured[kept], color[run.run], points=3.5))
        lines.append(Line(run.run, step, run.predicted[kept], color[run.run], 1.6))
    losses = Axis("loss", range=_frame(runs, shown), format="loss4")
    return Chart(Axis(STEP, tight=True), losses, lines, height=360)


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

    # The ends of the scale vanish on a dark and on a white page.
    at = [0.3 + 0.56 * i / max(count - 1, 1) for i in range(count)]
    return [str(color) for color in sample_colorscale("Plasma", at)]
