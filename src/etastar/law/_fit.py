"""Fitting the law to runs: variable projection from many starts, then all constants together."""

from __future__ import annotations

import time
from dataclasses import dataclass, replace

import numpy as np
from scipy.optimize import least_squares, nnls
from scipy.stats import qmc

from etastar.runs import Run
from etastar.schedule import InputError

from ._data import Arrays, make_arrays
from ._law import Law
from ._terms import LINEAR, NAMES, columns_and_slopes

LOWER = np.array([0.05, 0.0, -14.0, 1.0, -14.0, -7.0, -6.0])
UPPER = np.array([2.5, 0.95, 0.0, 3.0, -0.5, 9.0, 5.0])
"""Bounds of the constants in the order of NAMES; beyond them the terms do not differ."""

PRIOR_MEAN = np.array([0.5, 0.3, -9.0, 1.75, -6.0, 2.0, 0.5])
PRIOR_SPREAD = np.array([0.4, 0.3, 3.0, 0.3, 3.0, 3.0, 2.0])
"""A weak normal prior: it decides only what the runs leave open (two runs fix few constants)."""

SCALE = 2e-3
"""Relative residual at which the robust loss turns from squared to linear, or the misfit of the
runs' ends where that is larger."""

FLOOR_MEAN, FLOOR_SPREAD = 0.85, 0.15
"""The same for the floor, as a part of the smallest loss seen."""

NOISE = 3e-4
"""Least relative error of a run's mean residual; the prior is weighed against it, and against the
misfit of the runs' ends where that is larger: a law that fits badly must not overrule the prior."""

STARTS = 48
POLISHED = 3


