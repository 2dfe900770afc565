"""Powers of the map that one update with momentum makes of a mode's three moments."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import etastar._precision  # noqa: F401  # first: double precision


class AffinePower(NamedTuple):
    """m updates x <- A x + b f_t at once, f_t = base + rise * t / m.

    `decay` = A^m - 1 as rows of arrays (minus one because the slow modes' share of it is below the
    rounding of one), `start` = sum_{t<m} A^t b, `slope` = sum_{t<m} t A^(m-1-t) b.
    """

    decay: Any
    start: Any
    slope: Any


@jax.custom_vjp
def affine_power(rate, square, momentum, own_noise, eigenvalue, length, growth) -> AffinePower:
    """The map of `length` updates, whole numbers below 2^53; controls (N, 1), eigenvalue (K,).

    Binary powers, about log2(length) products of 3 x 3 maps for all cells and modes at once. After
    every update m and u are multiplied by the two `growth` factors. `own_noise` is h / B, what the
    choice of the samples adds to lambda^2 c. Differentiated with respect to the first four
    arguments only.
    """
    return _affine_power((rate, square, momentum, own_noise), eigenvalue, length, growth)


def _affine_power(controls, eigenvalue, length, growth) -> AffinePower:
    shape = jnp.broadcast_shapes(length.shape, eigenvalue.shape)
    zero, count = jnp.zeros(shape), jnp.zeros(length.shape)
    identity = AffinePower([[zero] * 3] * 3, [zero] * 3, [zero] * 3)

    def bit(carry):
        done, power, doubled, size, left = carry
        odd = left % 2.0
        joined = _then(power, doubled, done)
        power = jax.tree.map(lambda old, new: jnp.where(odd > 0, new, old), power, joined)
        left = (left - odd) / 2.0
        return done + odd * size, power, _then(doubled, doubled, size), 2.0 * size, left

    def more(carry):
        return jnp.any(carry[-1] > 0)

    once = jax.tree.map(
        lambda x: jnp.broadcast_to(x, shape), _one_update(controls, eigenvalue, growth)
    )
    return jax.lax.while_loop(
        more, bit, (count, identity, once, jnp.ones(length.shape), jnp.asarray(length, float))
    )[1]


def _one_update(controls, x, growth) -> AffinePower:
    """A - 1 and b for the moments lambda c, lambda m, lambda u of one mode."""
    eta, square, mu, own_noise = controls
    feedback = x * x * (1.0 + own_noise)
    velocity = [feedback, 2.0 * mu * x, mu * mu]
    along = [x, mu, 0.0]
    share = [square * v - 2.0 * eta * e for v, e in zip(velocity, along, strict=True)]
    cross = [e - eta * v for v, e in zip(velocity, along, strict=True)]
    cross = [growth[0] * entry for entry in cross]
    velocity = [growth[1] * entry for entry in velocity]
    cross[1] = cross[1] - 1.0
    velocity[2] = velocity[2] - 1.0
    force = [square, -eta * growth[0], growth[1] * jnp.ones_like(eta)]
    return AffinePower([share, cross, velocity], force, [jnp.zeros_like(eta)] * 3)


def _then(first: AffinePower, second: AffinePower, before) -> AffinePower:
    """First `before` updates, then those of `second`."""
    three = range(3)
    decay = [
        [
            first.decay[i][j]
            + second.decay[i][j]
            + sum(second.decay[i][k] * first.decay[k][j] for k in three)
            for j in three
        ]
        for i in three
    ]
    start = [
        first.start[i] + second.start[i] + sum(second.decay[i][k] * first.start[k] for k in three)
        for i in three
    ]
    slope = [
        first.slope[i]
        + second.slope[i]
        + sum(second.decay[i][k] * first.slope[k] for k in three)
        + before * second.start[i]
        for i in three
    ]
    return AffinePower(decay, start, slope)


def _forward(rate, square, momentum, own_noise, eigenvalue, length, growth):
    controls = (rate, square, momentum, own_noise)

    def powers(*controls):
        return _affine_power(controls, eigenvalue, length, growth)

    # The binary powers cannot be reversed without storing them all; four tangents are cheaper.
    slopes = []
    for i in range(len(controls)):
        direction = tuple(
            jnp.ones_like(x) if i == j else jnp.zeros_like(x) for j, x in enumerate(controls)
        )
        value, tangent = jax.jvp(powers, controls, direction)
        slopes.append(tangent)
    return value, (slopes, (eigenvalue, length, growth))  # type: ignore[possibly-undefined]


def _backward(kept, weight):
    slopes, others = kept

    def against(tangent):
        pairs = zip(jax.tree.leaves(tangent), jax.tree.leaves(weight), strict=True)
        return sum(jnp.sum(t * w, axis=1, keepdims=True) for t, w in pairs)

    return (*(against(t) for t in slopes), *jax.tree.map(jnp.zeros_like, others))


affine_power.defvjp(_forward, _backward)
