"""The terms of the loss law on a mesh, and their derivatives: the part that XLA compiles."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import etastar._precision  # noqa: F401  # first: double precision

NAMES = (
    "source",  # s: excess loss falls like S^-s
    "memory",  # g = 1 - 1/capacity: the kernel falls like u^-(1+g)
    "log_lag",  # log b: where the kernel starts to fall, in units of the reference time
    "noise_power",  # p: noise per step goes as effective rate^p
    "log_origin",  # log S_0: intrinsic time the initial point is worth
    "log_growth",  # log kappa: growth of the weights' squared norm
    "log_decay",  # log omega: its decay (weight decay)
)
LINEAR = ("floor", "bias", "noise")

_MODES = 28
# Spacing 0.77 in the logarithm: the sum follows a power law to 1e-4 between the ends of the range.
_EIGENVALUE = np.exp(np.linspace(np.log(1e-3), np.log(1e6), _MODES))


def columns(theta, rate, length):
    """The three columns of the law at the nodes of R meshes, shape (R, CELLS + 1, 3).

    Formula: with the learning rate eta and the time t in reference units,

        dn/dt = -omega eta n + kappa eta^2,  n(0) = 1      squared norm of the weights
        e     = eta / sqrt(n),  S = int e dt               effective rate, intrinsic time
        bias  = ((S + S_0) / (1 + S_0))^-s
        noise = int e(t)^p K(S - S(t)) dt,  K(u) ~ (1 + u/b)^-(1+g),  int K du = 1

    The kernel is a sum of exponentials of fixed rates, K(u) = sum_m W_m exp(-lambda_m u) with
    W_m ~ lambda_m^(1+g) exp(-b lambda_m), so that one pass over the cells gives the integral.
    `theta` (7,) in the order of NAMES; `rate`, `length` (R, CELLS).

    Source: the kernel and the bias are those of the power-law random feature model in its Volterra
    form (arXiv 2509.19189); layers that are followed by a normalisation move by eta / norm, and
    their norm obeys the balance of growth and weight decay written above.
    """
    s, g, log_lag, p, log_origin, log_growth, log_decay = theta
    eigenvalue = jnp.asarray(_EIGENVALUE)
    weight = jnp.exp((1 + g) * jnp.log(eigenvalue) - eigenvalue * jnp.exp(log_lag))
    weight = weight / jnp.sum(weight / eigenvalue)
    omega, kappa, origin = jnp.exp(log_decay), jnp.exp(log_growth), jnp.exp(log_origin)

    def cell(state, inputs):
        norm, time, mode = state
        eta, dt = inputs
        z = omega * eta * dt
        after = norm * jnp.exp(-z) - kappa / omega * eta * jnp.expm1(-z)
        effective = eta * jax.lax.rsqrt(0.5 * (norm + after))
        step = effective * dt
        decay = eigenvalue * step[:, None]
        # 1e-300: the power of a padded cell's zero rate has no derivative.
        drive = jnp.exp((p - 1) * jnp.log(effective + 1e-300))[:, None]
        mode = mode * jnp.exp(-decay) - jnp.expm1(-decay) / eigenvalue * drive
        time = time + step
        return (after, time, mode), (time, mode @ weight)

    runs = rate.shape[0]
    start = (jnp.ones(runs), jnp.zeros(runs), jnp.zeros((runs, _MODES)))
    _, (time, noise) = jax.lax.scan(cell, start, (rate.T, length.T))
    time = jnp.concatenate([jnp.zeros((1, runs)), time]).T
    noise = jnp.concatenate([jnp.zeros((1, runs)), noise]).T
    bias = ((time + origin) / (1 + origin)) ** (-s)
    return jnp.stack([jnp.ones_like(bias), bias, noise], -1)


def _at_points(theta, rate, length, run, cell, fraction):
    nodes = columns(theta, rate, length)
    here, after = nodes[run, cell], nodes[run, cell + 1]
    return here + fraction[:, None] * (after - here)


@jax.jit
def columns_and_slopes(theta, rate, length, run, cell, fraction):
    """Columns at P points (P, 3) and their derivatives by theta (P, 3, 7)."""

    def both(th):
        value = _at_points(th, rate, length, run, cell, fraction)
        return value, value

    slope, value = jax.jacfwd(both, has_aux=True)(theta)
    return value, slope


@jax.jit
def final_columns(theta, rate, length):
    """Columns at the last node of R meshes, shape (R, 3)."""
    return columns(theta, rate, length)[:, -1]


@jax.jit
def final_loss_and_slope(theta, linear, rate, length):
    """Final loss of one mesh and its derivative by the rate of every cell; `rate` (CELLS,)."""

    def loss(r):
        return columns(theta, r[None], length[None])[0, -1] @ linear

    return jax.value_and_grad(loss)(rate)
