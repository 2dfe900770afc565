"""The optimal LR and momentum of the solvable model, through the exact recursion.

The best runs go in cycles. For a while momentum near one gathers pace; then the LR rises to a burst
that moves the slow modes far and leaves the fast ones noisy; then some plain SGD cools these.
The optimum of a short run, stretched, is a start for a longer one: from some hundred updates on the
horizon grows by four at a time, and two optima are carried along. Only the last horizon gets all
the knots and most of the iterations.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from etastar._errors import InputError
from etastar.schedule import Schedule, table

from ._model_problem import ControlProblem
from ._momentum_loss import MomentumLoss

Array = NDArray[np.float64]

LONGEST = 10**6
"""The largest horizon: each update is computed, some 3 microseconds for loss and slopes."""

_SHORTEST = 400
_RATIO = 4
_KNOTS = (64, 128, 256, 512)
_ITERATIONS = 400
_WORK = 1.5e6
"""Updates times iterations of each of the last minimisations, which keeps long horizons in time."""

_LEAST_ROOM, _LEAST_SLOW = 1e-12, 1e-7
_SPIKE = 30.0


class MomentumEnd(NamedTuple):
    """Where the solver ended: LR, momentum, loss, and how far from it other ends were."""

    rate: Schedule
    momentum: Schedule | None
    loss: float
    gap: float


class _Run(NamedTuple):
    """Logs of the LR's part of its room and of 1 - mu at knots, linear in between; their loss."""

    knot: Array
    room: Array
    slow: Array
    loss: float = math.inf

    def on(self, knot: Array) -> _Run:
        """The same controls on other knots."""
        room, slow = (np.log(np.interp(knot, self.knot, np.exp(x))) for x in self[1:3])
        return _Run(knot, room, slow)

    def stretched(self, factor: float, fall: float) -> _Run:
        """A run `factor` times as long, whose momentum and LR lie `fall` nearer to the limit.

        `fall` moves logs of 1 - mu, and of the LR with them, where momentum gathers pace.
        """
        less = np.where(self.slow < math.log(0.3), fall, 0.0)
        room, slow = np.maximum(self.room - less, -20.0), np.maximum(self.slow - less, -15.0)
        return _Run(self.knot * factor, room, slow)


def solve_momentum(problem: ControlProblem, told: Callable[[int, int], None]) -> MomentumEnd:
    """The LR and the momentum of the lowest final loss found, with the gap to other ends.

    `told` hears of every minimisation: the most iterations that it had, and its number of updates.

    The gap is the relative distance between the ends of the two best starts, and what doubling the
    number of knots gained last: what neither shows is not in it.

    Raises: InputError for a horizon above 1e6.
    """
    horizon = int(problem.budget.total)
    if horizon > LONGEST:
        raise InputError(
            f"horizon {horizon} is above {LONGEST:g}, the largest for which momentum is optimised:"
            " every update is computed"
        )
    lengths = [horizon]
    while lengths[0] > _RATIO * _SHORTEST / 2:
        lengths.insert(0, round(lengths[0] / _RATIO))
    first = _Search(problem, lengths[0], told)
    runs = first.best([first.minimised(run.on(first.even(64)), 120) for run in first.starts()])
    for before, length in itertools.pairwise(lengths):
        search, factor = _Search(problem, length, told), length / before
        knot = search.even(_KNOTS[1])
        most = int(np.clip(_WORK / 5 / length, 8, 60))
        runs = search.best(
            [
                search.minimised(run.stretched(factor, fall).on(knot), most)
                for run in runs
                for fall in (0.0, 0.5 * math.log(factor))
            ]
        )
    return _Search(problem, horizon, told).finished(runs)


