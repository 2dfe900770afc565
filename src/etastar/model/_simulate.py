"""Training as it runs: features drawn sample by sample, weights updated, many seeds at once."""

from __future__ import annotations

from functools import partial
from typing import Literal, NamedTuple, get_args

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

import etastar._precision  # noqa: F401  # first: double precision
from etastar._checks import at_least, shown, whole
from etastar._errors import InputError
from etastar.schedule import Schedule, WeightAverage

from ._controls import Control, Controls, steps_asked
from ._exact import finite
from ._power_law import LinearModel
from ._spectrum import GAUSSIAN, Spectrum

Update = Literal["sgd", "sign", "adam"]
"""How `simulate` moves the weights."""

_CHUNK = 128
_ROTATION = 2**31
"""Of the key that the rotation is drawn from: no first update of a chunk is as large."""
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
    update: Update = "sgd",
    beta2: float = 0.999,
    rotated: bool = False,
) -> Float[np.ndarray, "seeds at"]:
    """Excess loss of runs of SGD, sign descent or Adam on drawn samples, to check the theory.

    Each update of each run draws B samples psi of covariance diag(lambda) with labels
    y = w*.psi + sigma z, so that the gradient is g = mean psi (w.psi - y). From w = 0 and v = 0,

        sgd    v <- mu v + g,  w <- w - eta v;  with `velocity`  w <- w - eta_g g - eta_v v
        sign   w <- w - eta sign(g), coordinate by coordinate
        adam   v <- beta2 v + (1 - beta2) g^2,  w <- w - eta g / sqrt(v / (1 - beta2^t)) at update t

    that is Adam with beta1 = 0 and epsilon = 0, or RMSprop with bias correction. The coordinates
    are the features' eigenbasis, or with `rotated` a basis drawn at random, one for all runs. The
    loss sum_k lambda_k (w_k - w*_k)^2 + floor is the population's, not a batch's; the floor's part
    of the labels is drawn as noise of that variance, of the sample's random size as its features.

    Arguments:
        model: a LinearModel whose multiplicities are all 1 and whose batch size is whole.
        schedule: the LR of every update; of sign and adam in units of the weights.
        at: whole numbers of updates done; default the horizon alone.
        seeds: number of runs, advanced together.
        seed: of the random numbers; the same seed gives the same runs.
        momentum, velocity: of sgd; mu in [0, 1) and the velocity's own LR, numbers or Schedules.
        average: the losses of averaged weights are returned, in place of those of the weights.
        update: "sgd", "sign" or "adam".
        beta2: of adam, from 0 (the sign) to below 1.
        rotated: whether sign and adam act in a random basis.

    Returns: losses, one row a run.
    Raises: InputError for a binned spectrum, a batch size that is not whole, more than 20000
    features, controls out of range, momentum of sign or adam, a loss that overflows.
    Source: the model is that of arXiv 2602.04774, section 2; Adam of arXiv 1412.6980.

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import LinearModel, Spectrum
    >>> model = LinearModel(Spectrum([1.0, 0.5], [1.0, 0.5]), noise=0.1, batch_size=4)
    >>> simulate(model, parse_schedule("constant:peak=0.1,horizon=20"), [0, 20], seeds=3).shape
    (3, 2)
    """
    controls = Controls.make(model, schedule, momentum, None, velocity)
    rule = _Rule.make(model, controls, update, beta2)
    asked = steps_asked(at, schedule.horizon)
    seeds, key = whole("seeds", seeds, 1), jax.random.key(whole("seed", seed, 0))
    kept = None if average is None else WeightAverage.parse(average)
    return _runs(model, controls, rule, (asked, kept), seeds, key, rotated)


class _Rule(NamedTuple):
    """What a run's updates are made of, alike for all of them."""

    batch: int
    kurtosis: float
    scale_moment: float
    update: str
    beta2: float

    @classmethod
    def make(cls, model: LinearModel, controls: Controls, update: str, beta2: float) -> _Rule:
        spectrum = _single_features(model)
        if update not in get_args(Update):
            names = ", ".join(get_args(Update))
            raise InputError(f"update must be one of {names}, got {shown(update)}")
        if update != "sgd" and controls.momentum is not None:
            raise InputError(f"momentum and velocity are of update 'sgd', not of {update!r}")
        batch = whole("batch_size", model.batch_size, 1)
        return cls(batch, spectrum.kurtosis, spectrum.scale_moment, update, beta2_of(beta2))


