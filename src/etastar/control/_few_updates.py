"""The optimal LR of each of a few updates, below a cap.

Lines between knots cannot zigzag, and where batches are so large that the run is nearly that of the
full gradient the best LRs of a few updates do: a long step, then short ones. So the end of the
search on knots, decays of several heights, and drawn LRs are starts of a search over every update.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from etastar.schedule import Schedule, table

from ._model_problem import ControlProblem
from ._transient_loss import TransientLoss

Array = NDArray[np.float64]

MOST = 128
"""Updates up to which each has an LR of its own."""

_HEIGHTS = (1.0, 0.3, 0.03, 1e-3)
"""First LRs of the decays over the cap."""

_DRAWN = 6
"""Starts whose LRs are drawn: their logs fall below a height by exponential variables."""

_TINY = 1e-300
"""Stands for a loss of 0, which one mode without noise can reach."""

_LOWEST = -30.0
"""The log of the least LR over the cap."""


def each_update(
    problem: ControlProblem, found: Schedule, loss: float
) -> tuple[Schedule, float, float] | None:
    """A schedule of lower loss than that of `found`, its loss, and how far from it other ends were.

    None where there is none, or where limits tie the LRs of several updates together: a warmup, or
    an LR that may not rise. The gap is the relative distance to the third best end: where three
    starts agree, the others had poor orders of steps. It is evidence, not a bound.
    """
    limits, horizon = problem.limits, int(problem.budget.total)
    if horizon > MOST or limits.monotone or limits.warmup:
        return None
    exact = TransientLoss.of(problem.modes, problem.model.noise, float(problem.model.batch_size))
    low = max(math.exp(_LOWEST), limits.floor / limits.cap)

    def objective(logs: Array) -> tuple[float, Array]:
        rate = limits.cap * np.exp(logs)
        value, slope = exact.slopes(rate)
        value = max(value, _TINY)
        return math.log(value), slope * rate / value

    step = np.arange(horizon)
    left = 1.0 - step / horizon
    starts = [found(step) / limits.cap, *(height * left for height in _HEIGHTS)]
    random = np.random.default_rng(0)
    starts += [
        height * np.exp(-random.exponential(1.0, horizon))
        for height in np.geomspace(1.0, 0.1, _DRAWN)
    ]
    ends = [
        minimize(
            objective,
            np.log(np.clip(start, low, 1.0)),
            jac=True,
            method="L-BFGS-B",
            bounds=[(math.log(low), 0.0)] * horizon,
            options={"maxiter": 2000, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-9},
        )
        for start in starts
    ]
    best, _, third, *_ = sorted(ends, key=lambda end: end.fun)
    if not best.fun < math.log(max(loss, _TINY)):
        return None
    rate = np.clip(limits.cap * np.exp(best.x), limits.floor, limits.cap)
    return table(step, rate, horizon=horizon), math.exp(best.fun), math.expm1(third.fun - best.fun)
