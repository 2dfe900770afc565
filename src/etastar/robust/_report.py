"""What `etastar robust` prints: the JSON, the table and the page."""

from __future__ import annotations

import html
import math
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any

import numpy as np

from etastar.schedule import InputError, Schedule

from ._bound import LastIterate, last_iterate
from ._checks import positive
from ._grid import grid_ratio

if TYPE_CHECKING:
    import plotly.graph_objects as go

RHO = (0.1, 0.2, 0.5, 2.0, 5.0, 10.0, 20.0, 50.0, 100.0)
ACCEPTED = (1.01, 1.05, 1.1, 1.25, 1.5, 2.0)
"""Inflations for which the command gives the coarsest grid, unless asked otherwise."""

EVERY_UPDATE = 10**6
"""Horizons up to this are summed update by update; what is printed is the same with the mesh."""

ACCENT, GREY = "#0d9488", "#94a3b8"
REFERENCES = ("constant", "linear", "cosine")


def robust_report(
    schedule: Schedule, rho: str | None = None, accepted: str | None = None
) -> tuple[LastIterate, dict[str, Any]]:
    """The body of `etastar robust`: the bound of a schedule, and its document.

    Arguments:
        schedule: the LR of every update; its peak does not matter.
        rho: factors of the best base LR, parted by commas; None for some from 0.1 to 100.
        accepted: inflations above 1, parted by commas; None for some from 1.01 to 2.

    Raises: InputError naming the option that is not a list of such numbers.

    >>> from etastar.schedule import parse_schedule
    >>> curve, document = robust_report(parse_schedule("constant:peak=1,horizon=20000"), "10")
    >>> {key: round(value, 2) for key, value in document["inflation"].items()}
    {'10': 4.49}
    """
    factors = RHO if rho is None else _numbers("--rho", rho, 0.0)
    ratios = ACCEPTED if accepted is None else _numbers("--accepted", accepted, 1.0)
    curve = last_iterate(schedule, mesh=schedule.horizon > EVERY_UPDATE)
    return curve, robust_document(curve, factors, ratios)


def _numbers(option: str, text: str, above: float) -> list[float]:
    """Numbers parted by commas."""
    try:
        values = [float(part) for part in text.split(",")]
    except ValueError:
        values = []
    if not values or not all(above < value < math.inf for value in values):
        raise InputError(
            f"{option} {text[:80]!r} must be numbers above {above:g} parted by commas, such as"
            " 1.1,2,10"
        )
    return values


def robust_document(
    curve: LastIterate, rho: Sequence[float] = RHO, accepted: Sequence[float] = ACCEPTED
) -> dict[str, Any]:
    """What other programs read, for `json.dumps`.

    Keys: `inflation {rho: ratio}`, the bound at rho times the best base LR over the best bound;
    `exponent`, of the inflation at large rho; `grid {accepted: ratio}`, the coarsest ratio of
    neighbours in a grid of base LRs of which the better one stays within that inflation.

    Raises: InputError for a rho not above 0, or an accepted inflation not above 1.

    >>> from etastar.schedule import parse_schedule
    >>> curve = last_iterate(parse_schedule("linear:peak=1e-3,horizon=10000"))
    >>> document = robust_document(curve, [10.0], [1.1])
    >>> {key: round(value, 2) for key, value in document["inflation"].items()}
    {'10': 2.04}
    >>> round(document["exponent"], 3), round(document["grid"]["1.1"], 2)
    (0.333, 2.46)
    """
    rho = [float(one) for one in positive("rho", list(rho))]
    ratios = curve.inflation(rho)
    return {
        "inflation": {f"{one:g}": float(ratio) for one, ratio in zip(rho, ratios, strict=True)},
        "exponent": curve.exponent,
        "grid": {f"{one:g}": grid_ratio(curve, one) for one in accepted},
    }


def robust_table(curve: LastIterate, document: dict[str, Any]) -> Any:
    """The document as tables for a terminal (rich renderables)."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    losses = Table(box=box.SIMPLE_HEAD)
    for name in ("base LR / best", "bound / best bound"):
        losses.add_column(name, justify="right", no_wrap=True)
    vacuous = False
    for rho, ratio in document["inflation"].items():
        beyond = ratio >= curve.vacuous_from
        vacuous |= beyond
        losses.add_row(rho, f"{ratio:.4g}{' *' if beyond else ''}")
    grids = Table(box=box.SIMPLE_HEAD)
    for name in ("accepted inflation", "ratio of the grid", "searched from above"):
        grids.add_column(name, justify="right", no_wrap=True)
    for accepted, ratio in document["grid"].items():
        above = grid_ratio(curve, float(accepted), sides=1)
        grids.add_row(accepted, f"{ratio:.4g}", f"{above:.4g}")
    parts = [Text(curve.schedule.spec, style="bold"), losses]
    if vacuous:
        parts.append(
            Text("* above D G, which every point of the domain has: the bound says nothing")
        )
    parts.append(Text(f"at large rho the bound grows as rho^{document['exponent']:.3g}"))
    return Group(*parts, grids)


def robust_figure(curve: LastIterate) -> go.Figure:
    """Inflation against rho: the schedule over constant, linear and cosine of its horizon."""
    import plotly.graph_objects as go

    from etastar.schedule import parse_schedule

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


def robust_page(curve: LastIterate) -> str:
    """The figure as a self-contained HTML page."""
    return robust_figure(curve).to_html(config={"displayModeBar": False})
