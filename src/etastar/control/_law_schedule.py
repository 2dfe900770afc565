"""The schedule that minimises a fitted law's final loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float

from etastar.law import AverageLaw, BatchSize, LossLaw, NoiseMemory, make_mesh
from etastar.schedule import Schedule, table

from ._closed_form import ClosedForm, both_ends
from ._engine import Found, Rates, minimise
from ._law_families import best_members
from ._limits import Limits
from ._solution import Member, Solution

KNOTS = 49
LEAST_GAIN = 1e-8
"""Relative change of the loss at which a search near its end stops."""

GRADING = 4.0
LEAST = 1e-4
"""The smallest rate above the floor that a start may have, as a part of the cap."""


def optimal_schedule(
    law: LossLaw,
    horizon: int,
    limits: Limits | None = None,
    *,
    tolerance: float = 1e-10,
    batch_size: BatchSize = None,
) -> Solution:
    """The schedule with the lowest predicted final loss at a horizon.

    Minimises L(horizon) of the law over the rates of 49 knots, piecewise linear between them, after
    a linear warmup. Warm starts: the best standard schedules and, for a law that forgets noise by a
    kernel K, the closed form eta(u) = min(cap, (mu / K(u))^(1/p)) in the intrinsic time u still to
    go. The result is never worse than any of these.

    Arguments:
        law: a fitted law, or an average of several: then the expected loss is minimised.
        horizon: number of updates, 8 at least.
        limits: what the LR may be; by default at most the largest peak that the law was fitted on,
            without warmup, and not rising.
        tolerance: relative change of the loss at which a start is given up as converged.
        batch_size: of the run, a number or a schedule of the same horizon; by default the law's
            reference.

    Returns: a `Solution`; its schedule holds the past too, its baselines are within the limits.
    Raises: InputError for a horizon below 8, or limits that leave fewer than 8 updates.
    Source: pointwise stationarity as in arXiv 2602.04774, with noise eta^p in place of eta^2.

    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> solution = optimal_schedule(fit(runs), 4000, Limits(cap=0.02, floor=1e-3))
    >>> solution.loss <= solution.nearest.loss, solution.schedule(4000) >= 1e-3
    (True, True)
    """
    limits = Limits(law.peak_range[1]) if limits is None else limits
    limits.check(horizon)
    grid = LawGrid.make(law, horizon, limits, batch_size)
    members = best_members(law, horizon, limits, batch_size)
    members = sorted(members, key=lambda member: member.loss)
    found = [grid.minimise(start, tolerance) for start in law_starts(grid, members)]
    candidates = [grid.schedule(end.x) for end in found]
    losses = law.final_losses(candidates, [batch_size] * len(candidates))
    best = int(np.argmin(losses))
    schedule, loss = candidates[best], float(losses[best])
    if members[0].loss < loss:
        schedule, loss = members[0].schedule, members[0].loss
    ends = sorted(end.value for end in found)
    return Solution(schedule, loss, tuple(members), ends[1] - ends[0])


def least_losses(
    laws: AverageLaw, schedule: Schedule, limits: Limits, batch_size: BatchSize = None
) -> Float[np.ndarray, " laws"]:
    """The loss that each law's own best schedule reaches.

    What remains to be gained at a schedule once one knows which law is true: the search starts from
    that schedule and ends no higher, so that its mean below the schedule's mean loss over the laws
    is the expected regret, E_k[L_k(schedule) - min L_k].

    Arguments:
        laws: fits of one form to one set of runs.
        schedule: in the unit of the laws' LRs, within the limits.
        limits: as of `optimal_schedule`, which checks that they leave updates free.
        batch_size: of the run, as for `optimal_schedule`.

    Returns: losses in the unit of the runs.
    Raises: InputError for an infinite cap.
    Source: the expected value of perfect information, Raiffa and Schlaifer, "Applied Statistical
        Decision Theory" (1961).

    >>> import numpy as np
    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> law, cosine = fit(runs), parse_schedule("cosine:peak=0.02,horizon=4000")
    >>> least = least_losses(AverageLaw(law, (law,)), cosine, Limits(0.02))
    >>> bool(least[0] <= law.final_losses([cosine])[0])
    True
    """
    grid = LawGrid.make(laws.centre, schedule.horizon, limits, batch_size)
    start = grid.sampled(schedule)
    count = len(laws.members)

    # One search for all: a sum of losses is least where each of them is.
    def log_losses(x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        rate = grid.rates.rates(x.reshape(count, len(start)))
        cells = grid.done + rate @ grid.spread.T
        found = laws.each_and_slopes(cells, grid.length, grid.batch)
        by_log = found.rate @ grid.spread * (rate - grid.rates.floor)
        return np.log(found.loss), grid.rates.slope(by_log) / found.loss[:, None]

    def whole(x: np.ndarray) -> tuple[float, np.ndarray]:
        with np.errstate(invalid="ignore", divide="ignore"):
            loss, slope = log_losses(x)
        return float(loss.sum()), slope.ravel()

    low, high = (np.tile(bound, count) for bound in grid.rates.bounds(len(start)))
    scales = [replace(grid, law=law).noise_of_cells(start) for law in laws.members]
    curvature = grid.rates.curvature(np.stack(scales) @ grid.spread)
    found = minimise(
        whole, np.tile(start, count), low, high, curvature.ravel(), tolerance=LEAST_GAIN
    )
    before = laws.each([schedule], [batch_size])[:, 0]
    return np.fmin(np.exp(log_losses(found.x)[0]), before)


def schedule_at(
    law: LossLaw,
    horizon: int,
    known: Schedule,
    limits: Limits,
    batch_size: BatchSize = None,
) -> Schedule:
    """The schedule with the lowest predicted final loss at a horizon, from that at another.

    The search starts from `known` alone, its part after the warmup stretched: optimal schedules of
    neighbouring horizons have nearly the same shape. Above a floor they have not, and
    `optimal_schedule` searches from independent starts, which takes some times as long.

    Arguments:
        law, horizon, batch_size: as for `optimal_schedule`.
        known: the best schedule at its own horizon within the same limits.
        limits: what the LR may be at the horizon of `known`; `Limits.at` says what that means here.

    Returns: a schedule in the unit of the law's LRs; of a run with a past the whole of it.
    Raises: InputError as `optimal_schedule` does.

    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> law, limits = fit(runs), Limits(0.02)
    >>> found = schedule_at(law, 8000, optimal_schedule(law, 4000, limits).schedule, limits)
    >>> apart = law.final_losses([found])[0] - optimal_schedule(law, 8000, limits).loss
    >>> found.horizon, bool(abs(apart) < 1e-5)
    (8000, True)
    """
    own, limits = limits.at(known.horizon), limits.at(horizon)
    if limits.floor > 0:
        return optimal_schedule(
            law, horizon, limits, tolerance=LEAST_GAIN, batch_size=batch_size
        ).schedule
    limits.check(horizon)
    grid = LawGrid.make(law, horizon, limits, batch_size)
    part = (grid.step - limits.start) / (horizon - limits.start)
    rate = known(own.start + part * (known.horizon - own.start))
    found = grid.minimise(grid.variables(rate), LEAST_GAIN)
    return grid.schedule(found.x)


@dataclass(frozen=True)
class LawGrid:
    """Knots of the schedule on the law's mesh, and the map from variables to rates.

    `length` and `batch` are those of the cells, in updates and in samples an update. The mean rates
    of the cells are `done + spread @ rates`; `done` (CELLS,) are what the limits alone decide. The
    rates at the knots are those times `taper`, counted from the floor: it falls to 0 over the part
    of the run that is `limits.annealed`. The knots begin after the warmup.
    """

    law: LossLaw
    horizon: int
    limits: Limits
    rates: Rates
    step: Float[np.ndarray, " knots"]
    taper: Float[np.ndarray, " knots"]
    done: Float[np.ndarray, " cells"]
    spread: Float[np.ndarray, "cells knots"]
    length: Float[np.ndarray, " cells"]
    batch: Float[np.ndarray, " cells"] | None = None

    @classmethod
    def make(
        cls, law: LossLaw, horizon: int, limits: Limits, batch_size: BatchSize = None
    ) -> LawGrid:
        # Knots lie closer toward the end, where the rate falls by a part of what is left; near the
        # start they are far apart, because no loss can tell one step's rate from the next one's.
        part = np.expm1(GRADING * np.linspace(1, 0, KNOTS)) / np.expm1(GRADING)
        begin, start, past = limits.done, limits.start, limits.past
        rate = 0.0 if past is None else past.rate
        step = np.unique(np.round(horizon - (horizon - start) * part))
        # The mesh of every table with these knots: the solver sees the loss that the law reports.
        flat = _knotted(step, np.full(len(step), limits.cap), limits)
        mesh = make_mesh(flat, None, batch_size)
        # A cell's mean rate over its steps t = a..b-1 is the rate at (a + b - 1) / 2.
        middle = np.clip((mesh.node[:-1] + mesh.node[1:] - 1) / 2, start, horizon)
        j = np.clip(np.searchsorted(step, middle, side="right") - 1, 0, len(step) - 2)
        part = (middle - step[j]) / (step[j + 1] - step[j])
        spread = np.zeros((len(middle), len(step)))
        rows = np.arange(len(middle))
        spread[rows, j] = 1 - part
        spread[rows, j + 1] += part
        rises = mesh.node[:-1] < start
        # Exact from 0; after a past to a part of a step.
        since = (mesh.node[:-1] + mesh.node[1:] - 1) / 2 - begin
        warm = np.clip(since / max(limits.warmup, 1), 0.0, 1.0)
        part = (mesh.rate / limits.cap if past is None else warm)[rises]
        spread[rises] = 0.0
        spread[rises, 0] = part
        done = np.zeros(len(middle))
        done[rises] = rate * (1 - part)
        over = mesh.node[:-1] < begin
        spread[over] = 0.0
        done[over] = mesh.rate[over]
        rates = Rates(limits.cap, limits.floor, limits.monotone)
        taper = np.ones(len(step))
        if limits.annealed > 0:
            taper = np.minimum((horizon - step) / (limits.annealed * (horizon - start)), 1.0)
            done += spread @ (limits.floor * (1 - taper))
            spread = spread * taper
        return cls(law, horizon, limits, rates, step, taper, done, spread, mesh.length, mesh.batch)

    def sampled(self, schedule: Schedule) -> np.ndarray:
        return self.variables(schedule(self.step))

    def variables(self, rate: np.ndarray) -> np.ndarray:
        """Those of a start with these rates at the knots, none of them too small to grow."""
        floor, cap = self.rates.floor, self.rates.cap
        above = (rate - floor) / np.where(self.taper > 0, self.taper, 1.0)
        return self.rates.variables(np.clip(floor + above, LEAST * cap, cap))

    def log_loss(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        rate = self.rates.rates(x)
        loss, slope, *_ = self.law.final_loss_and_slopes(
            self.done + self.spread @ rate, self.length, self.batch
        )
        if not loss > 0:  # beyond what the law describes: the line search steps back
            return np.inf, np.zeros_like(x)
        by_log = self.spread.T @ slope * (rate - self.rates.floor)
        return float(np.log(loss)), self.rates.slope(by_log) / loss

    def minimise(self, start: np.ndarray, tolerance: float) -> Found:
        low, high = self.rates.bounds(len(start))
        curvature = self.rates.curvature(self.spread.T @ self.noise_of_cells(start))
        return minimise(self.log_loss, start, low, high, curvature, tolerance=tolerance)

    def noise_of_cells(self, x: np.ndarray) -> np.ndarray:
        """A scale for the log rate of every cell: its part of the noise in the final loss, times p.

        Noise goes as the p-th power of a rate. Of a law without a kernel the part of the intrinsic
        time takes its place: it tells apart what matters from what does not as well.
        """
        units, memory = self.law.units, self.law.noise_memory()
        rate = (self.done + self.spread @ self.rates.rates(x)) / units.rate
        moved = rate * self.length / units.steps
        if memory is None:
            return moved / moved.sum()
        to_go = moved.sum() - np.cumsum(moved) + moved / 2
        part = rate**memory.power * self.length / units.steps * memory.kernel(to_go)
        loss = np.exp(self.log_loss(x)[0])
        level = max(memory.level, 1e-3 * loss)
        return part * memory.power * level / loss / units.batch_ratio(self.batch)

    def schedule(self, x: np.ndarray) -> Schedule:
        floor, rate = self.rates.floor, np.minimum(self.rates.rates(x), self.rates.cap)
        return _knotted(self.step, floor + (rate - floor) * self.taper, self.limits)


def _knotted(step: np.ndarray, rate: np.ndarray, limits: Limits) -> Schedule:
    """A table of the rates at knots, after a linear warmup and what was before."""
    if limits.past is not None:
        return limits.whole(table((step - step[0]).astype(int), rate))
    if limits.warmup > 0:
        step, rate = np.append(0.0, step), np.append(0.0, rate)
    return table(step.astype(int), rate)


def law_starts(grid: LawGrid, members: Sequence[Member]) -> list[np.ndarray]:
    """Two starts far from each other: that their ends agree is evidence of a global optimum."""
    memory = grid.law.noise_memory()
    standard = [grid.sampled(member.schedule) for member in members]
    return standard[:2] if memory is None else [_closed_form(grid, memory), standard[0]]


def _closed_form(grid: LawGrid, memory: NoiseMemory) -> np.ndarray:
    """The best of eta(u) = min(cap, (nu / K(u))^(1/p)) over nu."""
    units = grid.law.units
    cap = grid.rates.cap / units.rate
    total = (grid.horizon - grid.step[0]) / units.steps
    to_go, weight = both_ends(cap * total, 1e-7 * cap * total)
    form = ClosedForm(to_go, weight, memory.kernel(to_go), cap, memory.power)
    left = (grid.horizon - grid.step) / units.steps
    best = None
    for last in np.geomspace(LEAST, 1.0, 25) * cap:
        rate = form.at(last)
        steps = form.steps_to_go(rate)
        if steps[-1] >= total:
            x = grid.rates.variables(np.interp(left, steps, rate) * units.rate)
            value, _ = grid.log_loss(x)
            if best is None or value < best[0]:
                best = (value, x)
    flat = np.full(len(grid.step), grid.rates.cap)
    return grid.rates.variables(flat) if best is None else best[1]
