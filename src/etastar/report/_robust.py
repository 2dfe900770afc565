"""What a wrong base LR costs: tables for a terminal, and a figure."""

from __future__ import annotations

import html
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from etastar.robust import LastIterate, grid_ratio, last_iterate
from etastar.schedule import parse_schedule

if TYPE_CHECKING:
    import plotly.graph_objects as go
    from rich.console import RenderableType

ACCENT, GREY = "#0d9488", "#94a3b8"
REFERENCES = ("constant", "linear", "cosine")


def robust_summary(
    curve: LastIterate, rho: Sequence[float], accepted: Sequence[float]
) -> RenderableType:
    """What a wrong base LR costs and how coarse a grid may be, as tables for a terminal.

    Arguments: the bound of a schedule, from `last_iterate`; factors of the best base LR; accepted
    inflations, above 1.
    Raises: InputError for a factor not above 0, or an accepted inflation not above 1.
    """
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

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
    """Inflation against rho: the schedule over constant, linear and cosine of its horizon."""
    import plotly.graph_objects as go

    rho = np.geomspace(1e-2, 1e3, 161)
    figure = go.Figure()
    own = curve.schedule.shape.name
    for name, dash in zip(REFERENCES, ("dash", "dot", "dashdot"), strict=True):
        if name == own:
            continue
        other = last_iterate(parse_schedule(name, horizon=curve.schedule.horizon, peak=1.0))
        line = {"color": GREY, "dash": dash, "width": 1.6}
        figure.add_trace(_line(rho, other.inflation(rho), name, line))
    figure.add_trace(_line(rho, curve.inflation(rho), own, {"color": ACCENT, "width": 3.2}))
    figure.update_layout(
        template="none",
        title={"text": html.escape(curve.schedule.spec[:100]), "font": {"size": 15}},
        width=720,
        height=440,
        margin={"l": 60, "r": 20, "t": 50, "b": 50},
        font={"size": 13, "color": "#475569"},
        legend={"x": 0.03, "y": 0.05, "yanchor": "bottom"},
    )
    axis = {"type": "log", "dtick": 1, "gridcolor": "rgba(148,163,184,0.3)", "zeroline": False}
    figure.update_xaxes(**axis, title_text="base LR over the best base LR")
    figure.update_yaxes(**axis, title_text="bound over the best bound")
    return figure


def _line(x: np.ndarray, y: np.ndarray, name: str, line: dict[str, Any]) -> go.Scatter:
    import plotly.graph_objects as go

    hover = f"{name}: %{{x:.3g}} → %{{y:.3g}}<extra></extra>"
    return go.Scatter(x=x, y=y, mode="lines", name=name, line=line, hovertemplate=hover)
