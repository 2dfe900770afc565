"""The schedule that minimises a fitted law's final loss."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from etastar._errors import InputError
from etastar.law import AverageLaw, Law, make_mesh
from etastar.schedule import Schedule, table

from ._closed_form import ClosedForm, both_ends
from ._engine import Found, Rates, minimise
from ._law_families import Past, best_members
from ._solution import Solution

KNOTS = 49
GRADING = 4.0
LEAST = 1e-4
"""The smallest rate above the floor that a start may have, as a part of the cap."""


def optimal_schedule(
    law: Law | AverageLaw,
    horizon: int,
    *,
    cap: float | None = None,
    floor: float = 0.0,
    warmup: int = 0,
    monotone: bool = True,
    tolerance: float = 1e-10,
    past: Past | None = None,
) -> Solution:
    """The schedule with the lowest predicted final loss at a horizon.

    Minimises L(horizon) of the law over the rates of 49 knots, piecewise linear between them, after
    a linear warmup; `monotone` forbids a rise after the warmup. Warm starts: the closed form
    eta(u) = min(cap, (mu / K(u))^(1/p)) in the intrinsic time u still to go, and the best standard
    schedules; the result is never worse than any of these.

    Arguments:
        law: a fitted law, or an average of several: then the expected loss is minimised.
        horizon: number of updates.
        cap: largest rate allowed; by default the largest peak the law was fitted on.
        floor: smallest rate allowed, in the unit of the rates.
        warmup: updates of linear warmup, from 0 or from the LR that the past has come to.
        monotone: whether the rate may not rise after the warmup.
        tolerance: relative change of the loss at which a start is given up as converged.
        past: what a run has done already: only the LRs from `past.step` on are free.

    Returns: a `Solution`; its schedule holds the past too.
    Raises: InputError for a horizon below 8, a warmup or a past that leaves no steps, a floor not
        below cap.
    Source: pointwise stationarity as in arXiv 2602.04774, with noise eta^p in place of eta^2.
    """
    cap = law.peak_range[1] if cap is None else cap
    if horizon < 8:
        raise InputError(f"horizon must be at least 8 updates, got {horizon}")
    start = warmup if past is None else past.step + warmup
    if not 0 <= warmup <= start <= horizon - 8:
        done = "" if past is None else f" after the {past.step} updates that the run has done"
        raise InputError(
            f"warmup {warmup}{done} leaves fewer than 8 of the {horizon} updates: shorten it or "
            "raise the horizon"
        )
    if not (cap > 0 and 0 <= floor < cap):
        raise InputError(f"floor must be at least 0 and below the cap {cap:g}, got {floor!r}")
    grid = _Grid.make(law, horizon, warmup, cap, floor, monotone, past)
    members = best_members(law, horizon, warmup, cap, past)
    allowed = [m for m in members if m.schedule(horizon) >= floor]
    standard = sorted(allowed, key=lambda member: member.loss)
    starts = [_closed_form(grid), *(grid.sampled(m.schedule) for m in standard[:1])]
    found = [grid.minimise(start, tolerance) for start in starts]
    candidates = [grid.schedule(end.x) for end in found]
    losses = law.final_losses(candidates)
    best = int(np.argmin(losses))
    schedule, loss = candidates[best], float(losses[best])
    for member in standard:
        if member.loss < loss:
            schedule, loss = member.schedule, member.loss
    ends = sorted(end.value for end in found)
    return Solution(schedule, loss, tuple(members), ends[1] - ends[0])


def least_losses(
    laws: Sequence[Law],
    schedule: Schedule,
    *,
    cap: float,
    floor: float = 0.0,
    warmup: int = 0,
    monotone: bool = True,
    past: Past | None = None,
) -> np.ndarray:
    """The loss that each law's own best schedule reaches, shape (len(laws),).

    What remains to be gained at a schedule once one knows which law is true: the search starts from
    that schedule and ends no higher, so that its mean below the schedule's mean loss over the laws
    is the expected regret, E_k[L_k(schedule) - min L_k].

    Arguments:
        laws: fits of one set of runs.
        schedule: in the unit of the laws' LRs, within the limits.
        cap, floor, warmup, monotone, past: as of `optimal_schedule`.

    Returns: losses in the unit of the runs.
    Raises: nothing of its own; `optimal_schedule` checks the same limits.
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
    >>> bool(least_losses([law], cosine, cap=0.02)[0] <= law.final_losses([cosine])[0])
    True
    """
    horizon = schedule.horizon
    ends = []
    for law in laws:
        grid = _Grid.make(law, horizon, warmup, cap, floor, monotone, past)
        found = grid.schedule(grid.minimise(grid.sampled(schedule), 1e-8).x)
        ends.append(law.final_losses([found, schedule]).min())
    return np.array(ends)


@dataclass(frozen=True)
class _Grid:
    """Knots of the schedule on the law's mesh, and the map from variables to rates.

    The mean rates of the cells are `done + spread @ rates at the knots`; `done` (CELLS,) are what
    the past alone decides. The knots begin after the warmup.
    """

    law: Law | AverageLaw
    horizon: int
    warmup: int
    past: Past | None
    rates: Rates
    step: np.ndarray
    done: np.ndarray
    spread: np.ndarray
    length: np.ndarray

    @classmethod
    def make(cls, law, horizon, warmup, cap, floor, monotone, past=None) -> _Grid:
        # Knots lie closer toward the end, where the rate falls by a part of what is left; near the
        # start they are far apart, because no loss can tell one step's rate from the next one's.
        part = np.expm1(GRADING * np.linspace(1, 0, KNOTS)) / np.expm1(GRADING)
        begin, rate = (0, 0.0) if past is None else (past.step, past.rate)
        start = begin + warmup
        step = np.unique(np.round(horizon - (horizon - start) * part))
        # The mesh of every table with these knots: the solver sees the loss that the law reports.
        mesh = make_mesh(_knotted(step, np.full(len(step), cap), warmup, past))
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
        part = mesh.rate / cap if past is None else np.clip(since / max(warmup, 1), 0.0, 1.0)
        part = part[rises]
        spread[rises] = 0.0
        spread[rises, 0] = part
        done = np.zeros(len(middle))
        done[rises] = rate * (1 - part)
        over = mesh.node[:-1] < begin
        spread[over] = 0.0
        done[over] = mesh.rate[over]
        rates = Rates(cap, floor, monotone)
        return cls(law, horizon, warmup, past, rates, step, done, spread, mesh.length)

    def sampled(self, schedule: Schedule) -> np.ndarray:
        return self.rates.variables(np.maximum(schedule(self.step), LEAST * self.rates.cap))

    def log_loss(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        rate = self.rates.rates(x)
        loss, slope = self.law.final_loss_and_slope(self.done + self.spread @ rate, self.length)
        by_log = self.spread.T @ slope * (rate - self.rates.floor)
        return float(np.log(loss)), self.rates.slope(by_log) / loss

    def minimise(self, start: np.ndarray, tolerance: float) -> Found:
        low, high = self.rates.bounds(len(start))
        curvature = self.rates.curvature(self._noise_parts(start))
        return minimise(self.log_loss, start, low, high, curvature, tolerance=tolerance)

    def _noise_parts(self, x: np.ndarray) -> np.ndarray:
        """Each knot's part of the law's noise in the final loss, times the noise's power."""
        law = self.law
        rate = (self.done + self.spread @ self.rates.rates(x)) / law.units.rate
        moved = rate * self.length / law.units.steps
        to_go = moved.sum() - np.cumsum(moved) + moved / 2
        power, noise = law.theta[3], law.linear[-1]
        part = rate**power * self.length / law.units.steps * law.kernel(to_go)
        loss = np.exp(self.log_loss(x)[0])
        return self.spread.T @ part * power * max(noise, 1e-3 * loss) / loss

    def schedule(self, x: np.ndarray) -> Schedule:
        rate = np.minimum(self.rates.rates(x), self.rates.cap)
        return _knotted(self.step, rate, self.warmup, self.past)


