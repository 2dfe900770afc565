"""LR, momentum and batch size of a run: numbers or schedules, read at any step."""

from __future__ import annotations

import math
import numbers
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etastar._checks import shown
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._power_law import Model

Control = float | Schedule

_LARGEST = np.finfo(float).max


@dataclass(frozen=True)
class Controls:
    """The controls of a run.

    Attributes:
        rate: LR of every update.
        batch_size: samples of an update, at least 1, infinite for full gradients.
        momentum: mu, from 0 to below 1; None for plain SGD.
        velocity: LR of the velocity where it has its own, `rate` being that of the gradient; None
            where the velocity alone moves the weights, at `rate`.
    """

    rate: Schedule
    batch_size: Control
    momentum: Control | None
    velocity: Control | None = None

    @classmethod
    def make(
        cls,
        model: Model,
        schedule: Schedule,
        momentum: Control,
        batch_size: Control | None,
        velocity: Control | None = None,
    ) -> Controls:
        """Check the controls of a run of `model`."""
        if not isinstance(schedule, Schedule):
            raise InputError("schedule must be an etastar Schedule: see etastar.parse_schedule")
        batch = model.batch_size if batch_size is None else batch_size
        plain = not isinstance(momentum, Schedule) and momentum == 0 and velocity is None
        controls = cls(schedule, batch, None if plain else momentum, velocity)
        ends = np.array(controls.breakpoints())
        # A value past a jump belongs to the next piece: both sides are looked at.
        where = np.unique(np.concatenate([ends, np.maximum(ends - 1, 0)]))
        for name, control, low, high, rule in (
            ("batch_size", batch, 1.0, math.inf, "at least 1 sample"),
            ("momentum", momentum, 0.0, np.nextafter(1.0, 0.0), "from 0 to below 1"),
            ("velocity", 0.0 if velocity is None else velocity, 0.0, _LARGEST, "a finite LR >= 0"),
        ):
            values = _read(name, control, where)
            if not np.all((values >= low) & (values <= high)):
                bad = values[~((values >= low) & (values <= high))][0]
                raise InputError(f"{name} must be {rule}, got {bad:g}")
        return controls

    @property
    def horizon(self) -> int:
        return self.rate.horizon

    def breakpoints(self) -> tuple[float, ...]:
        """Steps where a control or its slope jumps, 0 and the horizon among them."""
        points = set(self.rate.breakpoints)
        for control in (self.batch_size, self.momentum, self.velocity):
            if isinstance(control, Schedule):
                points.update(point for point in control.breakpoints if point < self.horizon)
        return tuple(sorted(points))

    def at(
        self, step: NDArray[np.float64]
    ) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
        """LR, batch size and momentum of the updates `step`."""
        return (
            _read("schedule", self.rate, step),
            _read("batch_size", self.batch_size, step),
            _read("momentum", 0.0 if self.momentum is None else self.momentum, step),
        )

    def velocity_at(self, step: NDArray[np.float64]) -> NDArray[np.float64] | None:
        """LR of the velocity at the updates `step`, where it has its own."""
        return None if self.velocity is None else _read("velocity", self.velocity, step)


def _read(name: str, control: Control, step: NDArray[np.float64]) -> NDArray[np.float64]:
    if isinstance(control, Schedule):
        return control(step)
    if isinstance(control, bool) or not isinstance(control, numbers.Real):
        raise InputError(f"{name} must be a number or a Schedule, got {shown(control)}")
    return np.full(step.shape, float(control))


def speed(controls: Controls, step: NDArray[np.float64]) -> float:
    """The largest factor 1 / (1 - mu) by which momentum hastens the weights."""
    _, _, momentum = controls.at(step)
    return float(1.0 / (1.0 - momentum.max()))


def reach(controls: Controls) -> float:
    """The number of updates at a stable LR that take the slow modes at least as far as this run.

    Stable LRs are below 2 / lambda_1, where lambda_1 is 1 as in a power law; single ones may be
    larger, and momentum hastens all.
    """
    horizon = max(controls.horizon, 1)
    higher = min(max(controls.rate.peak / 2.0, 1.0), horizon)
    return horizon * higher * speed(controls, np.array(controls.breakpoints()))


def steps_asked(at: object, horizon: int) -> NDArray[np.float64]:
    """The numbers of updates after which a loss is wanted, whole and within the horizon."""
    if at is None:
        return np.array([float(horizon)])
    try:
        step = np.atleast_1d(np.asarray(at, dtype=np.float64))
    except (TypeError, ValueError, OverflowError):
        raise InputError("at must be a number of updates or a list of them") from None
    good = (step >= 0) & (step <= horizon) & (step == np.floor(step))
    if step.ndim != 1 or not step.size or not good.all():
        bad = step[~good][0] if step.ndim == 1 and step.size else at
        raise InputError(f"at must hold whole steps from 0 to the horizon {horizon}, got {bad}")
    return step
