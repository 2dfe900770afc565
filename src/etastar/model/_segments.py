"""Whole segments of constant controls at once: a cost that does not depend on the horizon.

Inside a segment of m updates the loss that feeds the noise is taken linear in the step. Each mode
then advances in closed form, and the loss at the segment's end, which the modes' forcing contains,
follows from one linear equation. The error of the loss is of second order in the segments' size.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
from jaxtyping import Float

import etastar._precision  # noqa: F401  # first: double precision

from ._power_law import Modes
from ._three_moments import AffinePower, affine_power


class Drift(NamedTuple):
    """How the controls vary inside the segments, in arrays of NumPy or JAX.

    A segment is advanced at the mean rate, with noise that keeps each mode on its way to the
    balance of the rate of the moment: a mode that relaxes within the segment then ends in the
    balance at its end, and the error stays of second order for it too.

    Attributes:
        rate_square: mean of eta^2 over a segment's updates.
        rate_start, rate_end: LR at a segment's first update, and one past its last.
        batch_start, batch_end: batch size in samples, at the same updates.
        momentum_start, momentum_end: momentum, at the same updates.

    >>> from etastar.model import PowerLaw, segments_of
    >>> from etastar.schedule import parse_schedule
    >>> model = PowerLaw(capacity=1.5, source=1.0, noise=0.25, batch_size=8)
    >>> drift = segments_of(model, parse_schedule("linear:peak=0.1,horizon=1000"), 32).drift
    >>> float(drift.rate_start[0]), bool((drift.rate_end <= drift.rate_start).all())
    (0.1, True)
    """

    rate_square: Float[Any, " segments"]
    rate_start: Float[Any, " segments"]
    rate_end: Float[Any, " segments"]
    batch_start: Float[Any, " segments"]
    batch_end: Float[Any, " segments"]
    momentum_start: Float[Any, " segments"]
    momentum_end: Float[Any, " segments"]


class Cells(NamedTuple):
    """Segments of a run, in order, in arrays of NumPy or JAX.

    Attributes:
        length: in updates, 0 for padding.
        rate: LR, the mean of eta over the segment's updates, in units of 1 / eigenvalue.
        batch_size: samples of an update.
        momentum: mu of every segment; None for plain SGD, which costs a tenth.
        drift: how the controls vary in each segment; None where they are constant.

    >>> import numpy as np
    >>> two = Cells(length=np.array([10.0, 90.0]), rate=np.array([0.5, 0.1]), batch_size=np.ones(2))
    >>> float(two.length @ two.rate), two.momentum  # the intrinsic time, plain SGD
    (14.0, None)
    """

    length: Float[Any, " segments"]
    rate: Float[Any, " segments"]
    batch_size: Float[Any, " segments"]
    momentum: Float[Any, " segments"] | None = None
    drift: Drift | None = None


def segment_losses(modes: Modes, noise: Any, cells: Cells) -> Float[jax.Array, " segments+1"]:
    """Excess loss at the ends of the segments, a pure function that JAX may trace.

    For SGD, with r = 1 - 2 eta lambda + eta^2 lambda^2 (1 + h/B) and C = lambda c the share of a
    mode, the segment from loss L0 to loss L1 does, with g the noise (sigma^2 + q L) / B,

        C <- r^m C + eta^2 n lambda^2 [g_0 S_0 + (g_1 - g_0) S_1 / m]
        S_0 = sum_{t<m} r^t,   S_1 = sum_{t<m} t r^(m-1-t),   L1 = sum of C.

    Gaussian features have h = q = 1, others the values of `Spectrum`. With momentum the same holds
    for the three moments of a mode and the powers of their 3 x 3 map.

    Arguments:
        modes: the arrays of the spectrum, see `modes_of`.
        noise: variance of the label noise, in the unit of the loss.
        cells: the segments; differentiable in rate, batch size and momentum.

    Returns: losses, the first before any update.
    Raises: nothing; an unstable LR gives huge, infinite or NaN losses.
    Source: the moments of arXiv 2602.04774 and 2505.16098; the segments are this library's.

    >>> import numpy as np
    >>> from etastar.model import Spectrum, modes_of
    >>> modes = modes_of(Spectrum([1.0], [1.0]))
    >>> cells = Cells(jnp.ones(2), jnp.full(2, 0.5), jnp.ones(2))
    >>> np.asarray(segment_losses(modes, 0.0, cells)).round(12)
    array([1.    , 0.75  , 0.5625])
    """
    balance = _balance(modes, cells)
    plain = cells.momentum is None
    scales = None if plain else _scales(cells)
    powers = _shares(modes, cells) if plain else _moments(modes, cells, scales)
    count, q = len(powers.start), modes.scale

    def advance(state, cell):
        loss, moments = state
        (decay, start, slope), (before, after), scale = cell
        if scale is not None:
            moments = [x * s for x, s in zip(moments, scale[0], strict=True)]
        free = [
            moment + sum(row[j] * moments[j] for j in range(count))
            for moment, row in zip(moments, decay, strict=True)
        ]
        fed = noise + q * loss
        base = before * fed
        # The loss at the end is part of the forcing: one linear equation for its rise.
        late = (after * slope[0]).sum()
        known = free[0].sum() - loss + (base * (start[0] - slope[0])).sum() + fed * late
        # A gain of one or more is an LR so unstable that no loss at the end feeds itself.
        rise = known / jnp.where(q * late < 1.0, 1.0 - q * late, jnp.nan)
        bend = after * (fed + q * rise) - base
        moved = [x + base * s + bend * w for x, s, w in zip(free, start, slope, strict=True)]
        if scale is not None:
            moved = [x / s for x, s in zip(moved, scale[1], strict=True)]
        return (loss + rise, moved), loss + rise

    target = jnp.asarray(modes.target)
    first, moments = jnp.sum(target), [target] + [jnp.zeros_like(target)] * (count - 1)
    _, losses = jax.lax.scan(advance, (first, moments), (powers, balance, scales))
    return jnp.append(first, losses)


def segment_loss(modes: Modes, noise: Any, cells: Cells) -> Float[jax.Array, ""]:
    """The excess loss after the last segment: the objective of an optimisation over the cells.

    Arguments:
        modes: the arrays of the spectrum, see `modes_of`.
        noise: variance of the label noise, in the unit of the loss.
        cells: the segments.

    Returns: the loss; all else is as in `segment_losses`.

    >>> import jax
    >>> from etastar.model import PowerLaw, modes_of
    >>> modes = modes_of(PowerLaw(2.0, 1.0, 0.1, 4).spectrum_to(1000))
    >>> def after(rates):
    ...     return segment_loss(modes, 0.1, Cells(jnp.full(8, 125.0), rates, jnp.full(8, 4.0)))
    >>> jax.grad(after)(jnp.full(8, 0.1)).shape
    (8,)
    """
    return segment_losses(modes, noise, cells)[-1]


def _shares(modes: Modes, cells: Cells) -> AffinePower:
    """Powers of the scalar map of SGD, shapes (N, K)."""
    length, rate, square, batch = _tall(cells)
    x = jnp.asarray(modes.eigenvalue)
    shrink = 2.0 * rate * x - square * x * x * (1.0 + modes.own / batch)
    # At shrink = 1 a mode is wiped out in one update, and its logarithm is not finite.
    over = shrink > 1.0 + 1e-9
    below = jnp.minimum(shrink, 1.0 - 1e-15)
    decay = jnp.expm1(length * jnp.log1p(-jnp.where(over, 0.5, below)))
    # Features lighter than Gaussian ones may overshoot: r below 0, its sign that of the parity.
    size = jnp.exp(length * jnp.log(jnp.where(over, shrink - 1.0, 0.5)))
    decay = jnp.where(over, size * jnp.cos(jnp.pi * length) - 1.0, decay)
    shrink = jnp.where(over, shrink, below)
    start, slope = _geometric_sums(shrink, decay, length)
    force = rate * rate * jnp.asarray(modes.square)
    return AffinePower([[decay]], [force * start], [force * slope / jnp.maximum(length, 1.0)])


def _tall(cells: Cells) -> tuple[jax.Array, ...]:
    """Length, mean LR, mean squared LR and batch size as columns (N, 1)."""
    rate = jnp.asarray(cells.rate, dtype=float)
    square = rate * rate if cells.drift is None else cells.drift.rate_square
    columns = (cells.length, rate, square, cells.batch_size)
    return tuple(jnp.asarray(x, dtype=float)[:, None] for x in columns)


def _geometric_sums(shrink: Any, decay: Any, length: Any) -> tuple[jax.Array, jax.Array]:
    """S_0 and S_1 of r = 1 - shrink, given decay = r^m - 1.

    Where m * shrink is small the closed forms cancel; there the series are used:
    S_0 = sum_i (-shrink)^i C(m, i + 1),  S_1 = sum_i (-shrink)^i C(m, i + 2).
    """
    near = jnp.abs(length * shrink) < 0.05
    safe = jnp.where(near, 1.0, shrink)
    start = -jnp.where(near, 0.0, decay) / safe
    slope = (length - start) / safe
    small = jnp.where(near, shrink, 0.0)
    series = []
    for order in (1, 2):
        term = length if order == 1 else length * (length - 1.0) / 2.0
        total = term
        for i in range(1, 9):
            term = -term * small * (length - order - i + 1.0) / (order + i)
            total = total + term
        series.append(total)
    # Below one update, as a part of the budget may be, there is no second one for S_1 to weigh.
    return jnp.where(near, series[0], start), jnp.maximum(jnp.where(near, series[1], slope), 0.0)


def _balance(modes: Modes, cells: Cells) -> tuple[jax.Array, jax.Array]:
    """Noise at both ends of the segments, (N, 1) or (N, K): 1 / B where no control varies.

    A mode in balance with noise of variance one has, from the fixed point of its moments, the share
    lambda c = gain = eta (1 + mu) / ((1 - mu) (2 (1 + mu) - eta lambda) - eta lambda (1 + mu) h/B);
    noise in the ratio of the gain at an end to the gain at the mean leads to the balance there.
    """
    if cells.drift is None:
        even = 1.0 / jnp.asarray(cells.batch_size, dtype=float)[:, None]
        return even, even
    drift = cells.drift
    x = jnp.asarray(modes.eigenvalue)

    def denominator(rate, momentum, batch):
        rate, momentum, batch = rate[:, None], momentum[:, None], batch[:, None]
        pull = rate * x
        fed = modes.own * pull * (1 + momentum) / batch
        return (1 - momentum) * (2 * (1 + momentum) - pull) - fed

    momentum = jnp.zeros_like(drift.rate_start) if cells.momentum is None else cells.momentum
    middle = denominator(cells.rate, momentum, cells.batch_size)

    def at(rate, mu, batch):
        strength = _ratio(rate * (1 + mu), cells.rate * (1 + momentum)) / batch
        # Bounded, since at an unstable rate there is no balance, and none at 2 / eigenvalue
        # without noise.
        here = denominator(rate, mu, batch)
        some = jnp.abs(here) > 1e-12
        stiff = jnp.where(some, jnp.clip(middle / jnp.where(some, here, 1.0), 0.1, 10.0), 1.0)
        return strength[:, None] * stiff

    return (
        at(drift.rate_start, drift.momentum_start, drift.batch_start),
        at(drift.rate_end, drift.momentum_end, drift.batch_end),
    )


def _ratio(value: Any, other: Any) -> Any:
    """value / other, 1 where both vanish."""
    return jnp.where(other > 0, value / jnp.where(other > 0, other, 1.0), 1.0)


def _scales(cells: Cells) -> Any:
    """What the moments are multiplied with at the segments' ends, three arrays (N,) for each.

    In balance m goes as 1 / (1 - mu) and u as 1 / (1 - mu^2), while the segment has the mean mu,
    and the velocity's noise enters a moment c that is advanced at the mean rate.
    """
    if cells.drift is None:
        return None
    drift, mean = cells.drift, jnp.asarray(cells.momentum, dtype=float)

    def at(rate, mu):
        cross = (1 - mu) / (1 - mean)
        pace = jnp.clip(_ratio(rate, cells.rate), 0.1, 10.0)
        return jnp.ones_like(mean), cross, pace * (1 + mu) / (1 + mean)

    return at(drift.rate_start, drift.momentum_start), at(drift.rate_end, drift.momentum_end)


def _moments(modes: Modes, cells: Cells, scales: Any) -> AffinePower:
    """Powers of the 3 x 3 map of SGD with momentum, every entry of shape (N, K)."""
    length, rate, square, batch = _tall(cells)
    momentum = jnp.asarray(cells.momentum, dtype=float)[:, None]
    if scales is None:
        growth = (jnp.ones_like(rate),) * 2
    else:
        # The scaled moments follow the balance by a constant factor an update.
        each = 1.0 / jnp.maximum(length, 1.0)
        growth = tuple(
            (end / start)[:, None] ** each
            for start, end in zip(scales[0][1:], scales[1][1:], strict=True)
        )
    eigenvalue = jnp.asarray(modes.eigenvalue)
    powers = affine_power(rate, square, momentum, modes.own / batch, eigenvalue, length, growth)
    force = jnp.asarray(modes.square)
    per_update = force / jnp.maximum(length, 1.0)
    return AffinePower(
        powers.decay,
        [force * x for x in powers.start],
        [per_update * x for x in powers.slope],
    )
