"""The solvable model as a law: its exponents, scale, batch and label noise fitted to logs."""

from __future__ import annotations

from typing import ClassVar

import jax
import jax.numpy as jnp
import numpy as np

from ._form import NoiseMemory, Prior
from ._steps import at_points
from ._traced import TracedForm

_EXACT = 16
_EDGES = np.unique(
    np.concatenate([np.arange(1, _EXACT + 1), np.round(np.geomspace(_EXACT + 1, 1e7, 66))])
)
_FIRST, _LAST = _EDGES[:-1], _EDGES[1:] - 1
"""Modes k = 1..16 each on its own, the others in bins; those beyond 1e7 do not move."""

_MOST_LOSS = 1e6  # of an unstable LR: large, and still a number whose square is finite


def _sums(q):
    """Sum of k^-q over the modes of every bin: an integral, but for bins of one mode exact."""
    single = jnp.asarray(_FIRST == _LAST)
    low = jnp.asarray(np.where(_FIRST == _LAST, _FIRST, _FIRST - 0.5))
    width = jnp.asarray(np.log((_LAST + 0.5) / np.where(_FIRST == _LAST, _FIRST, _FIRST - 0.5)))
    x = (1 - q) * width
    near_zero = jnp.abs(x) < 1e-6
    safe = jnp.where(near_zero, 1.0, x)
    mean = jnp.where(near_zero, 1 + x / 2, jnp.expm1(safe) / safe)
    return jnp.exp((1 - q) * jnp.log(low)) * jnp.where(single, 1 / low, width * mean)


def _kept(x, n, noise):
    """What a mode keeps of its squared error in n steps, and loses in one, at x = eta lambda.

    One step multiplies it by 1 - 2x + x^2 (1 + 1/B), with `noise` = 1/B. A mode that this does not
    shrink stands still: only a start of the fit far from any stable run has one.
    """
    lost = x * (2 - x * (1 + noise))
    lost = jnp.where(x * (1 + noise) < 2, jnp.clip(lost, 1e-14, 1 - 1e-6), 1e-14)
    return n[:, None] * jnp.log1p(-lost), lost


def _ramps(rate, length):
    """The LR at the start and at the end of every cell, (R, CELLS) each, from the cells' means.

    Straight lines through the means, flattened where the neighbours disagree on the sign (the
    minmod limiter of finite volumes), so that a jump stays one.
    """
    middle = jnp.cumsum(length, axis=1) - 0.5 * length
    slope = jnp.diff(rate, axis=1) / jnp.maximum(jnp.diff(middle, axis=1), 1e-12)
    none = jnp.zeros((len(rate), 1))
    before, after = (
        jnp.concatenate([none, slope], axis=1),
        jnp.concatenate([slope, none], axis=1),
    )
    # At the ends of the schedule there is one neighbour; next to padding there is none.
    before = before.at[:, 0].set(after[:, 0])
    after = after.at[:, -1].set(before[:, -1])
    flat = (before * after <= 0) | (length <= 0)
    smaller = jnp.where(jnp.abs(before) < jnp.abs(after), before, after)
    half = jnp.where(flat, 0.0, 0.5 * smaller * length)
    half = jnp.clip(half, -rate, rate)
    return rate - half, rate + half


