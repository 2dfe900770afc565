"""The annealing law: the area under the LR, and the area of its falls with momentum."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ._form import EXPONENT_PRIOR, Prior
from ._steps import EARLIEST, at_points, falls, from_start
from ._traced import TracedForm


class AnnealingForm(TracedForm):
    """L = floor + bias S1^-alpha - annealed S2."""

    name = "annealing"
    priors: ClassVar = {
        "alpha": EXPONENT_PRIOR,
        # lambda between 0.99 and 0.999, the values of the paper.
        "log_forget": Prior(np.log(1e-3) - 1e-3, np.log(1e-2), np.log(3e-3), 1.0),
    }
    linear = ("floor", "bias", "annealed")
    source = "arXiv 2408.11029, equation 1"

    def formula(self, theta, mesh, at):
        """1, S1^-alpha and -S2.

        S1 = sum of the LRs; S2 = sum over steps i of sum over k <= i of (eta_(k-1) - eta_k)
        lambda^(i-k), where a fall of the LR at step k adds (1 - lambda^(i-k)) / (1 - lambda) by
        step i.
        """
        alpha, log_forget = theta
        forget = jnp.exp(log_forget) * mesh.steps
        area = jnp.maximum(at_points(from_start(mesh.rate * mesh.length), at), EARLIEST)

        def cell(state, inputs):
            momentum, total = state
            fall, dt = inputs
            momentum = momentum + fall
            total = total - momentum * jnp.expm1(-forget * dt) / forget
            return (momentum * jnp.exp(-forget * dt), total), total

        zero = jnp.zeros(len(mesh.rate))
        fall_of_cell = falls(mesh.rate, mesh.length)
        _, annealed = jax.lax.scan(cell, (zero, zero), (fall_of_cell.T, mesh.length.T))
        annealed = at_points(jnp.concatenate([zero[None], annealed]).T, at)
        power = area**-alpha
        return jnp.stack([jnp.ones_like(power), power, -annealed], -1)
