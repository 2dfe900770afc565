"""What published laws share: sums over the steps so far, and the falls of the LR."""

from __future__ import annotations

import jax
import jax.numpy as jnp

from ._form import At

EARLIEST = 1e-6
"""Times below this part of the longest run count as this: powers diverge at the start."""


def from_start(increments):
    """Sums up to every node, shape (R, CELLS + 1)."""
    return jnp.concatenate(
        [jnp.zeros((len(increments), 1)), jnp.cumsum(increments, axis=1)], axis=1
    )


def at_points(nodes, at: At):
    """Values at points, (R, N, ...), from the nodes' (R, CELLS + 1, ...): straight lines."""
    more = [1] * (nodes.ndim - 2)
    cell, fraction = (x.reshape(*x.shape, *more) for x in at)
    here = jnp.take_along_axis(nodes, cell, axis=1)
    return here + fraction * (jnp.take_along_axis(nodes, cell + 1, axis=1) - here)


def falls(rate, length):
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
