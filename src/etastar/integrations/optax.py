"""A schedule inside Optax, or any JAX program: a function of a step that may be traced.

import optax
from etastar.integrations.optax import schedule

optimizer = optax.adamw(schedule("plan/schedule.json"))
"""

from __future__ import annotations

import inspect
import numbers
from collections.abc import Callable, Mapping
from typing import Any

try:
    import optax
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "etastar.integrations.optax needs Optax: pip install 'etastar[optax]'"
    ) from None

import jax
import jax.numpy as jnp
from jax.typing import ArrayLike, DTypeLike

from etastar._checks import shown
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._log import RunLog
from ._source import control_of, one_of_group
from ._traced import schedule
from ._watch import Watch
from ._weight_decay import decay_rule

__all__ = ["RunLog", "Watch", "schedule", "scheduled"]


def scheduled(
    optimizer: Callable[..., optax.GradientTransformation],
    source: Any,
    *,
    group: str | None = None,
    momentum: Any = None,
    weight_decay_rule: str = "coupled",
    dtype: DTypeLike | None = None,
    **arguments: Any,
) -> optax.GradientTransformationExtraArgs:
    """An optimiser whose learning rate, and where asked momentum, follow their schedules.

    It is `optax.inject_hyperparams` of these and of nothing else: their values in use stand in
    `state.hyperparams`, and the counts that say where the schedules are in the optimiser's state,
    so that a checkpoint of the state resumes them. All other arguments reach the optimiser as they
    are given: a mask, a dtype, a schedule of Optax's own for the weight decay. Of parameter groups,
    each label of `optax.multi_transform` has such an optimiser.

    Arguments:
        optimizer: such as `optax.sgd` or `optax.adamw`.
        source: as of `schedule`; a plan or solution that holds a momentum brings it along.
        group: as of `schedule`.
        momentum: a number, or a schedule as `source`; goes to the optimiser's `momentum`, else to
            its `b1`.
        weight_decay_rule: "coupled" leaves the optimiser's `weight_decay`, so that weights shrink
            by the LR times it; "decoupled" keeps that product at its value at the peak;
            "timescale=5000" keeps it at 1/5000 an update.
        dtype: as of `schedule`.
        arguments: further arguments of the optimiser.

    Raises: InputError where no schedule of several is named, the optimiser is no function or takes
    no momentum or weight decay, a value is out of range, or what a schedule sets is given too.

    >>> import optax
    >>> sgd = scheduled(optax.sgd, "linear:peak=0.1,horizon=10", momentum=0.9)
    >>> state = sgd.init({"w": 0.0})
    >>> sorted(state.hyperparams)
    ['learning_rate', 'momentum']
    """
    controls = one_of_group(source, group)
    momentum = control_of("momentum", controls.momentum if momentum is None else momentum)
    known = _parameters(optimizer)
    followed: dict[str, Any] = {"learning_rate": schedule(controls.schedule, dtype=dtype)}
    if momentum is not None:
        varies = isinstance(momentum, Schedule)
        value = schedule(momentum, dtype=dtype) if varies else momentum
        followed[_momentum_name(optimizer, known)] = value
    if weight_decay_rule != "coupled":
        own = arguments.pop("weight_decay", None)
        followed["weight_decay"] = _decay(optimizer, controls.schedule, weight_decay_rule, own)
    for name in followed.keys() & arguments.keys():
        raise InputError(f"{name} is given twice, the other time by a schedule: leave {name} out")
    # Optax would call every other function, such as a mask or a dtype, with the count.
    others = known.keys() - followed.keys()
    return optax.inject_hyperparams(optimizer, static_args=others)(**followed, **arguments)


def _momentum_name(optimizer: Any, known: Mapping[str, inspect.Parameter]) -> str:
    """What an optimiser calls its momentum."""
    name = next((name for name in ("momentum", "b1") if name in known), None)
    if name is None:
        raise InputError(
            f"{getattr(optimizer, '__name__', optimizer)} has no momentum or b1: leave momentum"
            " out, or take an optimiser that has one"
        )
    return name


def _parameters(optimizer: Any) -> Mapping[str, inspect.Parameter]:
    """What the function that makes an optimiser takes."""
    if not callable(optimizer):
        raise InputError(
            f"optimizer is {shown(optimizer)}: give the function that makes it, such as optax.adamw"
            " and not optax.adamw(...), with its further arguments beside it"
        )
    return inspect.signature(optimizer).parameters


def _decay(
    optimizer: Callable[..., optax.GradientTransformation],
    followed: Schedule,
    rule: str,
    own: Any,
) -> Callable[[ArrayLike], jax.Array]:
    """The weight decay of every update, by a rule that holds the LR times it.

    Arguments:
        own: the weight decay given; None for that of the optimiser.
    """
    known = _parameters(optimizer)
    if own is None and "weight_decay" in known:
        own = known["weight_decay"].default
    if not isinstance(own, numbers.Real) or isinstance(own, bool):
        raise InputError(
            f"weight_decay_rule {rule!r} needs an optimiser whose weight_decay is a number, as "
            f"adamw and muon have it: {getattr(optimizer, '__name__', optimizer)} has "
            + ("none" if own is None else shown(own))
        )
    product = decay_rule(rule).product(own=float(own), peak=followed.peak)
    rate_of = schedule(followed)

    def decay(count: ArrayLike) -> jax.Array:
        rate = rate_of(count)
        # Where the LR is 0, no weight decay shrinks anything.
        return jnp.where(rate > 0, product / jnp.where(rate > 0, rate, 1.0), 0.0)

    return decay