def _runs(model, controls, rule, what, seeds, key, rotated) -> NDArray[np.float64]:
    (asked, kept), horizon, spectrum = what, controls.horizon, model.spectrum
    root = jnp.sqrt(jnp.asarray(spectrum.eigenvalue))
    basis = _rotation(jax.random.fold_in(key, _ROTATION), len(root)) if rotated else None
    fixed = root, model.noise, spectrum.floor, basis
    # Errors are kept in units of 1 / sqrt(lambda): the loss is then their squared norm.
    error = jnp.broadcast_to(-jnp.sqrt(jnp.asarray(spectrum.target)), (seeds, len(root)))
    zero = jnp.zeros_like(error)
    state, losses = (error, zero, error, zero), np.empty((seeds, len(asked)))
    for first in range(0, int(asked.max()) + 1, _CHUNK):
        steps = first + np.arange(_CHUNK, dtype=np.float64)
        rate, _, mu = controls.at(steps)
        keep = np.zeros(_CHUNK) if kept is None else kept.kept(steps, horizon)
        keys = jax.random.split(jax.random.fold_in(key, first), _CHUNK)
        rates = _rates(rate, controls.velocity_at(steps))
        by_step = (keys, rates, mu, keep, 1.0 - rule.beta2 ** (steps + 1.0))
        state, before = _chunk(rule, fixed, state, by_step)
        here = (asked >= first) & (asked < first + _CHUNK)
        losses[:, here] = np.asarray(before).T[:, (asked[here] - first).astype(int)]
    return finite(losses + spectrum.floor, model.max_rate)


def beta2_of(value: float) -> float:
    """Check Adam's beta2."""
    value = at_least("beta2", value, 0.0)
    if value >= 1.0:
        raise InputError(f"beta2 must be from 0 to below 1, got {value:g}")
    return value


def _rotation(key, size):
    """An orthogonal matrix, drawn uniformly: its rows are the basis in which the weights stand."""
    matrix, upper = jnp.linalg.qr(jax.random.normal(key, (size, size)))
    return matrix * jnp.sign(jnp.diagonal(upper))


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
def _chunk(rule, fixed, state, by_step):
    root, label, floor, basis = fixed

    def update(state, step):
        error, velocity, mean, square = state
        key, (by_gradient, by_velocity), mu, keep, warm = step
        loss = jnp.sum(mean**2, axis=1)
        draw, labels = jax.random.split(key)
        # psi = sqrt(lambda) z and the error is e = sqrt(lambda) (w - w*): the residual is z.e.
        each = (len(error), rule.batch)
        z = _features(draw, (*each, len(root)), rule.kurtosis)
        size = 1.0
        if rule.scale_moment > 1.0:
            size = _sizes(jax.random.fold_in(draw, 2), each, rule.scale_moment)
            z = z * size[..., None]
        noise = jnp.sqrt(label + size**2 * floor) * jax.random.normal(labels, each)
        residual = jnp.einsum("sbk,sk->sb", z, error) - noise
        gradient = root * jnp.einsum("sbk,sb->sk", z, residual) / rule.batch
        if rule.update != "sgd":
            gradient = gradient if basis is None else gradient @ basis.T
            square = rule.beta2 * square + (1.0 - rule.beta2) * gradient**2
            gradient = _normalised(rule.update, gradient, square / warm)
            gradient = gradient if basis is None else gradient @ basis
        velocity = mu * velocity + root * gradient
        error = error - by_gradient * root * gradient - by_velocity * velocity
        return (error, velocity, keep * mean + (1.0 - keep) * error, square), loss

    return jax.lax.scan(update, state, by_step)


def _normalised(update, gradient, square):
    """The direction of sign descent or of Adam; a coordinate without a gradient stays."""
    if update == "sign":
        return jnp.sign(gradient)
    seen = square > 0
    return jnp.where(seen, gradient / jnp.sqrt(jnp.where(seen, square, 1.0)), 0.0)
