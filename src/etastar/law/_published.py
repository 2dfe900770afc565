"""Published loss laws, each a `Form`: what our own is compared with."""

from __future__ import annotations

import jax
import jax.numpy as jnp
import numpy as np

from etastar._errors import InputError

from ._form import Form
from ._solvable import SOLVABLE
from ._terms import LAW, volterra_columns

_EARLIEST = 1e-6
"""Times below this part of the longest run count as this: powers diverge at the start."""


def _from_start(increments):
    """Sums up to every node, shape (R, CELLS + 1)."""
    return jnp.concatenate(
        [jnp.zeros((len(increments), 1)), jnp.cumsum(increments, axis=1)], axis=1
    )


def _falls(rate, length):
    """How far the LR falls at the start of every cell from where it was, (R, CELLS).

    Counted from the highest LR so far, so that a warmup is no fall, and a rise after a fall takes
    it back. Cells of no length, which are padding, change nothing.
    """
    valid = length > 0
    highest = jax.lax.cummax(jnp.where(valid, rate, 0.0), axis=1)
    below = jnp.where(valid, highest - rate, 0.0)
    last = jax.lax.cummax(jnp.where(valid, jnp.arange(rate.shape[1]), 0), axis=1)
    below = jnp.take_along_axis(below, last, axis=1)
    return jnp.diff(below, axis=1, prepend=0.0)


def _power_columns(theta, steps, crowd, rate, length):
    """1 and t^-alpha in the number of steps t."""
    time = jnp.maximum(_from_start(length), _EARLIEST)
    power = time ** -theta[0]
    return jnp.stack([jnp.ones_like(power), power], -1)


def _annealing_columns(theta, steps, crowd, rate, length):
    """1, S1^-alpha and -S2.

    S1 = sum of the LRs; S2 = sum over steps i of sum over k <= i of (eta_(k-1) - eta_k)
    lambda^(i-k), where a fall of the LR at step k adds (1 - lambda^(i-k)) / (1 - lambda) by step i.
    """
    alpha, log_forget = theta
    forget = jnp.exp(log_forget) * steps
    area = jnp.maximum(_from_start(rate * length), _EARLIEST)
    falls = _falls(rate, length)

    def cell(state, inputs):
        momentum, total = state
        fall, dt = inputs
        momentum = momentum + fall
        total = total - momentum * jnp.expm1(-forget * dt) / forget
        return (momentum * jnp.exp(-forget * dt), total), total

    zero = jnp.zeros(len(rate))
    _, annealed = jax.lax.scan(cell, (zero, zero), (falls.T, length.T))
    annealed = jnp.concatenate([zero[None], annealed]).T
    power = area**-alpha
    return jnp.stack([jnp.ones_like(power), power, -annealed], -1)


def _multi_power_columns(theta, steps, crowd, rate, length):
    """1, S^-alpha and -sum_k (eta_(k-1) - eta_k) G(eta_k^-gamma S_k).

    S is the sum of the LRs, the warmup's with it, S_k that from step k on, and
    G(x) = 1 - (1 + C x)^-beta.
    """
    alpha, beta, gamma, log_scale = theta
    time = _from_start(rate * length)
    falls = _falls(rate, length)
    low = jnp.exp(log_scale) * jnp.maximum(rate, 1e-9) ** -gamma

    def at_node(here):  # here (R,): intrinsic time of one node of every run
        since = jnp.maximum(here[:, None] - time[:, :-1], 0.0)
        return jnp.sum(falls * -jnp.expm1(-beta * jnp.log1p(low * since)), 1)

    gain = jax.lax.map(at_node, time.T).T
    power = jnp.maximum(time, _EARLIEST) ** -alpha
    return jnp.stack([jnp.ones_like(power), power, -gain], -1)


def _functional_columns(theta, steps, crowd, rate, length):
    """1, the bias, the noise of the labels, and the noise fed by the loss that is left.

    K(u) ~ (1 + u/b)^-(2 - 1/beta), noise of a step eta^2 (sigma^2 + bias), and intrinsic time the
    sum of the LRs.
    """
    source, memory, log_lag, log_origin = theta
    theta = (source, memory, log_lag, 2.0, log_origin, None, None, None, None)
    return volterra_columns(*theta, crowd=crowd, rate=rate, length=length, fed=True)


