"""Sign descent and Adam in the solvable model: their expected loss, one update after another."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.special import gammaln

import etastar._precision  # noqa: F401  # first: double precision
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._controls import Control, Controls, steps_asked
from ._exact import chunks, finite
from ._power_law import LinearModel, Model
from ._simulate import beta2_of
from ._spectrum import GAUSSIAN, Spectrum

_SHAPE = 192
"""Numbers of modes are padded to multiples of this, so that XLA sees few array shapes."""

_LEAST_LOSS = 1e-4
"""Part of the initial loss below which no loss is expected where nothing else is noise."""

_MARGIN = 100.0
"""The slowest modes are one: they are ten times too slow to move, and as often slower."""

_DEEPEST = 1e15
"""Intrinsic time to which spectra are resolved at most: numbers of modes stay whole numbers."""

_LARGE = 1e4
"""Batch size above which the mean of chi is taken from its expansion."""

_NODE, _WEIGHT = (np.array(each) for each in ((-(3**0.5), 0.0, 3**0.5), (1 / 6, 2 / 3, 1 / 6)))
"""Gauss-Hermite quadrature of a standard normal."""


def sign_losses(
    model: Model,
    schedule: Schedule,
    at: ArrayLike | None = None,
    *,
    batch_size: Control | None = None,
    rotated: bool = False,
) -> Float[np.ndarray, " at"]:
    """Expected excess loss of sign descent, w <- w - eta sign(g), by a mean-field recursion.

    In the features' eigenbasis, with e = sqrt(lambda) (w - w*) of a mode, p = E[e], c = E[e^2], the
    loss L = sum_k c_k and R^2 = L + sigma^2, the variance of a residual,

        p' = p - eta sqrt(lambda) E[m(e)],   c' = c - 2 eta sqrt(lambda) E[e m(e)] + eta^2 lambda,
        m(e) = E[sign g | w] = E[erf(e chi / sqrt(2 (R^2 - e^2)))],

    with chi^2 of the chi-squared distribution with B degrees of freedom. Where |e| is far below
    R / sqrt(B), m = f e / R with f = sqrt(2 / pi) E[chi], from 2 / pi at B = 1 to about
    sqrt(2 B / pi): SGD with the LR eta f / (R sqrt(lambda)) for each mode.

    Given the weights, m is exact for Gaussian features and label noise, and so is eta^2 lambda.
    Three things are approximations. The loss fluctuates from run to run, and R is that of its mean:
    good where many modes carry the loss. A mode's e is taken as Gaussian, and R^2 - e^2 as R^2 - c.
    chi has three nodes: m is within 0.2% up to |e| = 0.7 R. The recursion in a random basis is
    rougher: it takes the sign of all coordinates together as linear in the gradient.

    Arguments:
        model: a PowerLaw or a LinearModel, of Gaussian features.
        schedule: the LR of every update, in units of the weights.
        at: whole numbers of updates done, any order; default the horizon alone.
        batch_size: samples per update, a number or a Schedule; default the model's.
        rotated: whether the coordinates are a random basis; a PowerLaw then needs a width.

    Returns: excess losses, in the order of `at`. The cost is proportional to the horizon.
    Raises: InputError for steps beyond the horizon, controls out of range, a horizon above 1e8,
    features that are not Gaussian, a random basis of infinitely many features.
    Source: derived in docs/solvable_details.md, section "Sign descent and Adam"; for many modes and
    one sample an update arXiv 2411.12135. SDEs of sign descent: arXiv 2411.15958.

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import LinearModel, Spectrum
    >>> model = LinearModel(Spectrum([1.0, 0.25], [1.0, 0.5]), noise=1.0, batch_size=4)
    >>> sign_losses(model, parse_schedule("constant:peak=0.1,horizon=40"), [0, 10, 40]).round(3)
    array([1.5  , 0.329, 0.056])
    """
    if rotated:
        return _losses(model, schedule, at, batch_size, _rotated, None, width=_width(model))
    return _losses(model, schedule, at, batch_size, _sign, None)


def adam_losses(
    model: Model,
    schedule: Schedule,
    at: ArrayLike | None = None,
    *,
    beta2: float = 0.999,
    batch_size: Control | None = None,
) -> Float[np.ndarray, " at"]:
    """Expected excess loss of Adam without momentum, by a mean-field recursion.

    Adam with beta1 = 0 and epsilon = 0 steps w <- w - eta g / sqrt(v / (1 - beta2^t)) with
    v <- beta2 v + (1 - beta2) g^2, coordinate by coordinate. In the symbols of `sign_losses`, with
    G = E[g^2] / lambda and u = v / lambda of a mode,

        G = c + (c + R^2) / B,  u' = beta2 u + (1 - beta2) G,  d = sqrt((1 - beta2^t) / u')
        c' = c - 2 eta sqrt(lambda) d c + eta^2 lambda d^2 G.

    Once u follows G, an update makes the progress eta sqrt(lambda) c / sqrt(G) and adds eta^2
    lambda: that is eta sqrt(B) far below the critical batch size R^2 / c of a mode.

    The moments are exact if v is what it is on average. So R is that of the mean loss, as in
    `sign_losses`, and terms of order 1 - beta2 are missing: v holds the gradient that it divides.
    The cost is proportional to the horizon.

    Arguments:
        model: a PowerLaw or a LinearModel, of Gaussian features.
        schedule: the LR of every update, in units of the weights.
        at: whole numbers of updates done, any order; default the horizon alone.
        beta2: from 0 to below 1, near 1.
        batch_size: samples per update, a number or a Schedule; default the model's.

    Returns: excess losses, in the order of `at`.
    Raises: InputError for steps beyond the horizon, controls out of range, a horizon above 1e8,
    features that are not Gaussian.
    Source: derived in docs/solvable_details.md. Adam: arXiv 1412.6980; that its LR goes with the
    root of the batch size: arXiv 2205.10287.

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import LinearModel, Spectrum
    >>> model = LinearModel(Spectrum([1.0, 0.25], [1.0, 0.5]), noise=1.0, batch_size=4)
    >>> adam_losses(model, parse_schedule("constant:peak=0.1,horizon=40"), [0, 10, 40]).round(3)
    array([1.5  , 0.389, 0.032])
    """
    return _losses(model, schedule, at, batch_size, _adam, beta2_of(beta2))


class _Coordinates(NamedTuple):
    """A spectrum's modes, padded with modes that never move and carry nothing.

    The floor is apart, since it is no coordinate. The slowest modes have the multiplicity with
    which all eigenvalues sum to the trace: they keep all noise that they get.
    """

    root: Any
    count: Any
    start: Any
    floor: float

    @classmethod
    def of(cls, spectrum: Spectrum) -> _Coordinates:
        eigenvalue, count = spectrum.eigenvalue, np.array(spectrum.multiplicity)
        slowest = int(np.argmin(np.where(eigenvalue > 0, eigenvalue, np.inf)))
        missing = (spectrum.trace - float(count @ eigenvalue)) / eigenvalue[slowest]
        count[slowest] = max(count[slowest] + missing, 1e-9 * count[slowest])
        padding = (0, -len(count) % _SHAPE)
        arrays = (np.sqrt(eigenvalue), count, spectrum.target / count)
        root, count, start = (np.pad(each, padding) for each in arrays)
        return cls(root, count, start, spectrum.floor)


def _losses(
    model: Model,
    schedule: Schedule,
    at: ArrayLike | None,
    batch_size: Control | None,
    advance: Callable[..., Any],
    beta2: float | None,
    width: float = 0.0,
) -> NDArray[np.float64]:
    controls = Controls.make(model, schedule, 0.0, batch_size)
    asked = steps_asked(at, schedule.horizon)
    spectrum = _resolved(model, controls, width)
    if (spectrum.kurtosis, spectrum.scale_moment) != (GAUSSIAN, 1.0):
        raise InputError(
            "the recursions of sign descent and Adam are for Gaussian features: leave kurtosis and "
            "scale_moment out, or use simulate"
        )
    modes = _Coordinates.of(spectrum)
    start, losses = jnp.asarray(modes.start), np.empty(len(asked))
    # The error's mean and its second moment, or Adam's v / lambda and the second moment.
    state = (-jnp.sqrt(start) if beta2 is None else jnp.zeros_like(start), start)
    basis = _RandomBasis.of(modes, spectrum.trace, width) if width else None
    for first, steps in chunks(int(asked.max())):
        rate, batch, _ = controls.at(steps)
        if beta2 is None:
            by_step = (rate, 1.0 / _chi(batch))
        else:
            by_step = (rate, 1.0 / batch, 1.0 - beta2 ** (steps + 1.0))
        state, before = advance(modes, model.noise, basis or beta2, state, by_step)
        here = (asked >= first) & (asked < first + len(steps))
        losses[here] = np.asarray(before)[(asked[here] - first).astype(int)]
    return finite(losses, model.max_rate)


def _resolved(model: Model, controls: Controls, width: float) -> Spectrum:
    """The spectrum down to modes that the run does not reach.

    A mode learns at the rate of its sqrt(lambda), for the time S = sum of eta E[chi] / R: the modes
    are those that SGD needs for an intrinsic time of S^2, where nothing moves below 1 / S^2. In a
    random basis it learns as by SGD, for an intrinsic time of S / sqrt(mean eigenvalue).
    """
    spectrum, horizon = model.spectrum_to(1), max(controls.horizon, 1)
    steps = np.unique(np.linspace(0.0, horizon - 1.0, 4096).round())
    rate, batch, _ = controls.at(steps)
    noise = model.noise + spectrum.floor + _LEAST_LOSS * spectrum.initial_loss
    time = horizon * rate.mean() * np.sqrt(min(batch.max(), 1e12) / noise)
    reach = _MARGIN * time * max(time, np.sqrt(width / spectrum.trace))
    return model.spectrum_to(max(horizon, min(reach, _DEEPEST)))


def _width(model: Model) -> float:
    """The number of coordinates."""
    if isinstance(model, LinearModel):
        return float(model.spectrum.multiplicity.sum())
    if model.width is None:
        raise InputError(
            "a random basis has as many coordinates as features: give PowerLaw a width, or leave "
            "rotated out"
        )
    return float(model.width)


class _RandomBasis(NamedTuple):
    """What sign descent sees of a random basis.

    `rate` is of each mode E[x^2 / sqrt(sum_k lambda_k x_k^2 / tr)] with standard normal x: by how
    much a coordinate with more of the mode in it, so with a larger gradient, is slowed down.
    """

    rate: Any
    mean: float
    trace: float

    @classmethod
    def of(cls, modes: _Coordinates, trace: float, width: float) -> _RandomBasis:
        # 1 / sqrt(X) is the integral of exp(-X t) / sqrt(pi t), and the mean of exp is known.
        log_time = np.linspace(-20.0, 20.0, 2001)
        part = 2.0 * np.multiply.outer(np.exp(log_time), modes.root**2 / trace)
        shape = np.exp(0.5 * log_time - 0.5 * np.log1p(part) @ modes.count)[:, None] / (1.0 + part)
        rate = shape.sum(axis=0) * (log_time[1] - log_time[0]) / np.sqrt(np.pi)
        return cls(rate, trace / width, trace)


def _chi(batch: NDArray[np.float64]) -> NDArray[np.float64]:
    """Three nodes of the chi distribution with B degrees of freedom, (steps, 3), their mean exact.

    That chi^(2/3) is nearly normal is due to Wilson and Hilferty (1931).
    """
    small = np.minimum(batch, _LARGE)
    exact = np.sqrt(2.0) * np.exp(gammaln((small + 1.0) / 2.0) - gammaln(small / 2.0))
    mean = np.where(batch > _LARGE, np.sqrt(batch) * (1.0 - 0.25 / batch), exact)
    spread = 2.0 / (9.0 * batch[:, None])
    shape = np.maximum(1.0 - spread + _NODE * np.sqrt(spread), 1e-6) ** 1.5
    return mean[:, None] * shape / (shape @ _WEIGHT)[:, None]


@jax.jit
def _sign(modes, noise, _, state, by_step):
    root, count = modes.root, modes.count

    def update(state, step):
        mean, square = state
        eta, inverse = step
        loss = count @ square + modes.floor
        spread = jnp.maximum(square - mean**2, 0.0)
        left = jnp.maximum(loss + noise - square, 0.0)
        # erf of a Gaussian has a Gaussian mean: its width and the error's add up.
        width = jnp.sqrt(left * inverse[:, None] ** 2 + spread) + 1e-300
        ratio = mean / width
        signs = _WEIGHT @ jax.scipy.special.erf(ratio / np.sqrt(2.0))
        slope = _WEIGHT @ (np.sqrt(2.0 / np.pi) * jnp.exp(-0.5 * ratio**2) / width)
        step = eta * root
        product = mean * signs + spread * slope
        return (mean - step * signs, square - 2.0 * step * product + step**2), loss

    return jax.lax.scan(update, state, by_step)


@jax.jit
def _rotated(modes, noise, basis, state, by_step):
    eigenvalue, count = modes.root**2, modes.count
    # The sign is 2 / pi the gradient over its size, squared, and the rest is alike everywhere.
    rest = eigenvalue * (1.0 - 2.0 / np.pi)

    def update(state, step):
        kept, square = state
        eta, inverse = step
        loss = count @ square + modes.floor
        # Of the mean square of a coordinate: the noise of the batch, and the gradient itself.
        noisy = (loss + noise) / (_WEIGHT @ (1.0 / inverse)) ** 2
        whole = noisy + count @ (eigenvalue * square) / basis.trace + 1e-300
        pulled = eta * np.sqrt(2.0 / np.pi) * basis.rate * eigenvalue
        pulled = pulled / jnp.sqrt(basis.mean * whole)
        added = eta**2 * rest + pulled**2 * noisy
        return (kept, (1.0 - pulled) ** 2 * square + added), loss

    return jax.lax.scan(update, state, by_step)


@jax.jit
def _adam(modes, noise, beta2, state, by_step):
    root, count = modes.root, modes.count

    def update(state, step):
        kept, square = state
        eta, part, warm = step
        loss = count @ square + modes.floor
        seen = square + (square + loss + noise) * part
        kept = beta2 * kept + (1.0 - beta2) * seen
        some = kept > 0
        rate = eta * root * jnp.where(some, jnp.sqrt(warm / jnp.where(some, kept, 1.0)), 0.0)
        return (kept, square - 2.0 * rate * square + rate**2 * seen), loss

    return jax.lax.scan(update, state, by_step)
