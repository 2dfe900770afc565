"""A schedule inside Optax, or any JAX program: a function of a step that may be traced.

import optax
from etastar.integrations.optax import schedule

optimizer = optax.adamw(schedule("plan/schedule.json"))
"""

from __future__ import annotations

import inspect
from collections.abc import Callable
from typing import Any

try:
    import optax
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "etastar.integrations.optax needs Optax: pip install 'etastar[optax]'"
    ) from None

from jax.typing import DTypeLike

from etastar._errors import InputError
from etastar.schedule import Schedule

from ._log import RunLog
from ._source import control_of, controls_of
from ._traced import schedule
from ._watch import Watch

__all__ = ["RunLog", "Watch", "schedule", "scheduled"]


def scheduled(
    optimizer: Callable[..., optax.GradientTransformation],
    source: Any,
    *,
    momentum: Any = None,
    dtype: DTypeLike | None = None,
    **arguments: Any,
) -> optax.GradientTransformationExtraArgs:
    """An optimiser whose learning rate, and where asked momentum, follow their schedules.

    It is `optax.inject_hyperparams` of these two and of nothing else: their values in use stand in
    `state.hyperparams`, and the counts that say where the schedules are in the optimiser's state,
    so that a checkpoint of the state resumes them. All other arguments reach the optimiser as they
    are given: a mask, a dtype, a schedule of Optax's own for the weight decay.

    Arguments:
        optimizer: such as `optax.sgd` or `optax.adamw`.
        source: as of `schedule`; a plan or solution that holds a momentum brings it along.
        momentum: a number, or a schedule as `source`; goes to the optimiser's `momentum`, else to
            its `b1`.
        dtype: as of `schedule`.
        arguments: further arguments of the optimiser.

    Raises: InputError where the optimiser takes no momentum, a value is out of range, or the
    learning rate or the momentum is among the further arguments too.

    >>> import optax
    >>> sgd = scheduled(optax.sgd, "linear:peak=0.1,horizon=10", momentum=0.9)
    >>> state = sgd.init({"w": 0.0})
    >>> sorted(state.hyperparams)
    ['learning_rate', 'momentum']
    """
    controls = controls_of(source)
    momentum = control_of("momentum", controls.momentum if momentum is None else momentum)
    known = inspect.signature(optimizer).parameters
    followed: dict[str, Any] = {"learning_rate": schedule(controls.schedule, dtype=dtype)}
    if momentum is not None:
        name = next((name for name in ("momentum", "b1") if name in known), None)
        if name is None:
            raise InputError(
                f"{getattr(optimizer, '__name__', optimizer)} has no momentum or b1: leave momentum"
                " out, or take an optimiser that has one"
            )
        varies = isinstance(momentum, Schedule)
        followed[name] = schedule(momentum, dtype=dtype) if varies else momentum
    for name in followed.keys() & arguments.keys():
        raise InputError(f"{name} is given twice, the other time by a schedule: leave {name} out")
    # Optax would call every other function, such as a mask or a dtype, with the count.
    others = known.keys() - followed.keys()
    return optax.inject_hyperparams(optimizer, static_args=others)(**followed, **arguments)
