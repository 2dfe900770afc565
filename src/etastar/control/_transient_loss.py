"""The exact final loss of plain SGD, and its slope in the LR of every update."""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import etastar._precision  # noqa: F401  # first: double precision
from etastar.model import Modes

Array = NDArray[np.float64]

_PIECE = 64
"""Updates between the states that are kept: those between are done again on the way back."""

_WIDTH = 32
"""Numbers of modes are multiples of this, so that few shapes are compiled."""


class TransientLoss(NamedTuple):
    """The final loss of a model as a function of the LR of every update.

    The recursion of `etastar.model.exact_losses` forwards, and its adjoint, written out, backwards:
    some 1.5 microseconds an update for both. `modes` without most of their padding.
    """

    modes: Modes
    noise: float
    batch_size: float

    @classmethod
    def of(cls, modes: Modes, noise: float, batch_size: float) -> TransientLoss:
        return cls(modes.trimmed(_WIDTH), noise, batch_size)

    @property
    def initial(self) -> float:
        """The loss before the first update."""
        return float(self.modes.target.sum())

    def slopes(self, rate: Array) -> tuple[float, Array]:
        """The loss after the updates, and its derivative in each of their LRs."""
        count = -(-len(rate) // _PIECE)
        size = _PIECE
        while size < len(rate):
            size *= 2
        rates = np.zeros(size)  # updates of LR 0 change no weight
        rates[: len(rate)] = rate
        pieces = jnp.asarray(rates.reshape(-1, _PIECE))
        loss, slope = _loss_and_slope(self.modes, self.noise, self.batch_size, pieces, count)
        return float(loss), np.asarray(slope).ravel()[: len(rate)]


@jax.jit
def _loss_and_slope(modes: Modes, noise: Any, batch: Any, pieces: Any, count: Any) -> Any:
    """Loss, and slopes in the shape of `pieces` (P, updates), of the first `count` pieces."""
    value, own = modes.eigenvalue, 1.0 + modes.own / batch

    def update(share: Any, rate: Any) -> tuple[Any, Any]:
        x = rate * value
        fed = modes.scale * share.sum() + noise
        after = share - x * (2.0 - x * own) * share + (rate * rate / batch) * modes.square * fed
        return after, share

    def undo(by_share: Any, step: Any) -> tuple[Any, Any]:
        rate, share = step
        x = rate * value
        by_noise = (by_share * modes.square).sum() / batch
        fed = modes.scale * share.sum() + noise
        slope = 2.0 * ((by_share * value * (x * own - 1.0) * share).sum() + rate * by_noise * fed)
        # Through the loss, of which every share is a part.
        through = rate * rate * modes.scale * by_noise
        return by_share * (1.0 - x * (2.0 - x * own)) + through, slope

    def forward(i: Any, carry: Any) -> Any:
        share, kept = carry
        kept = kept.at[i].set(share)
        return jax.lax.scan(lambda s, rate: (update(s, rate)[0], None), share, pieces[i])[0], kept

    def backward(j: Any, carry: Any) -> Any:
        by_share, slopes = carry
        i = count - 1 - j
        _, shares = jax.lax.scan(update, kept[i], pieces[i])
        by_share, slope = jax.lax.scan(undo, by_share, (pieces[i], shares), reverse=True)
        return by_share, slopes.at[i].set(slope)

    start = jnp.asarray(modes.target)
    kept = jnp.zeros((pieces.shape[0], len(start)))
    end, kept = jax.lax.fori_loop(0, count, forward, (start, kept))
    first = jnp.ones_like(start)
    _, slopes = jax.lax.fori_loop(0, count, backward, (first, jnp.zeros_like(pieces)))
    return end.sum(), slopes
