"""The last-iterate bound of convex optimisation as a law, its constants fitted."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from ._steps import EARLIEST, at_points, from_start
from ._traced import TracedForm


class LastIterateForm(TracedForm):
    """L = floor + distance / (2 S1) + gradient / 2 [S2/S1 + sum_j eta_j/S1_(j+1) S2_j/S1_j]."""

    name = "last-iterate"
    priors: ClassVar = {}
    linear = ("floor", "distance", "gradient")
    source = "arXiv 2501.18965, the bound of arXiv 2310.07831 with free constants"

    def formula(self, theta, mesh, at):
        """1, 1 / (2 S1), and half of the bracket of the last-iterate bound, with S1 = sum eta.

        f(x_t) - f* <= D^2 / (2 S1_1) + G^2/2 [S2_1 / S1_1 + sum_j eta_j / S1_(j+1) * S2_j / S1_j]
        with S1_j, S2_j the sums of eta and eta^2 from step j to t. Within a cell of n steps of LR
        eta that ends d before t, the sum over its steps is taken with S1_j, S2_j straight lines in
        j.
        """
        rate, length = mesh.rate, mesh.length
        time, square = from_start(rate * length), from_start(rate**2 * length)
        here, power = at_points(time, at), at_points(square, at)
        after = jnp.maximum(here[:, :, None] - time[:, None, 1:], 0.0)
        before = jnp.maximum(here[:, :, None] - time[:, None, :-1], 0.0)
        inside = (before > 0) & (length > 0)[:, None]
        step = (rate / mesh.steps)[:, None]
        # eta/S1_(j+1) summed over the steps j of the cell, but the last of all: there S1 = 0.
        logs = jnp.log(jnp.maximum(before - step / 2, step / 2) + 1e-300)
        logs = logs - jnp.log(jnp.maximum(after - step / 2, step / 2) + 1e-300)
        left = power[:, :, None] - square[:, None]
        ratio_after = left[:, :, 1:] / jnp.where(after > 0, after, 1.0)
        ratio_after = jnp.where(after > 0, ratio_after, rate[:, None])
        ratio_before = left[:, :, :-1] / jnp.where(before > 0, before, 1.0)
        middle = 0.5 * (ratio_after + ratio_before)
        noise = jnp.sum(jnp.where(inside, middle * jnp.maximum(logs, 0.0), 0.0), -1)
        noise = noise + power / jnp.maximum(here, EARLIEST)
        bias = 0.5 / jnp.maximum(here, EARLIEST)
        return jnp.stack([jnp.ones_like(bias), bias, 0.5 * noise], -1)
