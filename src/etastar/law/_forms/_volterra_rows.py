"""Rows of cells under a law in Volterra form: effective rates, intrinsic times, drive and kernel.

Noise adds up, and a kernel of intrinsic time forgets it. Written out in NumPy: nothing is compiled,
so that the first fit of a process is as fast as the others.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, NamedTuple

import numpy as np

from ._form import At

Array = np.ndarray

_LEAST_MEMORY = 1e-6  # below it the kernel's limit of no memory is reached to rounding
_LITTLE_MEMORY = 1e-2  # below it 1 - (1 + u/b)^-g would lose digits, and its slope by g most
_LEAST_RATE = 1e-140  # in place of a rate of 0, which has no logarithm
_LEAST_LEFT = 1e-250  # what is kept of a squared norm can be divided by down to it


class VolterraConstants(NamedTuple):
    """The constants of the terms in reference units, each an array (Q, 1) with one value a row.

    `source` s, `memory` g, `log_lag` log b, `noise_power` p and `log_origin` log S_0 of the formula
    in `EtastarForm`; `log_balance` log beta, `log_decay` log omega, `time_power` q and
    `log_instability` log c, or None: then the effective rate is the learning rate, q is 1 and c 0;
    `log_critical` the logarithm of the critical batch size over the reference, `batch_power` k and
    `log_kept` log d of `NormalisedForm`, or None: then the batch size divides the noise and does
    nothing else.
    """

    source: Array
    memory: Array
    log_lag: Array
    noise_power: Any
    log_origin: Array
    log_balance: Any = None
    log_decay: Any = None
    time_power: Any = None
    log_instability: Any = None
    log_critical: Any = None
    batch_power: Any = None
    log_kept: Any = None


class Kernel(NamedTuple):
    """The kernel's integral G(S - S_i) from the start of each cell to points, (Q, N, CELLS).

    `by_time` is its slope by S, `power` and `moved` are parts of those by g and log b; None where
    no slopes were asked for.
    """

    share: Array
    by_time: Any = None
    power: Any = None
    moved: Any = None


@dataclass(frozen=True)
class Rows:
    """Q rows of cells, each with constants of its own, and what the terms have in common.

    Arguments: the constants; `rate`, `length` (Q, CELLS) in reference units and `batch`, of that
    shape or (Q, 1) where it is the same in all cells.
    """

    constants: VolterraConstants
    rate: Array
    length: Array
    batch: Array

    @property
    def plain(self) -> bool:
        """Whether the effective rate is the learning rate."""
        return self.constants.log_balance is None

    @classmethod
    def of(cls, constants: VolterraConstants, rate: Array, length: Array, batch: Array) -> Rows:
        """Rows of meshes, what has to be known of batch sizes that stay the same once a row."""
        first = batch[:, :1]
        return cls(constants, rate, length, first if (batch == first).all() else batch)

    @cached_property
    def turnover(self) -> Array:
        """omega eta dt of every cell: how often the weights' norm is renewed in it."""
        return np.exp(self.constants.log_decay) * self.rate * self.length

    @cached_property
    def left(self) -> Array:
        """What is left at all nodes of a squared norm at the start, (Q, CELLS + 1)."""
        return np.exp(-running_sum(self.turnover))

    @cached_property
    def kept(self) -> Array:
        """The part of the squared norm that every cell keeps."""
        return np.exp(-self.turnover)

    @cached_property
    def balance(self) -> Array:
        """beta eta of every cell, the squared norm at which growth and decay balance."""
        return np.exp(self.constants.log_balance) * self.rate

    @cached_property
    def grown(self) -> Array:
        """What every cell adds to the squared norm."""
        return self.balance * (1 - self.kept)

    @cached_property
    def squared_norm(self) -> Array:
        """The weights' squared norm n at all nodes, 1 at the start."""
        return self.left + self.renewed(self.grown)

    def renewed(self, added: Array) -> Array:
        """x at all nodes of x_(i+1) = kept_i x_i + added_i from x_0 = 0, (Q, CELLS + 1)."""
        if self.left.min() < _LEAST_LEFT:
            return affine(self.kept, added)
        later = self.left[:, 1:]
        return running_sum(added / later, later)

    def kept_from(self, slope: Array) -> Array:
        """Slopes of a sum by n at the end of every cell, from its slopes by n at nodes alone.

        y_i = slope_(i+1) + kept_(i+1) y_(i+1): a change of n is kept on. (Q, CELLS).
        """
        if self.left.min() < _LEAST_LEFT:
            kept = np.concatenate([np.ones((len(slope), 1)), self.kept[:, :0:-1]], axis=1)
            return affine(kept, slope[:, :0:-1])[:, :0:-1]
        later = self.left[:, 1:]
        found = np.cumsum((slope[:, 1:] * later)[:, ::-1], axis=1)[:, ::-1]
        return found / later

    @cached_property
    def squared_effective(self) -> Array:
        """The square of the effective rate of every cell."""
        squared = np.square(np.maximum(self.rate, _LEAST_RATE))
        if not self.plain:
            norm = self.squared_norm
            squared *= 2
            squared /= norm[:, :-1] + norm[:, 1:]
        if self.constants.log_critical is not None:
            critical = np.exp(self.constants.log_critical)
            squared *= (1 + critical) * self.batch / (self.batch + critical)
        return squared

    @cached_property
    def log_effective(self) -> Array:
        """Log of the effective rate of every cell."""
        found = np.log(self.squared_effective)
        found *= 0.5
        return found

    @cached_property
    def unstable(self) -> Array:
        """c e^4, the part by which cells are noisier near the largest stable LR."""
        if self.plain:
            return np.zeros_like(self.rate)
        return np.exp(self.constants.log_instability) * np.square(self.squared_effective)

    @property
    def time_power(self) -> Array | float:
        """q of intrinsic time e^q."""
        return 1.0 if self.plain else self.constants.time_power

    @property
    def averaged(self) -> Array:
        """b^-k, what a batch size leaves of the noise that it averages out."""
        power = self.constants.batch_power
        return 1 / self.batch if power is None else self.batch**-power

    @property
    def lasting(self) -> Array | float:
        """d, the noise that no batch size averages out."""
        return 0.0 if self.constants.log_kept is None else np.exp(self.constants.log_kept)

    @property
    def batch_power(self) -> Array | float:
        """The power of the batch size by which the noise of an update falls just there."""
        power = 1.0 if self.constants.batch_power is None else self.constants.batch_power
        return power * self.averaged / (self.averaged + self.lasting)

    @cached_property
    def step(self) -> Array:
        """The intrinsic time that every cell takes."""
        return np.exp(self.time_power * self.log_effective) * self.length

    @cached_property
    def time(self) -> Array:
        """Intrinsic time at the nodes, (Q, CELLS + 1)."""
        return running_sum(self.step)

    @property
    def middle(self) -> Array:
        """Intrinsic time in the middle of every cell."""
        return self.time[:, :-1] + 0.5 * self.step

    @cached_property
    def drive(self) -> Array:
        """Noise of every cell per unit of intrinsic time."""
        power = self.constants.noise_power - self.time_power
        of_batch = (self.averaged + self.lasting) / (1 + self.lasting)
        return np.exp(power * self.log_effective) * of_batch * (1 + self.unstable)

    def bias(self, time: Array) -> Array:
        """((S + S_0) / (1 + S_0))^-s at intrinsic times S, (Q, any number)."""
        origin = np.exp(self.constants.log_origin)
        return ((time + origin) / (1 + origin)) ** -self.constants.source

    def bias_by_time(self, time: Array) -> Array:
        """Its slope by S."""
        origin = np.exp(self.constants.log_origin)
        return -self.constants.source * self.bias(time) / (time + origin)

    def at(self, nodes: Array, at: At) -> Array:
        """Values at points from those at the nodes (Q, .., CELLS + 1), straight lines between."""
        lead = (slice(None),) + (None,) * (nodes.ndim - 2)
        cell, fraction = at.cell[lead], at.fraction[lead]
        here = np.take_along_axis(nodes, cell, -1)
        return here + fraction * (np.take_along_axis(nodes, cell + 1, -1) - here)

    def kernel(self, here: Array, *, slopes: bool) -> Kernel:
        """The kernel's integral at intrinsic times S, `here` (Q, N).

        K(u) is the derivative of G(u) = (1 - (1 + u/b)^-g) / (1 - (1 + 1/b)^-g): a power law whose
        integral from 0 to 1 is 1.
        """
        memory = np.maximum(self.constants.memory, _LEAST_MEMORY)
        lag = np.exp(self.constants.log_lag)
        whole = np.log1p(1 / lag)
        all_ = np.expm1(-memory * whole)
        since = here[:, :, None] - self.time[:, None, :-1]
        np.maximum(since, 0.0, out=since)
        # In place, since the time of all this is that of moving memory.
        moved = since + lag[:, :, None]
        left = np.log(moved)
        left -= self.constants.log_lag[:, :, None]
        power = left.copy() if slopes else left
        left *= -memory[:, :, None]
        exact = np.expm1(left) if memory.min() < _LITTLE_MEMORY else None
        np.exp(left, out=left)
        if not slopes:
            return Kernel(_share(left, exact, all_))
        power *= left
        by_time = np.divide(left, moved, out=moved)
        by_time *= (-memory / all_)[:, :, None]
        by_time *= since > 0
        since *= by_time
        return Kernel(_share(left, exact, all_), by_time, power, since)

    def noise(self, kernel: Kernel, drive: Array) -> Array:
        """int_0^S drive(S') K(S - S') dS' at the points of a kernel, (Q, N).

        A cell from S_i to S_(i+1) adds drive_i (G(S - S_i) - G(S - S_(i+1))), which is exact for a
        drive that is constant in it.
        """
        return np.matmul(kernel.share, changes(drive)[:, :, None])[..., 0]

    def noise_by_kernel(self, kernel: Kernel, drive: Array, noise: Array) -> tuple[Array, Array]:
        """Slopes of `noise` by the kernel's memory g and by log b."""
        memory = np.maximum(self.constants.memory, _LEAST_MEMORY)
        lag = np.exp(self.constants.log_lag)
        whole = np.log1p(1 / lag)
        all_ = np.expm1(-memory * whole)
        change = changes(drive)[:, :, None]
        by_memory = noise * whole * (1 + all_) - np.matmul(kernel.power, change)[..., 0]
        by_lag = -np.matmul(kernel.moved, change)[..., 0]
        return by_memory / all_, by_lag - noise * memory * (1 + all_) / (1 + lag) / all_


