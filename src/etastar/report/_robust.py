"""What a wrong base LR costs: tables for a terminal, and a figure."""

from __future__ import annotations

import html
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from etastar._provenance import Provenance
from etastar.robust import LastIterate, grid_ratio, last_iterate
from etastar.schedule import parse_schedule

from ._charts import Axis, Chart, Line
from ._frame import line_keys, result_page, table_html
from ._page import section
from ._schedule import schedule_name
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
    losses, vacuous = _losses(curve, rho)
    parts = [Text(schedule_name(curve.schedule), style="bold"), losses]
    if vacuous:
        parts.append(Text(VACUOUS))
    return Group(*parts, Text(_growth(curve)), _grids(curve, accepted))


VACUOUS = "* above D G, which every point of the domain has: the bound says nothing"


def _growth(curve: LastIterate) -> str:
    return f"at large rho the bound grows as rho^{curve.exponent:.3g}"


def _losses(curve: LastIterate, rho: Sequence[float]) -> tuple[Table, bool]:
    """The bound at wrong base LRs, and whether some of it says nothing."""
    losses = Table(box=box.SIMPLE_HEAD)
    for name in ("base LR / best", "bound / best bound"):
        losses.add_column(name, justify="right", no_wrap=True)
    vacuous = False
    for factor, ratio in zip(rho, curve.inflation(list(rho)), strict=True):
        beyond = bool(ratio >= curve.vacuous_from)
        vacuous |= beyond
        losses.add_row(f"{factor:g}", f"{ratio:.4g}{' *' if beyond else ''}")
    return losses, vacuous


def _grids(curve: LastIterate, accepted: Sequence[float]) -> Table:
    """The coarsest grids that stay within an inflation."""
    grids = Table(box=box.SIMPLE_HEAD)
    for name in ("accepted inflation", "ratio of the grid", "searched from above"):
        grids.add_column(name, justify="right", no_wrap=True)
    for inflation in accepted:
        both, above = (grid_ratio(curve, float(inflation), sides=sides) for sides in (2, 1))
        grids.add_row(f"{inflation:g}", f"{both:.4g}", f"{above:.4g}")
    return grids


def robust_page(
    curve: LastIterate,
    rho: Sequence[float],
    accepted: Sequence[float],
    made: Provenance | None = None,
) -> str:
    """What a wrong base LR costs, as one self-contained HTML page with its figure and tables.

    Arguments:
        curve, rho, accepted: as in `robust_summary`.
        made: how it was made, for the foot of the page; None where no command made it.

    Returns: the HTML text, 0.1 to 0.2 MB; nothing in it is fetched.
    Raises: InputError as `robust_summary`.

    >>> curve = last_iterate(parse_schedule("linear:peak=1,horizon=20000"))
    >>> "bound over the best bound" in robust_page(curve, [2, 10], [1.1])
    True
    """
    losses, vacuous = _losses(curve, rho)
    low, high = (float(ratio) for ratio in curve.inflation([0.5, 2.0]))
    numbers = [
        ("base LR half the best", f"{low:.3g}×", "the bound, over that at the best base LR"),
        ("base LR twice the best", f"{high:.3g}×", ""),
        ("far above the best", f"rho^{curve.exponent:.3g}", "rho is the base LR over the best"),
    ]
    chart = _chart(curve)
    sections = [
        section(
            "The bound at a wrong base LR",
            chart.html("bound"),
            line_keys(chart.series),
            table_html(losses),
            f'<p class="soft">{VACUOUS}.</p>' if vacuous else "",
        ),
        section(
            "How coarse a grid of base LRs may be",
            '<p class="soft">The ratio of neighbours in a grid of which the better one stays within'
            " the accepted inflation; the last column is for a search that starts at too high a"
            " base LR and goes down.</p>",
            table_html(_grids(curve, accepted)),
        ),
    ]
    words = [f"The schedule: {schedule_name(curve.schedule)}."]
    title = "What a wrong base learning rate costs"
    return result_page(title, numbers, words, sections, made)


def _chart(curve: LastIterate) -> Chart:
    """Inflation against rho, beside the schedules in `REFERENCES`."""
    rho = np.geomspace(1e-2, 1e3, 161)
    lines = []
    for name, dash, other in _references(curve):
        lines.append(Line(name, rho, other.inflation(rho), "grey", 1.6, dash))
    own = curve.schedule.shape.name
    own = "the schedule" if own == "table" else own
    lines.append(Line(own, rho, curve.inflation(rho), "accent", 3.0))
    across = Axis(
        "base LR over the best base LR",
        log=True, range=(1e-2, 1e3), format="times", tip="times", short="rho",
    )  # fmt: skip
    return Chart(
        across, Axis("bound over the best bound", log=True, format="times", tip="times"), lines
    )


def _references(curve: LastIterate) -> Iterator[tuple[str, str, LastIterate]]:
    """Name, dash and bound of the schedules drawn beside the one asked for."""
    for name, dash in REFERENCES.items():
        if name != curve.schedule.shape.name:
            schedule = parse_schedule(name, horizon=curve.schedule.horizon, peak=1.0)
            yield name, dash, last_iterate(schedule)


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
    for name, dash, other in _references(curve):
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
