"""Other constants that fit about as well: what a plan averages over."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np

from etastar._errors import InputError
from etastar.runs import Run

from ._least_squares import LeastSquares
from ._levenberg import least_squares
from ._points import Points, place
from ._posterior import Posterior, with_log_slopes

ROUNDS = 16
_GAIN = 1e-3
"""Relative decrease of the sum of squares in a round below which a draw has converged: a draw need
not be nearer its optimum than the draws are to each other."""


@dataclass(frozen=True)
class Refit:
    """The fit as few independent residuals of variance one, around its own constants.

    They are W (log L(x) - log L(x0)) and (x - x0) / width: W W^T is the inverse covariance of
    misfit, luck and scatter at the bins of `Observations`, x0 = `centre` the constants of the fit.
    """

    problem: LeastSquares
    points: Points
    centre: np.ndarray
    width: np.ndarray
    whiten: np.ndarray
    log_loss: np.ndarray

    @classmethod
    def of(
        cls, problem: LeastSquares, constants: np.ndarray, runs: Sequence[Run], posterior: Posterior
    ) -> Refit:
        """Around a fit, with the likeliest sizes of misfit and luck."""
        observed = posterior.observed
        steps = [observed.step[observed.run == i] for i in range(len(runs))]
        points = place(
            [run.schedule for run in runs],
            steps,
            problem.arrays.units,
            [run.batch_size for run in runs],
        )
        factor = np.linalg.cholesky(posterior.noise(posterior.likeliest))
        whiten = np.linalg.solve(factor, np.eye(len(factor)))
        n = problem.form.size
        log_loss = np.log(points.columns(problem.form, constants[:n]) @ constants[n:])
        return cls(problem, points, constants, posterior.width, whiten, log_loss)

    def residuals(
        self, x: np.ndarray, moved: np.ndarray, prior: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Residuals (K, m + d) at constants x (K, d) and their slopes (K, m + d, d).

        `moved` (K, m) is added to the log losses that are fitted, in units of their own errors;
        `prior` (K, d) to the prior's centre, in units of its width.
        """
        # All draws start from the same constants, which are looked at once.
        different = x[:1] if (x == x[0]).all() else x
        mean, by_x = self._log_losses(different)
        change = mean - self.log_loss
        by_x = self.whiten @ by_x
        of_prior = (x - self.centre) / self.width - prior
        residual = np.concatenate([change @ self.whiten.T - moved, of_prior], 1)
        by_x = np.broadcast_to(by_x, (len(x), *by_x.shape[1:]))
        again = np.broadcast_to(np.diag(1 / self.width), (len(x), len(self.width), len(self.width)))
        return residual, np.concatenate([by_x, again], 1)

    @property
    def unmoved(self) -> tuple[np.ndarray, np.ndarray]:
        """What `residuals` takes for logs and prior as they are, for one set of constants."""
        return np.zeros((1, len(self.log_loss))), np.zeros((1, len(self.centre)))

    def _log_losses(self, x: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Log losses at the bins (K, m) under constants x (K, d), and their slopes (K, m, d)."""
        form = self.problem.form
        value, slope = self.points.columns_and_slopes(form, x[:, : form.size])
        linear = x[:, form.size :]
        found = [with_log_slopes(*each) for each in zip(value, slope, linear, strict=True)]
        with np.errstate(divide="ignore", invalid="ignore"):
            return np.log([mean for mean, _ in found]), np.stack([each for _, each in found])


def randomised(refit: Refit, count: int, seed: int) -> np.ndarray:
    """Constants of fits to logs and a prior that are each moved at random, (count, constants).

    Where the law is linear in its constants these are draws from the posterior; elsewhere they lie
    where the runs allow it, along curves that a normal distribution would leave. All fits are made
    at once, each by Levenberg and Marquardt's steps within the bounds.

    Source: Bardsley et al., "Randomize-then-optimize" (2014).
    """
    rng = np.random.default_rng(seed)
    bins, size = len(refit.log_loss), len(refit.centre)
    moved, prior = rng.standard_normal((count, bins)), rng.standard_normal((count, size))
    lower, upper = refit.problem.bounds
    start = np.broadcast_to(refit.centre, (count, size))
    found = least_squares(
        lambda x, which: refit.residuals(x, moved[which], prior[which]),
        start,
        lower + 1e-9 * refit.width,
        upper,
        refit.width,
        tolerance=_GAIN,
        most=ROUNDS,
    )
    return found.x


def nuts(refit: Refit, count: int, seed: int) -> np.ndarray:
    """Constants from the posterior by the No-U-Turn sampler, shape (count, constants).

    The density is that of `Refit`, inside the law's bounds; it is sampled in the coordinates in
    which the covariance of the constants is one.

    Raises: InputError where numpyro is not installed.
    Source: Hoffman and Gelman, "The No-U-Turn sampler" (2014), as numpyro has it.
    """
    try:
        import jax
        from numpyro.infer import MCMC, NUTS

        import etastar._precision  # noqa: F401
    except ImportError:
        raise InputError(
            "sampling the posterior needs numpyro: pip install 'etastar[bayes]'"
        ) from None
    size = len(refit.centre)
    _, slope = refit.residuals(refit.centre[None], *refit.unmoved)
    white = slope[0] * refit.width
    scale = refit.width[:, None] * np.linalg.cholesky(np.linalg.inv(white.T @ white))
    energy = _energy(refit, scale)
    number, vector = (jax.ShapeDtypeStruct(shape, float) for shape in ((), (size,)))

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
    sampler.run(jax.random.PRNGKey(seed), init_params=np.zeros(size))
    drawn = refit.centre + np.asarray(sampler.get_samples()) @ scale.T
    return np.clip(drawn, *refit.problem.bounds)


def _energy(
    refit: Refit, scale: np.ndarray
) -> Callable[[np.ndarray], tuple[np.ndarray, np.ndarray]]:
    """Minus the log density at centre + scale z, and its slope by z."""
    lower, upper = refit.problem.bounds
    # Beyond a bound the density falls off, within a hundredth of the width.
    edge = 0.01 * refit.width

    def energy(z: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        free = refit.centre + scale @ np.asarray(z)
        x = np.clip(free, lower + 1e-9 * refit.width, upper)
        residual, slope = (each[0] for each in refit.residuals(x[None], *refit.unmoved))
        outside = (free - x) / edge
        by_x = (slope.T @ residual) * (free == x) + outside / edge
        value = 0.5 * (residual @ residual) + 0.5 * (outside @ outside)
        return np.asarray(value), scale.T @ by_x

    return energy
