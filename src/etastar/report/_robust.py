"""What a wrong base LR costs: tables for a terminal, and a figure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from etastar.robust import LastIterate, grid_ratio, last_iterate
from etastar.schedule import parse_schedule

from ._style import GREY, OWN_LINE, on_its_own

if TYPE_CHECKING:
    import plotly.graph_objects as go

REFERENCES = {"constant": "dash", "linear": "dot", "cosine": "dashdot"}
"""Schedules that are drawn beside the one asked for, each with its dash."""


def robust_summary(
    curve: LastIterate, rho: Sequence[float], accepted: Sequence[float]
) -> RenderableType:
    """What a wrong base LR costs and how coarse a grid may be, as tables for a terminal.

    Arguments:
        curve: the bound of a schedule, from `etastar.robust.last_iterate`.
        rho: base LRs over the best base LR, ratios above 0.
        accepted: inflations of the bound that a grid may cost, ratios above 1.

    Returns: text and tables (rich renderables).
    Raises: InputError for a factor not above 0, or an accepted inflation not above 1.

    >>> curve = last_iterate(parse_schedule("linear:peak=1,horizon=20000"))
    >>> print(robust_summary(curve, [2, 10], [1.1]).renderables[2])
    at large rho the bound grows as rho^0.333
    """
    losses = Table(box=box.SIMPLE_HEAD)
    for name in ("base LR / best", "bound / best bound"):
        losses.add_column(name, justify="right", no_wrap=True)
    vacuous = False
    for factor, ratio in zip(rho, curve.inflation(list(rho)), strict=True):
        beyond = bool(ratio >= curve.vacuous_from)
        vacuous |= beyond
        losses.add_row(f"{factor:g}", f"{ratio:.4g}{' *' if beyond else ''}")
    grids = Table(box=box.SIMPLE_HEAD)
    for name in ("accepted inflation", "ratio of the grid", "searched from above"):
        grids.add_column(name, justify="right", no_wrap=True)
    for inflation in accepted:
        both, above = (grid_ratio(curve, float(inflation), sides=sides) for sides in (2, 1))
        grids.add_row(f"{inflation:g}", f"{both:.4g}", f"{above:.4g}")
    parts = [Text(curve.schedule.spec, style="bold"), losses]
    if vacuous:
        parts.append(
            Text("* above D G, which every point of the domain has: the bound says nothing")
        )
    parts.append(Text(f"at large rho the bound grows as rho^{curve.exponent:.3g}"))
    return Group(*parts, grids)


def robust_figure(curve: LastIterate) -> go.Figure:
    """Inflation against rho: the schedule over constant, linear and cosine of its horizon.

    Arguments:
        curve: the bound of a schedule, from `etastar.robust.last_iterate`.

    Returns: a plotly figure of 760 by 440 pixels; rho, the base LR over the best one, and the
        inflation, the bound over the best bound, are ratios.
    Raises: nothing; a curve that was made has a horizon for the other schedules.

    >>> figure = robust_figure(last_iterate(parse_schedule("linear:peak=1,horizon=20000")))
    >>> [trace.name for trace in figure.data]
    ['constant', 'cosine', 'linear']
    """
    import plotly.graph_objects as go

    rho = np.geomspace(1e-2, 1e3, 161)
    figure = go.Figure()
    own = curve.schedule.shape.name
    for name, dash in REFERENCES.items():
        if name == own:
            continue
        other = last_iterate(parse_schedule(name, horizon=curve.schedule.horizon, peak=1.0))
        line = {"color": GREY, "dash": dash, "width": 1.6}
        figure.add_trace(_line(rho, other.inflation(rho), name, line))
    figure.add_trace(_line(rho, curve.inflation(rho), own, OWN_LINE))
    on_its_own(figure, height=440, top=50).update_layout(
        title={"text": html.escape(curve.schedule.spec[:100]), "font": {"size": 15}},
        legend={"x": 0.03, "y": 0.05, "yanchor": "bottom"},
    )
    axis = {"type": "log", "dtick": 1, "zeroline": False}
    figure.update_xaxes(**axis, title_text="base LR over the best base LR")
    figure.update_yaxes(**axis, title_text="bound over the best bound")
    return figure


def _line(x: np.ndarray, y: np.ndarray, name: str, line: dict[str, Any]) -> go.Scatter:
    import plotly.graph_objects as go

    hover = f"{name}: %{{x:.3g}} → %{{y:.3g}}<extra></extra>"
    return go.Scatter(x=x, y=y, mode="lines", name=name, line=line, hovertemplate=hover)
