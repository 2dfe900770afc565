"""The exact second moments of SGD, one update after another."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

import etastar._precision  # noqa: F401  # first: double precision
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._controls import Control, Controls, reach, steps_asked
from ._power_law import Model, Modes, modes_of

_LONGEST = 10**8
_CHUNKS = (256, 8192)


def exact_losses(
    model: Model,
    schedule: Schedule,
    at: ArrayLike | None = None,
    *,
    momentum: Control = 0.0,
    velocity: Control | None = None,
    batch_size: Control | None = None,
) -> Float[np.ndarray, " at"]:
    """Expected excess loss of SGD after the updates `at`, by the exact recursion.

    With c = E[(w - w*)^2] and the loss L = sum_k lambda_k c_k before the update,

        c' = (1 - 2 eta lambda + eta^2 lambda^2 (1 + 1/B)) c + (eta^2 / B) lambda (L + sigma^2),

    and with momentum mu (v' = mu v + g, w' = w - eta v'; m = E[(w - w*) v], u = E[v^2])

        v2 = mu^2 u + 2 mu lambda m + lambda^2 c (1 + 1/B) + (lambda / B) (L + sigma^2)
        c', m', u' = c - 2 eta (mu m + lambda c) + eta^2 v2,  mu m + lambda c - eta v2,  v2.

    That is for Gaussian features; for others 1 + 1/B and L + sigma^2 become 1 + h/B and q L +
    sigma^2, with h and q as `Spectrum` defines them. With `velocity` the moments are those of
    w' = w - eta_g g - eta_v v', see `update_moments`. The cost is proportional to the horizon.

    Arguments:
        model: a PowerLaw or a LinearModel.
        schedule: the LR of every update.
        at: whole numbers of updates done, any order; default the horizon alone.
        momentum: mu in [0, 1), a number or a Schedule.
        velocity: LR of the velocity, where it has its own: `schedule` is then the gradient's.
        batch_size: samples per update, a number or a Schedule; default the model's.

    Returns: excess losses, in the order of `at`.
    Raises: InputError for steps beyond the horizon, controls out of range, a horizon above 1e8, or
    a loss that overflows because the LR is unstable.
    Source: arXiv 2602.04774 (SGD) and 2505.16098 (momentum), moments of Gaussian features; for h
    and q docs/controls.md, section "Heavy-tailed features".

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import LinearModel, Spectrum
    >>> one = LinearModel(Spectrum([1.0], [1.0]), noise=0.0, batch_size=1)
    >>> exact_losses(one, parse_schedule("constant:peak=0.5,horizon=2"), [0, 1, 2])
    array([1.    , 0.75  , 0.5625])
    """
    controls = Controls.make(model, schedule, momentum, batch_size, velocity)
    asked = steps_asked(at, schedule.horizon)
    modes = modes_of(model.spectrum_to(reach(controls)))
    advance = _sgd if controls.momentum is None else _momentum
    zero = jnp.zeros_like(modes.target)
    state, losses = (jnp.asarray(modes.target), zero, zero), np.empty(len(asked))
    for first, steps in chunks(int(asked.max())):
        rate, batch, mu = controls.at(steps)
        by_step = (rate, batch, mu, controls.velocity_at(steps))
        state, before = advance(modes, model.noise, state, by_step)
        here = (asked >= first) & (asked < first + len(steps))
        losses[here] = np.asarray(before)[(asked[here] - first).astype(int)]
    return finite(losses, model.max_rate)


def chunks(last: int) -> Iterator[tuple[int, NDArray[np.float64]]]:
    """The updates up to `last` in pieces of one length: the first update of each, and all of it.

    Raises: InputError for more updates than are done one by one.

    >>> [(first, len(steps)) for first, steps in chunks(300)]
    [(0, 8192)]
    """
    if last > _LONGEST:
        raise InputError(
            f"the exact recursion would take {last:g} updates one by one: use loss() above "
            f"{_LONGEST:g}"
        )
    size = _CHUNKS[0] if last < _CHUNKS[0] else _CHUNKS[1]
    for first in range(0, last + 1, size):
        yield first, first + np.arange(size, dtype=np.float64)


def finite(losses: NDArray[np.float64], max_rate: float) -> NDArray[np.float64]:
    """Refuse losses that overflowed."""
    if not np.all(np.isfinite(losses)):
        raise InputError(
            "the loss overflows: the learning rate is unstable (without momentum every constant one"
            f" below {max_rate:.4g} is stable): lower the peak"
        )
    return losses


# The states are sums over modes of lambda c, lambda m and lambda u: shares of the loss.


@jax.jit
def _sgd(modes, noise, state, controls):
    def update(state, control):
        share, *rest = state
        eta, size, *_ = control
        loss = share.sum()
        x = eta * modes.eigenvalue
        shrink = x * (2.0 - x * (1.0 + modes.own / size))
        fed = modes.scale * loss + noise
        share = share - shrink * share + (eta * eta / size) * modes.square * fed
        return (share, *rest), loss

    return jax.lax.scan(update, state, controls)


@jax.jit
def _momentum(modes, noise, state, controls):
    def update(state, control):
        return update_moments(modes, noise, state, *control), state[0].sum()

    return jax.lax.scan(update, state, controls)


Moment = Float[jax.Array, " modes"]


def update_moments(
    modes: Modes,
    noise: Any,
    moments: tuple[Moment, Moment, Moment],
    rate: Any,
    batch: Any,
    momentum: Any,
    velocity: Any = None,
) -> tuple[Moment, Moment, Moment]:
    """One update with momentum of every mode's moments, a pure function that JAX may trace.

    The recursion of `exact_losses` for lambda c, lambda m and lambda u. Where gradient and velocity
    move the weights at LRs of their own, w' = w - eta_g g - eta_v v', it is, with g2 the last two
    terms of v2 and gv = mu lambda m + g2,

        c' = c - 2 eta_g lambda c - 2 eta_v (mu m + lambda c)
             + eta_g^2 g2 + 2 eta_g eta_v gv + eta_v^2 v2
        m', u' = mu m + lambda c - eta_g gv - eta_v v2,  v2.

    Arguments:
        modes: the arrays of the spectrum, see `modes_of`.
        noise: variance of the label noise, in the unit of the loss.
        moments: lambda c, lambda m and lambda u of every mode, in the unit of the loss.
        rate: LR of the update, in units of 1 / eigenvalue.
        batch: its number of samples.
        momentum: its mu, in [0, 1).
        velocity: LR of the velocity, where `rate` is that of the gradient alone.

    Returns: the three moments after it; the first sums to the loss.
    Raises: nothing; an unstable LR gives huge losses.
    Source: arXiv 2505.16098 for Gaussian features; docs/controls.md for others.

    >>> from etastar.model import Spectrum, modes_of
    >>> modes = modes_of(Spectrum([1.0], [1.0]))
    >>> zero = jnp.zeros_like(modes.target)
    >>> shares, _, _ = update_moments(modes, 0.0, (modes.target, zero, zero), 0.5, 1.0, 0.9)
    >>> float(shares.sum())
    0.75
    """
    share, cross, square = moments
    x = modes.eigenvalue
    fed = modes.scale * share.sum() + noise
    gradient = x * x * (1.0 + modes.own / batch) * share + modes.square / batch * fed
    both = momentum * x * cross + gradient
    square = momentum * momentum * square + momentum * x * cross + both
    along = momentum * cross + x * share
    if velocity is None:
        share = share - 2.0 * rate * along + rate * rate * square
        return share, along - rate * square, square
    moved = share - 2.0 * (rate * x * share + velocity * along)
    moved += rate * rate * gradient + velocity * (2.0 * rate * both + velocity * square)
    return moved, along - rate * both - velocity * square, square
