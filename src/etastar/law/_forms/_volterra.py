"""The terms of a law in Volterra form, with slopes by hand: a slope costs a product of matrices."""

from __future__ import annotations

from typing import ClassVar

import numpy as np

from ._form import At, Form, LossSlopes, Mesh
from ._volterra_rows import Kernel, Rows, VolterraConstants, changes, running_sum

Array = np.ndarray

_ENTRIES = 1 << 16  # of the arrays worked on at a time: they stay in the processor's cache


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
    log_ratio, part = _origin_slopes(rows, here)
    slope["source"][..., 1] = -log_ratio * value[..., 1]
    slope["log_origin"][..., 1] = -rows.constants.source * part * value[..., 1]
    drives = {name: rows.drive * x for name, x in _log_drive_slopes(rows, by_log_rate).items()}
    levels = [rows.drive, rows.drive * rows.bias(rows.middle)][: 1 + fed]
    for column, level in enumerate(levels, start=2):
        by_memory, by_lag = rows.noise_by_kernel(kernel, level, value[..., column])
        slope["memory"][..., column], slope["log_lag"][..., column] = by_memory, by_lag
    _add_drives(kernel, drives, slope, 2)
    if by_step:
        by_time = running_sum(np.stack([rows.step * x for x in by_step.values()], axis=1))
        by_here, change = rows.at(by_time, at), changes(rows.drive)
        moved = np.swapaxes(change[:, None, :] * by_time[:, :, :-1], 1, 2)
        moved_alone = np.matmul(kernel.by_time, change[:, :, None])[..., 0]
        moved_too, by_bias = np.matmul(kernel.by_time, moved), rows.bias_by_time(here)
        for i, name in enumerate(by_step):
            slope[name][..., 1] = by_bias * by_here[:, i]
            slope[name][..., 2] += moved_alone * by_here[:, i] - moved_too[..., i]
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
        by_balance = norm - rows.left
        renewal = rows.turnover * rows.kept
        by_decay = rows.renewed((rows.balance - norm[:, :-1]) * renewal)
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
    omega, balance = np.exp(rows.constants.log_decay), np.exp(rows.constants.log_balance)
    renewal = omega * (rows.balance - norm[:, :-1]) * rows.kept
    by_rate = balance * (1 - rows.kept) + renewal * rows.length
    return later * by_rate, later * renewal * rows.rate
