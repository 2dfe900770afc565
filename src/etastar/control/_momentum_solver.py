"""The optimal LR and momentum of the solvable model, through the exact recursion.

The best runs go in cycles. For a while momentum near one gathers pace; then the LR rises to a burst
that moves the slow modes far and leaves the fast ones noisy; then some plain SGD cools these.
The optimum of a short run, stretched, is a start for a longer one: from some hundred updates on the
horizon grows step by step, and two optima are carried along, each in a thread of its own.
"""

from __future__ import annotations

import itertools
import math
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from etastar._errors import InputError
from etastar.schedule import Schedule, table

from ._model_problem import ControlProblem
from ._momentum_loss import MomentumLoss

Array = NDArray[np.float64]

LONGEST = 10**6
"""The largest horizon: each update is computed, some 2 microseconds for loss and slopes."""

_SHORTEST = 50
_RATIOS = (2, 4)
"""Growth of the horizon: up to `_LONG`, and beyond."""

_KNOTS = 256
"""Knots while the horizon grows. Fewer lose what the shorter run had found."""

_LAST_KNOTS, _LONG_KNOTS = (256, 512, 1024), (512,)
"""Knots of the last minimisations, the second of a long horizon."""

_ITERATIONS = 400
_WORK = 1.5e6
"""Updates times iterations of each last minimisation, which keeps long horizons in time."""

_GROWTH = 2.5e5
"""The same of a minimisation while the horizon grows."""

_LONG = 10_000
"""From this horizon on a minimisation ends before it has converged."""

_LEFT = 1.0 + math.sqrt(2.0)
"""What is left to gain over what the second half of the iterations gained, where the distance falls
as the root of their number; measured, it does about that."""

_THREADS = 2
"""Minimisations at a time: XLA computes outside of Python's lock."""

_LEAST_ROOM, _LEAST_SLOW = 1e-12, 1e-7
_SPIKE = 30.0


class MomentumEnd(NamedTuple):
    """Where the solver ended: LR, momentum, loss, and how far from it other ends were."""

    rate: Schedule
    momentum: Schedule | None
    loss: float
    gap: float


class _Run(NamedTuple):
    """Logs of the LR's part of its room and of 1 - mu at knots, linear in between; their loss.

    `left` is the part of the loss that more iterations would gain, see `_LEFT`.
    """

    knot: Array
    room: Array
    slow: Array
    loss: float = math.inf
    left: float = 0.0

    def on(self, knot: Array) -> _Run:
        """The same controls on other knots."""
        room, slow = (np.log(np.interp(knot, self.knot, np.exp(x))) for x in self[1:3])
        return _Run(knot, room, slow, left=self.left)

    def stretched(self, factor: float, part: float) -> _Run:
        """A run `factor` times as long.

        Where momentum gathers pace, 1 - mu and the LR with it are divided by `factor` to the power
        `part`: at 1 the velocity remembers as much of the run as before.
        """
        less = np.where(self.slow < math.log(0.3), part * math.log(factor), 0.0)
        room, slow = np.maximum(self.room - less, -20.0), np.maximum(self.slow - less, -15.0)
        return _Run(self.knot * factor, room, slow, left=self.left)


def solve_momentum(problem: ControlProblem, told: Callable[[int, int], None]) -> MomentumEnd:
    """The LR and the momentum of the lowest final loss found, with the gap to other ends.

    `told` hears of iterations, from several threads: the updates of the run, and how many.

    The gap is the relative distance between the ends of the two best starts or what more knots
    gained last, the larger of them, and what more iterations would gain at each long horizon on the
    way. It is evidence, not a bound.

    Raises: InputError for a horizon above 1e6.
    """
    horizon = int(problem.budget.total)
    if horizon > LONGEST:
        raise InputError(
            f"horizon {horizon} is above {LONGEST:g}, the largest for which momentum is optimised:"
            " every update is computed"
        )
    lengths = horizons_to(horizon)
    search = _Search(problem, lengths[0], told)
    runs = search.best([run.on(search.even(64)) for run in search.starts()], 120)
    for before, length in itertools.pairwise(lengths):
        search, factor = _Search(problem, length, told), length / before
        parts, iterations = on_the_way(length, horizon)
        runs = [run.stretched(factor, part) for run in runs for part in parts]
        if iterations:
            runs = search.best([run.on(search.knots(_KNOTS, run)) for run in runs], iterations)
    return search.finished(runs)


def horizons_to(horizon: int) -> list[int]:
    """The horizons on the way to one, which is the last.

    >>> horizons_to(1500), horizons_to(40_000)
    ([94, 188, 375, 750, 1500], [78, 156, 312, 625, 1250, 2500, 5000, 10000, 40000])
    """
    lengths = [horizon]
    while lengths[0] > 2 * _SHORTEST:
        lengths.insert(0, round(lengths[0] / _RATIOS[lengths[0] > _LONG]))
    return lengths


