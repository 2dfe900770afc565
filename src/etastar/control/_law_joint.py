"""Learning rates and batch sizes of a fitted law as variables of one minimisation."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from jaxtyping import Float

from etastar.law import LossLaw
from etastar.schedule import Schedule

from ._budget import Budget
from ._engine import Found, minimise
from ._law_schedule import LawGrid
from ._limits import Limits

LimitsAt = Callable[[float], Limits]
"""What the LR may be, as a function of the batch size with which a run begins."""

EVERY = 4
"""Knots of the LR for one of the batch size."""

_STIFFNESS = 0.3
"""The curvature of the loss in the log batch size, as a part of that in the log LR."""

_STEP = 1e-3  # in log batch size, for the slope of the cap


class _Controls(NamedTuple):
    """What variables stand for: rates at knots; length and batch size of the cells."""

    rate: np.ndarray
    length: np.ndarray
    batch: np.ndarray
    cap: float


@dataclass(frozen=True)
class JointGrid:
    """LR and batch size at knots in the part of the budget that is done.

    The variables are those of the rates on the knots of `grid`, relative to the cap at the first
    batch size, and then the first log batch size and its rises from knot to knot, at least 0. With
    one knot the batch size is the same in all updates. A cell takes a given part of the budget, so
    that its updates follow from its batch size: part * total / cost(B).

    `share` (cells,) are these parts, `spread` (cells, knots) maps log batch sizes at the knots to
    the cells, `low` and `high` bound them.
    """

    grid: LawGrid
    budget: Budget
    limits_at: LimitsAt
    low: float
    high: float
    share: Float[np.ndarray, " cells"]
    spread: Float[np.ndarray, "cells knots"]

    @classmethod
    def make(
        cls,
        law: LossLaw,
        budget: Budget,
        sizes: tuple[float, float],
        limits_at: LimitsAt,
        start: float,
        *,
        rising: bool,
    ) -> JointGrid:
        """The mesh of a run at the batch size `start`; `rising` for one that may grow."""
        horizon = budget.whole_updates(start)
        grid = LawGrid.make(law, horizon, limits_at(start), start)
        low, high = np.log(sizes)
        end = np.cumsum(grid.length)
        knot = grid.step[::EVERY] if rising else grid.step[:1]
        spread = np.stack(
            [np.interp(end - grid.length / 2, knot, row) for row in np.eye(len(knot))], axis=1
        )
        return cls(grid, budget, limits_at, low, high, grid.length / end[-1], spread)

    def variables(self, schedule: Schedule, log_sizes: np.ndarray) -> np.ndarray:
        """Those of a schedule with the grid's horizon, and of log batch sizes at the knots."""
        rises = np.maximum(np.diff(log_sizes), 0.0)
        return np.concatenate([self.grid.sampled(schedule), log_sizes[:1], rises])

    def _log_sizes(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log batch sizes at the knots, and which of them are not held at the largest."""
        free = x[0] + np.append(0.0, np.cumsum(x[1:]))
        return np.minimum(free, self.high), free <= self.high

    def _split(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        knots = len(self.grid.step)
        return x[:knots], x[knots:]

    def controls(self, x: np.ndarray) -> _Controls:
        """What the variables stand for."""
        of_rate, of_size = self._split(x)
        cap, floor = self.limits_at(float(np.exp(of_size[0]))).cap, self.grid.rates.floor
        rate = floor + (cap - floor) * np.exp(self.grid.rates.logs(of_rate))
        batch = np.exp(self.spread @ self._log_sizes(of_size)[0])
        length = self.share * self.budget.total / self.budget.cost(batch)
        return _Controls(rate, length, batch, cap)

    def log_loss(self, x: np.ndarray) -> tuple[float, np.ndarray]:
        """Log of the final loss, and its slope by the variables."""
        grid, budget = self.grid, self.budget
        rate, length, batch, cap = self.controls(x)
        found = grid.law.final_loss_and_slopes(grid.done + grid.spread @ rate, length, batch)
        if not found.loss > 0:
            return np.inf, np.zeros_like(x)
        by_log_rate = grid.spread.T @ found.rate * (rate - grid.rates.floor)
        # A larger batch leaves fewer updates.
        lost = length * budget.per_sample * batch / budget.cost(batch)
        by_cell = np.where(length > 0, batch * found.batch - lost * found.length, 0.0)
        of_size = self._split(x)[1]
        by_size = self.spread.T @ by_cell * self._log_sizes(of_size)[1]
        by_size = np.cumsum(by_size[::-1])[::-1]
        by_size[0] += by_log_rate.sum() * cap / (cap - grid.rates.floor) * self._cap_slope(of_size)
        slope = np.concatenate([grid.rates.slope(by_log_rate), by_size])
        return float(np.log(found.loss)), slope / found.loss

    def _cap_slope(self, of_size: np.ndarray) -> float:
        """Slope of the log cap by the first log batch size."""
        around = (np.exp(of_size[0] + step) for step in (-_STEP, _STEP))
        below, above = (self.limits_at(float(size)).cap for size in around)
        return float(np.log(above / below)) / (2 * _STEP)

    def minimise(self, start: np.ndarray, tolerance: float = 1e-9) -> Found:
        """The lowest loss from a start."""
        of_rate, of_size = self._split(start)
        low, high = self.grid.rates.bounds(len(of_rate))
        room = np.full(len(of_size), self.high - self.low)
        none = np.zeros(len(of_size))
        none[0], room[0] = self.low, self.high
        parts = self.grid.noise_of_cells(of_rate)
        by_knot = _STIFFNESS * (self.spread.T @ parts)
        curvature = np.concatenate([
            self.grid.rates.curvature(self.grid.spread.T @ parts),
            np.cumsum(by_knot[::-1])[::-1],
        ])  # fmt: skip
        return minimise(
            self.log_loss,
            start,
            np.append(low, none),
            np.append(high, room),
            curvature,
            tolerance=tolerance,
        )