@dataclass(frozen=True)
class _Problem:
    """Evaluates residuals; keeps the last evaluation, which value and slope both ask for."""

    arrays: Arrays
    cache: dict
    noise: float = NOISE

    def terms(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = theta.tobytes()
        if self.cache.get("key") != key:
            value, slope = columns_and_slopes(theta, *self.arrays.where)
            n = self.arrays.points
            self.cache.update(key=key, value=np.asarray(value)[:n], slope=np.asarray(slope)[:n])
        return self.cache["value"], self.cache["slope"]

    @property
    def weight(self) -> np.ndarray:
        return self.arrays.weight[: self.arrays.points]

    @property
    def loss(self) -> np.ndarray:
        return self.arrays.loss[: self.arrays.points]

    @property
    def floor_row(self) -> np.ndarray:
        """The prior of the floor as one more row: its slope by the linear constants, its target."""
        slope = self.noise / (FLOOR_SPREAD * self.loss.min())
        return np.array([slope, 0.0, 0.0, self.noise * FLOOR_MEAN / FLOOR_SPREAD])

    def prior(self, theta: np.ndarray) -> np.ndarray:
        """Residuals of the prior of theta."""
        return self.noise * (theta - PRIOR_MEAN) / PRIOR_SPREAD

    def projected(self, theta: np.ndarray):
        """Residual with the prior's, slope by theta, and linear constants, these eliminated.

        Variable projection (Golub and Pereyra 1973) with Kaufman's slope; the linear constants are
        non-negative, so the projection is on the columns of the positive ones.
        """
        value, slope = self.terms(theta)
        scale = (self.weight / self.loss)[:, None]
        row = self.floor_row
        design = np.concatenate([value * scale, row[None, :3]])
        target = np.append(self.weight, row[3])
        linear, _ = nnls(design, target)
        basis, _ = np.linalg.qr(design[:, linear > 0])
        direct = (slope * linear[:, None]).sum(1) * scale
        direct = np.concatenate([direct, np.zeros((1, len(theta)))])
        residual = np.append(design @ linear - target, self.prior(theta))
        slope = np.concatenate(
            [direct - basis @ (basis.T @ direct), np.diag(self.noise / PRIOR_SPREAD)]
        )
        return residual, slope, linear

    def joint(self, constants: np.ndarray):
        """Robust residual and slope by all constants (theta, linear)."""
        theta, linear = constants[: len(NAMES)], constants[len(NAMES) :]
        value, slope = self.terms(theta)
        ratio = value @ linear / self.loss - 1.0
        residual, gain = _robust(ratio, max(SCALE, self.noise))
        direct = np.concatenate([(slope * linear[:, None]).sum(1), value], 1) / self.loss[:, None]
        return self.weight * residual, (self.weight * gain)[:, None] * direct


def _robust(ratio: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed square root of the soft-L1 loss 2 c^2 (sqrt(1 + (r/c)^2) - 1), and its slope."""
    root = np.sqrt(1.0 + (ratio / scale) ** 2)
    value = ratio * np.sqrt(2.0 / (1.0 + root))
    return value, np.sqrt((1.0 + root) / 2.0) / root


def _starts() -> np.ndarray:
    cube = qmc.Sobol(len(NAMES), rng=0).random(STARTS - 16)
    wide = LOWER + (0.05 + 0.9 * cube) * (UPPER - LOWER)
    cube = qmc.Sobol(len(NAMES), rng=1).random(16)
    near = np.clip(PRIOR_MEAN + (2 * cube - 1) * PRIOR_SPREAD, LOWER + 0.01, UPPER - 0.01)
    return np.concatenate([PRIOR_MEAN[None], near, wide])


def _project_from(problem: _Problem, theta: np.ndarray):
    return least_squares(
        lambda th: problem.projected(th)[0],
        theta,
        jac=lambda th: problem.projected(th)[1],  # type: ignore[arg-type]
        bounds=(LOWER, UPPER),
        x_scale=PRIOR_SPREAD,
        max_nfev=40,
    )


def _polish(problem: _Problem, constants: np.ndarray, tolerance: float = 1e-8):
    n = len(NAMES)
    row = problem.floor_row

    def residual(x: np.ndarray) -> np.ndarray:
        floor = row[:3] @ x[n:] - row[3]
        return np.concatenate([problem.joint(x)[0], problem.prior(x[:n]), [floor]])

    def slope(x: np.ndarray) -> np.ndarray:
        prior = np.zeros((n + 1, len(x)))
        prior[:n, :n] = np.diag(problem.noise / PRIOR_SPREAD)
        prior[n, n:] = row[:3]
        return np.concatenate([problem.joint(x)[1], prior])

    lower = np.append(LOWER, np.zeros(len(LINEAR)))
    upper = np.append(UPPER, np.full(len(LINEAR), np.inf))
    scale = np.append(PRIOR_SPREAD, np.maximum(np.abs(constants[n:]), 1e-3))
    inside = np.clip(constants, lower + 1e-9, upper)
    return least_squares(
        residual,
        inside,
        jac=slope,  # type: ignore[arg-type]
        bounds=(lower, upper),
        x_scale=scale,
        ftol=tolerance,
        max_nfev=60,
    )


def _solve(problem: _Problem):
    """The best of the polished starts."""
    starts = _starts()
    cost = []
    for theta in starts:
        residual = problem.projected(theta)[0]
        cost.append(residual @ residual)
    best = None
    for index in np.argsort(cost)[:POLISHED]:
        found = _project_from(problem, starts[index])
        if best is None or found.cost < best.cost:
            best = found
    assert best is not None
    return _polish(problem, np.concatenate([best.x, problem.projected(best.x)[2]]))


def fit(runs: list[Run]) -> Law:
    """Fit the law to the logs of training runs.

    Minimises sum_runs sum_points w^2 rho(prediction / loss - 1): every run counts the same, later
    points of a run more (w^2 ~ step), rho is soft-L1 with scale 0.002. Points before the end of
    warmup, or in the first 5% of the longest run's steps, are left out. Diverged runs are left out
    and named in `caveats`.

    Arguments: runs, from `read_runs`, with losses in nats (any unit serves) at steps.
    Returns: a `Law` with its covariance.
    Raises: InputError with fewer than 12 points in all, or where every run has diverged.
    Source: the terms are written out in `etastar.law._terms.columns`.

    >>> import numpy as np
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> law = fit(runs)
    >>> abs(law.predict(runs[0].schedule, at=[2000]).mean[0] / runs[0].final_loss - 1) < 0.01
    np.True_
    """
    started = time.perf_counter()
    good = [run for run in runs if not run.diverged]
    if runs and not good:
        raise InputError("every run diverged: lower the learning rates and log at least one run")
    arrays, units, kept = make_arrays(good)
    problem = _Problem(arrays, {})
    found = _solve(problem)
    misfit = _end_spread(problem, found.x)
    if misfit > 2 * NOISE:
        problem = replace(problem, noise=misfit)
        found = _solve(problem)
    covariance, spread = _covariance(problem, found.x)
    trend = _hindcast(problem, found.x)
    n = len(NAMES)
    return Law(
        theta=found.x[:n],
        linear=found.x[n:],
        covariance=covariance,
        units=units,
        spread=spread,
        trend=trend,
        run_count=len(kept),
        steps_fitted=units.steps,
        peak_range=(min(run.schedule.peak for run in kept), units.rate),
        residuals=_residuals(problem, found.x, kept),
        seconds=time.perf_counter() - started,
        caveats=_left_out(runs, kept),
    )


def _left_out(runs: list[Run], kept: list[Run]) -> tuple[str, ...]:
    lines = []
    for run in runs:
        if run.diverged:
            lines.append(f"{run.name}: diverged, left out of the fit")
        elif not any(run is other for other in kept):
            lines.append(f"{run.name}: too short after the transient, left out of the fit")
    return tuple(lines)


def _ratio(problem: _Problem, constants: np.ndarray) -> np.ndarray:
    value, _ = problem.terms(constants[: len(NAMES)])
    return value @ constants[len(NAMES) :] / problem.loss - 1.0


def _residuals(problem: _Problem, constants: np.ndarray, runs: list[Run]):
    ratio = _ratio(problem, constants)
    index = problem.arrays.run[: problem.arrays.points]
    step = problem.arrays.step[: problem.arrays.points]
    return {run.name: (step[index == i], ratio[index == i]) for i, run in enumerate(runs)}


def _covariance(problem: _Problem, constants: np.ndarray) -> tuple[np.ndarray, float]:
    """Covariance of all constants, and the relative spread of a run's end around the law.

    Laplace with the curvature of the weighted squares; a run's points are as many independent ones
    as their autocorrelation leaves. To it the sandwich over runs is added: what one run's misfit,
    the same along all its points, does to the constants.
    """
    residual, slope = problem.joint(constants)
    index = problem.arrays.run[: problem.arrays.points]
    runs = index.max() + 1
    n = len(NAMES)
    prior = np.zeros(len(constants))
    prior[:n] = (problem.noise / PRIOR_SPREAD) ** 2
    prior[n] = problem.floor_row[0] ** 2
    curvature = np.linalg.inv(slope.T @ slope + np.diag(prior) + 1e-18 * np.eye(len(prior)))
    score = np.stack([slope[index == i].T @ residual[index == i] for i in range(runs)])
    independent = np.array([_independent(residual[index == i]) for i in range(runs)])
    variance = sum(
        (residual[index == i] @ residual[index == i]) / independent[i] for i in range(runs)
    )
    freedom = max(independent.sum() - len(constants), 0.25 * independent.sum())
    variance *= independent.sum() / freedom / runs
    covariance = curvature * max(variance, problem.noise**2)
    covariance = covariance + curvature @ (score.T @ score) @ curvature
    return covariance, _end_spread(problem, constants)


def _end_spread(problem: _Problem, constants: np.ndarray) -> float:
    """Relative spread of the runs' ends (the last tenth of their points) around the law."""
    ratio = _ratio(problem, constants)
    index = problem.arrays.run[: problem.arrays.points]
    step = problem.arrays.step[: problem.arrays.points]
    runs = index.max() + 1
    ends = [
        ratio[(index == i) & (step >= 0.9 * step[index == i].max())].mean() for i in range(runs)
    ]
    return float(np.sqrt(np.sum(np.square(ends)) / max(runs - 2, 1) + NOISE**2))


def _independent(residual: np.ndarray) -> float:
    """How many independent values a correlated series is worth, between 2 and its length."""
    n = len(residual)
    centred = residual - residual.mean()
    power = centred @ centred
    if n < 4 or power == 0:
        return float(min(n, 2))
    total = 1.0
    for lag in range(1, n // 2):
        correlation = centred[:-lag] @ centred[lag:] / power
        if correlation < 0.05:
            break
        total += 2 * correlation
    return float(np.clip(n / total, 2.0, n))


def _hindcast(problem: _Problem, constants: np.ndarray) -> float:
    """Relative error of the end of the longest runs, forecast from the first half of the steps.

    Root mean square over the runs that go beyond half of the longest; 0 where the first half alone
    has too few points.
    """
    arrays = problem.arrays
    step, index = arrays.step[: arrays.points], arrays.run[: arrays.points]
    early = step <= 0.5 * step.max()
    if early.sum() < 12 or early.all():
        return 0.0
    weight = np.zeros_like(arrays.weight)
    for i in np.unique(index[early]):
        here = np.flatnonzero(early & (index == i))
        squared = step[here]
        weight[here] = np.sqrt(squared / squared.sum())
    half = _Problem(replace(arrays, weight=weight), {}, problem.noise)
    found = _polish(half, constants, tolerance=1e-5)
    ratio = _ratio(half, found.x)
    ends = [
        ratio[(index == i) & (step >= 0.95 * step[index == i].max())].mean()
        for i in np.unique(index[~early])
    ]
    return float(np.sqrt(np.mean(np.square(ends))))
