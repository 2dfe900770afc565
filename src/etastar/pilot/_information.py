"""What a run that has not been made would tell of the loss at the horizon."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray

from etastar.law import FLOOR_PRIOR, FORMS, At, Law, Mesh, make_mesh, misfit_features
from etastar.schedule import Schedule

FORM = FORMS["etastar"]
POINTS = 32
"""Points of a run's log that its information is counted from."""

DRAWS = 8
"""Sets of constants over which the information is averaged before there are runs."""

RUNS_AT_A_TIME = 256
"""Runs evaluated at a time: one array shape, so that XLA compiles once."""

SPREAD = 5e-2
"""Relative misfit of a run against which the prior is weighed: the larger, the fewer runs far from
the horizon are chosen. Set on simulated tasks (docs/pilot_design.md) that judge nothing else."""

_CENTRE, _WIDTH = FORM.prior_with(memory=(0.3, 0.3))
"""The law's prior, but wider in the memory exponent: a design must serve tasks of any capacity,
and one made for the fit's narrow prior does not look where that is wrong."""

_TRUST = 8
"""Runs after which the fit counts as much as the prior."""

SYSTEMATIC = 1.0
"""Size of the misfits that nearby runs share, over that of a run's own."""


@dataclass(frozen=True)
class Information:
    """What R runs tell of the law's n constants, under D draws of them.

    Constants are in units of their prior's spread, so that all of this is without unit.

    Attributes:
        precision: (D, R, n, n), J^T W J: what each run adds to the precision of the constants.
        misfit_score: (D, R, n, F), J^T W M: what each run adds to the right side of the normal
            equations, for an amplitude of one of each of the F features of the law's misfit.
    """

    precision: NDArray[np.float64]
    misfit_score: NDArray[np.float64]


@dataclass(frozen=True)
class Sensitivities:
    """Log losses of R runs and how they depend on the constants, under D draws of these.

    Attributes:
        step: (R, POINTS), updates done where the loss is taken.
        loss: (D, R, POINTS), in the unit of the belief's linear constants.
        slope: (D, R, POINTS, n), derivative of the log loss by the constants in units of their
            prior's spread.
        misfit_features: (R, POINTS, F), relative size of the law's misfit there for an amplitude
            of one of each feature.
    """

    step: NDArray[np.float64]
    loss: NDArray[np.float64]
    slope: NDArray[np.float64]
    misfit_features: NDArray[np.float64]

    def information(
        self, first: NDArray[np.float64], last: NDArray[np.float64], noise: float, begin: float
    ) -> Information:
        """What the parts (first, last] of every run tell.

        Precision sum_points w^2 J^T J / noise^2 and score sum_points w^2 J^T M / noise^2, with the
        weights of the fit: w^2 in proportion to the step, summing to 1 over a run, so that `noise`
        is the relative error of a run's mean residual.

        Arguments:
            first: (R,), updates after which a run's own log begins: those of its parent are not
                counted twice.
            last: (R,), updates that a run takes.
            noise: relative error of a run's mean residual.
            begin: points up to this update are not fitted.
        """
        inside = (self.step > np.maximum(first, begin)[:, None] + 1e-9) & (
            self.step <= last[:, None] + 1e-9
        )
        squared = np.where(inside, np.clip(self.step / last[:, None], 0.02, 1.0), 0.0)
        # Weights sum to 1 over a run however long it is: neighbouring points share their misfit,
        # so that a longer log of the same run is not that many more measurements.
        total = squared.sum(1, keepdims=True)
        weight = squared / np.where(total > 0, total, 1.0) / noise**2
        weighed = np.swapaxes(self.slope * weight[:, :, None], -1, -2)
        return Information(weighed @ self.slope, weighed @ self.misfit_features)

    def part(self, start: int, stop: int) -> Sensitivities:
        """The runs from `start` to before `stop`."""
        return Sensitivities(
            step=self.step[start:stop],
            loss=self.loss[:, start:stop],
            slope=self.slope[:, start:stop],
            misfit_features=self.misfit_features[start:stop],
        )


@dataclass(frozen=True)
class Belief:
    """Constants of the law, as D draws around which it is taken to be linear.

    Attributes:
        theta: (D, m), constants in which the law is not linear, as `law.Form` has them.
        linear: (D, k), constants in which it is linear: losses, in the unit of the logs, or of the
            reference run's last loss before there are logs.
        scale: (D, m + k), the prior's spread of each constant, in the constant's own unit.
        rate: (D,), the learning rate that is one for these constants.
        steps: (D,), the number of updates that is one for these constants.
        weight: (D,), weights of the draws, summing to 1.
        noise: relative error of a run's mean residual.
    """

    theta: NDArray[np.float64]
    linear: NDArray[np.float64]
    scale: NDArray[np.float64]
    rate: NDArray[np.float64]
    steps: NDArray[np.float64]
    weight: NDArray[np.float64]
    noise: float = SPREAD

    def sensitivities(self, schedules: Sequence[Schedule]) -> Sensitivities:
        """Losses of runs with these schedules, and their slopes by the constants."""
        parts = [
            _evaluated(self, schedules[i : i + RUNS_AT_A_TIME])
            for i in range(0, len(schedules), RUNS_AT_A_TIME)
        ]
        step, value, slope = (
            np.concatenate([part[i] for part in parts], axis=axis)
            for i, axis in enumerate((0, 1, 1))
        )
        loss = np.einsum("drpk,dk->drp", value, self.linear)
        by_theta = np.einsum("drpkn,dk->drpn", slope, self.linear)
        by_all = np.concatenate([by_theta, value], -1) * self.scale[:, None, None, :]
        features = [misfit_features(one, at) for one, at in zip(schedules, step, strict=True)]
        # The fit is to log losses, whose slope is that of the loss over the loss.
        return Sensitivities(step, loss, by_all / loss[..., None], np.stack(features))


