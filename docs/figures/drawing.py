"""Small drawings in SVG that read well on a phone, in light and in dark.

A drawing is 440 units wide, so that its text keeps a readable size on a screen of 390 pixels. Its
colours are names; the style sheet in each file gives them values for light and for dark.
`docs/hooks/appearance.py` makes the site's pictures follow the theme that the reader chose.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Sequence
from html import escape

WIDTH = 440
SHOWN = 500
"""Width in pixels on a wide screen."""

LIGHT = {
    "back": "#f8fafc", "panel": "#e2f3f1", "plain": "#eceff4", "ink": "#1e293b", "soft": "#5b6875",
    "grid": "#dbe1e8", "grey": "#94a3b8", "accent": "#0d9488", "amber": "#b45309",
    "indigo": "#4f46e5", "mark": "#be185d", "band": "#0d948833",
}  # fmt: skip
DARK = {
    "back": "#1f2430", "panel": "#17423f", "plain": "#2e3544", "ink": "#e5e9f0", "soft": "#a9b4c4",
    "grid": "#3a4252", "grey": "#7d8aa0", "accent": "#2dd4bf", "amber": "#fbbf24",
    "indigo": "#a5b4fc", "mark": "#f472b6", "band": "#2dd4bf33",
}  # fmt: skip

FONT = "system-ui, 'Segoe UI', 'DejaVu Sans', sans-serif"


class Drawing:
    """Marks on a sheet of a given height, written as one SVG file."""

    def __init__(self, title: str, height: float) -> None:
        self.title, self.height = title, height
        self.marks: list[str] = []

    def add(self, mark: str) -> None:
        self.marks.append(mark)

    def text(
        self, x: float, y: float, words: str, *, size: float = 14, color: str = "ink",
        anchor: str = "start", bold: bool = False, turn: float = 0,
    ) -> None:  # fmt: skip
        weight = ' font-weight="600"' if bold else ""
        turned = f' transform="rotate({turn} {x:.1f} {y:.1f})"' if turn else ""
        self.add(
            f'<text x="{x:.1f}" y="{y:.1f}" font-size="{size}" class="f-{color}"'
            f' text-anchor="{anchor}"{weight}{turned}>{escape(words)}</text>'
        )

    def lines(
        self, x: float, y: float, words: Iterable[str], *, size: float = 14, color: str = "ink",
        anchor: str = "start", bold: bool = False, gap: float = 1.3,
    ) -> None:  # fmt: skip
        for number, line in enumerate(words):
            self.text(
                x, y + number * gap * size, line, size=size, color=color, anchor=anchor, bold=bold
            )

    def rect(
        self, x: float, y: float, width: float, height: float, *, fill: str = "plain",
        stroke: str = "", round: float = 7, dashed: bool = False,
    ) -> None:  # fmt: skip
        line = f' s-{stroke}" stroke-width="1.5' if stroke else ""
        dash = ' stroke-dasharray="5 4"' if dashed else ""
        self.add(
            f'<rect x="{x:.1f}" y="{y:.1f}" width="{width:.1f}" height="{height:.1f}"'
            f' rx="{round}" class="f-{fill}{line}"{dash}/>'
        )

    def path(
        self, points: Sequence[tuple[float, float]], *, color: str = "accent", width: float = 2.5,
        dash: str = "", arrow: bool = False,
    ) -> None:  # fmt: skip
        d = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        dashed = f' stroke-dasharray="{dash}"' if dash else ""
        self.add(f'<path d="{d}" class="n s-{color}" stroke-width="{width}"{dashed}/>')
        if arrow:
            (x0, y0), (x1, y1) = points[-2:]
            angle = math.degrees(math.atan2(y1 - y0, x1 - x0))
            self.add(
                f'<path d="M0 0 L-10 -5 L-10 5 z" class="f-{color}"'
                f' transform="translate({x1:.1f} {y1:.1f}) rotate({angle:.1f})"/>'
            )

    def area(self, points: Sequence[tuple[float, float]], *, color: str = "band") -> None:
        d = "M" + " L".join(f"{x:.1f} {y:.1f}" for x, y in points)
        self.add(f'<path d="{d} z" class="f-{color}"/>')

    def dot(self, x: float, y: float, *, color: str = "accent", radius: float = 3.5) -> None:
        self.add(f'<circle cx="{x:.1f}" cy="{y:.1f}" r="{radius}" class="f-{color}"/>')

    def box(
        self, x: float, y: float, width: float, height: float, name: str, *says: str,
        fill: str = "panel", stroke: str = "accent", dashed: bool = False, mono: bool = False,
    ) -> None:  # fmt: skip
        """A box with a name, and below it what it is in a few words."""
        self.rect(x, y, width, height, fill=fill, stroke=stroke, dashed=dashed)
        middle = y + height / 2 - 8.5 * len(says) + 5
        if mono:
            self.add("<g font-family=\"ui-monospace, 'DejaVu Sans Mono', monospace\">")
        self.text(x + width / 2, middle, name, anchor="middle", bold=True, size=14.5)
        if mono:
            self.add("</g>")
        self.lines(x + width / 2, middle + 18, says, size=13, color="soft", anchor="middle")

    def arrow(self, *points: tuple[float, float], words: str = "", side: float = 8) -> None:
        self.path(points, color="soft", width=2, arrow=True)
        if words:
            (x0, y0), (x1, y1) = points[:2]
            if abs(x1 - x0) < abs(y1 - y0):
                self.text(x0 + side, (y0 + y1) / 2 + 4, words, size=12.5, color="soft")
            else:
                self.text((x0 + x1) / 2, y0 - side, words, size=12.5, color="soft", anchor="middle")

    def svg(self) -> str:
        def values(colors: dict[str, str]) -> str:
            return "".join(f"--{name}:{value};" for name, value in colors.items())

        used = "".join(
            f".f-{name}{{fill:var(--{name})}}.s-{name}{{stroke:var(--{name})}}" for name in LIGHT
        )
        return (
            f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {self.height:g}"'
            f' width="{SHOWN}" height="{SHOWN * self.height / WIDTH:.0f}" role="img"'
            f' font-family="{FONT}">\n<title>{escape(self.title)}</title>\n'
            f"<style>svg{{{values(LIGHT)}}}\n@media (prefers-color-scheme: dark)"
            f"{{svg{{{values(DARK)}}}}}\n{used}"
            ".n{fill:none;stroke-linejoin:round;stroke-linecap:round}</style>\n"
            f'<rect width="{WIDTH}" height="{self.height:g}" rx="10" class="f-back"/>\n'
            + "\n".join(self.marks)
            + "\n</svg>\n"
        )


class Axes:
    """A chart inside a drawing: its place, its ranges, and where a value lies.

    `x` and `y` are the ranges; a logarithmic axis has `log_x` or `log_y`.
    """

    def __init__(
        self, drawing: Drawing, x: tuple[float, float], y: tuple[float, float], *,
        left: float = 58, top: float = 34, width: float = 350, height: float = 190,
        log_x: bool = False, log_y: bool = False,
    ) -> None:  # fmt: skip
        self.drawing, self.x, self.y = drawing, x, y
        self.left, self.top, self.width, self.height = left, top, width, height
        self.log_x, self.log_y = log_x, log_y

    def at(self, x: float, y: float) -> tuple[float, float]:
        right = _part(x, self.x, self.log_x)
        up = _part(y, self.y, self.log_y)
        return self.left + self.width * right, self.top + self.height * (1 - up)

    def frame(
        self, xs: Sequence[float], ys: Sequence[float], *, x_name: str = "", y_name: str = "",
        x_words: Callable[[float], str] = "{:g}".format,
        y_words: Callable[[float], str] = "{:g}".format,
    ) -> None:  # fmt: skip
        """Lines of a grid with their values, and the names of the axes."""
        for y in ys:
            _, high = self.at(self.x[0], y)
            self.drawing.path(
                [(self.left, high), (self.left + self.width, high)], color="grid", width=1
            )
            self.drawing.text(
                self.left - 7, high + 4.5, y_words(y), size=12.5, color="soft", anchor="end"
            )
        bottom = self.top + self.height
        for x in xs:
            across, _ = self.at(x, self.y[0])
            self.drawing.path([(across, bottom), (across, bottom + 4)], color="grey", width=1)
            self.drawing.text(
                across, bottom + 18, x_words(x), size=12.5, color="soft", anchor="middle"
            )
        self.drawing.path(
            [(self.left, bottom), (self.left + self.width, bottom)], color="grey", width=1
        )
        if x_name:
            self.drawing.text(
                self.left + self.width, bottom + 36, x_name, size=12.5, color="soft", anchor="end"
            )
        if y_name:
            self.drawing.text(12, self.top - 12, y_name, size=12.5, color="soft")

    def line(
        self, xs: Iterable[float], ys: Iterable[float], *, color: str = "accent",
        width: float = 2.5, dash: str = "",
    ) -> None:  # fmt: skip
        points = [self.at(x, y) for x, y in zip(xs, ys, strict=True)]
        self.drawing.path(points, color=color, width=width, dash=dash)

    def band(self, xs: Sequence[float], low: Sequence[float], high: Sequence[float]) -> None:
        there = [self.at(x, y) for x, y in zip(xs, high, strict=True)]
        back = [self.at(x, y) for x, y in zip(xs, low, strict=True)]
        self.drawing.area([*there, *back[::-1]])


def thousands(value: float) -> str:
    """A count with a comma.

    >>> thousands(56000.0)
    '56,000'
    """
    return f"{value:,.0f}"


def _part(value: float, bounds: tuple[float, float], log: bool) -> float:
    low, high = bounds
    if log:
        return (math.log(value) - math.log(low)) / (math.log(high) - math.log(low))
    return (value - low) / (high - low)


def keys(
    drawing: Drawing, x: float, y: float, entries: Sequence[tuple[str, str, str]], *,
    across: float = 0,
) -> None:  # fmt: skip
    """A legend: for each entry its words, colour and dash; in one row, or below each other."""
    for words, color, dash in entries:
        drawing.path([(x, y - 4), (x + 22, y - 4)], color=color, width=2.8, dash=dash)
        drawing.text(x + 28, y, words, size=13, color="ink")
        if across:
            x += across
        else:
            y += 19
