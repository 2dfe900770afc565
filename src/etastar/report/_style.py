"""The look of the figures: colours, dashes and layouts, which all of them share."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import plotly.graph_objects as go

ACCENT = "#0d9488"
"""What the figure is about: the planned or the optimal schedule."""

GREY = "#94a3b8"
"""What it is seen against: pilots, references, diagonals."""

MARK = "#db2777"
"""One point that is pointed at."""

SOFT = "#5b6875"
"""Lines of less weight than the others, and text beside a figure."""

ON_WHITE_AND_BLACK = {"accent": ACCENT, "grey": GREY, "mark": MARK, "soft": SOFT}
"""Colours by the names that the page of a plan has for them, where a figure stands elsewhere."""

STANDARDS = ("#d97706", "#6366f1", "#db2777", "#64748b", "#0284c7", "#84852a", "#9d4edd")
"""Standard schedules: distinct for the common kinds of colour blindness, and readable on white and
on near-black."""

DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot", "dash", "dot")
"""Lines of standard schedules; a solid one is what the figure is about."""

OWN_LINE = {"color": ACCENT, "width": 3.2}

STEP = "step [updates]"


def standard_style(index: int) -> tuple[str, str]:
    """Colour and dash of the standard schedule at an index of a comparison.

    >>> standard_style(0), standard_style(7) == standard_style(0)
    (('#d97706', 'dash'), True)
    """
    return STANDARDS[index % len(STANDARDS)], DASHES[index % len(DASHES)]


def on_its_own(
    figure: go.Figure, *, height: int | None, width: int | None = 760, top: int = 30
) -> go.Figure:
    """For a page that holds this figure alone: white, with a legend; sizes in pixels.

    None is as large as the window; `top` is the margin above, where a title stands.
    """
    return figure.update_layout(
        template="plotly_white",
        width=width,
        height=height,
        margin={"l": 70, "r": 20, "t": top, "b": 55},
        font={"size": 13, "color": "#334155"},
    )
