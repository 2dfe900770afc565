"""The terms of a law in Volterra form: noise adds up, and a kernel of intrinsic time forgets it.

Written out in NumPy with slopes by hand: nothing is compiled, so that the first fit of a process is
as fast as the others, and a slope costs a product of matrices.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np

from ._form import At, Form, LossSlopes, Mesh

Array = np.ndarray

_LEAST_MEMORY = 1e-6  # below it the kernel's limit of no memory is reached to rounding
_LEAST_RATE = 1e-140  # in place of a rate of 0, which has no logarithm
_LEAST_LEFT = 1e-250  # what is kept of a squared norm can be divided by down to it
_ENTRIES = 1 << 16  # of the arrays worked on at a time: they stay in the processor's cache


class VolterraConstants(NamedTuple):
    """The constants of the terms in reference units, each an array (Q, 1) with one value a row.

    `source` s, `memory` g, `log_lag` log b, `noise_power` p and `log_origin` log S_0 of the formula
    in `EtastarForm`; `log_growth` log kappa, `log_decay` log omega, `time_power` q and
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
    log_growth: Any = None
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
        return self.constants.log_growth is None

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
        return np.exp(-_running_sum(self.turnover))

    @cached_property
    def kept(self) -> Array:
        """The part of the squared norm that every cell keeps."""
        return np.exp(-self.turnover)

    @cached_property
    def balance(self) -> Array:
        """kappa eta / omega of every cell, the squared norm at which growth and decay balance."""
        return np.exp(self.constants.log_growth - self.constants.log_decay) * self.rate

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
        return _running_sum(added / later, later)

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
        return _running_sum(self.step)

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
        np.exp(left, out=left)
        if not slopes:
            left -= 1
            left /= all_[:, :, None]
            return Kernel(left)
        power *= left
        by_time = np.divide(left, moved, out=moved)
        by_time *= (-memory / all_)[:, :, None]
        by_time *= since > 0
        since *= by_time
        left -= 1
        left /= all_[:, :, None]
        return Kernel(left, by_time, power, since)

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


def _running_sum(x: Array, factor: Array | None = None) -> Array:
    """Sums of x (.., CELLS) up to every node, times `factor` after the first, (.., CELLS + 1)."""
    found = np.zeros((*x.shape[:-1], x.shape[-1] + 1))
    np.cumsum(x, axis=-1, out=found[..., 1:])
    if factor is not None:
        found[..., 1:] *= factor
    return found


