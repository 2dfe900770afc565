"""Charts as small drawings for a notebook: SVG of some kB, without scripts, nothing fetched.

Text and axes have the colour of the text around them, so a drawing suits a light and a dark page.
"""

from __future__ import annotations

import math
from html import escape

import numpy as np
from numpy.typing import NDArray

from ._charts import Axis, Chart, Line
from ._style import ON_WHITE_AND_BLACK

WIDTH, HEIGHT = 620, 230
LEFT, RIGHT, TOP, BOTTOM = 64, 12, 10, 40
MOST_POINTS = 1500
"""Points of one drawing: about 20 kB."""
MOST_NAMED = 8
"""Lines that the key names; it says how many more there are."""

DASHES = {"dash": "6 3", "dot": "2 3", "dashdot": "6 2 2 2", "longdash": "9 3"}

Values = NDArray[np.float64]


def sketch(chart: Chart) -> str:
    """A chart as an SVG element and the key to its lines; every text is escaped.

    >>> lines = [Line(name, [1, 2], [3, 5], "accent", 2) for name in ("a<b", "c")]
    >>> drawn = sketch(Chart(Axis("x"), Axis("y"), lines))
    >>> drawn[:4], "a&lt;b" in drawn
    ('<svg', True)
    """
    across = _Scale(chart.x, _ends(chart, "x"), LEFT, WIDTH - RIGHT)
    up = _Scale(chart.y, _ends(chart, "y"), HEIGHT - BOTTOM, TOP)
    share = max(MOST_POINTS // max(len(chart.series), 1), 2)
    drawn = [_line(line, across, up, share) for line in chart.series]
    width, height = WIDTH - LEFT - RIGHT, HEIGHT - TOP - BOTTOM
    clip = f"overflow:hidden;x:{LEFT};y:{TOP}"
    return (
        f'<svg viewBox="0 0 {WIDTH} {HEIGHT}" width="{WIDTH}" height="{HEIGHT}" role="img" '
        f'style="max-width:100%;height:auto" font-size="11" fill="currentColor" '
        f'font-family="system-ui,sans-serif"><title>{escape(chart.y.label)} against '
        f"{escape(chart.x.label)}</title>{_axes(chart, across, up)}"
        f'<svg x="{LEFT}" y="{TOP}" width="{width}" height="{height}" style="{clip}" '
        f'viewBox="{LEFT} {TOP} {width} {height}">{"".join(drawn)}</svg></svg>{_key(chart)}'
    )


class _Scale:
    """Where values of an axis lie in the drawing, in pixels."""

    def __init__(self, axis: Axis, ends: tuple[float, float], first: float, last: float) -> None:
        self.log, self.ends = axis.log, ends
        self.first, self.last = first, last

    def __call__(self, values: Values) -> Values:
        low, high = self.ends
        if self.log:
            values, low, high = (
                np.log(np.maximum(values, low * 1e-3)),
                math.log(low),
                math.log(high),
            )
        return self.first + (values - low) / (high - low) * (self.last - self.first)

    def ticks(self) -> list[float]:
        """Round numbers within the ends, of which there are up to about seven."""
        low, high = self.ends
        if self.log and high > 10 * low:
            first, last = math.ceil(math.log10(low) - 1e-9), math.floor(math.log10(high) + 1e-9)
            every = max((last - first) // 6, 1)
            return [10.0**power for power in range(first, last + 1, every)]
        rough = (high - low) / 6
        unit = 10.0 ** math.floor(math.log10(rough))
        step = next(unit * times for times in (1, 2, 5, 10) if unit * times >= rough)
        first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
        return [i * step for i in range(first, last + 1)]


def _ends(chart: Chart, name: str) -> tuple[float, float]:
    """The lowest and the highest value that an axis shows, which are not equal."""
    axis: Axis = getattr(chart, name)
    if axis.range is not None:
        low, high = axis.range
    else:
        parts = (name,) if name == "x" else ("y", "low", "high")
        given = [getattr(line, part) for line in chart.series for part in parts]
        values = [np.asarray(each, dtype=np.float64).ravel() for each in given if each is not None]
        every = np.concatenate(values) if values else np.empty(0)
        every = every[np.isfinite(every) & ((every > 0) | (not axis.log))]
        low, high = (float(every.min()), float(every.max())) if len(every) else (1.0, 2.0)
        margin = 0.0 if name == "x" or axis.log else 0.04 * (high - low)
        low, high = (0.0 if axis.zero else low - margin), high + margin
    if not low < high:
        low, high = (low / 1.1, low * 1.1) if axis.log else (low - 0.5, low + 0.5)
    return low, high


def _line(line: Line, across: _Scale, up: _Scale, most: int) -> str:
    x, y = np.asarray(line.x, dtype=np.float64), np.asarray(line.y, dtype=np.float64)
    kept = np.flatnonzero(np.isfinite(x) & np.isfinite(y))
    if len(kept) > most:
        kept = kept[np.linspace(0, len(kept) - 1, most).round().astype(int)]
    if not len(kept):
        return ""
    color = escape(ON_WHITE_AND_BLACK.get(line.color, line.color))
    places = across(x[kept])
    drawn = ""
    if line.low is not None and line.high is not None:
        edges = [up(np.asarray(end, dtype=np.float64)[kept]) for end in (line.low, line.high)]
        around = _points(np.append(places, places[::-1]), np.append(edges[0], edges[1][::-1]))
        drawn += f'<polygon points="{around}" fill="{color}" opacity="0.2"/>'
    if line.width:
        dash = f' stroke-dasharray="{DASHES[line.dash]}"' if line.dash in DASHES else ""
        drawn += (
            f'<polyline points="{_points(places, up(y[kept]))}" fill="none" stroke="{color}" '
            f'stroke-width="{line.width:g}"{dash}/>'
        )
    if line.points:
        # A dot is a line of no length with round ends: many of them are one short element.
        dots = "".join(f"M{point}h0" for point in _points(places, up(y[kept])).split())
        drawn += (
            f'<path d="{dots}" stroke="{color}" stroke-width="{line.points:g}" '
            'stroke-linecap="round" fill="none"/>'
        )
    return drawn


def _points(x: Values, y: Values) -> str:
    """Points in tenths of a pixel, without those that repeat the one before."""
    # Far outside is as good as outside, and infinite is not a number of SVG.
    y = np.clip(np.nan_to_num(y, nan=HEIGHT), -HEIGHT, 2 * HEIGHT)
    texts = [f"{a:.1f},{b:.1f}" for a, b in zip(x.tolist(), y.tolist(), strict=True)]
    return " ".join(text for i, text in enumerate(texts) if i == 0 or text != texts[i - 1])


def _axes(chart: Chart, across: _Scale, up: _Scale) -> str:
    low, right = HEIGHT - BOTTOM, WIDTH - RIGHT
    parts = []
    for tick in across.ticks():
        x = float(across(np.array(tick)))
        parts.append(
            f'<text x="{x:.1f}" y="{low + 15}" text-anchor="middle">{_number(tick)}</text>'
        )
    for tick in up.ticks():
        y = float(up(np.array(tick)))
        parts.append(
            f'<path d="M{LEFT} {y:.1f}H{right}" stroke="currentColor" opacity="0.15"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{_number(tick)}</text>'
        )
    middle = (TOP + low) // 2
    return (
        f"{''.join(parts)}"
        f'<path d="M{LEFT} {TOP}V{low}H{right}" stroke="currentColor" opacity="0.5" fill="none"/>'
        f'<text x="{(LEFT + right) // 2}" y="{HEIGHT - 6}" text-anchor="middle">'
        f"{escape(chart.x.label)}</text>"
        f'<text transform="translate(12 {middle}) rotate(-90)" text-anchor="middle">'
        f"{escape(chart.y.label)}</text>"
    )


def _number(value: float) -> str:
    """A tick in few characters.

    >>> _number(20000.0), _number(0.0003), _number(1e6)
    ('20,000', '0.0003', '1e+06')
    """
    return f"{value:,.0f}" if 1000 <= abs(value) < 1e6 else f"{value:.4g}"


def _key(chart: Chart) -> str:
    """Which line is which, where there are several."""
    lines = [line for line in chart.series if line.name]
    if len(lines) < 2:
        return ""
    # The last are drawn on top: what the chart is about.
    shown = lines[-MOST_NAMED:]
    items = []
    for line in shown:
        color = escape(ON_WHITE_AND_BLACK.get(line.color, line.color))
        mark = f'<span style="color:{color}">{"—" if line.width else "•"}</span>'
        name = escape(line.name)
        items.append(f'<span style="margin-right:1em;white-space:nowrap">{mark} {name}</span>')
    if len(lines) > len(shown):
        items.append(f"and {len(lines) - len(shown)} more")
    return f'<div style="font-size:11px;max-width:{WIDTH}px">{" ".join(items)}</div>'