def _share(left: Array, exact: Array | None, all_: Array) -> Array:
    """(left - 1) / all_ in place of one of its arguments: `exact` is left - 1 where it was made."""
    if exact is None:
        exact = np.subtract(left, 1.0, out=left)
    exact /= all_[:, :, None]
    return exact


def affine(kept: Array, added: Array) -> Array:
    """x at all nodes of x_(i+1) = kept_i x_i + added_i, from 0: (Q, CELLS + 1).

    By doubling: after k rounds every cell holds the map of the 2^k cells that end with it. Slower
    than a running sum, and safe where next to nothing is kept.
    """
    kept, added = kept.copy(), added.copy()
    cells, reach = kept.shape[-1], 1
    while reach < cells:
        added[..., reach:] += kept[..., reach:] * added[..., :-reach]
        kept[..., reach:] = kept[..., reach:] * kept[..., :-reach]
        reach *= 2
    return np.concatenate([np.zeros((len(kept), 1)), added], axis=-1)


def changes(drive: Array) -> Array:
    """By how much the drive (.., CELLS) of every cell differs from that of the one before."""
    found = np.empty_like(drive)
    found[..., 0] = drive[..., 0]
    np.subtract(drive[..., 1:], drive[..., :-1], out=found[..., 1:])
    return found


def running_sum(x: Array, factor: Array | None = None) -> Array:
    """Sums of x (.., CELLS) up to every node, times `factor` after the first, (.., CELLS + 1)."""
    found = np.zeros((*x.shape[:-1], x.shape[-1] + 1))
    np.cumsum(x, axis=-1, out=found[..., 1:])
    if factor is not None:
        found[..., 1:] *= factor
    return found
