"""The optimal LRs and momentum where gradient and velocity have LRs of their own.

With plain SGD the fast modes bound the LR. Here the gradient's own LR damps them, while the
velocity, whose memory grows with the run, moves the slow modes as a larger LR would (derived in
docs/controls_details.md). The logs of the three controls are lines between knots, spaced evenly in
the logarithm of the way to both ends of the run, on the segments of `VelocityLoss`. The number of
both grows with the logarithm of the horizon.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from etastar._errors import InputError
from etastar.model import Segments, VelocityLoss, exact_losses, loss
from etastar.schedule import Schedule, table

from ._model_problem import ControlProblem

Array = NDArray[np.float64]

LONGEST = 10**12
"""The largest horizon: beyond it 1 - mu of the optimum is near the rounding of one."""

_FIRST, *_FINER = ((1.0, 0.5, 100), (1.5, 0.125, 40))
"""Knots of each doubling of the way to the run's ends, part of that way that a segment takes, and
iterations with these."""

_WIDTH = 16
"""Numbers of modes are multiples of this, so that few shapes are compiled."""

_EXACT = 10**5
"""Updates up to which the final loss is computed one by one."""

_LEAST_ROOM, _LEAST_VELOCITY = math.log(1e-9), math.log(1e-30)
"""Bounds of the logs of the gradient's part of its room and of the velocity's LR over the cap."""

_LEAST_SLOW = 1e-13
"""Bound of 1 - mu."""

_SPIKE = 30.0


class VelocityEnd(NamedTuple):
    """Where the solver ended: LRs of gradient and velocity, momentum, loss, and its gap."""

    rate: Schedule
    velocity: Schedule
    momentum: Schedule
    loss: float
    gap: float


class _Run(NamedTuple):
    """Logs, (3, N), of the gradient's part of its room, of the velocity's LR over the cap, and of
    1 - mu at N knots, lines in between; the log of their loss."""

    knot: Array
    logs: Array
    value: float = math.inf

    def at(self, step: Array) -> Array:
        """The logs at steps, (3, steps)."""
        return np.stack([np.interp(step, self.knot, row) for row in self.logs])


def solve_velocity(problem: ControlProblem, told: Callable[[int], None]) -> VelocityEnd:
    """The LRs of gradient and velocity and the momentum of the lowest final loss found.

    `told` hears of every evaluation of the loss: the number of its segments.

    The gap is the relative distance between the ends of the two starts, what more knots gained
    last, and how far the segments' loss is from that of the schedules returned; the largest of
    these. It is evidence, not a bound.

    Raises: InputError for a horizon above 1e12.
    """
    horizon = int(problem.budget.total)
    if horizon > LONGEST:
        raise InputError(
            f"horizon {horizon:g} is above {LONGEST:g}, the largest for which a velocity is"
            " optimised: beyond it 1 - mu is lost in the rounding of one"
        )
    search = _Search(problem, told, *_FIRST)
    ends = sorted((search.minimised(start) for start in search.starts()), key=lambda run: run.value)
    best, gap, gained = ends[0], min(ends[1].value - ends[0].value, 1.0), 0.0
    for stage in _FINER:
        before, search = best.value, _Search(problem, told, *stage)
        best = search.minimised(_Run(search.knot, best.at(search.knot)))
        gained = before - best.value
    rate, velocity, momentum = search.schedules(best)
    final = _measured(problem, rate, velocity, momentum)
    return VelocityEnd(
        rate, velocity, momentum, final, max(gap, gained, abs(math.log(final) - best.value))
    )


def _measured(
    problem: ControlProblem, rate: Schedule, velocity: Schedule, momentum: Schedule
) -> float:
    """The final loss of schedules, exact where that takes no time."""
    model = problem.model
    if rate.horizon <= _EXACT:
        return float(exact_losses(model, rate, momentum=momentum, velocity=velocity)[0])
    return loss(model, rate, momentum=momentum, velocity=velocity, tolerance=1e-3)


class _Search:
    """Minimises the final loss over the controls at knots.

    Arguments: who hears of every evaluation; knots of each doubling of the way to the ends, the
    part of it that a segment takes, and the iterations.
    """

    def __init__(
        self,
        problem: ControlProblem,
        told: Callable[[int], None],
        density: float,
        part: float,
        most: int,
    ) -> None:
        self.problem, model, self.told, self.most = problem, problem.model, told, most
        self.horizon = int(problem.budget.total)
        segments = Segments.of(self.horizon, part)
        modes = problem.modes.trimmed(_WIDTH)
        self.loss = VelocityLoss(modes, model.noise, float(model.batch_size), segments)
        self.step = segments.middle
        self.knot = self._knots(density)
        # The weights of the knots around each step.
        self.spread = np.stack(
            [np.interp(self.step, self.knot, row) for row in np.eye(len(self.knot))]
        )
        warmup = problem.limits.warmup
        self.ramp = np.minimum(self.step / warmup, 1.0) if warmup else np.ones(len(self.step))
        self.initial = float(modes.target.sum())

    def _knots(self, density: float) -> Array:
        """Steps even in log(1 + t) - log(1 + T - t)."""
        last = float(self.horizon)
        span = math.log1p(last)
        count = max(int(2 * density * span / math.log(2)), 2)
        even = np.exp(np.linspace(-span, span, count))
        return np.unique(np.clip(((1 + last) * even - 1) / (1 + even), 0.0, last))

    def starts(self) -> list[_Run]:
        """Two scaling solutions: a memory of a twentieth of the run, and of a fifth.

        The velocity's LR grows with the step and is annealed throughout, the gradient's at the end.
        """
        knot, total = self.knot, float(self.horizon)
        left = np.maximum(total - knot, 0.5) / total
        room = 0.45 * np.minimum(1.0, left / 0.15)
        starts = []
        for size, memory in ((1.0, 18.0), (0.1, 5.0)):
            slow = min(0.9, memory / total)
            pace = 0.35 * size * min(1.0, memory / total) ** 0.55
            velocity = pace * ((knot + 1) / total) ** 0.33 * left**1.7
            starts.append(_Run(knot, np.log(np.stack([room, velocity, np.full(len(knot), slow)]))))
        return starts

    def controls(self, logs: Array, ramp: Array) -> tuple[Array, Array, Array]:
        """LR of the gradient, LR of the velocity and momentum."""
        limits, (room, velocity, slow) = self.problem.limits, np.exp(logs)
        rate = limits.floor + (limits.cap - limits.floor) * room
        return ramp * rate, ramp * limits.cap * velocity, 1.0 - slow

    def objective(self, flat: Array) -> tuple[float, Array]:
        """The log loss and its slopes by the logs at the knots."""
        logs = flat.reshape(3, -1) @ self.spread
        rate, velocity, momentum = self.controls(logs, self.ramp)
        value, (by_rate, by_velocity, by_momentum) = self.loss.slopes(rate, velocity, momentum)
        self.told(len(self.step))
        if not 0 < value < 1e6 * self.initial:
            return _SPIKE, np.zeros_like(flat)
        above_floor = rate - self.ramp * self.problem.limits.floor
        rows = by_rate * above_floor, by_velocity * velocity, -by_momentum * (1.0 - momentum)
        return math.log(value), (np.stack(rows) @ self.spread.T).ravel() / value

    def minimised(self, run: _Run) -> _Run:
        """L-BFGS from a run, whose velocity is lowered until its loss is finite."""
        count = len(run.knot)
        slowest = math.log(max(1.0 - self.problem.ranges.max_momentum, _LEAST_SLOW))
        low = np.repeat([_LEAST_ROOM, _LEAST_VELOCITY, slowest], count)
        high = np.repeat([0.0, 5.0, 0.0], count)
        x, pace = np.clip(run.logs.ravel(), low, high), slice(count, 2 * count)
        while self.objective(x)[0] == _SPIKE and x[pace].max() > -40.0:
            x[pace] = np.maximum(x[pace] - 0.5, low[pace])
        most = self.most
        end = minimize(
            self.objective,
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=list(zip(low, high, strict=True)),
            options={"maxiter": most, "maxfun": 2 * most, "maxcor": 30, "ftol": 1e-8, "gtol": 1e-8},
        )
        return _Run(run.knot, end.x.reshape(3, count), float(end.fun))

    def schedules(self, run: _Run) -> tuple[Schedule, Schedule, Schedule]:
        """The controls as tables: knots at both ends, and at the middles of the segments."""
        step = np.unique(np.concatenate([[0.0], np.round(self.step), [self.horizon]]))
        warmup = self.problem.limits.warmup
        ramp = np.minimum(step / warmup, 1.0) if warmup else np.ones(len(step))
        rate, velocity, momentum = (
            table(step.astype(int), row) for row in self.controls(run.at(step), ramp)
        )
        return rate, velocity, momentum
