"""How sure a fit is: what its runs leave open of the constants, and what the law itself misses.

Around the fit the log losses are taken to be linear in the constants. At the points of the runs

    log(measured / predicted) = J delta + m(place) + luck of the run + scatter

with `delta` the error of the constants, a normal prior on it; `m` the law's own misfit, a Gaussian
process that is alike at places alike (`_misfit`); and a luck that a run's points share. All is
normal, so that what is left open at other points, and together at several, follows by conditioning.
The sizes of misfit and luck are averaged over, by how likely they make the residuals.

Source: Kennedy and O'Hagan, "Bayesian calibration of computer models" (2001).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from scipy.linalg import cho_solve, cholesky, solve_triangular

from etastar.runs import Run

from ._forms import FLOOR_PRIOR
from ._least_squares import LeastSquares
from ._misfit import alike, misfit_place
from ._points import longest_of

MISFIT = np.geomspace(3e-4, 6e-2, 9)
MISFIT_PRIOR = (2e-3, 1.0)
"""Sizes of a law's relative misfit that are tried; most likely value, and spread of its log."""

LUCK = np.geomspace(3e-4, 1e-2, 6)
LUCK_PRIOR = (1.5e-3, 0.7)
"""The same of what two runs that differ only in the seed are apart."""

USUAL_TREND = 0.006
"""Beyond this error of a hindcast over one doubling of the steps, pilots are still in a transient
that no power law describes; what is more is added for every doubling ahead."""

AHEAD = 0.001
"""Relative error added for every doubling of the steps beyond the longest run: what the constants
have taken up of the misfit inside the runs comes out beyond them. Set on half of the tasks of
`bench/intervals.py`, with the priors above, and tested on the others."""

ABOVE = 0.01
"""Relative error added for every doubling of the peak LR beyond the highest one fitted: noise near
the largest stable LR grows as no pilot has shown."""

_MOST_BINS, _MOST_OBSERVATIONS = 8, 320


@dataclass(frozen=True)
class Observations:
    """The residuals of the runs in few bins, at most 8 a run.

    `residual` (m,) of the log loss, `slope` (m, d) of it by the constants in units of the prior's
    width, `scatter` (m,) its variance from the points alone, `place` (m, 5), `run` and `step` (m,).
    """

    residual: np.ndarray
    slope: np.ndarray
    scatter: np.ndarray
    place: np.ndarray
    run: np.ndarray
    step: np.ndarray

    @property
    def same_run(self) -> np.ndarray:
        """Which pairs are of one run, (m, m)."""
        return (self.run[:, None] == self.run).astype(float)


class Sizes(NamedTuple):
    """One pair of sizes of misfit and luck, with its probability and the factored covariance."""

    misfit: float
    luck: float
    probability: float
    factor: np.ndarray


class Moments(NamedTuple):
    """What is left open of log losses at targets: their covariance (t, t), that of luck aside.

    `shift` (t,) is by how much conditioning would move the forecasts, `luck` the variance of a run.
    A forecast is not moved, so that its mean squared error has the square of the shift too.
    """

    shift: np.ndarray
    covariance: np.ndarray
    luck: float


