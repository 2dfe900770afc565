"""Charts of report.html: what is drawn, as plain values that `browser/charts.js` draws."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from html import escape
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from etastar._json import json_text, plain

HEIGHT = 300


@dataclass(frozen=True)
class Line:
    """Points that are joined by a line, or drawn each as a dot.

    Attributes:
        name: shown beside the pointer; "" is not pointed at.
        x, y: of the points, rising in x.
        color: a CSS colour, or accent, soft, grey or mark, which the page has for light and dark.
        width: of the line in pixels; 0 draws none.
        dash: solid, dash, dot, dashdot, longdash or longdashdot.
        points: size of the dots in pixels; 0 draws none.
        low, high: the ends of a band around y, or None.

    >>> Line("planned", [0, 100], [0.1, 0.0], "accent", width=2).dash
    'solid'
    """

    name: str
    x: ArrayLike
    y: ArrayLike
    color: str
    width: float = 0.0
    dash: str = "solid"
    points: float = 0.0
    low: ArrayLike | None = None
    high: ArrayLike | None = None


@dataclass(frozen=True)
class Axis:
    """An axis of a chart.

    Attributes:
        label: its quantity and unit.
        log: whether it is logarithmic.
        range: the lowest and the highest value shown; None shows all.
        format, tip: how `browser/words.js` writes its values: at the axis, and beside the pointer.
        short: its name beside the pointer.
        zero: whether it begins at zero.
        tight: whether it ends where the lines do.

    >>> Axis("step [updates]").log
    False
    """

    label: str
    log: bool = False
    range: tuple[float, float] | None = None
    format: str = "short"
    tip: str = "loss"
    short: str = ""
    zero: bool = False
    tight: bool = False


@dataclass(frozen=True)
class LossMap:
    """Values over two quantities, each rising, in colours: of `levels`, one more than these.

    `z` has a row for each y; NaN is blank.
    """

    x: ArrayLike
    y: ArrayLike
    z: ArrayLike
    levels: ArrayLike
    colors: Sequence[str]


@dataclass(frozen=True)
class Chart:
    """Lines over two axes, with a map below them where there is one; `height` is in pixels."""

    x: Axis
    y: Axis
    series: Sequence[Line]
    map: LossMap | None = None
    height: int = HEIGHT

    def html(self, name: str) -> str:
        """An element that the script of the page draws the chart in, and its description.

        >>> chart = Chart(Axis("x"), Axis("y"), [Line("a<b", [1.0], [2.0], "accent")])
        >>> '"name": "a\\\\u003cb"' in chart.html("small")
        True
        """
        document = asdict(replace(self, series=[_rounded(line) for line in self.series]))
        document["map"] = None if self.map is None else _plain_map(self.map)
        data = f"chart-{escape(name)}"
        return (
            f'<div class="plot" style="min-height:{self.height}px" data-chart="{data}"></div>\n'
            f"{data_script(data, document)}"
        )


def data_script(name: str, document: Any) -> str:
    """Plain values for the scripts of the page; text in them cannot end the element.

    >>> data_script("d", {"name": "</script>"})
    '<script type="application/json" id="d">{"name": "\\\\u003c/script>"}</script>'
    """
    text = json_text(plain(document)).replace("<", "\\u003c")
    return f'<script type="application/json" id="{name}">{text}</script>'


def _rounded(line: Line) -> Line:
    """What is drawn needs seven digits: a third of the text of all of them."""

    def short(values: ArrayLike | None) -> Any:
        if values is None:
            return None
        return [float(f"{x:.7g}") for x in np.asarray(values, dtype=np.float64).tolist()]

    kept = {name: short(getattr(line, name)) for name in ("x", "y", "low", "high")}
    return replace(line, **kept)


def _plain_map(charted: LossMap) -> dict[str, Any]:
    arrays = {name: np.asarray(getattr(charted, name)).tolist() for name in ("x", "y", "z")}
    return {**arrays, "levels": np.asarray(charted.levels).tolist(), "colors": [*charted.colors]}
