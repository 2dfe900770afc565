"""The constants of the bound, read off a training curve."""

from __future__ import annotations

import math
from typing import NamedTuple

import numpy as np
from numpy.typing import ArrayLike, NDArray
from scipy.optimize import nnls

from etastar._errors import InputError
from etastar.schedule import Schedule, join

from ._terms import mesh_terms

_POINTS = 64


class Constants(NamedTuple):
    """What makes the bound's curve follow a run.

    Attributes:
        distance: D, in units of the parameters. A log knows only the unit of D G, that of the loss,
            and of D / G, that of the LR.
        gradient: G, in units of the loss over those of the parameters.
        floor: the loss that remains, in the unit of the losses.
        misfit: root mean square of measured minus fitted loss, in the same unit.

    >>> from etastar.robust import last_iterate
    >>> from etastar.schedule import parse_schedule
    >>> found = Constants(distance=3.0, gradient=1.5, floor=2.0, misfit=0.01)
    >>> curve = last_iterate(parse_schedule("linear:peak=1,horizon=10000"))
    >>> round(curve.best_scale(distance=found.distance, gradient=found.gradient), 5)
    0.01999
    """

    distance: float
    gradient: float
    floor: float
    misfit: float


def estimate_constants(schedule: Schedule, step: ArrayLike, loss: ArrayLike) -> Constants:
    """D, G and the remaining loss with which the bound best follows the losses of a run.

    Least squares, with all three at least 0, of

        loss(n) = floor + D^2 / (2 time(n)) + G^2/2 spread(n)

    over the measured points, n the updates done, time and spread those of the schedule cut at n
    with the start at the first update (the start that needs no projection). These are effective
    constants, for the bound lies above what SGD does: D G comes out smaller than the product of the
    true distance and gradient norm, and D/G sets the scale of the best base LR.

    Arguments:
        schedule: the LR of every update.
        step: whole updates done when each loss was measured, in order, up to the horizon.
        loss: as many finite losses. Of long logs 64 points, evenly chosen, are used.

    Returns: the `Constants`.
    Raises: InputError for fewer than 4 points after the first update, steps out of range or order,
    losses that are not finite, or a curve that the bound's terms cannot follow.
    Source: the fit of the bound to training curves is the idea of arXiv 2501.18965.

    >>> from etastar.robust import last_iterate
    >>> from etastar.schedule import join, parse_schedule
    >>> schedule = parse_schedule("constant:peak=0.1,horizon=200")
    >>> steps = [20, 50, 100, 200]
    >>> terms = [last_iterate(join([(schedule, n)])).terms for n in steps]
    >>> losses = [1 + 4 / (0.2 * x.time[-1]) + 0.05 * 9 * x.spread[-1] for x in terms]
    >>> distance, gradient, floor, _ = estimate_constants(schedule, steps, losses)
    >>> round(distance, 6), round(gradient, 6), round(floor, 6)
    (2.0, 3.0, 1.0)
    """
    steps, losses = _checked(schedule, step, loss)
    columns = np.array([_columns(schedule, int(n)) for n in steps])
    design = np.column_stack([np.ones(len(steps)), columns])
    unit = design.max(axis=0)
    try:
        found, residual = nnls(design / unit, losses)
    except RuntimeError:
        found, residual = np.zeros(3), math.inf
    floor, distance, gradient = found / unit
    if distance <= 0.0 or gradient <= 0.0:
        missing = (
            "does not fall as D^2 / (2 time) does, so it shows no D"
            if distance <= 0.0
            else "shows no noise of the steps, so no G: give a longer run, or one with a larger LR"
        )
        raise InputError(f"loss {missing}")
    misfit = float(residual) / math.sqrt(len(losses))
    return Constants(math.sqrt(distance), math.sqrt(gradient), float(floor), misfit)


def _columns(schedule: Schedule, count: int) -> tuple[float, float]:
    """1/(2 time) and spread/2 after `count` updates, started at the first."""
    terms = mesh_terms(join([(schedule, count)]))
    peak = join([(schedule, count)]).peak
    return 0.5 / (peak * float(terms.time[-1])), 0.5 * peak * float(terms.spread[-1])


def _checked(schedule: Schedule, step: ArrayLike, loss: ArrayLike) -> tuple[NDArray, NDArray]:
    try:
        steps, losses = np.asarray(step, dtype=np.float64), np.asarray(loss, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError("step and loss must be numbers: pass float arrays") from None
    if steps.ndim != 1 or steps.shape != losses.shape:
        raise InputError(f"step {steps.shape} and loss {losses.shape} must be flat and as long")
    if not (np.all(np.isfinite(steps)) and np.all(np.isfinite(losses))):
        raise InputError("step and loss must be finite: drop the rows that are not")
    if np.any(np.diff(steps) <= 0) or np.any(steps != np.floor(steps)):
        raise InputError("step must hold whole numbers that increase: sort the rows")
    if len(steps) and (steps[0] < 0 or steps[-1] > schedule.horizon):
        raise InputError(f"step must lie between 0 and the horizon {schedule.horizon}")
    # Before the rate has left 0 nothing has moved.
    moved = np.asarray(schedule.intrinsic_time(steps)) > 0
    steps, losses = steps[moved], losses[moved]
    if len(steps) < 4:
        raise InputError(f"{len(steps)} points after the first update are too few: give 4 or more")
    chosen = np.unique(np.linspace(0, len(steps) - 1, _POINTS).round().astype(int))
    return steps[chosen], losses[chosen]
