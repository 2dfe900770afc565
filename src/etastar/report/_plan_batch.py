"""The batch size of a plan: the map of the loss over LR and batch size, and what is said of it."""

from __future__ import annotations

import html

import numpy as np
import plotly.graph_objects as go

from etastar.planning import Plan

from ._style import ACCENT, GREY, MARK, on_the_page
from ._words import rate_text, size_text

PEAK, SIZE = "peak LR [per update]", "batch size [samples]"
_LEVELS = 9
_COLORS = [[0.0, "#0f3b5f"], [0.25, "#3f7ba6"], [0.6, "#a9c3d6"], [1.0, "#eef2f5"]]
"""From the lowest loss to the highest."""

_DRAWN = 0.6
"""The part of the map, from the lowest loss on, that the colours tell apart."""


def batch_figure(plan: Plan) -> go.Figure:
    """Loss over peak LR and batch size for the plan's budget, with the pilots and the plan on it.

    The line is where the loss is 0.002 above the plan's. Blank is where the peak is above what the
    pilots show to be stable.
    """
    charted = plan.batch_map
    assert charted is not None
    lowest = float(np.nanmin(charted.loss))
    highest = float(np.nanquantile(charted.loss, _DRAWN))
    step = max((highest - lowest) / _LEVELS, 1e-9)
    figure = go.Figure([
        go.Contour(
            x=charted.peak,
            y=charted.batch_size,
            z=charted.loss,
            colorscale=_COLORS,
            contours={"start": lowest, "end": highest, "size": step},
            line={"width": 0.4},
            colorbar={"title": "loss [nats]", "thickness": 12, "outlinewidth": 0},
            hovertemplate="peak LR %{x:.3g}, batch size %{y:,.4g}: %{z:.4f}<extra></extra>",
            name="loss",
        ),
        _edge(plan),
        _pilots(plan),
        _planned(plan),
    ])  # fmt: skip
    figure = on_the_page(figure, PEAK, SIZE)
    figure.update_xaxes(type="log", tickformat=".1~g")
    return figure.update_yaxes(type="log", tickformat=",.4~g")


def _edge(plan: Plan) -> go.Contour:
    """Where the loss is as much above the plan's as one may stray."""
    charted = plan.batch_map
    assert charted is not None
    level = plan.loss.value + plan.within.loss
    return go.Contour(
        x=charted.peak,
        y=charted.batch_size,
        z=charted.loss,
        contours={"start": level, "end": level, "size": 1.0, "coloring": "none"},
        line={"color": ACCENT, "width": 3},
        showscale=False,
        hoverinfo="skip",
        name=f"{plan.within.loss:g} above the plan",
    )


def _pilots(plan: Plan) -> go.Scatter:
    shown = [run for run in plan.runs if run.batch_size is not None]
    return go.Scatter(
        x=[run.schedule.peak for run in shown],
        y=[run.batch_size for run in shown],
        mode="markers",
        marker={"color": GREY, "size": 8, "line": {"color": "white", "width": 1}},
        text=[html.escape(run.name) for run in shown],
        hovertemplate="%{text}: peak LR %{x:.3g}, batch size %{y:,.4g}<extra></extra>",
        name="pilots",
    )


def _planned(plan: Plan) -> go.Scatter:
    sizes = [size for _, size in plan.ramp]
    return go.Scatter(
        x=[plan.peak_lr] * len(sizes),
        y=sizes,
        mode="lines+markers",
        marker={"color": MARK, "size": 13, "symbol": "star"},
        line={"color": MARK, "width": 2},
        hovertemplate="the plan: peak LR %{x:.3g}, batch size %{y:,.4g}<extra></extra>",
        name="the plan",
    )


def batch_rows(plan: Plan) -> list[list[str]]:
    """Rows of a table of the ramp: samples seen, batch size from there on, the LR there."""
    assert plan.batch_size is not None
    steps = plan.batch_size.breakpoints[:-1]
    return [
        [size_text(samples), size_text(size), rate_text(float(plan.schedule(step)))]
        for (samples, size), step in zip(plan.ramp, steps, strict=True)
    ]
