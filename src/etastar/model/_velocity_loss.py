"""The final loss where gradient and velocity have LRs of their own, in segments of 2^n updates."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

import etastar._precision  # noqa: F401  # first: double precision

from ._power_law import Modes

Array = NDArray[np.float64]

_MULTIPLE = 16
"""Numbers of segments are multiples of this, so that few shapes are compiled."""


class Segments(NamedTuple):
    """A run cut into segments of 1, 2, 4, ... updates, short beside their way to its ends.

    Attributes:
        first: updates done before each segment, (N,).
        doublings: log2 of the updates of each, (N,).
        middle: mean of the numbers of its updates, (N,): where its controls are those of a line.

    >>> segments = Segments.of(10, part=0.5)
    >>> (2**segments.doublings).tolist(), segments.middle.tolist()
    ([1, 1, 1, 1, 2, 1, 1, 1, 1], [0.0, 1.0, 2.0, 3.0, 4.5, 6.0, 7.0, 8.0, 9.0])
    """

    first: Array
    doublings: NDArray[np.int64]
    middle: Array

    @classmethod
    def of(cls, horizon: int, part: float) -> Segments:
        """Those of a run of `horizon` updates, each at most `part` of its way to either end."""
        lengths, done = [], 0
        while done < horizon:
            length = 1
            while _fits(done, 2 * length, horizon, part):
                length *= 2
            lengths.append(length)
            done += length
        length = np.array(lengths, dtype=float)
        first = np.append(0.0, np.cumsum(length)[:-1])
        return cls(first, np.log2(length).round().astype(int), first + (length - 1) / 2)


def _fits(done: int, length: int, horizon: int, part: float) -> bool:
    """Whether a segment is within the run and no longer than its part of the way to both ends."""
    left = horizon - done - length
    return left >= 0 and length <= part * done and length <= max(part * left, 1.0)


class VelocityLoss(NamedTuple):
    """The loss by the controls of the segments of a run, at a cost that does not grow with T.

    Inside a segment the controls are constant and the loss that feeds the noise is linear; the
    three moments of `exact_losses` with a velocity of its own LR advance by powers of their map, n
    doublings for 2^n updates. The error is of second order in the segments' part.

    Attributes:
        modes: the arrays of the spectrum, see `modes_of`.
        noise: variance of the label noise, in the unit of the loss.
        batch_size: samples of an update.
        segments: N of them.

    >>> from etastar.model import PowerLaw, modes_of
    >>> modes = modes_of(PowerLaw(1.5, 0.2, 0.25, 8).spectrum_to(1e6))
    >>> run = VelocityLoss(modes, 0.25, 8.0, Segments.of(1000, 0.25))
    >>> count = len(run.segments.first)
    >>> rates = np.full(count, 0.3), np.full(count, 0.01), np.full(count, 0.95)
    >>> round(float(run.losses(*rates)[-1] / run.slopes(*rates)[0]), 9), run.losses(*rates).shape
    (1.0, (66,))
    """

    modes: Modes
    noise: float
    batch_size: float
    segments: Segments

    def losses(self, rate: Array, velocity: Array, momentum: Array) -> Array:
        """The losses before the first segment and after each, (N + 1,), in the unit of the noise.

        Arguments: LR of the gradient, LR of the velocity and mu of each segment, (N,).
        """
        _, ends = _losses(*self._traced(rate, velocity, momentum))
        first = float(self.modes.target.sum())
        return np.append(first, np.asarray(ends)[: len(self.segments.first)])

    def slopes(
        self, rate: Array, velocity: Array, momentum: Array
    ) -> tuple[float, tuple[Array, Array, Array]]:
        """The final loss, and its derivatives by the three controls of each segment, (N,) each."""
        (loss, _), slope = _loss_and_slope(*self._traced(rate, velocity, momentum))
        count = len(self.segments.first)
        by_rate, by_velocity, by_momentum = (np.asarray(each)[:count] for each in slope)
        return float(loss), (by_rate, by_velocity, by_momentum)

    def _traced(self, *controls: Array) -> tuple[Any, ...]:
        doublings = self.segments.doublings
        more = -len(doublings) % _MULTIPLE
        # An update of LR 0 and momentum 0 changes no weight.
        padded = tuple(jnp.asarray(np.pad(each, (0, more))) for each in controls)
        kept = jnp.asarray(np.pad(doublings, (0, more)))
        most = -(-int(doublings.max(initial=0)) // 4) * 4
        return most, self.modes, self.noise, self.batch_size, kept, padded


def _final_loss(most: int, modes: Modes, noise: Any, batch: Any, doublings: Any, controls: Any):
    decay, force = _powers(most, modes, batch, doublings, controls)

    def advance(moments: Any, segment: Any) -> tuple[Any, Any]:
        decay, force, late = segment
        before = moments[0].sum()
        free = _applied(decay, moments)
        free = tuple(x + y for x, y in zip(moments, free, strict=True))
        fed = force[0].sum()
        # The loss at the end is part of the forcing; a gain above one is an unstable LR.
        known = free[0].sum() + fed * (modes.scale * (1 - late) * before + noise)
        gain = modes.scale * fed * late
        after = known / jnp.where(gain < 1, 1 - gain, jnp.nan)
        acting = modes.scale * (before + late * (after - before)) + noise
        return tuple(x + acting * y for x, y in zip(free, force, strict=True)), after

    target = jnp.asarray(modes.target)
    zero = jnp.zeros_like(target)
    # Of 2^n losses before the updates, on a line, the mean lies this part of the way to the end.
    late = 0.5 - 0.5 ** (doublings + 1.0)
    _, losses = jax.lax.scan(advance, (target, zero, zero), (decay, force, late))
    return losses[-1], losses


_losses = partial(jax.jit, static_argnums=0)(_final_loss)
_loss_and_slope = partial(jax.jit, static_argnums=0)(
    jax.value_and_grad(_final_loss, argnums=5, has_aux=True)
)


def _powers(most: int, modes: Modes, batch: Any, doublings: Any, controls: Any) -> Any:
    """The maps of whole segments, less the identity, and what noise of variance one adds."""
    doublings = doublings[:, None]

    def double(carry: Any, number: Any) -> tuple[Any, None]:
        decay, force = carry
        squared = _product(decay, decay)
        twice = tuple(
            tuple(2 * x + y for x, y in zip(*rows, strict=True))
            for rows in zip(decay, squared, strict=True)
        )
        further = _applied(decay, force)
        added = tuple(2 * x + y for x, y in zip(force, further, strict=True))
        more = number < doublings
        return jax.tree.map(lambda old, new: jnp.where(more, new, old), carry, (twice, added)), None

    once = _one_update(modes, batch, *(each[:, None] for each in controls))
    return jax.lax.scan(double, once, jnp.arange(most))[0]


def _one_update(modes: Modes, batch: Any, rate: Any, velocity: Any, mu: Any) -> Any:
    """The map of one update less the identity, 3 x 3 for each mode, and the noise that it adds.

    The recursion of `etastar.model.exact_losses` with a velocity of its own LR: the gradient counts
    `rate + velocity` in all, the velocity before it `velocity * mu`.
    """
    x = jnp.asarray(modes.eigenvalue)
    square = jnp.asarray(modes.square) / batch
    own, both, kept = x * x * (1.0 + modes.own / batch), rate + velocity, velocity * mu
    share = (both * both * own - 2.0 * both * x, 2.0 * kept * (both * x - 1.0), kept * kept)
    cross = (x - both * own, mu - 1.0 - (both * mu + kept) * x, -kept * mu)
    speed = (own, 2.0 * mu * x, mu * mu - 1.0)
    full = jnp.zeros(jnp.broadcast_shapes(rate.shape, x.shape))
    decay = tuple(tuple(entry + full for entry in row) for row in (share, cross, speed))
    force = (both * both * square, -both * square, square + full)
    return decay, force


def _product(first: Any, second: Any) -> Any:
    three = range(3)
    return tuple(
        tuple(sum(first[i][k] * second[k][j] for k in three) for j in three) for i in three
    )


def _applied(matrix: Any, vector: Any) -> Any:
    return tuple(sum(row[k] * vector[k] for k in range(3)) for row in matrix)
