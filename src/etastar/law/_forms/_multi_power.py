"""The multi-power law: every fall of the LR lowers the loss by a power law of its own."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from ._form import EXPONENT_PRIOR, Prior
from ._steps import EARLIEST, at_points, falls, from_start
from ._traced import TracedForm


class MultiPowerForm(TracedForm):
    """L = floor + bias S^-alpha - annealed sum_k (eta_(k-1) - eta_k) G(eta_k^-gamma S_k)."""

    name = "multi-power"
    priors: ClassVar = {
        "alpha": EXPONENT_PRIOR,
        "beta": EXPONENT_PRIOR,
        "gamma": EXPONENT_PRIOR._replace(lower=0.0),
        "log_scale": Prior(-4.0, 12.0, 3.0, 3.0),
    }
    linear = ("floor", "bias", "annealed")
    source = "arXiv 2503.12811, equations 1 to 3"
    starts = 16

    def formula(self, theta, mesh, at):
        """1, S^-alpha and -sum_k (eta_(k-1) - eta_k) G(eta_k^-gamma S_k).

        S is the sum of the LRs, the warmup's with it, S_k that from step k on, and
        G(x) = 1 - (1 + C x)^-beta.
        """
        alpha, beta, gamma, log_scale = theta
        time = from_start(mesh.rate * mesh.length)
        here = at_points(time, at)
        fall = falls(mesh.rate, mesh.length)
        low = jnp.exp(log_scale) * jnp.maximum(mesh.rate, 1e-9) ** -gamma
        since = jnp.maximum(here[:, :, None] - time[:, None, :-1], 0.0)
        part = -jnp.expm1(-beta * jnp.log1p(low[:, None] * since))
        gain = jnp.einsum("rni,ri->rn", part, fall)
        power = jnp.maximum(here, EARLIEST) ** -alpha
        return jnp.stack([jnp.ones_like(power), power, -gain], -1)
