"""What is optimised for the solvable model: its budget and the limits of its controls, checked."""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from typing import NamedTuple

import jax.numpy as jnp
import numpy as np
from numpy.typing import NDArray

from etastar._errors import InputError
from etastar.model import Model, Modes, Spectrum, merged, modes_of

from ._budget import Budget
from ._closed_form import Relaxed, relaxed
from ._limits import Limits
from ._model_mesh import KnotMesh
from ._model_objective import Setting

Array = NDArray[np.float64]
Along = Callable[[Array], Array]
"""A control as a function of the place in the budget."""

CONTROLS = ("lr", "velocity", "momentum", "batch")
"""What may be optimised."""

_CHANNELS = {"lr": "rate", "batch": "mix"}
"""The variables of `Logs` that stand for controls."""


_GRID = 256
"""LRs at which the bound looks for the fastest decay of a mode."""

_AT_ONCE = 1e6
_ROUNDING = 3e-4
"""What the bound leaves to its quadrature and to the losses that it is compared with."""


class Ranges(NamedTuple):
    """How large the batch size (samples an update) and the momentum may become."""

    max_batch: float
    max_momentum: float


class Start(NamedTuple):
    """Controls along the budget: LR, batch size, and how much of the stable LR is used."""

    rate: Along
    batch_size: Along
    part: Along


def constant(value: float) -> Along:
    return lambda place: np.full(place.shape, value)


@dataclass(frozen=True)
class ControlProblem:
    """A model with the controls to optimise, their budget and limits, and its spectrum."""

    model: Model
    controls: tuple[str, ...]
    budget: Budget
    limits: Limits
    ranges: Ranges
    spectrum: Spectrum
    modes: Modes

    @classmethod
    def checked(
        cls,
        model: Model,
        controls: Sequence[str],
        budget: Budget,
        limits: Limits,
        ranges: Ranges,
    ) -> ControlProblem:
        """Check that model, controls, budget and limits go together.

        Raises: InputError naming the parameter that does not.
        """
        controls = _named(controls)
        batched = "batch" in controls
        momentum = "momentum" in controls
        _check_together(limits, budget, batched, momentum)
        name, total = budget.name, budget.total
        if not batched:
            budget = Budget(float(budget.whole_updates(model.batch_size)))
        least = 1.0 if batched else model.batch_size
        if budget.updates(least) < 1:
            raise InputError(
                f"{name} {total:g} is less than one update of batch size {least:g}: raise it"
            )
        _check(limits, ranges, budget, batched)
        steps = budget.updates(least)
        hastened = min(1.0 / (1.0 - ranges.max_momentum), steps) if momentum else 1.0
        whole = model.spectrum_to(steps * hastened)
        spectrum = merged(whole)
        if not spectrum.target.any():
            raise InputError(
                "the target has no power on any mode: there is nothing to learn, and the best LR is"
                " 0; give at least one target above 0"
            )
        limits = _capped(limits, spectrum, None if batched else model.batch_size)
        modes = Modes(*(jnp.asarray(values) for values in modes_of(whole)))
        return cls(model, controls, budget, limits, ranges, spectrum, modes)

    @property
    def channels(self) -> list[str]:
        """The variables of `Logs` in use, in order."""
        return [_CHANNELS[name] for name in self.controls]

    @property
    def batched(self) -> bool:
        return "batch" in self.controls

    @property
    def largest(self) -> float:
        return float(self.spectrum.eigenvalue.max())

    @cached_property
    def relaxation(self) -> Relaxed:
        """The optimum without the noise's own feedback, at the model's batch size."""
        return self.closed_form_of(1.0)

    def closed_form_of(self, power: float) -> Relaxed:
        """The relaxation, where a power of the loss so far, over its start, feeds the noise."""
        return self.closed_form(self.budget.total, self.model.batch_size, self.limits.cap, power)

    @property
    def lower_bound(self) -> float:
        """A final loss that no LRs up to the cap undercut, at the model's batch size.

        An update leaves r = 1 - 2 x + x^2 (1 + h/B) of a mode, x = eta lambda, which is at least
        exp(-2 kappa x) with kappa the largest -log(r) / (2 x) up to the cap. With lambda kappa in
        the exponents of bias and kernel the closed form bounds the exact recursion, whose noise is
        at least that of the labels and of this bias. Less `_ROUNDING`.
        """
        values, batch = self.spectrum.eigenvalue, float(self.model.batch_size)
        x = self.limits.cap * values[:, None] * np.linspace(1.0 / _GRID, 1.0, _GRID)
        with np.errstate(divide="ignore", over="ignore"):
            left = -2 * x + x * x * (1 + self.spectrum.own_noise / batch)
            # What features lighter than Gaussian ones overshoot is bounded as if it were forgotten.
            fastest = (-np.log1p(np.maximum(left, -1.0)) / (2 * x)).max(axis=1)
        if math.isinf(batch):
            # One update of 1 / lambda forgets a mode: it bounds nothing.
            fastest[x[:, -1] >= 1] = _AT_ONCE
        rate = 2.0 * values * np.minimum(fastest, _AT_ONCE)
        target, floor, noise = self.spectrum.target, self.spectrum.floor, self.model.noise
        square = self.spectrum.multiplicity * values**2

        def bias(time: Array) -> Array:
            return np.exp(-np.multiply.outer(time, rate)) @ target + floor

        def kernel(time: Array) -> Array:
            return np.exp(-np.multiply.outer(time, rate)) @ square

        found = relaxed(
            bias,
            kernel,
            lambda past: (noise + self.spectrum.scale_moment * bias(past)) / batch,
            self.budget.total,
            self.limits.cap,
            self.largest,
        )
        return found.loss * (1.0 - _ROUNDING)

    def closed_form(self, steps: float, batch: float, cap: float, power: float = 1.0) -> Relaxed:
        """The optimal LR without the noise's own feedback, at one batch size."""
        noise, bias, scale = self.model.noise, self.spectrum.bias, self.spectrum.scale_moment
        unit = float(bias(np.zeros(1))[0]) if power != 1.0 else 1.0
        return relaxed(
            bias,
            self.spectrum.kernel,
            lambda past: (noise + scale * unit * (bias(past) / unit) ** power) / batch,
            steps,
            cap,
            self.largest,
        )

    def setting(self, mesh: KnotMesh | None) -> Setting:
        """What the objective needs besides the variables; `mesh` None where no place is asked."""
        limits = self.limits
        return Setting(
            length=None if mesh is None else mesh.length,
            spread=None if mesh is None else mesh.spread,
            ramp=None if mesh is None else mesh.ramp,
            batch_size=self.model.batch_size,
            update_cost=self.budget.per_update,
            sample_cost=self.budget.per_sample,
            floor=limits.floor,
            cap=limits.cap,
            max_batch=self.ranges.max_batch,
            largest=self.largest,
            fed=self.spectrum.scale_moment * self.spectrum.trace,
            own=self.spectrum.own_noise,
        )