def prior(rate: float, steps: float, reference: Schedule, seed: int) -> Belief:
    """What is believed before any run: nearly the law's prior, in units of `rate` and `steps`.

    The constants of the exponents are drawn from their normal prior within their bounds. Those in
    which the law is linear have a prior for the floor alone; the draws share what is above it
    between bias and noise at the end of the `reference` run, whose loss is 1, in a part that is
    even between 0.15 and 0.85, known to a factor of e^2.
    """
    rng = np.random.default_rng(seed)
    margin = 0.02 * (FORM.upper - FORM.lower)
    theta = _CENTRE + _WIDTH * rng.standard_normal((DRAWS, FORM.size)).clip(-1.5, 1.5)
    theta = np.clip(theta, FORM.lower + margin, FORM.upper - margin)
    floor = np.clip(FLOOR_PRIOR.mean + FLOOR_PRIOR.spread * rng.standard_normal(DRAWS), 0.4, 0.97)
    part = rng.uniform(0.15, 0.85, DRAWS)
    ones = np.ones((DRAWS, len(FORM.linear)))
    units = np.full(DRAWS, rate), np.full(DRAWS, steps), np.full(DRAWS, 1 / DRAWS)
    end = _evaluated(Belief(theta, ones, ones, *units), [reference])[1][:, 0, -1]
    above = np.stack([part, 1 - part], 1) * (1 - floor)[:, None] / end[:, 1:]
    linear = np.concatenate([floor[:, None], above], 1)
    return Belief(theta, linear, _scale(linear, 1.0), *units)


def posterior(before: Belief, law: Law, smallest: float) -> Belief:
    """What is believed after a fit; `smallest` is the smallest loss of its runs.

    The fit is one more draw, of weight n / (n + 8) after n runs: a fit to few runs is at times far
    off, and pilots chosen for it alone forecast worse than those chosen for the prior.
    """
    linear = np.maximum(law.linear, 1e-3 * smallest)[None]
    weight = law.run_count / (law.run_count + _TRUST)

    def both(old: NDArray[np.float64], new: Any) -> NDArray[np.float64]:
        return np.concatenate([old, np.reshape(new, (1, *old.shape[1:]))])

    return Belief(
        both(before.theta, law.theta), both(before.linear, linear),
        both(before.scale, _scale(linear, smallest)), both(before.rate, law.units.rate),
        both(before.steps, law.units.steps), both((1 - weight) * before.weight, weight),
        max(SPREAD, law.spread),
    )  # fmt: skip


def _scale(linear: NDArray[np.float64], level: float) -> NDArray[np.float64]:
    spread = np.tile(_WIDTH, (len(linear), 1))
    floor = np.full((len(linear), 1), FLOOR_PRIOR.spread * level)
    return np.concatenate([spread, floor, 2 * linear[:, 1:]], 1)


def _evaluated(belief: Belief, schedules: Sequence[Schedule]) -> tuple[Any, Any, Any]:
    """`step` (R, POINTS), columns (D, R, POINTS, k), their slopes by theta (D, R, POINTS, k, n)."""
    meshes = [make_mesh(schedule) for schedule in schedules]
    rate, length = (np.stack([getattr(m, name) for m in meshes]) for name in ("rate", "length"))
    end = np.array([schedule.horizon for schedule in schedules])
    wanted = end[:, None] * np.arange(1, POINTS + 1) / POINTS
    places = zip(meshes, wanted, strict=True)
    node = np.array([np.searchsorted(mesh.node, step - 1e-6) for mesh, step in places])
    node = np.clip(node, 1, rate.shape[1])
    step = np.stack([mesh.node[here] for mesh, here in zip(meshes, node, strict=True)])
    at, batch = At(node - 1, np.ones(node.shape)), np.ones_like(rate)
    found = [
        FORM.columns_and_slopes(theta[None], Mesh(steps, rate / unit, length / steps, batch), at)
        for theta, unit, steps in zip(belief.theta, belief.rate, belief.steps, strict=True)
    ]
    value, slope = (np.concatenate([one[i] for one in found]) for i in (0, 1))
    return step, value, slope
