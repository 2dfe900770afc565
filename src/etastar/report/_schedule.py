"""A schedule as a line of a figure, and the figure of one schedule."""

from __future__ import annotations

from typing import Any

import numpy as np

from etastar.schedule import Schedule

from ._charts import Axis, Chart, Line
from ._notebook import Shown
from ._numbers import rate_text, steps_text
from ._style import STEP

RATE = "learning rate [per update]"


def shown(schedule: Schedule) -> Shown:
    """The spec, and learning rate against step.

    >>> from etastar.schedule import parse_schedule
    >>> shown(parse_schedule("linear:peak=0.1,horizon=100")).rows
    [('schedule', 'linear:peak=0.1,horizon=100')]
    """
    line = rate_line(schedule, "learning rate", "accent", 2.4)
    return Shown(
        [("schedule", short_spec(schedule))], [Chart(Axis(STEP, tight=True), rate_axis(), [line])]
    )


def short_spec(schedule: Schedule) -> str:
    """The spec, cut where it is very long.

    >>> from etastar.schedule import table
    >>> len(short_spec(table(range(99), [0.1] * 99)))
    200
    """
    spec = schedule.spec
    return spec if len(spec) <= 200 else spec[:197] + "..."


def schedule_name(schedule: Schedule) -> str:
    """The spec of a schedule; of one made of knots how many there are, as no one reads them.

    >>> from etastar.schedule import parse_schedule, table
    >>> schedule_name(parse_schedule("linear:peak=0.1,horizon=9"))
    'linear:peak=0.1,horizon=9'
    >>> schedule_name(table([0, 10, 100], [0.0, 0.2, 0.1]))
    'piecewise (3 knots), peak 0.2, 100 steps'
    """
    knots: Any = getattr(schedule.shape, "knots", ())
    if schedule.shape.name != "table" or not len(knots):
        return schedule.spec
    steps = steps_text(schedule.horizon)
    return f"piecewise ({len(knots)} knots), peak {rate_text(schedule.peak)}, {steps} steps"


def rate_axis(top: float | None = None) -> Axis:
    """The axis of learning rates, from 0 on, to `top` where it is given."""
    shown = None if top is None else (0.0, top)
    return Axis(RATE, zero=True, format="rate", tip="rate", range=shown)


def rate_line(schedule: Schedule, name: str, color: str, width: float, dash: str = "solid") -> Line:
    """The line of a schedule; see `Line` for its look."""
    steps, rates = sampled(schedule, 300)
    return Line(name, steps, rates, color, width, dash)


def sampled(schedule: Schedule, points: int) -> tuple[np.ndarray, np.ndarray]:
    """Steps (n,) and learning rates (n,) that draw a schedule; n is about `points`.

    The kinks of the schedule are among them, with the step just before each, so that jumps are
    drawn as jumps. What it costs does not grow with the horizon.

    >>> from etastar.schedule import parse_schedule
    >>> sampled(parse_schedule("step:peak=1,horizon=9,at=5,factor=0.5"), 3)
    (array([0. , 4. , 4.5, 5. , 8. , 9. ]), array([1. , 1. , 1. , 0.5, 0.5, 0.5]))
    """
    kinks = np.asarray(schedule.breakpoints)
    if len(kinks) > points:
        kinks = kinks[np.linspace(0, len(kinks) - 1, points).round().astype(int)]
    before = np.maximum(np.ceil(kinks[1:]) - 1, 0)
    even = np.linspace(0, schedule.horizon, points)
    steps = np.unique(np.concatenate([kinks, before, even]))
    return steps, np.asarray(schedule(steps))
