"""The LR of every update without a cap: the lowest final loss of the exact recursion.

A constant LR above the stable one diverges, but a single long step between short ones does not: it
moves the slow modes far and multiplies the fast ones, which the short steps shrink again. Such
steps are those of Chebyshev's method, where the noise of the batches decides how long they may be.

The logs of all LRs are free. Each order of long and short steps has an optimum of its own. L-BFGS
goes to it from several orders known for full gradients and from the capped optimum; in short runs
it goes on from rearrangements of the best. All of it is this library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import replace
from typing import TYPE_CHECKING, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import minimize

from etastar._errors import InputError
from etastar.model import exact_losses, modes_of
from etastar.schedule import Schedule, table

from ._budget import Budget
from ._model_problem import ControlProblem
from ._transient_loss import TransientLoss
from ._transient_starts import chebyshev, silver, stretched

if TYPE_CHECKING:
    from ._model_work import Work

Array = NDArray[np.float64]

TRANSIENT = "transient"
"""The cap that is none."""

LONGEST = 10**5
"""The largest horizon: each update has an LR of its own, some 1.5 microseconds an iteration."""

_WORK = 2e6
"""Updates times iterations of a minimisation, which keeps long horizons in time."""

_FEWEST, _MOST, _AGAIN, _FEW = 200, 1000, 150, 60
"""Iterations of a minimisation: at least, at most, from a rearrangement, from a stretched run."""

_SOME, _SHORT, _SHORTEST = 20_000, 3000, 512
"""Horizons up to which there are starts of their own, all of them, and rearrangements."""

_REARRANGED = 60
"""Rearrangements at most; in the shortest runs two for each update."""

_AGREED = 1e-5
"""Relative distance of the ends up to which rearrangements are not worth their time."""

_SETTLED = 1e-2
"""What the last iterations of a minimisation may gain for its end to count in the gap."""

_LONGEST_STEP = 64.0
"""The longest step of a start in units of 1 / lambda_1, in batches of up to 32 samples."""

_LEAST = 1e-14
"""The least LR above the floor, as a part of the stable one."""

_HUGE = 1e9
"""Losses over the initial one from which on a stretched run is no start."""

_SPIKE = 700.0
_TINY = 1e-300


class TransientEnd(NamedTuple):
    """Where the solver ended: LR, loss, and how far from it other ends were."""

    rate: Schedule
    loss: float
    gap: float


class _End(NamedTuple):
    """LRs of the updates after the warmup, their loss, and what the last iterations gained."""

    rate: Array
    loss: float
    gained: float = 0.0


def solve_transient(problem: ControlProblem, capped: Schedule, work: Work) -> TransientEnd:
    """The LRs of the lowest final loss found, none bounded from above, with the gap to other ends.

    The gap is the largest of three relative distances: to the highest of the ends of the starts,
    without those above `capped` and those that still gained a lot at their last iterations; what
    rearrangements gained; and what the last quarter of the iterations gained. Of long runs it is
    that of a fraction of their length. It is evidence, not a bound. The result is never worse than
    `capped`. `work` hears of every evaluation.
    """
    search = _Search(problem, work)
    kept = float(exact_losses(problem.model, capped)[0])
    best, gap = _found(search, capped, kept)
    rate = search.schedule(best)
    loss = float(exact_losses(problem.model, rate)[0])
    return TransientEnd(rate, loss, gap) if loss < kept else TransientEnd(capped, kept, gap)


def _found(search: _Search, capped: Schedule, kept: float) -> tuple[_End, float]:
    """The best end and its gap: from the optimum of a run a quarter as long, where both are long.

    That gap is the shorter run's. In large batches the stretched run, of more long steps, may have
    a huge loss: then from the patterns.
    """
    if search.horizon > _SOME:
        shorter = search.shorter()
        end, gap = _found(shorter, capped, math.inf)
        start = stretched(end.rate, search.horizon - search.warmup)
        if search.slopes(start)[0] < _HUGE * search.loss.initial:
            best = search.minimised(start, _FEW)
            search.work.end()
            return best, max(gap, best.gained)
    ends = [search.minimised(each) for each in search.work.each(search.starts(capped))]
    best = min(ends, key=lambda end: end.loss)
    settled = [end.loss for end in ends if end.loss <= kept and end.gained <= _SETTLED]
    farthest = max(settled, default=best.loss)
    if search.horizon <= _SHORTEST and farthest > best.loss * (1.0 + _AGREED):
        best = search.rearranged(best)
    search.work.end()
    return best, max(farthest / best.loss - 1.0, best.gained)


def check_transient(problem: ControlProblem) -> None:
    """Refuse what LRs without a cap do not go with.

    Raises: InputError for other controls than the LR, an LR that may not rise, a horizon above 1e5.
    """
    horizon = problem.budget.total
    if problem.controls != ("lr",):
        raise InputError(
            f"cap=transient goes with controls=lr, got {','.join(problem.controls)}: leave out"
            " either of them"
        )
    if problem.limits.monotone:
        raise InputError(
            "cap=transient lets the LR rise and fall from update to update, which monotone forbids:"
            " leave out one of them"
        )
    if horizon > LONGEST:
        raise InputError(
            f"horizon {horizon:g} is above {LONGEST:g}, the largest for cap=transient: each update"
            " has an LR of its own; shorten it, or leave out the cap"
        )


class _Search:
    """Minimises the final loss of one horizon over the LR of every update after the warmup."""

    def __init__(self, problem: ControlProblem, work: Work) -> None:
        self.problem, self.work, model = problem, work, problem.model
        self.horizon = int(problem.budget.total)
        batch = float(model.batch_size)
        # Long steps hasten the run by less than this; losses returned have a spectrum to match.
        hastened = min(2.0 * batch, float(self.horizon))
        modes = modes_of(model.spectrum_to(self.horizon * hastened))
        self.loss = TransientLoss.of(modes, model.noise, batch)
        self.warmup, self.floor = problem.limits.warmup, problem.limits.floor
        self.ramp = np.arange(self.warmup) / max(self.warmup, 1)
        self.low = math.log(_LEAST * problem.limits.cap)
        self.high = math.log(1e12 * problem.limits.cap)

    def shorter(self) -> _Search:
        """That of a run a quarter as long."""
        problem = self.problem
        limits = replace(problem.limits, warmup=self.warmup // 4)
        budget = Budget(float(self.horizon // 4))
        return _Search(replace(problem, budget=budget, limits=limits), self.work)

    def starts(self, capped: Schedule) -> Iterator[Array]:
        """The closed form below the cap times patterns of steps, as far as it is near the cap.

        In runs that are not long, also the capped optimum itself.
        """
        place = np.arange(self.warmup, self.horizon)
        smooth, cap = self.problem.relaxation.rate(place.astype(float)), self.problem.limits.cap
        part, count = smooth / cap, len(place)
        longest = max(_LONGEST_STEP, 2.0 * self.problem.model.batch_size)
        ahead, back = np.arange(1, count + 1), np.arange(count, 0, -1)

        def shaped(steps: Array) -> Array:
            # A step of 1 / lambda_1 is near half of the stable LR.
            return smooth * (1.0 - part + part * np.minimum(steps, longest) / 2)

        yield shaped(silver(back))
        yield shaped(silver(back + 5, 3))
        if self.horizon > _SOME:
            return
        yield shaped(silver(ahead + count // 3))
        yield shaped(silver(ahead))
        if self.horizon > _SHORT:
            return
        yield capped(place)
        whole = 2 ** math.ceil(math.log2(max(count, 2)))
        for length in sorted({min(32, whole), max(whole // 2, 2), whole}):
            yield self.best_of(shaped, length, count)

    def best_of(self, shaped: Callable[[Array], Array], length: int, count: int) -> Array:
        """Chebyshev's steps over and over, on the interval with the lowest loss."""
        tried = []
        for ratio in np.geomspace(2.0, 4.0 * length**2, 16):
            steps = np.tile(chebyshev(length, ratio), -(-count // length))[-count:]
            rate = shaped(steps)
            loss, _ = self.slopes(rate)
            tried.append((loss if np.isfinite(loss) else np.inf, ratio, rate))
        return min(tried, key=lambda each: each[:2])[2]

    def slopes(self, free: Array) -> tuple[float, Array]:
        """The final loss and its slope in the LRs after the warmup, to the first of which it rises.

        `free` (n,), the slope alike.
        """
        loss, slope = self.loss.slopes(np.concatenate([free[0] * self.ramp, free]))
        self.work.stepped(self.horizon)
        after = slope[self.warmup :].copy()
        after[0] += slope[: self.warmup] @ self.ramp
        return loss, after

    def minimised(self, start: Array, most: int | None = None) -> _End:
        """L-BFGS over the logs of the LRs above the floor; a start of a huge loss is lowered."""
        highest, seen = 1e6 * self.loss.initial, []

        def objective(x: Array) -> tuple[float, Array]:
            above = np.exp(x)
            loss, slope = self.slopes(self.floor + above)
            if not loss < highest:
                return _SPIKE, np.zeros_like(x)
            loss = max(loss, _TINY)
            return math.log(loss), slope * above / loss

        x = np.log(np.maximum(start - self.floor, math.exp(self.low)))
        while not self.slopes(self.floor + np.exp(x))[0] < 1e3 * self.loss.initial:
            if x.max() < self.low:
                return _End(start, math.inf)
            x = x - 0.1
        if most is None:
            most = int(np.clip(_WORK / self.horizon, _FEWEST, _MOST))
        end = minimize(
            objective,
            np.clip(x, self.low, self.high),
            jac=True,
            method="L-BFGS-B",
            bounds=[(self.low, self.high)] * len(x),
            callback=lambda intermediate_result: seen.append(intermediate_result.fun),
            options={
                "maxiter": most,
                "maxfun": 2 * most,
                "maxcor": 30,
                "ftol": 1e-8,
                "gtol": 1e-9,
            },
        )
        gained = math.expm1(seen[3 * len(seen) // 4] - seen[-1]) if seen else 0.0
        return _End(self.floor + np.exp(end.x), math.exp(end.fun), gained)

    def rearranged(self, best: _End) -> _End:
        """The best of minimisations from rearrangements, each of the best so far."""
        random = np.random.default_rng(0)
        for _ in range(min(_REARRANGED, 2 * len(best.rate))):
            end = self.minimised(_moved(best.rate, random), _AGAIN)
            if end.loss < best.loss:
                best = end
        return best

    def schedule(self, end: _End) -> Schedule:
        """A table with a knot at each update after the warmup, the last LR held to the end."""
        step, rate = np.arange(self.warmup, self.horizon + 1), np.append(end.rate, end.rate[-1])
        if self.warmup:
            step, rate = np.append(0, step), np.append(0.0, rate)
        return table(step, rate)


def _moved(rate: Array, random: np.random.Generator) -> Array:
    """The LRs in another order: some turned round, some shifted, or one of them moved."""
    first, last = np.sort(random.integers(0, len(rate), size=2))
    kind = random.integers(3)
    moved = rate.copy()
    if kind == 0:
        moved[first : last + 1] = moved[first : last + 1][::-1]
    elif kind == 1:
        moved[first : last + 1] = np.roll(
            moved[first : last + 1], random.integers(1, last - first + 2)
        )
    else:
        moved = np.insert(np.delete(rate, first), last, rate[first])
    return moved