class VolterraForm(Form):
    """A law of these terms: 1, bias, noise; where `fed` the noise times the bias at its step."""

    fed: ClassVar[bool] = False
    sees_batch: ClassVar[bool] = True

    def columns(self, theta, mesh, at):
        return self._at(theta, mesh, at, None)

    def columns_and_slopes(self, theta, mesh, at):
        slope = np.zeros((len(theta), *at.cell.shape, len(self.linear), self.size))
        return self._at(theta, mesh, at, slope), slope

    def final_losses_and_slopes(self, theta, linear, mesh):
        return final_loss_slopes(Rows.of(self._constants(theta), *mesh[1:]), linear, fed=self.fed)

    def _at(self, theta: Array, mesh: Mesh, at: At, slope: Array | None) -> Array:
        """The columns (K, R, N, k); fills in `slope` (K, R, N, k, n) by the constants."""
        laws, (runs, points) = len(theta), at.cell.shape
        rows = laws * runs
        value = np.ones((rows, points, len(self.linear)))
        flat = None if slope is None else slope.reshape(*value.shape, self.size)
        at_a_time = max(1, _ENTRIES // (points * mesh.rate.shape[1]))
        for begin in range(0, rows, at_a_time):
            here = slice(begin, min(begin + at_a_time, rows))
            law, run = np.divmod(np.arange(here.start, here.stop), runs)
            part = Rows.of(self._constants(theta[law]), *(x[run] for x in mesh[1:]))
            there = At(at.cell[run], at.fraction[run])
            kernel = _fill(part, there, value[here], slopes=flat is not None, fed=self.fed)
            if flat is not None:
                by = {name: flat[here, ..., i] for i, name in enumerate(self.names)}
                _fill_slopes(part, there, kernel, value[here], by, fed=self.fed)
        return value.reshape(laws, runs, points, -1)

    def _constants(self, theta: Array) -> VolterraConstants:
        named = {name: theta[:, i, None] for i, name in enumerate(self.names)}
        return VolterraConstants(**{"noise_power": 2.0, **named})


def _fill(rows: Rows, at: At, value: Array, *, slopes: bool, fed: bool) -> Kernel:
    """Write the columns of some rows to `value`; returns the kernel that they are made with."""
    here = rows.at(rows.time, at)
    kernel = rows.kernel(here, slopes=slopes)
    value[..., 1], value[..., 2] = rows.bias(here), rows.noise(kernel, rows.drive)
    if fed:
        value[..., 3] = rows.noise(kernel, rows.drive * rows.bias(rows.middle))
    return kernel


def _fill_slopes(
    rows: Rows, at: At, kernel: Kernel, value: Array, slope: dict[str, Array], *, fed: bool
) -> None:
    """Write the slopes of the columns of some rows by the constants to `slope`."""
    here = rows.at(rows.time, at)
    by_log_rate = _log_rate_slopes(rows)
    by_step = {name: rows.time_power * x for name, x in by_log_rate.items()}
    if not rows.plain:
        by_step["time_power"] = rows.log_effective
    by_time, by_here = None, None
    if by_step:
        by_time = _running_sum(np.stack([rows.step * x for x in by_step.values()], axis=1))
        by_here = rows.at(by_time, at)
        change = rows.bias_by_time(here)
        for i, name in enumerate(by_step):
            slope[name][..., 1] = change * by_here[:, i]
    log_ratio, part = _origin_slopes(rows, here)
    slope["source"][..., 1] = -log_ratio * value[..., 1]
    slope["log_origin"][..., 1] = -rows.constants.source * part * value[..., 1]
    drives = {name: rows.drive * x for name, x in _log_drive_slopes(rows, by_log_rate).items()}
    levels = [rows.drive, rows.drive * rows.bias(rows.middle)][: 1 + fed]
    for column, level in enumerate(levels, start=2):
        by_memory, by_lag = rows.noise_by_kernel(kernel, level, value[..., column])
        slope["memory"][..., column], slope["log_lag"][..., column] = by_memory, by_lag
    _add_drives(kernel, drives, slope, 2)
    if by_time is not None:
        moved = changes(rows.drive)[:, None, :] * by_time[:, :, :-1]
        found = np.matmul(kernel.by_time, np.swapaxes(moved, 1, 2))
        whole = np.matmul(kernel.by_time, changes(rows.drive)[:, :, None])[..., 0]
        for i, name in enumerate(by_step):
            slope[name][..., 2] += whole * by_here[:, i] - found[..., i]
    if fed:
        log_ratio, part = _origin_slopes(rows, rows.middle)
        drives = {
            "source": -log_ratio * levels[1],
            "log_origin": -rows.constants.source * part * levels[1],
        }
        _add_drives(kernel, drives, slope, 3)


def _origin_slopes(rows: Rows, time: Array) -> tuple[Array, Array]:
    """Minus the slopes of log bias at times S by s, and by log S_0 over s."""
    origin = np.exp(rows.constants.log_origin)
    log_ratio = np.log((time + origin) / (1 + origin))
    return log_ratio, origin / (time + origin) - origin / (1 + origin)


def _add_drives(
    kernel: Kernel, drives: dict[str, Array], slope: dict[str, Array], column: int
) -> None:
    """Add to the slopes of noise what the slopes of its drive are worth."""
    if drives:
        stacked = changes(np.stack(list(drives.values()), axis=1))
        found = np.matmul(kernel.share, np.swapaxes(stacked, 1, 2))
        for i, name in enumerate(drives):
            slope[name][..., column] += found[..., i]


def _log_rate_slopes(rows: Rows) -> dict[str, Array]:
    """Slopes of the log of the effective rate by the constants that it depends on."""
    found: dict[str, Array] = {}
    constants = rows.constants
    if not rows.plain:
        norm = rows.squared_norm
        by_growth = norm - rows.left
        lost = rows.turnover * rows.kept
        by_decay = rows.renewed((rows.balance - norm[:, :-1]) * lost - rows.grown)
        middle = norm[:, :-1] + norm[:, 1:]
        found["log_growth"] = -0.5 * (by_growth[:, :-1] + by_growth[:, 1:]) / middle
        found["log_decay"] = -0.5 * (by_decay[:, :-1] + by_decay[:, 1:]) / middle
    if constants.log_critical is not None:
        critical = np.exp(constants.log_critical)
        found["log_critical"] = 0.5 * (
            critical / (1 + critical) - critical / (rows.batch + critical)
        )
    return found


def _log_drive_slopes(rows: Rows, by_log_rate: dict[str, Array]) -> dict[str, Array]:
    """Slopes of the log of the drive by the constants that it depends on."""
    if rows.plain:
        return {}
    constants = rows.constants
    part = rows.unstable / (1 + rows.unstable)
    power = constants.noise_power - rows.time_power + 4 * part
    found = {name: power * x for name, x in by_log_rate.items()}
    found["noise_power"] = rows.log_effective
    found["time_power"] = -rows.log_effective
    found["log_instability"] = part
    if constants.batch_power is not None:
        found["batch_power"] = -np.log(rows.batch) * rows.averaged / (rows.averaged + rows.lasting)
    if constants.log_kept is not None:
        found["log_kept"] = rows.lasting / (rows.averaged + rows.lasting) - rows.lasting / (
            1 + rows.lasting
        )
    return found


def final_loss_slopes(rows: Rows, linear: Array, *, fed: bool) -> LossSlopes:
    """Final loss of every row (Q,), and its slopes by rate, length and batch of every cell.

    `linear` (Q, k) are the factors of the columns. The slopes go backwards through the formula.
    """
    here = rows.time[:, -1:]
    kernel = rows.kernel(here, slopes=True)
    noise = rows.noise(kernel, rows.drive)[:, 0]
    loss = linear[:, 0] + linear[:, 1] * rows.bias(here)[:, 0] + linear[:, 2] * noise
    share = np.concatenate([kernel.share[:, 0], np.zeros((len(loss), 1))], axis=1)
    of_share = -np.diff(share, axis=1)
    moved = kernel.by_time[:, 0] * changes(rows.drive)
    by_drive = linear[:, 2:3] * of_share
    by_step = linear[:, 1:2] * rows.bias_by_time(here) + linear[:, 2:3] * np.cumsum(moved, axis=1)
    if fed:
        bias = rows.bias(rows.middle)
        loss = loss + linear[:, 3] * rows.noise(kernel, rows.drive * bias)[:, 0]
        by_drive = by_drive + linear[:, 3:4] * of_share * bias
        moved = kernel.by_time[:, 0] * changes(rows.drive * bias)
        later = of_share * rows.drive * rows.bias_by_time(rows.middle)
        after = np.cumsum(later[:, ::-1], axis=1)[:, ::-1] - 0.5 * later
        by_step = by_step + linear[:, 3:4] * (np.cumsum(moved, axis=1) + after)
    part = rows.unstable / (1 + rows.unstable)
    of_drive = by_drive * rows.drive
    power = rows.constants.noise_power - rows.time_power + 4 * part
    by_log_rate = rows.time_power * rows.step * by_step + of_drive * power
    by_log_batch = -rows.batch_power * of_drive
    if rows.constants.log_critical is not None:
        critical = np.exp(rows.constants.log_critical)
        by_log_batch = by_log_batch + 0.5 * critical / (rows.batch + critical) * by_log_rate
    there = (rows.length > 0) & (rows.rate > 0)
    by_log_rate = np.where(there, by_log_rate, 0.0)
    by_rate = by_log_rate / np.where(there, rows.rate, 1.0)
    by_length = by_step * np.exp(rows.time_power * rows.log_effective)
    if not rows.plain:
        more, more_by_length = _through_norm(rows, by_log_rate)
        by_rate, by_length = by_rate + more, by_length + more_by_length
    by_batch = np.where(there, by_log_batch / rows.batch, 0.0)
    return LossSlopes(loss, by_rate, by_length, by_batch)


def _through_norm(rows: Rows, by_log_rate: Array) -> tuple[Array, Array]:
    """Slopes by rates and lengths of what the log effective rates change by the squared norm."""
    norm = rows.squared_norm
    # -1/2 log of the mean of a cell's two nodes: half of the slope goes to each.
    to_each = -0.5 * by_log_rate / (norm[:, :-1] + norm[:, 1:])
    own = np.zeros_like(norm)
    own[:, :-1] += to_each
    own[:, 1:] += to_each
    later = rows.kept_from(own)
    omega, kappa = np.exp(rows.constants.log_decay), np.exp(rows.constants.log_growth)
    lost = (kappa * rows.rate - omega * norm[:, :-1]) * rows.kept
    by_rate = kappa / omega * (1 - rows.kept) + lost * rows.length
    return later * by_rate, later * lost * rows.rate
