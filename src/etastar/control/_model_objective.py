"""The final loss of the solvable model as a function of LR and batch size on knots."""

from __future__ import annotations

from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp

import etastar._precision  # noqa: F401  # first: double precision
from etastar.model import Cells, Drift, segment_losses

_ROUND = 6.0


class Setting(NamedTuple):
    """What stays fixed in a solve: arrays and numbers that JAX may trace.

    `length`, `spread` and `ramp` of a `KnotMesh`; an update costs `update_cost` + `sample_cost` *
    batch size of the budget; rates lie between `floor` and `cap`; where the batch size varies, up
    to `max_batch`, the stable rates 2 / (largest (1 + own / B) + fed / B) bound them too.
    """

    length: Any
    spread: Any
    ramp: Any
    batch_size: Any
    update_cost: Any
    sample_cost: Any
    floor: Any
    cap: Any
    max_batch: Any
    largest: Any
    fed: Any
    own: Any


class Logs(NamedTuple):
    """Variables: logs on the knots, and one number for the mix of LR and batch size.

    Each (KNOTS,): `rate` log of the rate's part of its room, or with a `mix` of eta / B in parts of
    its largest; `mix` the log of the part of the stable rate that the LR may take before the batch
    size does the rest.
    """

    rate: Any
    mix: Any = None


def stable_rate(setting: Setting, batch_size: Any) -> Any:
    """The largest stable rate at a batch size, the cap at most."""
    stable = 2.0 / (setting.largest * (1 + setting.own / batch_size) + setting.fed / batch_size)
    return jnp.minimum(setting.cap, stable)


def mixed(setting: Setting, ratio: Any, part: Any) -> tuple[Any, Any]:
    """LR and batch size that make the noise `ratio` = eta / B with the largest LR allowed.

    To move the slow modes by du of intrinsic time leaves the noise (eta / B) K du and costs (t0 /
    eta + t1 B / eta) du of the budget: at a given eta / B the largest eta is the cheapest. That is
    `part` of the stable rate at its own batch size, B = (2 part / ratio - q tr) / lambda_1 - h,
    from 1 on up to the largest batch; beyond it the LR falls. The corners are rounded, for the
    solver's sake.
    """
    stable = (2.0 * part / ratio - setting.fed) / setting.largest - setting.own
    stable = jnp.maximum(stable, 1e-3)
    inverse = (stable**-_ROUND + (ratio / part / setting.cap) ** _ROUND) ** (1.0 / _ROUND)
    batch = (inverse**-_ROUND + 1.0) ** (1.0 / _ROUND)
    batch = (batch**-_ROUND + setting.max_batch**-_ROUND) ** (-1.0 / _ROUND)
    return ratio * batch, batch


def controls_at_knots(setting: Setting, logs: Logs) -> tuple[Any, Any]:
    """Rate and batch size on the knots; None for a batch size that is not varied."""
    if logs.mix is None:
        return setting.floor + (setting.cap - setting.floor) * jnp.exp(logs.rate), None
    return mixed(setting, stable_rate(setting, 1.0) * jnp.exp(logs.rate), jnp.exp(logs.mix))


def cells_of(setting: Setting, logs: Logs) -> Cells:
    """The segments, with controls linear between the knots."""
    rate, batch = controls_at_knots(setting, logs)
    rate = setting.ramp * (setting.spread @ rate)
    first, last = rate[:-1], rate[1:]
    if batch is None:  # the budget is one of updates then, and the batch size may be infinite
        length = setting.length
        size = size0 = size1 = jnp.full_like(first, setting.batch_size)
    else:
        batch = setting.spread @ batch
        length = _lengths(setting, batch)
        size0, size1 = batch[:-1], batch[1:]
        size = 1.0 / _mean_inverse(size0, size1)
    count = jnp.maximum(length, 1.0)
    # Over m updates the rate goes from `first` to one update before `last`.
    mean = first + (last - first) * (count - 1) / (2 * count)
    square = mean**2 + ((last - first) / count) ** 2 * (count**2 - 1) / 12
    none = jnp.zeros_like(mean)
    return Cells(length, mean, size, None, Drift(square, first, last, size0, size1, none, none))


def _lengths(setting: Setting, batch: Any) -> Any:
    """Updates in each segment: what it has of the budget over the mean cost of its updates."""
    cost0 = setting.update_cost + setting.sample_cost * batch[:-1]
    cost1 = setting.update_cost + setting.sample_cost * batch[1:]
    return setting.length * _mean_inverse(cost0, cost1)


def _mean_inverse(first: Any, last: Any) -> Any:
    """The mean of 1 / y for y linear from `first` to `last`, log(last / first) / (last - first)."""
    x = last / first - 1.0
    far = jnp.abs(x) > 1e-4
    safe = jnp.where(far, x, 1.0)
    return jnp.where(far, jnp.log1p(safe) / safe, 1.0 - x / 2 + x * x / 3) / first


@partial(jax.jit, static_argnames="wanted")
def log_loss(modes: Any, noise: Any, setting: Setting, logs: Logs, wanted: str = "slope") -> Any:
    """The log of the final loss with its slope in the variables, or the losses at the nodes."""
    if wanted == "losses":
        return segment_losses(modes, noise, cells_of(setting, logs))

    def final(logs: Logs) -> Any:
        return jnp.log(segment_losses(modes, noise, cells_of(setting, logs))[-1])

    return jax.value_and_grad(final)(logs)