def _last_iterate_columns(theta, steps, crowd, rate, length):
    """1, 1 / (2 S1), and half of the bracket of the last-iterate bound, with S1 = sum eta.

    f(x_t) - f* <= D^2 / (2 S1_1) + G^2/2 [S2_1 / S1_1 + sum_j eta_j / S1_(j+1) * S2_j / S1_j]
    with S1_j, S2_j the sums of eta and eta^2 from step j to t. Within a cell of n steps of LR eta
    that ends d before t, the sum over its steps is taken with S1_j, S2_j straight lines in j.
    """
    time, square = _from_start(rate * length), _from_start(rate**2 * length)

    def at_node(inputs):
        here, power = inputs
        after = jnp.maximum(here[:, None] - time[:, 1:], 0.0)
        before = jnp.maximum(here[:, None] - time[:, :-1], 0.0)
        inside = (before > 0) & (length > 0)
        step = rate / steps
        # eta/S1_(j+1) summed over the cell's steps j but the last of all, at which S1_(j+1) = 0.
        logs = jnp.log(jnp.maximum(before - step / 2, step / 2) + 1e-300)
        logs = logs - jnp.log(jnp.maximum(after - step / 2, step / 2) + 1e-300)
        ratio_after = jnp.where(
            after > 0, (power[:, None] - square[:, 1:]) / jnp.where(after > 0, after, 1.0), rate
        )
        ratio_before = (power[:, None] - square[:, :-1]) / jnp.where(before > 0, before, 1.0)
        middle = 0.5 * (ratio_after + ratio_before)
        total = jnp.sum(jnp.where(inside, middle * jnp.maximum(logs, 0.0), 0.0), 1)
        return total + power / jnp.maximum(here, _EARLIEST)

    noise = jax.lax.map(at_node, (time.T, square.T)).T
    bias = 0.5 / jnp.maximum(time, _EARLIEST)
    return jnp.stack([jnp.ones_like(bias), bias, 0.5 * noise], -1)


_SOURCE = (0.5, 0.4)  # mean and spread of the prior of an exponent of the loss


def _form(name, constants, linear, columns, source, starts=48) -> Form:
    """A form from {constant: (lower, upper, prior mean, prior spread)}."""
    bounds = np.array(list(constants.values()), dtype=float).reshape(len(constants), 4)
    lower, upper, mean, spread = bounds.T
    names = tuple(constants)
    return Form(name, names, linear, lower, upper, mean, spread, columns, source, starts)


PUBLISHED = (
    _form(
        "power",
        {"alpha": (0.02, 2.5, *_SOURCE)},
        ("floor", "bias"),
        _power_columns,
        "a power law in the number of steps, blind to the LR",
    ),
    _form(
        "annealing",
        {
            "alpha": (0.02, 2.5, *_SOURCE),
            # lambda between 0.99 and 0.999, the values of the paper.
            "log_forget": (np.log(1e-3) - 1e-3, np.log(1e-2), np.log(3e-3), 1.0),
        },
        ("floor", "bias", "annealed"),
        _annealing_columns,
        "arXiv 2408.11029, equation 1",
    ),
    _form(
        "multi-power",
        {
            "alpha": (0.02, 2.5, *_SOURCE),
            "beta": (0.02, 2.5, *_SOURCE),
            "gamma": (0.0, 2.5, *_SOURCE),
            "log_scale": (-4.0, 12.0, 3.0, 3.0),
        },
        ("floor", "bias", "annealed"),
        _multi_power_columns,
        "arXiv 2503.12811, equations 1 to 3",
        starts=16,
    ),
    _form(
        "functional",
        {
            "source": (0.05, 2.5, *_SOURCE),
            "memory": (0.0, 0.95, 0.3, 0.3),
            "log_lag": (-14.0, 0.0, -9.0, 3.0),
            "log_origin": (-14.0, -0.5, -6.0, 3.0),
        },
        ("floor", "bias", "noise", "fed"),
        _functional_columns,
        "arXiv 2509.19189, the Volterra form at one batch size",
    ),
    _form(
        "last-iterate",
        {},
        ("floor", "distance", "gradient"),
        _last_iterate_columns,
        "arXiv 2501.18965, the bound of arXiv 2310.07831 with free constants",
    ),
)

FORMS = {form.name: form for form in (LAW, SOLVABLE, *PUBLISHED)}
"""Every law by name, our own first."""


def form_named(name: str) -> Form:
    """A law by its name.

    Raises: InputError for another name.
    """
    if name not in FORMS:
        raise InputError(f"no law is named {name!r}; choose one of {', '.join(FORMS)}")
    return FORMS[name]
