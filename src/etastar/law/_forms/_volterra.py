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
_LEAST_RATE = 1e-300  # in place of a rate of 0, which has no logarithm
_ENTRIES = 1 << 16  # of the arrays worked on at a time: they stay in the processor's cache


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

    Arguments: the constants; `rate`, `length`, `batch` (Q, CELLS) in reference units.
    """

    constants: VolterraConstants
    rate: Array
    length: Array
    batch: Array

    @property
    def plain(self) -> bool:
        """Whether the effective rate is the learning rate."""
        return self.constants.log_balance is None

    @cached_property
    def squared_norm(self) -> tuple[Array, Array, Array]:
        """The weights' squared norm n: what a cell keeps of it, adds to it, and n at all nodes."""
        omega, balance = np.exp(self.constants.log_decay), np.exp(self.constants.log_balance)
        kept = np.exp(-omega * self.rate * self.length)
        grown = balance * self.rate * (1 - kept)
        return kept, grown, affine(np.ones(len(kept)), kept, grown)

    @cached_property
    def log_effective(self) -> Array:
        """Log of the effective rate of every cell."""
        log_rate = np.log(np.maximum(self.rate, _LEAST_RATE))
        if not self.plain:
            norm = self.squared_norm[2]
            log_rate = log_rate - 0.5 * np.log(0.5 * (norm[:, :-1] + norm[:, 1:]))
        if self.constants.log_critical is not None:
            log_rate = log_rate + self._log_progress
        return log_rate

    @property
    def _log_progress(self) -> Array:
        critical = np.exp(self.constants.log_critical)
        return 0.5 * np.log((1 + critical) * self.batch / (self.batch + critical))

    @cached_property
    def unstable(self) -> Array:
        """c e^4, the part by which cells are noisier near the largest stable LR."""
        if self.plain:
            return np.zeros_like(self.rate)
        return np.exp(self.constants.log_instability + 4 * self.log_effective)

    @property
    def time_power(self) -> Array | float:
        """q of intrinsic time e^q."""
        return 1.0 if self.plain else self.constants.time_power

    @property
    def averaged(self) -> Array:
        """b^-k, what a batch size leaves of the noise that it averages out."""
        power = self.constants.batch_power
        return self.batch ** -(1.0 if power is None else power)

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
        time = np.zeros((len(self.rate), self.rate.shape[1] + 1))
        np.cumsum(self.step, axis=1, out=time[:, 1:])
        return time

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
        """Values at points from those at the nodes, straight lines between."""
        here = np.take_along_axis(nodes, at.cell, 1)
        return here + at.fraction * (np.take_along_axis(nodes, at.cell + 1, 1) - here)

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


def affine(start: Array, kept: Array, added: Array) -> Array:
    """x at all nodes of x_(i+1) = kept_i x_i + added_i, from `start` (Q,): (Q, CELLS + 1).

    By doubling: after k rounds every cell holds the map of the 2^k cells that end with it.
    """
    kept, added = kept.copy(), added.copy()
    cells, reach = kept.shape[-1], 1
    while reach < cells:
        added[..., reach:] += kept[..., reach:] * added[..., :-reach]
        kept[..., reach:] = kept[..., reach:] * kept[..., :-reach]
        reach *= 2
    start = start[..., None]
    return np.concatenate([start, kept * start + added], axis=-1)


def changes(drive: Array) -> Array:
    """By how much the drive of every cell differs from that of the one before."""
    return np.diff(drive, axis=1, prepend=0.0)