@dataclass(frozen=True)
class Posterior:
    """What the runs of a fit leave open of a law's d constants, and what the law itself misses.

    Formula: at M observations of the runs

        log(measured / predicted) = J delta + m(place) + luck of the run + scatter

    with J the slopes of the log loss by the constants, `delta` their error, with a normal prior,
    and m the law's own misfit. Sizes of misfit and luck are averaged over, by how likely they make
    the residuals.

    Attributes:
        observed: the residuals of the runs in M bins, with slopes, scatter and places.
        width: of the prior of every constant, in its own unit, (d,).
        sizes: pairs of sizes of misfit and luck, relative to the loss, each with its probability.
        log_evidence: log probability of the residuals, up to a constant.

    Source: Kennedy and O'Hagan, "Bayesian calibration of computer models" (2001).

    >>> from etastar.law import Posterior
    >>> Posterior.known(2).covariance
    array([[0., 0.],
           [0., 0.]])
    """

    observed: Observations
    width: np.ndarray
    sizes: tuple[Sizes, ...]
    log_evidence: float

    @classmethod
    def known(cls, size: int) -> Posterior:
        """That of a law that misses nothing and whose constants, `size` of them, are known."""
        none = np.zeros(0)
        observed = Observations(none, np.zeros((0, size)), none, np.zeros((0, 5)), none, none)
        return cls(observed, np.zeros(size), (), 0.0)

    def moments(self, slope: np.ndarray, place: np.ndarray) -> Moments:
        """What is open of the log losses at T targets.

        Arguments:
            slope: of the log loss at each by the constants, in their own units, (T, d).
            place: of each among the misfits, (T, 5): log2 of the step, log of the peak LR, LR over
                peak and log of the batch size, over the distances at which misfits are alike; and
                the size of the misfit over that at the end of the longest run.

        Returns: by how much conditioning would move each forecast, (T,); the covariance of the log
            losses without luck, (T, T); the variance of one run's luck.
        """
        observed = self.observed
        slope = slope * self.width
        near, together = alike(place, observed.place), alike(place, place)
        by_constants, prior = slope @ observed.slope.T, slope @ slope.T
        shift, covariance, luck = np.zeros(len(slope)), np.zeros_like(together), 0.0
        for size in self.sizes:
            squared = size.misfit**2
            cross = by_constants + squared * near
            solved = cho_solve((size.factor, True), cross.T)
            shift += size.probability * (solved.T @ observed.residual)
            covariance += size.probability * (prior + squared * together - cross @ solved)
            luck += size.probability * size.luck**2
        return Moments(shift, covariance, luck)

    def continued(
        self, slope: np.ndarray, place: np.ndarray, run: int
    ) -> tuple[np.ndarray, np.ndarray]:
        """What is expected at T targets that are points of run number `run`, which was fitted.

        Its luck is theirs, too, and is known from its own points.

        Arguments: `slope` (T, d) and `place` (T, 5) as for `moments`.

        Returns: by how much the log losses are expected to be off the law, (T,), and the variance
            of each around that, (T,).
        """
        observed = self.observed
        slope = slope * self.width
        near, size_there = alike(place, observed.place), place[:, 4] ** 2
        by_constants, prior = slope @ observed.slope.T, np.sum(slope**2, 1)
        own = (observed.run == run).astype(float)
        parts, moves, variances = [], [], []
        for size in self.sizes:
            misfit, luck = size.misfit**2, size.luck**2
            cross = by_constants + misfit * near + luck * own
            solved = cho_solve((size.factor, True), cross.T)
            parts.append(size.probability)
            moves.append(solved.T @ observed.residual)
            variances.append(prior + misfit * size_there + luck - np.sum(cross * solved.T, 1))
        weight, move = np.array(parts), np.array(moves)
        mean = weight @ move
        between = weight @ (move - mean) ** 2
        return mean, np.maximum(weight @ np.array(variances), 0.0) + between

    @property
    def covariance(self) -> np.ndarray:
        """Covariance of the constants, in their own units, (d, d)."""
        slope, residual = self.observed.slope, self.observed.residual
        total = np.eye(len(self.width))
        for size in self.sizes:
            moved = slope.T @ cho_solve((size.factor, True), residual)
            known = slope.T @ cho_solve((size.factor, True), slope)
            total += size.probability * (np.outer(moved, moved) - known)
        return total * self.width[:, None] * self.width

    def noise(self, size: Sizes) -> np.ndarray:
        """Covariance of all that the constants do not explain, at the observations, (M, M).

        `size` is one of `sizes`.
        """
        observed = self.observed
        of_law = size.misfit**2 * alike(observed.place, observed.place)
        return of_law + size.luck**2 * observed.same_run + np.diag(observed.scatter)

    @property
    def likeliest(self) -> Sizes:
        """The most probable sizes."""
        return max(self.sizes, key=lambda size: size.probability)


