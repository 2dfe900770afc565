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
from etastar.model import Model, Modes, Spectrum, modes_of

from ._budget import Budget
from ._closed_form import Relaxed, relaxed
from ._limits import FEWEST, Limits
from ._model_mesh import KnotMesh
from ._model_objective import Setting

Array = NDArray[np.float64]
Along = Callable[[Array], Array]
"""A control as a function of the place in the budget."""

CONTROLS = {"lr": "rate", "momentum": "momentum", "batch": "mix"}
"""What may be optimised, and the variable of `Logs` that stands for it."""


class Ranges(NamedTuple):
    """How large the batch size (samples an update) and the momentum may become."""

    max_batch: float
    max_momentum: float


class Start(NamedTuple):
    """Controls along the budget: LR, 1 - mu, batch size, and how much of the stable LR is used."""

    rate: Along
    one_minus_mu: Along
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
        if batched and budget.in_updates:
            # With the updates given the largest batch would be best: the data they take is given.
            budget = Budget(budget.total * model.batch_size, 0.0, 1.0)
        if not batched:
            budget = Budget(float(math.floor(budget.updates(model.batch_size))))
        least = 1.0 if batched else model.batch_size
        if budget.updates(least) < FEWEST:
            raise InputError(f"the budget allows fewer than {FEWEST} updates: raise it")
        _check(limits, ranges, budget, batched, "momentum" in controls)
        steps = budget.updates(least)
        hastened = min(1.0 / (1.0 - ranges.max_momentum), steps) if "momentum" in controls else 1.0
        spectrum = model.spectrum_to(steps * hastened)
        limits = _capped(limits, spectrum, None if batched else model.batch_size)
        modes = Modes(*(jnp.asarray(values) for values in modes_of(spectrum)))
        return cls(model, controls, budget, limits, ranges, spectrum, modes)

    @property
    def channels(self) -> list[str]:
        """The variables of `Logs` in use, in order."""
        return [CONTROLS[name] for name in self.controls]

    @property
    def batched(self) -> bool:
        return "batch" in self.controls

    @property
    def largest(self) -> float:
        return float(self.spectrum.eigenvalue.max())

    @cached_property
    def relaxation(self) -> Relaxed:
        """The optimum without the noise's own feedback, at the model's batch size."""
        return self.closed_form(self.budget.total, self.model.batch_size, self.limits.cap)

    def closed_form(self, steps: float, batch: float, cap: float) -> Relaxed:
        """The optimal LR without the noise's own feedback, at one batch size."""
        noise, bias = self.model.noise, self.spectrum.bias
        return relaxed(
            bias,
            self.spectrum.kernel,
            lambda past: (noise + bias(past)) / batch,
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
            trace=self.spectrum.trace,
        )


def _named(controls: Sequence[str]) -> tuple[str, ...]:
    named = (
        [name.strip() for name in controls.split(",")] if isinstance(controls, str) else controls
    )
    if not set(named) <= set(CONTROLS) or "lr" not in named:
        raise InputError(
            f"controls must be lr, with or without momentum and batch, got {','.join(named)!r}"
        )
    return tuple(name for name in CONTROLS if name in named)


def _check(limits: Limits, ranges: Ranges, budget: Budget, batched: bool, momentum: bool) -> None:
    if not 0 < ranges.max_momentum < 1:
        raise InputError(f"max_momentum must be above 0 and below 1, got {ranges.max_momentum!r}")
    if momentum and (batched or limits.monotone):
        raise InputError(
            "controls: momentum goes with a fixed batch size and a free LR; leave out "
            + ("batch" if batched else "monotone")
        )
    if not 1 <= ranges.max_batch < math.inf:
        raise InputError(f"max_batch must be at least 1 and finite, got {ranges.max_batch!r}")
    if batched and (limits.floor or limits.warmup):
        raise InputError(
            "floor and warmup must be 0 where the batch size varies: a ramp of the batch size does "
            "what they are for"
        )
    if not batched and not 0 <= limits.warmup <= budget.total - FEWEST:
        raise InputError(
            f"warmup {limits.warmup} must leave at least {FEWEST} of the {budget.total:g} updates"
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
            f"cap {limits.cap:g} is not stable: at batch size {batch:g} the loss diverges from the"
            f" LR {critical:.4g} on"
        )
    return limits