class VolterraForm(Form):
    """A law of these terms: 1, bias, noise; where `fed` the noise times the bias at its step."""

    fed: ClassVar[bool] = False
    sees_batch: ClassVar[bool] = True

    def columns(self, theta, mesh, at):
        return self._at(theta, mesh, at, {})

    def columns_and_slopes(self, theta, mesh, at):
        shape = (len(theta), *at.cell.shape, len(self.linear))
        slope = {name: np.zeros(shape) for name in self.names}
        value = self._at(theta, mesh, at, slope)
        return value, np.stack(list(slope.values()), axis=-1)

    def mean_final_loss_and_slopes(self, theta, linear, mesh):
        laws = len(theta)
        same = (np.broadcast_to(x, (laws, x.shape[1])) for x in mesh[1:])
        found = final_loss_slopes(Rows(self._constants(theta), *same), linear, fed=self.fed)
        loss, *slopes = (x.mean(axis=0) for x in found)
        return LossSlopes(float(loss), *slopes)

    def _at(self, theta: Array, mesh: Mesh, at: At, slope: dict[str, Array]) -> Array:
        """The columns (K, R, N, k); fills in what `slope` holds of that shape for a constant."""
        laws, (runs, points) = len(theta), at.cell.shape
        rows = laws * runs
        value = np.ones((rows, points, len(self.linear)))
        flat = {name: x.reshape(value.shape) for name, x in slope.items()}
        at_a_time = max(1, _ENTRIES // (points * mesh.rate.shape[1]))
        for begin in range(0, rows, at_a_time):
            here = slice(begin, min(begin + at_a_time, rows))
            law, run = np.divmod(np.arange(here.start, here.stop), runs)
            part = Rows(self._constants(theta[law]), *(x[run] for x in mesh[1:]))
            there = At(at.cell[run], at.fraction[run])
            _fill(part, there, value[here], {n: x[here] for n, x in flat.items()}, fed=self.fed)
        return value.reshape(laws, runs, points, -1)

    def _constants(self, theta: Array) -> VolterraConstants:
        named = {name: theta[:, i, None] for i, name in enumerate(self.names)}
        return VolterraConstants(**{"noise_power": 2.0, **named})


def _fill(rows: Rows, at: At, value: Array, slope: dict[str, Array], *, fed: bool) -> None:
    """Write the columns of some rows to `value`, and the slopes by the constants in `slope`."""
    here = rows.at(rows.time, at)
    kernel = rows.kernel(here, slopes=bool(slope))
    value[..., 1], value[..., 2] = rows.bias(here), rows.noise(kernel, rows.drive)
    middle = rows.time[:, :-1] + 0.5 * rows.step
    if fed:
        value[..., 3] = rows.noise(kernel, rows.drive * rows.bias(middle))
    if not slope:
        return
    by_log_rate = _log_rate_slopes(rows)
    by_step = {name: rows.time_power * x for name, x in by_log_rate.items()}
    if not rows.plain:
        by_step["time_power"] = rows.log_effective
    by_time = {name: np.cumsum(rows.step * x, axis=1) for name, x in by_step.items()}
    zero = np.zeros((len(here), 1))
    by_time = {name: np.concatenate([zero, x], axis=1) for name, x in by_time.items()}
    by_here = {name: rows.at(x, at) for name, x in by_time.items()}
    origin = np.exp(rows.constants.log_origin)
    log_ratio = np.log((here + origin) / (1 + origin))
    part = origin / (here + origin) - origin / (1 + origin)
    slope["source"][..., 1] = -log_ratio * value[..., 1]
    slope["log_origin"][..., 1] = -rows.constants.source * part * value[..., 1]
    for name, x in by_here.items():
        slope[name][..., 1] = rows.bias_by_time(here) * x
    drives = {name: rows.drive * x for name, x in _log_drive_slopes(rows, by_log_rate).items()}
    for column, drive in ((2, rows.drive), (3, rows.drive * rows.bias(middle)))[: 1 + fed]:
        by_memory, by_lag = rows.noise_by_kernel(kernel, drive, value[..., column])
        slope["memory"][..., column], slope["log_lag"][..., column] = by_memory, by_lag
    _noise_slopes(rows.drive, kernel, drives, by_time, by_here, slope, 2)
    if fed:
        level = rows.drive * rows.bias(middle)
        log_ratio = np.log((middle + origin) / (1 + origin))
        part = origin / (middle + origin) - origin / (1 + origin)
        drives = {
            "source": -log_ratio * level,
            "log_origin": -rows.constants.source * part * level,
        }
        _noise_slopes(level, kernel, drives, {}, {}, slope, 3)


def _noise_slopes(
    drive: Array,
    kernel: Kernel,
    drives: dict[str, Array],
    by_time: dict[str, Array],
    by_here: dict[str, Array],
    slope: dict[str, Array],
    column: int,
) -> None:
    """Add to the slopes of noise what its drive and the times at nodes and points change."""
    if drives:
        stacked = np.stack([changes(x) for x in drives.values()], axis=-1)
        found = np.matmul(kernel.share, stacked)
        for i, name in enumerate(drives):
            slope[name][..., column] += found[..., i]
    if by_time:
        moved = changes(drive)[:, :, None] * np.stack(
            [np.ones_like(drive), *(x[:, :-1] for x in by_time.values())], axis=-1
        )
        found = np.matmul(kernel.by_time, moved)
        for i, name in enumerate(by_time):
            slope[name][..., column] += found[..., 0] * by_here[name] - found[..., i + 1]


def _log_rate_slopes(rows: Rows) -> dict[str, Array]:
    """Slopes of the log of the effective rate by the constants that it depends on."""
    found: dict[str, Array] = {}
    constants = rows.constants
    if not rows.plain:
        kept, grown, norm = rows.squared_norm
        z = np.exp(constants.log_decay) * rows.rate * rows.length
        at_balance = np.exp(constants.log_balance) * rows.rate
        zero = np.zeros(len(norm))
        by_balance = affine(zero, kept, grown)
        by_decay = affine(zero, kept, (at_balance - norm[:, :-1]) * z * kept)
        middle = norm[:, :-1] + norm[:, 1:]
        found["log_balance"] = -0.5 * (by_balance[:, :-1] + by_balance[:, 1:]) / middle
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
        middle = rows.time[:, :-1] + 0.5 * rows.step
        bias = rows.bias(middle)
        loss = loss + linear[:, 3] * rows.noise(kernel, rows.drive * bias)[:, 0]
        by_drive = by_drive + linear[:, 3:4] * of_share * bias
        moved = kernel.by_time[:, 0] * changes(rows.drive * bias)
        later = of_share * rows.drive * rows.bias_by_time(middle)
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
    kept, _, norm = rows.squared_norm
    # -1/2 log of the mean of a cell's two nodes: half of the slope goes to each.
    to_each = -0.5 * by_log_rate / (norm[:, :-1] + norm[:, 1:])
    own = np.zeros_like(norm)
    own[:, :-1] += to_each
    own[:, 1:] += to_each
    # The slope by n at node i + 1 is its own and what of it is kept later.
    later = affine(own[:, -1], kept[:, :0:-1], own[:, -2:0:-1])[:, ::-1]
    omega, balance = np.exp(rows.constants.log_decay), np.exp(rows.constants.log_balance)
    moved = omega * (balance * rows.rate - norm[:, :-1]) * kept
    by_rate = balance * (1 - kept) + moved * rows.length
    by_length = moved * rows.rate
    return later * by_rate, later * by_length
