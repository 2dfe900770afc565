"""A forecast as a table for a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

from etastar.law import Forecast
from etastar.schedule import Schedule

from ._words import loss_text, steps_text

if TYPE_CHECKING:
    from rich.table import Table


def forecast_summary(schedule: Schedule, forecast: Forecast) -> Table:
    """The predicted losses of a schedule with their 90% intervals, a row a step."""
    from rich import box
    from rich.table import Table
    from rich.text import Text

    rows = Table(box=box.SIMPLE_HEAD, title=Text(schedule.spec), title_justify="left")
    for name in ("step", "loss", "90% from", "to"):
        rows.add_column(name, justify="right", no_wrap=True)
    columns = (forecast.step, forecast.mean, forecast.low, forecast.high)
    for step, *losses in zip(*columns, strict=True):
        rows.add_row(steps_text(step), *(loss_text(loss) for loss in losses))
    return rows