def _knotted(step: np.ndarray, rate: np.ndarray, warmup: int, past: Past | None) -> Schedule:
    """A table of the rates at knots, after a linear warmup and what was before."""
    if past is not None:
        return past.then(table((step - step[0]).astype(int), rate), warmup)
    if warmup > 0:
        step, rate = np.append(0.0, step), np.append(0.0, rate)
    return table(step.astype(int), rate)


def _closed_form(grid: _Grid) -> np.ndarray:
    """The best of eta(u) = min(cap, (nu / K(u))^(1/p)) over nu."""
    law, cap = grid.law, grid.rates.cap / grid.law.units.rate
    total = (grid.horizon - grid.step[0]) / law.units.steps
    to_go, weight = both_ends(cap * total, 1e-7 * cap * total)
    form = ClosedForm(to_go, weight, law.kernel(to_go), cap, float(law.theta[3]))
    left = (grid.horizon - grid.step) / law.units.steps
    best = None
    for last in np.geomspace(LEAST, 1.0, 60) * cap:
        rate = form.at(last)
        steps = form.steps_to_go(rate)
        if steps[-1] >= total:
            x = grid.rates.variables(np.interp(left, steps, rate) * law.units.rate)
            value, _ = grid.log_loss(x)
            if best is None or value < best[0]:
                best = (value, x)
    flat = np.full(len(grid.step), grid.rates.cap)
    return grid.rates.variables(flat) if best is None else best[1]
