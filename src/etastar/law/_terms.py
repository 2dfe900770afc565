"""The terms of the loss law on a mesh, and their derivatives: the part that XLA compiles."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

import etastar._precision  # noqa: F401  # first: double precision

from ._form import Form

NAMES = (
    "source",  # s: excess loss falls like S^-s
    "memory",  # g = 1 - 1/capacity: the kernel falls like u^-(1+g)
    "log_lag",  # log b: where the kernel starts to fall, in units of the reference time
    "noise_power",  # p: noise per step goes as effective rate^p
    "log_origin",  # log S_0: intrinsic time the initial point is worth
    "log_growth",  # log kappa: growth of the weights' squared norm
    "log_decay",  # log omega: its decay (weight decay)
    "time_power",  # q: intrinsic time goes as effective rate^q
    "log_instability",  # log c: noise grows by 1 + c (effective rate)^4 near instability
)
LINEAR = ("floor", "bias", "noise")

_MODES = 28
# Spacing 0.77 in the logarithm: the sum follows a power law to 1e-4 between the ends of the range.
_EIGENVALUE = np.exp(np.linspace(np.log(1e-3), np.log(1e6), _MODES))


def columns(theta, steps, crowd, rate, length):
    """The three columns of the law at the nodes of R meshes, shape (R, CELLS + 1, 3).

    Formula: with the learning rate eta and the time t in reference units,

        dn/dt = -omega eta n + kappa eta^2,  n(0) = 1      squared norm of the weights
        e     = eta / sqrt(n),  S = int e^q dt             effective rate, intrinsic time
        bias  = ((S + S_0) / (1 + S_0))^-s
        noise = int e(t)^p (1 + c e(t)^4) K(S - S(t)) dt,  K(u) ~ (1 + u/b)^-(1+g),  int K du = 1

    and the noise of a run of batch size B is divided by B / B_ref = `crowd` (R,). `theta` (9,) in
    the order of NAMES; `rate`, `length` (R, CELLS); `steps` is not used.

    Source: the kernel and the bias are those of the power-law random feature model in its Volterra
    form (arXiv 2509.19189); layers that are followed by a normalisation move by eta / norm, and
    their norm obeys the balance of growth and weight decay written above.
    """
    return volterra_columns(*theta, crowd=crowd, rate=rate, length=length, fed=False)


def volterra_columns(
    s,
    g,
    log_lag,
    p,
    log_origin,
    log_growth,
    log_decay,
    time_power,
    log_instability,
    *,
    crowd,
    rate,
    length,
    fed: bool,
):
    """The columns 1, bias, noise of `columns`, and with `fed` the noise times the bias at its step.

    The kernel is a sum of exponentials of fixed rates, K(u) = sum_m W_m exp(-lambda_m u) with
    W_m ~ lambda_m^(1+g) exp(-b lambda_m), so that one pass over the cells gives the integral.
    Without growth (None) the effective rate is the learning rate, q is 1 and c is 0.
    """
    eigenvalue = jnp.asarray(_EIGENVALUE)
    weight = jnp.exp((1 + g) * jnp.log(eigenvalue) - eigenvalue * jnp.exp(log_lag))
    weight = weight / jnp.sum(weight / eigenvalue)
    origin = jnp.exp(log_origin)
    plain = log_growth is None

    def bias_at(time):
        return ((time + origin) / (1 + origin)) ** (-s)

    def effective_rate(norm, eta, dt):
        if plain:
            return eta, norm
        omega, kappa = jnp.exp(log_decay), jnp.exp(log_growth)
        z = omega * eta * dt
        after = norm * jnp.exp(-z) - kappa / omega * eta * jnp.expm1(-z)
        return eta * jax.lax.rsqrt(0.5 * (norm + after)), after

    def cell(state, inputs):
        norm, time, mode = state
        eta, dt = inputs
        effective, norm = effective_rate(norm, eta, dt)
        # 1e-300: the power of a padded cell's zero rate has no derivative.
        log_rate = jnp.log(effective + 1e-300)
        step = effective * dt if plain else jnp.exp(time_power * log_rate) * dt
        decay = eigenvalue * step[:, None]
        drive = jnp.exp((p - (1 if plain else time_power)) * log_rate)[:, None]
        if not plain:
            drive = drive * (1 + jnp.exp(log_instability) * effective**4)[:, None]
        if fed:
            drive = jnp.stack([drive, drive * bias_at(time + 0.5 * step)[:, None]])
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
    noise = noise / crowd[:, None, None]
    bias = bias_at(time)
    return jnp.concatenate([jnp.stack([jnp.ones_like(bias), bias], -1), noise], -1)


LAW = Form(
    name="etastar",
    names=NAMES,
    linear=LINEAR,
    lower=np.array([0.05, 0.0, -14.0, 1.0, -14.0, -7.0, -6.0, 0.3, -6.0]),
    upper=np.array([2.5, 0.95, 0.0, 3.0, -0.5, 9.0, 5.0, 2.0, 6.0]),
    mean=np.array([0.5, 0.2, -9.0, 1.75, -6.0, 2.0, 0.5, 1.0, -3.0]),
    spread=np.array([0.4, 0.1, 3.0, 0.3, 3.0, 3.0, 2.0, 0.1, 2.0]),
    columns=columns,
    source="arXiv 2509.19189, with the norm's balance of arXiv 2305.17212",
)
"""Our own law. Beyond the bounds the terms do not differ."""


@jax.jit
def mean_final_loss_and_slope(theta, linear, rate, length):
    """The same, averaged over the constants of K laws: `theta` (K, 9), `linear` (K, 3)."""

    def final(th, r):
        return columns(th, 1.0, jnp.ones(1), r[None], length[None])[0, -1]

    def loss(r):
        return jnp.mean(jnp.sum(jax.vmap(final, (0, None))(theta, r) * linear, axis=1))

    return jax.value_and_grad(loss)(rate)


@jax.jit
def final_loss_and_slope(theta, linear, rate, length):
    """Final loss of one mesh and its derivative by the rate of every cell; `rate` (CELLS,)."""

    def loss(r):
        return columns(theta, 1.0, jnp.ones(1), r[None], length[None])[0, -1] @ linear

    return jax.value_and_grad(loss)(rate)
