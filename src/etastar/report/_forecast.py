"""A forecast as a table for a terminal."""

from __future__ import annotations

from rich import box
from rich.console import Group
from rich.table import Table
from rich.text import Text

from etastar.law import Forecast
from etastar.schedule import Schedule, Unit

from ._numbers import loss_text, size_text, steps_text
from ._schedule import schedule_name


def forecast_summary(schedule: Schedule, forecast: Forecast, unit: Unit | None = None) -> Group:
    """The predicted losses of a schedule with their 90% intervals, a row a step.

    Arguments:
        schedule: the learning rate of the run.
        forecast: its losses, from `Law.predict`, at the steps to be shown.
        unit: shown beside the steps, where it is another than these.

    Returns: the schedule and a table (rich renderables); steps in updates, losses in the unit of
        the logs.

    >>> import numpy as np
    >>> from etastar.schedule import parse_schedule
    >>> at = np.array([100.0, 200.0])
    >>> forecast = Forecast(at, np.array([3.0, 2.5]), at / 100, at / 50)
    >>> summary = forecast_summary(parse_schedule("linear:peak=0.1,horizon=200"), forecast)
    >>> name, table = summary.renderables
    >>> [list(column.cells) for column in table.columns[:2]]
    [['100', '200'], ['3.0000', '2.5000']]
    """
    rows = Table(box=box.SIMPLE_HEAD)
    other = unit if unit is not None and unit.name != "steps" else None
    for name in ("step", *([other.name] if other else []), "loss", "90% from", "to"):
        rows.add_column(name, justify="right", no_wrap=True)
    columns = (forecast.step, forecast.mean, forecast.low, forecast.high)
    for step, *losses in zip(*columns, strict=True):
        count = [size_text(step * other.update)] if other else []
        rows.add_row(steps_text(step), *count, *(loss_text(loss) for loss in losses))
    return Group(Text(schedule_name(schedule)), rows)
