"""SGD as it runs: random features drawn sample by sample, weights updated, many seeds at once."""

from __future__ import annotations

from functools import partial

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

import etastar._precision  # noqa: F401  # first: double precision
from etastar._checks import whole
from etastar._errors import InputError
from etastar.schedule import Schedule, WeightAverage

from ._controls import Control, Controls, steps_asked
from ._exact import finite
from ._power_law import LinearModel
from ._spectrum import GAUSSIAN, Spectrum

_CHUNK = 128
_MOST_FEATURES = 20_000


def simulate(
    model: LinearModel,
    schedule: Schedule,
    at: ArrayLike | None = None,
    *,
    seeds: int = 64,
    seed: int = 0,
    momentum: Control = 0.0,
    velocity: Control | None = None,
    average: WeightAverage | str | None = None,
) -> Float[np.ndarray, "seeds at"]:
    """Excess loss of runs of SGD on drawn samples, to check the theory against.

    Each update of each run draws B samples psi of covariance diag(lambda) with labels
    y = w*.psi + sigma z and steps v <- mu v + mean psi (w.psi - y), w <- w - eta v, from w = 0 and
    v = 0; with `velocity` the weights step w <- w - eta_g mean psi (w.psi - y) - eta_v v. The loss
    sum_k lambda_k (w_k - w*_k)^2 + floor is the population's, not a batch's; the floor's part of
    the labels is drawn as noise of that variance, of the sample's random size as its features are.

    Arguments:
        model: a LinearModel whose multiplicities are all 1 and whose batch size is whole.
        schedule: the LR of every update.
        at: whole numbers of updates done; default the horizon alone.
        seeds: number of runs, advanced together.
        seed: of the random numbers; the same seed gives the same runs.
        momentum: mu in [0, 1), a number or a Schedule.
        velocity: LR of the velocity, where `schedule` is that of the gradient alone.
        average: the losses of averaged weights are returned, in place of those of the weights.

    Returns: losses, one row a run.
    Raises: InputError for a binned spectrum, a batch size that is not whole, more than 20000
    features, controls out of range, a loss that overflows.
    Source: the definition of the model, arXiv 2602.04774, section 2.

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import LinearModel, Spectrum
    >>> model = LinearModel(Spectrum([1.0, 0.5], [1.0, 0.5]), noise=0.1, batch_size=4)
    >>> simulate(model, parse_schedule("constant:peak=0.1,horizon=20"), [0, 20], seeds=3).shape
    (3, 2)
    """
    spectrum = _single_features(model)
    law = (whole("batch_size", model.batch_size, 1), spectrum.kurtosis, spectrum.scale_moment)
    seeds, key = whole("seeds", seeds, 1), jax.random.key(whole("seed", seed, 0))
    controls = Controls.make(model, schedule, momentum, None, velocity)
    asked = steps_asked(at, schedule.horizon)
    fixed = jnp.sqrt(jnp.asarray(spectrum.eigenvalue)), model.noise, spectrum.floor
    # Errors are kept in units of 1 / sqrt(lambda): the loss is then their squared norm.
    error = jnp.broadcast_to(-jnp.sqrt(jnp.asarray(spectrum.target)), (seeds, len(fixed[0])))
    kept = None if average is None else WeightAverage.parse(average)
    state, losses = (error, jnp.zeros_like(error), error), np.empty((seeds, len(asked)))
    for first in range(0, int(asked.max()) + 1, _CHUNK):
        steps = first + np.arange(_CHUNK, dtype=np.float64)
        rate, _, mu = controls.at(steps)
        keep = np.zeros(_CHUNK) if kept is None else kept.kept(steps, schedule.horizon)
        keys = jax.random.split(jax.random.fold_in(key, first), _CHUNK)
        rates = _rates(rate, controls.velocity_at(steps))
        state, before = _chunk(law, fixed, state, keys, rates, mu, keep)
        here = (asked >= first) & (asked < first + _CHUNK)
        losses[:, here] = np.asarray(before).T[:, (asked[here] - first).astype(int)]
    return finite(losses + spectrum.floor, model.max_rate)


def _rates(rate: np.ndarray, velocity: np.ndarray | None) -> tuple[np.ndarray, np.ndarray]:
    """The LRs of the gradient and of the velocity after it."""
    return (np.zeros_like(rate), rate) if velocity is None else (rate, velocity)


def _single_features(model: LinearModel) -> Spectrum:
    spectrum = model.spectrum_to(1)
    if np.any(spectrum.multiplicity != 1) or len(spectrum.eigenvalue) > _MOST_FEATURES:
        raise InputError(
            f"spectrum must have multiplicities of 1 and at most {_MOST_FEATURES} features to be "
            "simulated: give LinearModel the single eigenvalues"
        )
    return spectrum


def _sizes(key, shape, fourth):
    """Random sizes s with E[s^2] = 1 and E[s^4] = m, the `fourth`.

    s^2 is 2 m - 1 with probability 1 / (4 m - 3), and else 1/2.
    """
    rare = jax.random.uniform(key, shape) < 1.0 / (4.0 * fourth - 3.0)
    return jnp.sqrt(jnp.where(rare, 2.0 * fourth - 1.0, 0.5))


def _features(key, shape, kurtosis):
    """Independent features with mean 0, variance 1 and a kurtosis.

    Above 3 a Gaussian times a random size. Below 3 a random sign of variance p plus a Gaussian of
    variance 1 - p: the kurtosis is 3 - 2 p^2.
    """
    z, other = jax.random.normal(key, shape), jax.random.fold_in(key, 1)
    if kurtosis > GAUSSIAN:
        return z * _sizes(other, shape, kurtosis / GAUSSIAN)
    if kurtosis < GAUSSIAN:
        part = np.sqrt((GAUSSIAN - kurtosis) / 2.0)
        return np.sqrt(part) * jax.random.rademacher(other, shape) + np.sqrt(1.0 - part) * z
    return z


@partial(jax.jit, static_argnums=0)
def _chunk(law, fixed, state, keys, rates, momentum, kept):
    batch, kurtosis, scale_moment = law
    root, label, floor = fixed

    def update(state, step):
        error, velocity, mean = state
        key, (by_gradient, by_velocity), mu, keep = step
        loss = jnp.sum(mean**2, axis=1)
        draw, labels = jax.random.split(key)
        # psi = sqrt(lambda) z and the error is e = sqrt(lambda) (w - w*): the residual is z.e.
        each = (len(error), batch)
        z = _features(draw, (*each, len(root)), kurtosis)
        size = 1.0
        if scale_moment > 1.0:
            size = _sizes(jax.random.fold_in(draw, 2), each, scale_moment)
            z = z * size[..., None]
        noise = jnp.sqrt(label + size**2 * floor) * jax.random.normal(labels, each)
        residual = jnp.einsum("sbk,sk->sb", z, error) - noise
        gradient = root**2 * jnp.einsum("sbk,sb->sk", z, residual) / batch
        velocity = mu * velocity + gradient
        error = error - by_gradient * gradient - by_velocity * velocity
        return (error, velocity, keep * mean + (1.0 - keep) * error), loss

    return jax.lax.scan(update, state, (keys, rates, momentum, kept))