def on_the_way(length: int, horizon: int) -> tuple[tuple[float, ...], int]:
    """Of a horizon on the way: the parts of `_Run.stretched` to try, and iterations from each.

    Both parts are tried where that takes no time beside the rest. A long run's last horizon has no
    iterations but those of `at_the_end`.
    """
    parts = (0.5, 1.0) if length < _LONG / 4 and horizon < _LONG else (1.0,)
    goes_on = length < horizon or length < _LONG
    return parts, int(np.clip(_GROWTH / length, 12, 60)) if goes_on else 0


def at_the_end(horizon: int) -> tuple[tuple[int, ...], int]:
    """Numbers of knots of the last minimisations, and the iterations with each."""
    iterations = int(np.clip(_WORK / horizon, 12, _ITERATIONS))
    return _LAST_KNOTS if horizon < _LONG else _LONG_KNOTS, iterations


class _Search:
    """Minimises the final loss of one horizon over the controls at knots."""

    def __init__(
        self, problem: ControlProblem, horizon: int, told: Callable[[int, int], None]
    ) -> None:
        self.problem, self.horizon, self.told = problem, horizon, told
        self.stopped = False
        self.loss = MomentumLoss.of(
            problem.modes,
            problem.model.noise,
            float(problem.model.batch_size),
            int(problem.budget.total),
        )
        self.step = np.arange(horizon)
        limits = problem.limits
        warmup = round(limits.warmup * horizon / problem.budget.total)
        self.ramp = np.minimum(self.step / warmup, 1.0) if warmup else np.ones(horizon)
        self.first = warmup
        self.least = math.log(max(1.0 - problem.ranges.max_momentum, _LEAST_SLOW))

    def even(self, count: int) -> Array:
        """Whole steps in equal parts of the step and of its logarithm from both ends."""
        return self.knots(count, None)

    def knots(self, count: int, run: _Run | None) -> Array:
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

    def best(self, starts: list[_Run], iterations: int) -> list[_Run]:
        """The ends of the lowest loss, two of them, from starts that are minimised side by side."""
        with ThreadPoolExecutor(_THREADS) as pool:
            try:
                ends = list(pool.map(lambda start: self.minimised(start, iterations), starts))
            except BaseException:  # Ctrl-C, which only this thread gets
                self.stopped = True
                raise
        return sorted(ends, key=lambda run: run.loss)[:2]

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
            if self.stopped:
                raise KeyboardInterrupt
            now = _Run(knot, x[:count], x[count:])
            loss, by_rate, by_momentum = self.loss.slopes(*self.controls(now))
            if not loss < 1e6 * float(self.loss.modes.target.sum()):
                return _SPIKE, np.zeros_like(x)
            by_room = gathered(by_rate * self.ramp) * (limits.cap - limits.floor)
            rows = by_room * np.exp(now.room), -gathered(by_momentum) * np.exp(now.slow)
            return math.log(loss), np.concatenate(rows) / loss

        values: list[float] = []

        def iterated(intermediate_result: Any) -> None:
            values.append(intermediate_result.fun)
            self.told(self.horizon, 1)

        low = np.repeat([math.log(_LEAST_ROOM), self.least], count)
        x = np.clip(np.concatenate([run.room, run.slow]), low, 0.0)
        while objective(x)[0] == _SPIKE and x[:count].max() > -20.0:
            x[:count] = np.maximum(x[:count] - 0.3, low[:count])
        end = minimize(
            objective,
            x,
            jac=True,
            method="L-BFGS-B",
            callback=iterated,
            bounds=[(bottom, 0.0) for bottom in low],
            options={"maxiter": most, "maxfun": 2 * most, "maxcor": 40, "ftol": 1e-9, "gtol": 1e-9},
        )
        self.told(self.horizon, most - len(values))
        left = run.left if self.horizon >= _LONG else 0.0
        if values:
            left += _LEFT * (values[len(values) // 2] - end.fun)
        return _Run(knot, end.x[:count], end.x[count:], math.exp(min(end.fun, 700.0)), left)

    def finished(self, runs: list[_Run]) -> MomentumEnd:
        """Refine the knots of the two best, the last time around where the controls change."""
        gain, (counts, iterations) = 0.0, at_the_end(self.horizon)
        for count in counts:
            before = min(run.loss for run in runs)  # infinite where the stretched runs are next
            runs = self.best([run.on(self.knots(count, run)) for run in runs], iterations)
            gain = before / runs[0].loss - 1.0 if math.isfinite(before) else 0.0
        apart = runs[-1].loss / runs[0].loss - 1.0
        best = runs[0]
        knot = best.knot.astype(int)
        limits = self.problem.limits
        rate = limits.floor + (limits.cap - limits.floor) * np.exp(best.room)
        slow = np.exp(best.slow)
        if self.first:
            knot, rate, slow = np.append(0, knot), np.append(0.0, rate), np.append(slow[0], slow)
        momentum = table(knot, 1.0 - slow) if slow.min() < 1 else None
        gap = max(apart, gain) + best.left
        return MomentumEnd(table(knot, rate), momentum, best.loss, gap)
