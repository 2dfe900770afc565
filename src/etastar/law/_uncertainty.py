"""How sure a fit is: covariance of its constants, spread of the runs, draws of other fits."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace

import jax
import jax.numpy as jnp
import numpy as np

from etastar._errors import InputError

from ._least_squares import LeastSquares, polish


def covariance(problem: LeastSquares, constants: np.ndarray) -> tuple[np.ndarray, float]:
    """Covariance of all constants, and the variance that the squared residuals are worth.

    Laplace with the curvature of the weighted squares; a run's points are as many independent ones
    as their autocorrelation leaves. To it the sandwich over runs is added: what one run's misfit,
    the same along all its points, does to the constants.
    """
    residual, slope = problem.joint(constants)
    index = problem.run
    runs = index.max() + 1
    curvature = _inverse_curvature(problem, slope)
    score = np.stack([slope[index == i].T @ residual[index == i] for i in range(runs)])
    independent = np.array([_independent(residual[index == i]) for i in range(runs)])
    variance = sum(
        (residual[index == i] @ residual[index == i]) / independent[i] for i in range(runs)
    )
    freedom = max(independent.sum() - len(constants), 0.25 * independent.sum())
    variance *= independent.sum() / freedom / runs
    variance = max(variance, problem.noise**2)
    return curvature * variance + curvature @ (score.T @ score) @ curvature, float(variance)


def _inverse_curvature(problem: LeastSquares, slope: np.ndarray) -> np.ndarray:
    """Of the sum of weighted squares and the prior, from the slopes of the residuals."""
    n = problem.form.size
    prior = np.full(slope.shape[1], 1e-18)
    prior[:n] += (problem.noise / problem.form.spread) ** 2
    prior[n] += problem.floor_row[0] ** 2
    return np.linalg.inv(slope.T @ slope + np.diag(prior))


def end_spread(problem: LeastSquares, constants: np.ndarray) -> float:
    """Relative spread of the runs' ends (the last tenth of their points) around the law."""
    mean, _ = _ends(problem, constants)
    return float(np.sqrt(np.sum(mean**2) / max(len(mean) - 2, 1) + problem.form.noise**2))


def end_misfit(problem: LeastSquares, constants: np.ndarray) -> float:
    """What of `end_spread` is the law's own error: without what the scatter of the points makes."""
    mean, variance = _ends(problem, constants)
    own = max(float(np.sum(mean**2 - variance)), 0.0)
    return float(np.sqrt(own / max(len(mean) - 2, 1) + problem.form.noise**2))


def _ends(problem: LeastSquares, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean relative error of every run's last tenth, and its variance for independent points."""
    ratio = problem.ratio(constants)
    index, step = problem.run, problem.step
    ends = [
        ratio[(index == i) & (step >= 0.9 * step[index == i].max())] for i in range(index.max() + 1)
    ]
    variance = [end.var(ddof=1) / len(end) if len(end) > 1 else 0.0 for end in ends]
    return np.array([end.mean() for end in ends]), np.array(variance)


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


def hindcast(problem: LeastSquares, constants: np.ndarray) -> float:
    """Relative error of the end of the longest runs, forecast from the first half of the steps.

    Root mean square over the runs that go beyond half of the longest; 0 where the first half alone
    has too few points.
    """
    arrays, step, index = problem.arrays, problem.step, problem.run
    early = step <= 0.5 * step.max()
    if early.sum() < 12 or early.all():
        return 0.0
    weight = np.zeros_like(arrays.weight)
    for i in np.unique(index[early]):
        here = np.flatnonzero(early & (index == i))
        squared = step[here]
        weight[here] = np.sqrt(squared / squared.sum())
    half = replace(problem, arrays=replace(arrays, weight=weight), cache={})
    found = polish(half, constants, tolerance=1e-5)
    ratio = half.ratio(found.x)
    ends = [
        ratio[(index == i) & (step >= 0.95 * step[index == i].max())].mean()
        for i in np.unique(index[~early])
    ]
    return float(np.sqrt(np.mean(np.square(ends))))


def bootstrap(problem: LeastSquares, constants: np.ndarray, count: int, seed: int) -> np.ndarray:
    """Constants of fits to randomly weighed runs around a random prior, shape (count, constants).

    Each fit starts from `constants`; every run has a weight drawn from an exponential distribution
    of mean 1, and the centre of the prior is drawn from the prior, so that what the runs leave open
    spreads as widely as the prior does.

    Source: Rubin, "The Bayesian bootstrap" (1981), with whole runs as the independent units, and
    for the prior Bardsley et al., "Randomize-then-optimize" (2014).
    """
    rng = np.random.default_rng(seed)
    runs = int(problem.run.max()) + 1
    fits = []
    for _ in range(count):
        drawn = rng.exponential(size=runs)
        weight = problem.weight * np.sqrt(drawn * runs / drawn.sum())[problem.run]
        arrays = replace(problem.arrays, weight=weight)
        shift = rng.standard_normal(problem.form.size + 1)
        again = replace(problem, arrays=arrays, cache={}, shift=shift)
        fits.append(polish(again, constants, tolerance=1e-5).x)
    return np.array(fits)


def nuts(
    problem: LeastSquares, constants: np.ndarray, variance: float, count: int, seed: int
) -> np.ndarray:
    """Constants from the posterior by the No-U-Turn sampler, shape (count, constants).

    The density is exp(-cost / variance) with the cost that the fit minimises, inside its bounds;
    it is sampled in the coordinates in which the Laplace approximation is a unit normal.

    Raises: InputError where numpyro is not installed.
    Source: Hoffman and Gelman, "The No-U-Turn sampler" (2014), as numpyro has it.
    """
    try:
        from numpyro.infer import MCMC, NUTS
    except ImportError:
        raise InputError(
            "sampling the posterior needs numpyro: pip install 'etastar[bayes]'"
        ) from None
    _, slope = problem.joint(constants)
    scale = np.linalg.cholesky(_inverse_curvature(problem, slope) * variance)
    energy = _energy(problem, constants, scale, variance)
    number, vector = (jax.ShapeDtypeStruct(shape, float) for shape in ((), constants.shape))

    # The law is computed by NumPy, outside of what JAX compiles.
    @jax.custom_vjp
    def potential(z):
        return jax.pure_callback(lambda z: energy(z)[0], number, z)

    def forward(z):
        return jax.pure_callback(energy, (number, vector), z)

    potential.defvjp(forward, lambda slope, factor: (factor * slope,))
    sampler = MCMC(
        NUTS(potential_fn=potential, max_tree_depth=5),
        num_warmup=max(count // 2, 30),
        num_samples=count,
        progress_bar=False,
    )
    sampler.run(jax.random.PRNGKey(seed), init_params=jnp.zeros(len(constants)))
    drawn = constants + np.asarray(sampler.get_samples()) @ scale.T
    return np.clip(drawn, *problem.bounds)


def _energy(
    problem: LeastSquares, constants: np.ndarray, scale: np.ndarray, variance: float
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Minus the log density at constants + scale z, and its slope by z."""
    lower, upper = problem.bounds
    # Beyond a bound the density falls off, within a hundredth of the Laplace width.
    width = 0.01 * np.sqrt(np.sum(scale**2, 1))

    def energy(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        free = constants + scale @ np.asarray(z)
        x = np.clip(free, lower, upper)
        residual, slope = problem.whole(x)
        outside = (free - x) / width
        by_x = (slope.T @ residual) / variance * (free == x) + outside / width
        value = 0.5 * (residual @ residual) / variance + 0.5 * (outside @ outside)
        return np.asarray(value), scale.T @ by_x

    return energy
