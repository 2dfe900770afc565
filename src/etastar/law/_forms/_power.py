"""A power law in the number of steps: the baseline that does not see the LR."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from ._form import EXPONENT_PRIOR
from ._steps import EARLIEST, at_points, from_start
from ._traced import TracedForm


class PowerForm(TracedForm):
    """L = floor + bias t^-alpha, t the number of steps."""

    name = "power"
    priors: ClassVar = {"alpha": EXPONENT_PRIOR}
    linear = ("floor", "bias")
    source = "a power law in the number of steps, blind to the LR"

    def formula(self, theta, mesh, at):
        """1 and t^-alpha in the number of steps t."""
        time = jnp.maximum(at_points(from_start(mesh.length), at), EARLIEST)
        power = time ** -theta[0]
        return jnp.stack([jnp.ones_like(power), power], -1)
