"""The exact loss of averaged weights: SGD on Gaussian features, one update after another."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

import etastar._precision  # noqa: F401  # first: double precision
from etastar.schedule import Schedule, WeightAverage

from ._controls import Control, Controls, speed, steps_asked
from ._exact import chunks, finite, update_moments
from ._power_law import Model, modes_of


def averaged_losses(
    model: Model,
    schedule: Schedule,
    average: WeightAverage | str,
    at: ArrayLike | None = None,
    *,
    momentum: Control = 0.0,
    batch_size: Control | None = None,
) -> Float[np.ndarray, " at"]:
    """Expected excess loss of averaged weights after the updates `at`, by the exact recursion.

    With e = w - w* of a mode, a its average, c = E[e^2] and the moments p = E[a e], q = E[a^2] and
    r = E[a v] beside those of `exact_losses`, an average a' = k a + (1 - k) e' has

        g = (1 - eta lambda) p - eta mu r            (what E[a e'] is: noise has mean 0)
        p' = k g + (1 - k) c'
        q' = k^2 q + 2 k (1 - k) g + (1 - k)^2 c'
        r' = k (mu r + lambda p) + (1 - k) m'

    and the loss of the average is sum_k lambda_k q_k. That the weights are averaged does not change
    how they move. The cost is proportional to the horizon.

    Arguments:
        model: a PowerLaw or a LinearModel.
        schedule: the LR of every update.
        average: a `WeightAverage`, or its text, such as `window:0.2`.
        at: whole numbers of updates done, any order; default the horizon alone.
        momentum: mu in [0, 1), a number or a Schedule.
        batch_size: samples per update, a number or a Schedule; default the model's.

    Returns: excess losses of the average, in the order of `at`.
    Raises: InputError for steps beyond the horizon, controls out of range, a horizon above 1e8, or
    a loss that overflows because the LR is unstable.
    Source: derived here from the update; of one mode at a constant LR Polyak and Juditsky (1992).

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import PowerLaw, exact_losses
    >>> model = PowerLaw(capacity=1.5, source=1.0, noise=0.25, batch_size=8)
    >>> constant = parse_schedule("constant:peak=0.2,horizon=1000")
    >>> ratio = averaged_losses(model, constant, "window:0.5") / exact_losses(model, constant)
    >>> ratio.round(3)
    array([0.368])
    """
    kept = WeightAverage.parse(average)
    controls = Controls.make(model, schedule, momentum, batch_size)
    asked = steps_asked(at, schedule.horizon)
    reach = max(schedule.horizon, 1) * speed(controls, np.array(controls.breakpoints()))
    modes = modes_of(model.spectrum_to(reach))
    target, zero = jnp.asarray(modes.target), jnp.zeros_like(modes.target)
    state = ((target, zero, zero), (target, target, zero))
    losses = np.empty(len(asked))
    for first, steps in chunks(int(asked.max())):
        controlled = (*controls.at(steps), kept.kept(steps, schedule.horizon))
        state, before = _advance(modes, model.noise, state, *controlled)
        here = (asked >= first) & (asked < first + len(steps))
        losses[here] = np.asarray(before)[(asked[here] - first).astype(int)]
    return finite(losses, model.max_rate)


@jax.jit
def _advance(modes, noise, state, rate, batch, momentum, kept):
    eigenvalue = modes.eigenvalue

    def update(state, control):
        moments, (product, square, velocity) = state
        eta, _, mu, keep = control
        along = mu * velocity + eigenvalue * product
        before = square.sum()
        moments = update_moments(modes, noise, moments, *control[:3])
        met, new = product - eta * along, 1.0 - keep
        averages = (
            keep * met + new * moments[0],
            keep * keep * square + 2.0 * keep * new * met + new * new * moments[0],
            keep * along + new * moments[1],
        )
        return (moments, averages), before

    return jax.lax.scan(update, state, (rate, batch, momentum, kept))