def _named(controls: Sequence[str]) -> tuple[str, ...]:
    named = (
        [name.strip() for name in controls.split(",")] if isinstance(controls, str) else controls
    )
    if not set(named) <= set(CONTROLS) or "lr" not in named:
        raise InputError(
            "controls must be lr, lr,momentum, lr,velocity,momentum or lr,batch, got"
            f" {','.join(named)!r}"
        )
    if "velocity" in named and "momentum" not in named:
        raise InputError("controls: velocity goes with momentum; give lr,velocity,momentum")
    return tuple(name for name in CONTROLS if name in named)


def _check_together(limits: Limits, budget: Budget, batched: bool, momentum: bool) -> None:
    """Refuse controls and budgets that do not go with each other."""
    if batched and budget.in_updates and not momentum:
        raise InputError(
            f"{budget.name}: where the batch size varies, the largest batch would be best, since"
            " all updates cost the same; give samples, or seconds and a step_time whose second"
            " number is above 0"
        )
    if momentum and (batched or limits.monotone):
        raise InputError(
            "controls: momentum goes with a fixed batch size and a free LR; leave out "
            + ("batch" if batched else "monotone")
        )


def _check(limits: Limits, ranges: Ranges, budget: Budget, batched: bool) -> None:
    if not 0 < ranges.max_momentum < 1:
        raise InputError(f"max_momentum must be above 0 and below 1, got {ranges.max_momentum!r}")
    if not 1 <= ranges.max_batch < math.inf:
        raise InputError(f"max_batch must be at least 1 and finite, got {ranges.max_batch!r}")
    if batched and (limits.floor or limits.warmup):
        raise InputError(
            "floor and warmup must be 0 where the batch size varies: a ramp of the batch size does "
            "what they are for"
        )
    if not batched and not 0 <= limits.warmup < budget.total:
        raise InputError(
            f"warmup {limits.warmup} must leave at least one of the {budget.total:g} updates"
        )


def _capped(limits: Limits, spectrum: Spectrum, batch: float | None) -> Limits:
    """The limits with the largest stable LR where they have none; `batch` None where it varies."""
    if batch is None:
        return limits
    if limits.cap == math.inf:
        return replace(limits, cap=spectrum.max_rate(batch))
    critical = spectrum.critical_rate(batch)
    if limits.cap >= critical:
        raise InputError(
            f"cap {limits.cap:g} is not stable: at batch size {batch:g} a constant LR diverges from"
            f" {critical:.4g} on; lower it, or free LRs above it with cap=transient"
        )
    return limits
