"""The optimal LR of each of a few updates, below a cap.

Lines between knots cannot zigzag, and where batches are so large that the run is nearly that of the
full gradient the best LRs of a few updates do: a long step, then short ones. So the end of the
search on knots, decays of several heights, and drawn LRs are starts of a search over every update.
The order of the steps is what such a search cannot change: two of them are then exchanged as long
as that lowers the loss.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import Any

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

_POLISHED = 3
"""Ends whose steps are exchanged; the best alone where they agree to `_AGREE`."""

_AGREE = 1e-6

_REACH = 4
"""Updates between two steps that are exchanged, at most."""

_PROMISING = 10
"""Exchanges that are minimised in each round, those of the lowest losses."""

_ROUNDS = 12

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

    def minimised(logs: Array) -> Any:
        return minimize(
            objective,
            np.clip(logs, math.log(low), 0.0),
            jac=True,
            method="L-BFGS-B",
            bounds=[(math.log(low), 0.0)] * horizon,
            options={"maxiter": 2000, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-9},
        )

    step = np.arange(horizon)
    ends = _sorted([minimised(start) for start in _starts(found(step) / limits.cap)])
    count = _POLISHED if ends[_POLISHED - 1].fun - ends[0].fun > _AGREE else 1
    polished = [_exchanged(end, objective, minimised) for end in ends[:count]]
    ends = _sorted(polished + ends[count:])
    best, third = ends[0], ends[2]
    if not best.fun < math.log(max(loss, _TINY)):
        return None
    rate = np.clip(limits.cap * np.exp(best.x), limits.floor, limits.cap)
    return table(step, rate, horizon=horizon), math.exp(best.fun), math.expm1(third.fun - best.fun)


def _starts(found: Array) -> list[Array]:
    """Logs of the LRs over the cap to start from; `found` is the LR that is known, over the cap."""
    horizon = len(found)
    left = 1.0 - np.arange(horizon) / horizon
    starts = [np.log(np.maximum(found, _TINY)), *(np.log(height * left) for height in _HEIGHTS)]
    random = np.random.default_rng(0)
    heights = np.geomspace(1.0, 0.1, _DRAWN)
    return starts + [np.log(height) - random.exponential(1.0, horizon) for height in heights]


def _exchanged(
    end: Any, objective: Callable[[Array], tuple[float, Array]], minimised: Callable[[Array], Any]
) -> Any:
    """The end of exchanging two steps, and minimising again, as long as the loss falls by it."""
    for _ in range(_ROUNDS):
        orders = []
        for apart in range(1, _REACH + 1):
            for first in np.flatnonzero(np.abs(end.x[apart:] - end.x[:-apart]) > 0.05):
                pair = [first, first + apart]
                logs = end.x.copy()
                logs[pair] = logs[pair[::-1]]
                orders.append((objective(logs)[0], logs))
        orders.sort(key=lambda order: order[0])
        tried = _sorted([minimised(logs) for _, logs in orders[:_PROMISING]])
        if not tried or not tried[0].fun < end.fun - _AGREE:
            break
        end = tried[0]
    return end


def _sorted(ends: list[Any]) -> list[Any]:
    return sorted(ends, key=lambda end: end.fun)