class _Search:
    """Minimises the final loss of one horizon over the controls at knots."""

    def __init__(
        self, problem: ControlProblem, horizon: int, told: Callable[[int, int], None]
    ) -> None:
        self.problem, self.horizon, self.told = problem, horizon, told
        self.loss = MomentumLoss.of(
            problem.modes, problem.model.noise, float(problem.model.batch_size)
        )
        self.step = np.arange(horizon)
        limits = problem.limits
        warmup = round(limits.warmup * horizon / problem.budget.total)
        self.ramp = np.minimum(self.step / warmup, 1.0) if warmup else np.ones(horizon)
        self.first = warmup
        self.least = math.log(max(1.0 - problem.ranges.max_momentum, _LEAST_SLOW))

    def even(self, count: int) -> Array:
        """Whole steps in equal parts of the step and of its logarithm from both ends."""
        return self._knots(count, None)

    def _knots(self, count: int, run: _Run | None) -> Array:
        """Knots, more of them where the controls of `run` change."""
        first, last = self.first, self.horizon
        if last - first <= count:
            return np.arange(first, last + 1.0)
        near = np.geomspace(0.5, max((last - first) / 2, 1.0), 1000)
        line = np.linspace(first, last, 2000)
        place = np.unique(np.clip(np.concatenate([first + near, last - near, line]), first, last))
        ages = np.log1p((place - first) / 3) - np.log1p((last - place) / 3)
        grade = ages / (ages[-1] - ages[0]) + (place - first) / (last - first)
        if run is not None:
            turns = sum(
                np.abs(np.diff(np.interp(place, run.knot, x))) for x in (run.room, run.slow)
            )
            turned = np.append(0.0, np.cumsum(turns))
            grade = grade + 2.0 * turned / max(turned[-1], 1e-12)
        even = np.linspace(grade[0], grade[-1], min(count, last - first) + 1)
        return np.unique(np.round(np.interp(even, grade, place)))

    def starts(self) -> list[_Run]:
        """Pace as in the optimum without momentum; 1 - mu constant, or falling as a power."""
        total, knot = self.problem.budget.total, self.even(64)
        limits, part = self.problem.limits, knot / self.horizon
        plain = self.problem.relaxation.rate(part * total) - limits.floor
        room = np.clip(plain / (limits.cap - limits.floor), 1e-6, 0.95)
        age = knot - self.first
        falls = [np.full(len(knot), 0.2)]
        falls += [(1.0 + age) ** -power for power in (0.2, 0.4)]
        falls.append(4.0 / (4.0 + age))
        slows = [np.log(np.clip(fall + part**8, 0.002, 0.98)) for fall in falls]
        return [_Run(knot, np.log(room) + slow, slow) for slow in slows]

    def best(self, runs: list[_Run]) -> list[_Run]:
        """The two of the lowest loss."""
        return sorted(runs, key=lambda run: run.loss)[:2]

    def controls(self, run: _Run) -> tuple[Array, Array]:
        """LR and momentum of every update."""
        limits = self.problem.limits
        room, slow = (np.interp(self.step, run.knot, np.exp(x)) for x in (run.room, run.slow))
        return self.ramp * (limits.floor + (limits.cap - limits.floor) * room), 1.0 - slow

    def minimised(self, run: _Run, most: int) -> _Run:
        """L-BFGS from a run, whose LRs are lowered until its loss is finite."""
        knot, count = run.knot, len(run.knot)
        limits = self.problem.limits
        after = np.clip(np.searchsorted(knot, self.step, side="right") - 1, 0, count - 2)
        part = np.clip((self.step - knot[after]) / (knot[after + 1] - knot[after]), 0.0, 1.0)

        def gathered(slope: Array) -> Array:
            total = np.zeros(count)
            np.add.at(total, after, slope * (1 - part))
            np.add.at(total, after + 1, slope * part)
            return total

        def objective(x: Array) -> tuple[float, Array]:
            now = _Run(knot, x[:count], x[count:])
            loss, by_rate, by_momentum = self.loss.slopes(*self.controls(now))
            if not loss < 1e6 * float(self.loss.modes.target.sum()):
                return _SPIKE, np.zeros_like(x)
            by_room = gathered(by_rate * self.ramp) * (limits.cap - limits.floor)
            rows = by_room * np.exp(now.room), -gathered(by_momentum) * np.exp(now.slow)
            return math.log(loss), np.concatenate(rows) / loss

        low = np.repeat([math.log(_LEAST_ROOM), self.least], count)
        x = np.clip(np.concatenate([run.room, run.slow]), low, 0.0)
        while objective(x)[0] == _SPIKE and x[:count].max() > -20.0:
            x[:count] = np.maximum(x[:count] - 0.3, low[:count])
        end = minimize(
            objective,
            x,
            jac=True,
            method="L-BFGS-B",
            bounds=[(bottom, 0.0) for bottom in low],
            options={"maxiter": most, "maxfun": 2 * most, "maxcor": 40, "ftol": 1e-9, "gtol": 1e-9},
        )
        self.told(most, self.horizon)
        return _Run(knot, end.x[:count], end.x[count:], math.exp(min(end.fun, 700.0)))

    def finished(self, runs: list[_Run]) -> MomentumEnd:
        """Refine the knots of the two best, the last time around where the controls change."""
        gain = 0.0
        for count in _KNOTS:
            iterations = int(np.clip(_WORK / self.horizon, 12, _ITERATIONS))
            before = min(run.loss for run in runs)
            runs = self.best(
                [self.minimised(run.on(self._knots(count, run)), iterations) for run in runs]
            )
            gain = before / runs[0].loss - 1.0
        apart = runs[-1].loss / runs[0].loss - 1.0
        best = runs[0]
        knot = best.knot.astype(int)
        limits = self.problem.limits
        rate = limits.floor + (limits.cap - limits.floor) * np.exp(best.room)
        slow = np.exp(best.slow)
        if self.first:
            knot, rate, slow = np.append(0, knot), np.append(0.0, rate), np.append(slow[0], slow)
        momentum = table(knot, 1.0 - slow) if slow.min() < 1 else None
        return MomentumEnd(table(knot, rate), momentum, best.loss, max(apart, gain))