class SolvableForm(TracedForm):
    """The solvable model with its source, capacity, largest eigenvalue and batch size fitted.

    For the exponents of tasks that follow the model; language models do not, see `exponents`.
    """

    name = "solvable"
    priors: ClassVar = {
        "source": Prior(0.05, 2.5, 0.5, 0.5),
        "memory": Prior(0.05, 0.85, 0.4, 0.4),
        "log_unit": Prior(-2.0, 20.0, 6.0, 4.0),
        "log_noise": Prior(-12.0, 0.0, -2.0, 2.0),
    }
    linear = ("floor", "bias", "noise")
    source = "arXiv 2602.04774, section 2"
    starts = 16
    transient = 0.0
    noise = 1e-4  # the error of the mesh
    draws = 4
    sees_batch = True

    def formula(self, theta, mesh, at):
        """The columns 1, bias and noise of the solvable model, straight lines inside a cell.

        Formula, for modes lambda_k = lambda_1 k^-a and targets k^-(a s + 1), every step

            c_k' = (1 - 2 x_k + x_k^2 (1 + 1/B)) c_k + eta^2/B lambda_k (L + sigma^2)
            L    = sum_k lambda_k c_k,   x_k = eta lambda_k

        L is linear in the scale of the targets and in sigma^2: their factors are the columns `bias`
        and `noise`, each with the noise that it feeds. In a cell of n steps of one LR the sums over
        steps are geometric, with L in the middle of the cell from one scalar equation.

        `theta`: s, 1 - 1/a, log lambda_1 (per reference rate and reference steps), log 1/B.

        Source: arXiv 2602.04774, section 2; `etastar.model` has it for given constants.
        """
        source, memory, log_unit, log_noise = theta
        capacity, noise = 1 / (1 - memory), jnp.exp(log_noise)
        steps, rate, length = mesh.steps, mesh.rate, mesh.length
        square, target = _sums(2 * capacity), _sums(capacity * source + 1)
        of_noise = _sums(3 * capacity) / square  # eigenvalue of a bin, its mean with these weights
        of_bias = _sums(capacity * source + 1 + capacity) / target
        first = jnp.exp(log_unit) / steps

        def still(x, noise):  # noise of a mode that gains in a step what it loses
            return x**2 * noise * square / _kept(x * of_noise, jnp.ones(len(x)), noise)[1]

        def cell(state, inputs):
            bias, mode, level = state
            eta, eta_start, eta_end, dt, batch = inputs
            n, x, one = dt * steps, first * eta[:, None], noise / batch[:, None]
            after = bias * jnp.exp(_kept(x * of_bias, n, one)[0])
            log_kept, _ = _kept(x * of_noise, n, one)
            early, late = (still(first * end[:, None], one) for end in (eta_start, eta_end))
            risen = -jnp.expm1(log_kept)
            # int_0^1 z exp(-z (1 - u)) u du with z = -log_kept, by its series where z is small.
            z = jnp.maximum(-log_kept, 1e-4)
            part = jnp.where(log_kept > -1e-4, -0.5 * log_kept, 1 + jnp.expm1(-z) / z)
            gain = jnp.minimum(early * risen + (late - early) * part, _MOST_LOSS)
            # Two drives: label noise of one, and the bias. Each feeds its own noise.
            drive = jnp.stack([jnp.ones_like(eta), 0.5 * (bias.sum(1) + after.sum(1))])
            mode = mode * jnp.exp(log_kept)
            total = gain.sum(1)
            end = (mode.sum(-1) + total * (drive + 0.5 * level)) / jnp.maximum(
                1 - 0.5 * total, 0.05
            )
            end = jnp.minimum(end, _MOST_LOSS)
            mode = mode + gain * (drive + 0.5 * (level + end))[:, :, None]
            return (after, mode, end), (after.sum(1), end)

        runs = rate.shape[0]
        bias = jnp.broadcast_to(target, (runs, len(_FIRST)))
        start = (bias, jnp.zeros((2, *bias.shape)), jnp.zeros((2, runs)))
        _, (bias, noises) = jax.lax.scan(
            cell, start, (rate.T, *(end.T for end in _ramps(rate, length)), length.T, mesh.batch.T)
        )
        bias = jnp.concatenate([jnp.full((1, runs), target.sum()), bias]).T
        noises = jnp.concatenate([jnp.zeros((1, 2, runs)), noises])
        nodes = jnp.stack([jnp.ones_like(bias), bias + noises[:, 1].T, noises[:, 0].T], -1)
        return at_points(nodes, at)

    def noise_memory(self, theta: np.ndarray, linear: np.ndarray) -> NoiseMemory:
        _, memory, log_unit, _ = theta
        # The fastest mode forgets in an intrinsic time of 1 / (2 lambda_1).
        lag = 0.5 * float(np.exp(-log_unit))
        return NoiseMemory(lag, 1.0 + float(memory), 2.0, float(linear[-1]))
