"""The schedule that minimises a fitted law's final loss."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import minimize

from etastar.law import Law
from etastar.law._mesh import make_mesh  # the mesh on which the law is evaluated
from etastar.law._terms import final_loss_and_slope
from etastar.schedule import InputError, Schedule, table

from ._families import best_members
from ._solution import Solution

KNOTS = 49
GRADING = 4.0
LOWEST = 1e-4
"""The smallest rate above the floor that a start may have, as a part of the cap."""


def optimal_schedule(
    law: Law,
    horizon: int,
    *,
    cap: float | None = None,
    floor: float = 0.0,
    warmup: int = 0,
    monotone: bool = True,
    tolerance: float = 1e-10,
) -> Solution:
    """The schedule with the lowest predicted final loss at a horizon.

    Minimises L(horizon) of the law over the rates of 49 knots, piecewise linear between them, after
    a linear warmup; `monotone` forbids a rise after the warmup. Warm starts: the closed form
    eta(u) = min(cap, (mu / K(u))^(1/p)) in the intrinsic time u still to go, and the best standard
    schedules; the result is never worse than any of these.

    Arguments:
        law: a fitted law.
        horizon: number of updates.
        cap: largest rate allowed; by default the largest peak the law was fitted on.
        floor: smallest rate allowed, in the unit of the rates.
        warmup: updates of linear warmup from 0.
        monotone: whether the rate may not rise after the warmup.
        tolerance: relative change of the loss at which a start is given up as converged.

    Returns: a `Solution`.
    Raises: InputError for a horizon below 8, a warmup that leaves no steps, a floor not below cap.
    Source: pointwise stationarity as in arXiv 2602.04774, with noise eta^p in place of eta^2.
    """
    cap = law.peak_range[1] if cap is None else cap
    if horizon < 8:
        raise InputError(f"horizon must be at least 8 updates, got {horizon}")
    if not 0 <= warmup <= horizon - 8:
        raise InputError(
            f"warmup {warmup} leaves fewer than 8 of the {horizon} updates: shorten it or raise "
            "the horizon"
        )
    if not (cap > 0 and 0 <= floor < cap):
        raise InputError(f"floor must be at least 0 and below the cap {cap:g}, got {floor!r}")
    grid = _Grid.make(law, horizon, warmup, cap, floor, monotone)
    members = best_members(law, horizon, warmup, cap)
    allowed = [m for m in members if m.schedule(horizon) >= floor]
    standard = sorted(allowed, key=lambda member: member.loss)
    starts = [_closed_form(grid), *(grid.sampled(m.schedule) for m in standard[:1])]
    found = [grid.minimise(start, tolerance) for start in starts]
    candidates = [grid.schedule(x) for _, x in found]
    losses = law.final_losses(candidates)
    best = int(np.argmin(losses))
    schedule, loss = candidates[best], float(losses[best])
    for member in standard:
        if member.loss < loss:
            schedule, loss = member.schedule, member.loss
    ends = sorted(value for value, _ in found)
    return Solution(schedule, loss, tuple(members), (ends[1] - ends[0]) / ends[0])


@dataclass(frozen=True)
class _Grid:
    """Knots of the schedule on the law's mesh, and the map from variables to rates.

    Variables: the log of every knot's rate above the floor; when monotone the first of them and
    then its fall from knot to knot, at least 0.
    """

    law: Law
    horizon: int
    warmup: int
    cap: float
    floor: float
    monotone: bool
    step: np.ndarray
    spread: np.ndarray
    length: np.ndarray

    @classmethod
    def make(cls, law, horizon, warmup, cap, floor, monotone) -> _Grid:
        # Knots lie closer toward the end, where the rate falls by a part of what is left; near the
        # start they are far apart, because no loss can tell one step's rate from the next one's.
        part = np.expm1(GRADING * np.linspace(1, 0, KNOTS)) / np.expm1(GRADING)
        step = np.unique(np.round(horizon - (horizon - warmup) * part))
        # The mesh of every table with these knots: the solver sees the loss that the law reports.
        mesh = make_mesh(_knotted(step, np.ones(len(step)), warmup))
        # A cell's mean rate over its steps t = a..b-1 is the rate at (a + b - 1) / 2.
        middle = np.clip((mesh.node[:-1] + mesh.node[1:] - 1) / 2, warmup, horizon)
        j = np.clip(np.searchsorted(step, middle, side="right") - 1, 0, len(step) - 2)
        part = (middle - step[j]) / (step[j + 1] - step[j])
        spread = np.zeros((len(middle), len(step)))
        rows = np.arange(len(middle))
        spread[rows, j] = 1 - part
        spread[rows, j + 1] += part
        warm = mesh.node[:-1] < warmup
        spread[warm] = 0.0
        spread[warm, 0] = mesh.rate[warm]
        return cls(
            law, horizon, warmup, cap, floor, monotone, step, spread, mesh.length / law.units.steps
        )

    def rates(self, x: np.ndarray) -> np.ndarray:
        log_rate = x[0] - np.append(0.0, np.cumsum(x[1:])) if self.monotone else x
        return self.floor + np.exp(log_rate)

    def variables(self, rate: np.ndarray) -> np.ndarray:
        low = LOWEST * self.cap
        log_rate = np.log(np.clip(rate - self.floor, low, self.cap - self.floor))
        if not self.monotone:
            return log_rate
        log_rate = np.minimum.accumulate(log_rate)
        return np.append(log_rate[0], -np.diff(log_rate))

    def sampled(self, schedule: Schedule) -> np.ndarray:
        return self.variables(schedule(self.step))

    def loss_and_slope(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        rate = self.rates(x)
        unit = self.law.units.rate
        loss, slope = final_loss_and_slope(
            self.law.theta, self.law.linear, self.spread @ rate / unit, self.length
        )
        by_log = (self.spread.T @ np.asarray(slope)) / unit * (rate - self.floor)
        if not self.monotone:
            return float(loss), by_log
        total = np.cumsum(by_log[::-1])[::-1]
        return float(loss), np.append(total[0], -total[1:])

    def minimise(self, start: np.ndarray, tolerance: float) -> tuple[float, np.ndarray]:
        top = np.log(self.cap - self.floor)
        rest = (0.0, 3.0) if self.monotone else (top + np.log(LOWEST), top)
        bounds = [(top + np.log(LOWEST), top)] + [rest] * (len(start) - 1)
        # The loss varies by parts in a thousand: scaled so that the solver's tolerances bite.
        scale = 1e3

        def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
            loss, slope = self.loss_and_slope(x)
            return scale * loss, scale * slope

        found = minimize(
            objective,
            start,
            jac=True,
            method="L-BFGS-B",
            bounds=bounds,
            options={"maxiter": 300, "maxcor": 30, "ftol": tolerance, "gtol": 1e-7},
        )
        return float(found.fun / scale), found.x

    def schedule(self, x: np.ndarray) -> Schedule:
        rate = np.minimum(self.rates(x), self.cap)
        return _knotted(self.step, rate, self.warmup)


def _knotted(step: np.ndarray, rate: np.ndarray, warmup: int) -> Schedule:
    if warmup > 0:
        step, rate = np.append(0.0, step), np.append(0.0, rate)
    return table(step.astype(int), rate)


def _closed_form(grid: _Grid) -> np.ndarray:
    """The best of eta(u) = min(cap, (mu / K(u))^(1/p)) over mu, in reference units."""
    law = grid.law
    _, g, log_lag, p, *_ = law.theta
    time = np.concatenate([[0.0], np.geomspace(1e-7, 1e2, 400)])
    shape = (1 + time / np.exp(log_lag)) ** ((1 + g) / p)
    total = (grid.horizon - grid.warmup) / law.units.steps
    best = None
    for top in np.geomspace(LOWEST, 1e3, 60):
        rate = np.minimum(shape * top * (1 + 1 / np.exp(log_lag)) ** (-(1 + g) / p), 1.0)
        rate = rate * grid.cap / law.units.rate
        to_go = np.concatenate([[0.0], np.cumsum(np.diff(time) * 2 / (rate[1:] + rate[:-1]))])
        left = (grid.horizon - grid.step) / law.units.steps
        if to_go[-1] < total:
            continue
        x = grid.variables(np.interp(left, to_go, rate) * law.units.rate)
        loss, _ = grid.loss_and_slope(x)
        if best is None or loss < best[0]:
            best = (loss, x)
    return grid.variables(np.full(len(grid.step), grid.cap)) if best is None else best[1]
