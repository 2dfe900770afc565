"""A power law in the number of steps: the baseline that does not see the LR."""

from __future__ import annotations

from typing import ClassVar

import jax.numpy as jnp

from ._form import EXPONENT_PRIOR, Form
from ._steps import EARLIEST, from_start


class PowerForm(Form):
    """L = floor + bias t^-alpha, t the number of steps."""

    name = "power"
    priors: ClassVar = {"alpha": EXPONENT_PRIOR}
    linear = ("floor", "bias")
    source = "a power law in the number of steps, blind to the LR"

    def columns(self, theta, steps, batch_ratio, rate, length):
        """1 and t^-alpha in the number of steps t."""
        time = jnp.maximum(from_start(length), EARLIEST)
        power = time ** -theta[0]
        return jnp.stack([jnp.ones_like(power), power], -1)
