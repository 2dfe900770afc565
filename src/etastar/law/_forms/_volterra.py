"""The terms of a law in Volterra form: noise adds up, and a kernel of intrinsic time forgets it."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np

import etastar._precision  # noqa: F401  # first: double precision

_MODES = 28
# Spacing 0.77 in the logarithm: the sum follows a power law to 1e-4 between the ends of the range.
EIGENVALUE = np.exp(np.linspace(np.log(1e-3), np.log(1e6), _MODES))


class VolterraConstants(NamedTuple):
    """The constants of the terms, in reference units; any of them may be traced by JAX.

    `source` s, `memory` g, `log_lag` log b, `noise_power` p and `log_origin` log S_0 of the formula
    in `EtastarForm`; `log_growth` log kappa, `log_decay` log omega, `time_power` q and
    `log_instability` log c, or None: then the effective rate is the learning rate, q is 1 and c 0.
    """

    source: Any
    memory: Any
    log_lag: Any
    noise_power: Any
    log_origin: Any
    log_growth: Any = None
    log_decay: Any = None
    time_power: Any = None
    log_instability: Any = None

    @property
    def plain(self) -> bool:
        """Whether the effective rate is the learning rate."""
        return self.log_growth is None

    def bias(self, time):
        """((S + S_0) / (1 + S_0))^-s at intrinsic times S."""
        origin = jnp.exp(self.log_origin)
        return ((time + origin) / (1 + origin)) ** (-self.source)

    def weights(self):
        """W_m of the kernel K(u) = sum_m W_m exp(-lambda_m u), whose integral is 1."""
        eigenvalue = jnp.asarray(EIGENVALUE)
        log_weight = (1 + self.memory) * jnp.log(eigenvalue) - eigenvalue * jnp.exp(self.log_lag)
        weight = jnp.exp(log_weight)
        return weight / jnp.sum(weight / eigenvalue)

    def effective_rate(self, norm, eta, dt):
        """eta / sqrt(n) in a cell, n at its middle, and the squared norm n after it."""
        if self.plain:
            return eta, norm
        omega, kappa = jnp.exp(self.log_decay), jnp.exp(self.log_growth)
        z = omega * eta * dt
        after = norm * jnp.exp(-z) - kappa / omega * eta * jnp.expm1(-z)
        return eta * jax.lax.rsqrt(0.5 * (norm + after)), after

    def step_and_drive(self, effective, dt):
        """The intrinsic time that a cell takes, and its noise per unit of intrinsic time."""
        # 1e-300: the power of a padded cell's zero rate has no derivative.
        log_rate = jnp.log(effective + 1e-300)
        if self.plain:
            return effective * dt, jnp.exp((self.noise_power - 1) * log_rate)[:, None]
        drive = jnp.exp((self.noise_power - self.time_power) * log_rate)[:, None]
        unstable = 1 + jnp.exp(self.log_instability) * effective**4
        return jnp.exp(self.time_power * log_rate) * dt, drive * unstable[:, None]


def volterra_columns(constants: VolterraConstants, batch_ratio, rate, length, *, fed: bool):
    """The columns 1, bias, noise at the nodes, and with `fed` the noise times the bias at its step.

    The kernel is a sum of exponentials of fixed rates, so that one pass over the cells gives the
    integral: each mode forgets by exp(-lambda_m dS) in a cell and takes up what the cell adds.

    Arguments: the constants; `batch_ratio` (R,), by which noise is divided; `rate`, `length`
    (R, CELLS) in reference units.
    Returns: shape (R, CELLS + 1, 3), or 4 with `fed`.
    """
    eigenvalue, weight = jnp.asarray(EIGENVALUE), constants.weights()

    def cell(state, inputs):
        norm, time, mode = state
        eta, dt = inputs
        effective, norm = constants.effective_rate(norm, eta, dt)
        step, drive = constants.step_and_drive(effective, dt)
        decay = eigenvalue * step[:, None]
        if fed:
            drive = jnp.stack([drive, drive * constants.bias(time + 0.5 * step)[:, None]])
        mode = mode * jnp.exp(-decay) - jnp.expm1(-decay) / eigenvalue * drive
        time = time + step
        return (norm, time, mode), (time, mode @ weight)

    runs = rate.shape[0]
    kinds = (2,) if fed else ()
    start = (jnp.ones(runs), jnp.zeros(runs), jnp.zeros((*kinds, runs, _MODES)))
    _, (time, noise) = jax.lax.scan(cell, start, (rate.T, length.T))
    time = jnp.concatenate([jnp.zeros((1, runs)), time]).T
    noise = jnp.moveaxis(noise.reshape(len(noise), -1, runs), 1, 2)
    noise = jnp.concatenate([jnp.zeros((1, *noise.shape[1:])), noise]).swapaxes(0, 1)
    noise = noise / batch_ratio[:, None, None]
    bias = constants.bias(time)
    return jnp.concatenate([jnp.stack([jnp.ones_like(bias), bias], -1), noise], -1)
