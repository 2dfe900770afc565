"""The functional scaling law: the Volterra form in which noise feeds on the loss that is left."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ._form import NoiseMemory, Prior
from ._volterra import VolterraForm


class FunctionalForm(VolterraForm):
    """L = floor + bias S^-s + int eta^2 (noise + fed bias(t)) K dt, S the sum of the LRs.

    The columns are 1, the bias, the noise of the labels, and the noise fed by the loss that is
    left, with K(u) ~ (1 + u/b)^-(2 - 1/beta) and noise of a step eta^2 (sigma^2 + bias).
    """

    name = "functional"
    priors: ClassVar = {
        "source": Prior(0.05, 2.5, 0.5, 0.4),
        "memory": Prior(0.0, 0.95, 0.3, 0.3),
        "log_lag": Prior(-14.0, 0.0, -9.0, 3.0),
        "log_origin": Prior(-14.0, -0.5, -6.0, 3.0),
    }
    linear = ("floor", "bias", "noise", "fed")
    source = "arXiv 2509.19189, the Volterra form at one batch size"
    fed = True

    def noise_memory(self, theta: np.ndarray, linear: np.ndarray) -> NoiseMemory:
        _, memory, log_lag, _ = theta
        _, _, noise, _ = linear
        return NoiseMemory(float(np.exp(log_lag)), 1.0 + float(memory), 2.0, float(noise))
