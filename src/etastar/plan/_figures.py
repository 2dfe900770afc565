"""The figures of a report: schedules side by side, the fit over the logs, the forecast."""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go
from plotly.colors import sample_colorscale

from etastar.runs import Run
from etastar.schedule import Schedule

from ._types import Plan
from ._words import sampled

ACCENT = "#0d9488"
ACCENT_FAINT = "rgba(13, 148, 136, 0.22)"
GREY = "#94a3b8"
# Distinct for the common kinds of colour blindness, and readable on white and on near-black.
OTHERS = ("#d97706", "#6366f1", "#db2777", "#64748b", "#0284c7", "#84852a", "#9d4edd")
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot", "solid", "dash")

POINTS_DRAWN = 6000
"""Measured points that one figure draws; a browser on a phone stays quick with these."""

STEP, RATE, LOSS = "step [updates]", "learning rate [per update]", "loss [nats]"


def schedule_figure(plan: Plan) -> go.Figure:
    """Learning rate against step: the planned schedule over the standard ones."""
    figure = go.Figure()
    for i, other in enumerate(plan.comparison):
        color, dash = alternative_style(i)
        name = other.family
        figure.add_trace(
            _rates(other.schedule, name, {"color": color, "dash": dash, "width": 1.6})
        )
    figure.add_trace(_rates(plan.schedule, "planned", {"color": ACCENT, "width": 3.2}))
    return _laid_out(figure, STEP, RATE)


def alternative_style(index: int) -> tuple[str, str]:
    """Colour and dash of the standard schedule at an index of the comparison."""
    return OTHERS[index % len(OTHERS)], DASHES[index % len(DASHES)]


def _rates(schedule: Schedule, name: str, line: dict[str, object]) -> go.Scatter:
    steps, rates = sampled(schedule, 300)
    return go.Scatter(
        x=steps,
        y=rates,
        mode="lines",
        name=html.escape(name),
        line=line,
        hovertemplate="%{x:,.0f}: %{y:.3g}",
    )


def fit_figure(plan: Plan) -> go.Figure:
    """Loss against step for every fitted run: points as measured, lines as fitted."""
    figure = go.Figure()
    for run, color in zip(plan.runs, run_colors(plan.runs), strict=True):
        drawn = _drawn(run, POINTS_DRAWN // len(plan.runs))
        steps, losses = run.step[drawn], run.loss[drawn]
        name = html.escape(run.name)
        figure.add_trace(
            go.Scatter(
                x=steps,
                y=losses,
                mode="markers",
                name=name,
                marker={"color": color, "size": 4, "opacity": 0.55},
                hovertemplate=f"{name}<br>step %{{x:,.0f}}: %{{y:.4f}} measured<extra></extra>",
            )
        )
        # Within the warmup a law of intrinsic time has not begun to hold.
        fitted = steps[steps > max(run.schedule.warmup, 0)]
        if len(fitted):
            figure.add_trace(
                go.Scatter(
                    x=fitted,
                    y=np.asarray(plan.law.predict(run.schedule, fitted).mean),
                    mode="lines",
                    name=name,
                    line={"color": color, "width": 1.6},
                    hovertemplate=f"{name}<br>step %{{x:,.0f}}: %{{y:.4f}} fitted<extra></extra>",
                )
            )
    figure = _laid_out(figure, STEP, LOSS)
    return figure.update_yaxes(range=_loss_range([(run.step, run.loss) for run in plan.runs]))


def run_colors(runs: tuple[Run, ...]) -> list[str]:
    """A colour for each run, in the order of peak LR and then horizon, so that a hue means a rate."""
    order = sorted(range(len(runs)), key=lambda i: (runs[i].schedule.peak, runs[i].schedule.horizon))
    # The ends of the scale vanish on a dark and on a white page.
    places = np.linspace(0.12, 0.82, max(len(runs), 2))[: len(runs)]
    scale = sample_colorscale("Turbo", places.tolist())
    colors = [""] * len(runs)
    for place, i in enumerate(order):
        colors[i] = str(scale[place])
    return colors


def forecast_figure(plan: Plan) -> go.Figure:
    """Loss against step: the planned run with its 90% band, beside the pilots as measured."""
    figure = go.Figure()
    for i, run in enumerate(plan.runs):
        drawn = _drawn(run, POINTS_DRAWN // len(plan.runs))
        name = html.escape(run.name)
        figure.add_trace(
            go.Scatter(
                x=run.step[drawn],
                y=run.loss[drawn],
                mode="lines",
                name="pilots",
                legendgroup="pilots",
                showlegend=i == 0,
                line={"color": GREY, "width": 1},
                hovertemplate=f"{name}<br>step %{{x:,.0f}}: %{{y:.4f}} measured<extra></extra>",
            )
        )
    forecast = plan.forecast
    step, mean, low, high = (
        np.asarray(values) for values in (forecast.step, forecast.mean, forecast.low, forecast.high)
    )
    begun = step > plan.schedule.warmup
    step, mean, low, high = step[begun], mean[begun], low[begun], high[begun]
    figure.add_trace(
        go.Scatter(
            x=np.concatenate([step, step[::-1]]),
            y=np.concatenate([high, low[::-1]]),
            fill="toself",
            fillcolor=ACCENT_FAINT,
            line={"width": 0},
            name="90% interval",
            hoverinfo="skip",
        )
    )
    figure.add_trace(
        go.Scatter(
            x=step,
            y=mean,
            mode="lines",
            name="planned run",
            line={"color": ACCENT, "width": 3},
            customdata=np.column_stack([low, high]),
            hovertemplate="step %{x:,.0f}: %{y:.4f}"
            "<br>90%: %{customdata[0]:.4f} to %{customdata[1]:.4f}<extra></extra>",
        )
    )
    figure = _laid_out(figure, STEP, LOSS)
    curves = [*((run.step, run.loss) for run in plan.runs), (step, low), (step, high)]
    figure.update_yaxes(range=_loss_range(curves))
    longest = max(run.final_step for run in plan.runs)
    if plan.horizon > 20 * longest:
        first = 0.02 * min(run.final_step for run in plan.runs)
        ends = np.log10([max(first, 1.0), plan.horizon])
        figure.update_xaxes(type="log", range=ends.tolist(), dtick=1)
    return figure


def _drawn(run: Run, points: int) -> np.ndarray:
    """Indices of the points of a run that are drawn: all, or an even choice with both ends."""
    points = max(points, 40)
    count = len(run.step)
    if count <= points:
        return np.arange(count)
    return np.linspace(0, count - 1, points).round().astype(int)


def _loss_range(curves: list[tuple[np.ndarray, np.ndarray]]) -> list[float] | None:
    """Loss axis that shows where curves end: their first twentieth would flatten all the rest."""
    kept = [
        loss[step >= 0.05 * step[-1]] for step, loss in curves if len(step) and len(loss)
    ]
    values = np.concatenate(kept) if kept else np.empty(0)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    low, high = float(values.min()), float(np.quantile(values, 0.995))
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return [low - margin, high + margin]


def _laid_out(figure: go.Figure, x: str, y: str) -> go.Figure:
    """Axes named with units; colours come from the page, which knows whether it is dark."""
    axis = {"automargin": True, "zeroline": False, "title": {"standoff": 10}, "nticks": 6}
    figure.update_layout(
        template="none",
        height=340,
        margin={"l": 8, "r": 12, "t": 8, "b": 8},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        showlegend=False,
        hovermode="closest",
        dragmode=False,
        font={"size": 12},
    )
    figure.update_xaxes(**axis, title_text=x)
    figure.update_yaxes(**axis, title_text=y)
    return figure


