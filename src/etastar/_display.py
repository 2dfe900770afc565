"""Results that show themselves: in a notebook by name alone, and by `plot()` as a figure.

Drawing belongs to the room of reports, which stands above the rooms that results come from. So a
result asks here, and `etastar/__init__.py`, which stands above all rooms, says once who draws. What
draws is loaded when something is shown, and not before.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    import plotly.graph_objects as go

_drawing_room: Callable[[], Any] | None = None


def draw_with(room: Callable[[], Any]) -> None:
    """Say who draws: `room()` returns something with `figure_of` and `notebook_html`.

    >>> import etastar  # which has said so
    """
    global _drawing_room
    _drawing_room = room


def _drawing() -> Any:
    assert _drawing_room is not None, "etastar/__init__.py says who draws"
    return _drawing_room()


class Displayed:
    """A result that shows itself: `plot()` returns its figure, a notebook draws a small one.

    >>> from etastar.schedule import parse_schedule
    >>> isinstance(parse_schedule("linear:peak=0.1,horizon=100"), Displayed)
    True
    """

    __slots__ = ()

    def plot(self) -> go.Figure:
        """The figure of this result.

        Returns: a plotly figure, to be shown, changed or written to a file.

        >>> from etastar.schedule import parse_schedule
        >>> [line.name for line in parse_schedule("linear:peak=0.1,horizon=100").plot().data]
        ['learning rate']
        """
        return _drawing().figure_of(self)

    def _repr_html_(self) -> str:
        """What a notebook shows: a few words and a drawing of some kB, without scripts."""
        return _drawing().notebook_html(self)
