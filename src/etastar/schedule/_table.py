"""Schedules from arbitrary knots."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike

from etastar._checks import shown
from etastar._errors import InputError

from ._schedule import Schedule
from ._shapes import Table


def table(
    steps: ArrayLike, lrs: ArrayLike, *, horizon: int | None = None, warmup: int = 0
) -> Schedule:
    """A schedule by linear interpolation between knots (steps[i], lrs[i]).

    `steps` (n,), increasing, at least 0; `lrs` (n,), at least 0, the highest of them is the peak.
    Before the first knot and after the last the rate is held. `horizon` is the last knot's step
    unless given; a `warmup` rises from 0 to the table's own value at that step.

    Raises: InputError for knots that are not finite, not in order, negative, or beyond the horizon.

    >>> from etastar.schedule import table
    >>> schedule = table([0, 10, 100], [0.0, 0.2, 0.1])
    >>> schedule.peak, schedule.horizon, schedule([5, 10, 100])
    (0.2, 100, array([0.1, 0.2, 0.1]))
    """
    columns = []
    for name, values in (("steps", steps), ("lrs", lrs)):
        try:
            column = np.asarray(values, dtype=np.float64)
        except (TypeError, ValueError, OverflowError):
            raise InputError(f"{name} must be numbers, got {shown(values)}") from None
        if column.ndim != 1:
            raise InputError(f"{name} must be a flat list, got an array of shape {column.shape}")
        columns.append(column.tolist())
    if len(columns[0]) != len(columns[1]):
        raise InputError(
            f"steps has {len(columns[0])} values and lrs {len(columns[1])}: give pairs"
        )
    shape = Table(tuple(zip(*columns, strict=True)))
    return Schedule(
        shape, shape.own_peak, shape.own_horizon if horizon is None else horizon, warmup
    )
