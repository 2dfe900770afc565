"""The exact final loss with momentum, and its slope in the LR and the momentum of every update."""

from __future__ import annotations

import math
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import etastar._precision  # noqa: F401  # first: double precision
from etastar.model import Modes, update_moments

Array = NDArray[np.float64]

_PIECE = 256
"""Updates between the states that are kept: those between are done again on the way back."""

_UNROLLED = 2
"""Updates in one turn of a compiled loop: a fifth faster than one, and than four."""

_WIDTH = 32
"""Numbers of modes are multiples of this, so that few shapes are compiled."""


class MomentumLoss(NamedTuple):
    """The final loss of a model as a function of the controls of every update.

    The recursion of `etastar.model.exact_losses` forwards, and its adjoint, written out, backwards:
    a tenth of the cost of having JAX reverse it. `modes` without most of their padding.
    """

    modes: Modes
    noise: float
    batch_size: float
    pieces: int

    @classmethod
    def of(cls, modes: Modes, noise: float, batch_size: float, longest: int) -> MomentumLoss:
        """Of runs of up to `longest` updates, which share what is compiled."""
        pieces = 2 ** math.ceil(math.log2(max(longest / _PIECE, 1.0)))
        return cls(modes.trimmed(_WIDTH), noise, batch_size, pieces)

    def slopes(self, rate: Array, momentum: Array) -> tuple[float, Array, Array]:
        """The loss after the updates, and its derivatives in each of their LRs and momenta."""
        count = -(-len(rate) // _PIECE)
        # Updates of LR 0 and momentum 0 change no weight.
        controls = np.zeros((2, self.pieces * _PIECE))
        controls[:, : len(rate)] = rate, momentum
        pieces = jnp.asarray(controls.reshape(2, -1, _PIECE))
        loss, slope = _loss_and_slopes(self.modes, self.noise, self.batch_size, pieces, count)
        by_rate, by_momentum = np.asarray(slope).reshape(2, -1)[:, : len(rate)]
        return float(loss), by_rate, by_momentum


@jax.jit
def _loss_and_slopes(modes: Modes, noise: Any, batch: Any, pieces: Any, count: Any) -> Any:
    """Loss, and slopes in the shape of `pieces` (2, P, updates), of the first `count` pieces."""

    def update(state: Any, control: Any) -> Any:
        after = update_moments(modes, noise, state, control[0], batch, control[1])
        return after, (*state, after[2])

    scan = partial(jax.lax.scan, unroll=_UNROLLED)

    def piece(i: Any) -> tuple[Any, Any]:
        return pieces[0, i], pieces[1, i]

    def forward(i: Any, carry: Any) -> Any:
        state, kept = carry
        kept = kept.at[i].set(jnp.stack(state))
        return scan(lambda s, c: (update(s, c)[0], None), state, piece(i))[0], kept

    def backward(j: Any, carry: Any) -> Any:
        adjoint, slopes = carry
        i = count - 1 - j
        _, states = scan(update, tuple(kept[i]), piece(i))
        adjoint, slope = scan(
            lambda a, s: _undo(modes, batch, a, s), adjoint, (*piece(i), *states), reverse=True
        )
        return adjoint, slopes.at[:, i].set(jnp.stack(slope))

    zero = jnp.zeros_like(modes.target)
    start = (jnp.asarray(modes.target), zero, zero)
    kept = jnp.zeros((pieces.shape[1], 3, len(zero)))
    end, kept = jax.lax.fori_loop(0, count, forward, (start, kept))
    first = (jnp.ones_like(zero), zero, zero)
    _, slopes = jax.lax.fori_loop(0, count, backward, (first, jnp.zeros_like(pieces)))
    return end[0].sum(), slopes


def _undo(modes: Modes, batch: Any, adjoint: Any, step: Any) -> Any:
    """One update of the adjoint recursion: through c', m', u' to c, m, u, the LR and mu."""
    by_c, by_m, by_u = adjoint
    rate, mu, c, m, u, v2 = step
    x = modes.eigenvalue
    along = mu * m + x * c
    by_v2 = rate * rate * by_c - rate * by_m + by_u
    by_along = by_m - 2.0 * rate * by_c
    # Through the loss, of which every c is a part.
    fed = modes.scale * (by_v2 * modes.square).sum() / batch
    by_rate = (by_c * (2.0 * rate * v2 - 2.0 * along) - by_m * v2).sum()
    by_mu = (by_along * m + by_v2 * (2.0 * mu * u + 2.0 * x * m)).sum()
    before = (
        by_c + x * (by_along + by_v2 * x * (1.0 + modes.own / batch)) + fed,
        mu * by_along + 2.0 * mu * x * by_v2,
        mu * mu * by_v2,
    )
    return before, (by_rate, by_mu)