def posterior_of(problem: LeastSquares, constants: np.ndarray, runs: Sequence[Run]) -> Posterior:
    """What the runs of a fit leave open, around its constants."""
    width = prior_width(problem, constants)
    observed = _observed(problem, constants, runs, width)
    near, same = alike(observed.place, observed.place), observed.same_run
    fixed = observed.slope @ observed.slope.T + np.diag(observed.scatter)
    found: list[tuple[float, float, float, np.ndarray]] = []
    for misfit in MISFIT:
        for luck in LUCK:
            factor = cholesky(
                fixed + misfit**2 * near + luck**2 * same, lower=True, check_finite=False
            )
            found.append((_log_probability(factor, observed, misfit, luck), misfit, luck, factor))
    logs = np.array([each[0] for each in found])
    weight = np.exp(logs - logs.max())
    # Sizes that are hardly possible cost as much as the others.
    weight = np.where(weight < 1e-2, 0.0, weight)
    weight /= weight.sum()
    sizes = tuple(
        Sizes(misfit, luck, float(part), factor)
        for part, (_, misfit, luck, factor) in zip(weight, found, strict=True)
        if part > 0
    )
    return Posterior(observed, width, sizes, float(logs.max()))


def _log_probability(
    factor: np.ndarray, observed: Observations, misfit: float, luck: float
) -> float:
    white = solve_triangular(factor, observed.residual, lower=True, check_finite=False)
    likelihood = -0.5 * white @ white - np.log(np.diag(factor)).sum()
    (at, spread), (at_luck, spread_luck) = MISFIT_PRIOR, LUCK_PRIOR
    prior = (np.log(misfit / at) / spread) ** 2 + (np.log(luck / at_luck) / spread_luck) ** 2
    return float(likelihood - 0.5 * prior)


def prior_width(problem: LeastSquares, constants: np.ndarray) -> np.ndarray:
    """The prior's width of every constant; of those in which the law is linear a wide one."""
    form, smallest = problem.form, float(problem.loss.min())
    linear = 2 * np.maximum(constants[form.size + 1 :], 1e-3 * smallest)
    return np.concatenate([form.spread, [FLOOR_PRIOR.spread * smallest], linear])


def log_slopes(problem: LeastSquares, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Predicted losses at the points of a fit, (P,), and the slopes of their logarithms, (P, d)."""
    n = problem.form.size
    value, slope = problem.terms(constants[:n])
    return with_log_slopes(value, slope, constants[n:])


def with_log_slopes(
    value: np.ndarray, slope: np.ndarray, linear: np.ndarray
) -> tuple[np.ndarray, np.ndarray]:
    """Losses from columns and their slopes by theta, and the slopes of the losses' logarithms."""
    mean = value @ linear
    by_all = np.concatenate([(slope * linear[:, None]).sum(1), value], 1)
    return mean, by_all / mean[:, None]


def _observed(
    problem: LeastSquares, constants: np.ndarray, runs: Sequence[Run], width: np.ndarray
) -> Observations:
    mean, by_constants = log_slopes(problem, constants)
    residual = np.log(problem.loss / mean)
    units, batch = problem.arrays.units, [run.batch_size for run in runs]
    longest = longest_of(runs, units)
    bins = int(np.clip(_MOST_OBSERVATIONS // len(runs), 1, _MOST_BINS))
    rows = []
    for i, run in enumerate(runs):
        here = np.flatnonzero(problem.run == i)
        squared, at = problem.weight[here] ** 2, problem.step[here]
        # Neighbouring points differ by the scatter of their rows, and by little else.
        per_row = 1 / problem.arrays.rows[here]
        between = np.diff(residual[here]) ** 2 / (per_row[1:] + per_row[:-1])
        scatter = np.mean(between) if len(here) > 2 else 0.0
        for part in np.array_split(np.arange(len(here)), min(bins, len(here))):
            weight = squared[part] / squared[part].sum()
            step = np.exp(weight @ np.log(at[part]))
            ratio = units.batch_ratio(batch[i])
            place = misfit_place(run.schedule, np.array([step]), ratio, longest)[0]
            rows.append((
                weight @ residual[here[part]], (weight @ by_constants[here[part]]) * width,
                scatter * (weight**2 @ per_row[part]) + 1e-10, place, i, step,
            ))  # fmt: skip
    return Observations(*(np.array(column) for column in zip(*rows, strict=True)))
