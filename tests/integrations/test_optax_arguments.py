"""`scheduled` hands every other argument of an optimiser through: updates are those of Optax."""

from __future__ import annotations

import inspect
import re
from collections.abc import Callable, Iterator
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from etastar.integrations.optax import schedule, scheduled
from etastar.schedule import InputError

SPEC = "linear:peak=0.1,horizon=4"
UPDATES = 2


def tree() -> dict[str, Any]:
    return {
        "layer": {"w": jnp.linspace(0.3, 1.3, 6).reshape(2, 3), "b": jnp.ones(3)},
        "norm": {"scale": jnp.full(3, 0.5)},
    }


def by_shape(params: Any) -> Any:
    return jax.tree.map(lambda leaf: jnp.ndim(leaf) > 1, params)


def by_path(params: Any) -> Any:
    return jax.tree_util.tree_map_with_path(lambda path, _: "norm" not in str(path), params)


def one_dimension_numbers(params: Any) -> Any:
    kind = optax.contrib.MuonDimensionNumbers
    return jax.tree.map(lambda leaf: kind() if jnp.ndim(leaf) == 2 else None, params)


def optimizers() -> Iterator[tuple[str, Callable[..., Any]]]:
    """Every optimiser of the installed Optax, by name."""
    for module in (optax, optax.contrib):
        for name in dir(module):
            made = getattr(module, name)
            if not inspect.isfunction(made) or name.startswith(("_", "scale_by_")):
                continue
            if "learning_rate" in inspect.signature(made).parameters:
                yield f"{module.__name__}.{name}", made


# Arguments without a default.
NEEDED = {
    "key": jax.random.key(0),
    "seed": 3,
    "eta": 0.1,
    "gamma": 0.5,
    "l2_norm_clip": 1.0,
    "noise_multiplier": 0.5,
    "base_optimizer": optax.sgd(0.1),
}


def values_of(name: str, argument: inspect.Parameter) -> list[Any]:
    """What to try for an argument: none where it is no function, mask or dtype."""
    if name.endswith("mask"):
        return [by_shape, by_path]
    if "dtype" in name:
        return [jnp.bfloat16, jnp.float16, "bfloat16"]
    if name == "muon_weight_dimension_numbers":
        return [one_dimension_numbers]
    if name == "hessian_diagonal_fn":
        return [optax.contrib.hutchinson_estimator_diag_hessian()]
    if name == "clip_value_fn":
        return [lambda count: 1e-3 * (count + 1)]
    # `galore` takes its own numbers by leaf; None and a function are treated alike by it.
    takes_schedule = "Callable" in str(argument.annotation) and "dimension" not in name
    return [lambda count: 0.1 / (count + 1)] if takes_schedule else []


CASES = [
    (name, argument, number)
    for name, made in optimizers()
    for argument, parameter in inspect.signature(made).parameters.items()
    if argument != "learning_rate"
    for number in range(len(values_of(argument, parameter)))
]


def loss(params: Any) -> jax.Array:
    return sum(jnp.sum(jnp.sin(3.0 * leaf)) for leaf in jax.tree.leaves(params))  # type: ignore


def updates(name: str, optimizer_at: Callable[[int], Any]) -> list[Any]:
    """All leaves of a few updates; `optimizer_at` gives the optimiser of each."""
    params = tree()
    state = optimizer_at(0).init(params)
    found = []
    for step in range(UPDATES):
        grads = jax.grad(loss)(params)
        extra = {"value": loss(params), "grad": grads, "value_fn": loss}
        if "sophia" in name:
            extra = {"obj_fn": loss}
        # Of `dpsgd` the gradients of every example, here of one.
        given = jax.tree.map(lambda leaf: leaf[None], grads) if "dpsgd" in name else grads
        optimizer = optax.with_extra_args_support(optimizer_at(step))
        changes, state = optimizer.update(given, state, params, **extra)
        params = optax.apply_updates(params, changes)
        found += jax.tree.leaves(changes)
    return found


def assert_updates_are_those_of_optax(name: str, **arguments: Any) -> list[Any]:
    made = dict(optimizers())[name]
    parameters = inspect.signature(made).parameters
    needed = {
        key: NEEDED[key]
        for key, parameter in parameters.items()
        if parameter.default is inspect.Parameter.empty and key not in ("learning_rate", *arguments)
    }
    if name == "optax.noisy_sgd":
        needed["key"] = NEEDED["key"]
    keys, rate = {**needed, **arguments}, schedule(SPEC)

    def own() -> list[Any]:
        return updates(name, lambda _: scheduled(made, SPEC, **keys))

    try:
        theirs = updates(name, lambda step: made(learning_rate=rate(step), **keys))
    except TypeError as refused:  # some take no function where their types say so
        with pytest.raises(TypeError, match=re.escape(str(refused)[:40])):
            own()
        return []
    ours = own()
    assert len(ours) == len(theirs) == UPDATES * 3
    for change, plain in zip(ours, theirs, strict=True):
        assert change.dtype == plain.dtype
        np.testing.assert_array_equal(change, plain)
    return ours


@pytest.fixture(autouse=True)
def single() -> Iterator[None]:
    with jax.enable_x64(False):
        yield


@pytest.mark.slow
@pytest.mark.parametrize("name", [name for name, _ in optimizers()])
def test_updates_of_every_optimiser_are_those_of_optax(name: str) -> None:
    assert_updates_are_those_of_optax(name)


@pytest.mark.slow
@pytest.mark.parametrize(("name", "argument", "number"), CASES)
def test_every_function_mask_and_dtype_reaches_the_optimiser(
    name: str, argument: str, number: int
) -> None:
    parameter = inspect.signature(dict(optimizers())[name]).parameters[argument]
    assert_updates_are_those_of_optax(name, **{argument: values_of(argument, parameter)[number]})


@pytest.mark.parametrize("mask", [by_shape, by_path])
def test_a_mask_says_which_weights_decay(mask: Callable[[Any], Any]) -> None:
    found = assert_updates_are_those_of_optax("optax.adamw", mask=mask, weight_decay=0.5)
    free = assert_updates_are_those_of_optax("optax.adamw", weight_decay=0.0)
    decays = [bool(np.any(own != other)) for own, other in zip(found[:3], free[:3], strict=True)]
    assert decays == jax.tree.leaves(mask(tree()))


def test_the_first_moment_has_the_type_that_is_asked_for() -> None:
    optimizer = scheduled(
        optax.adamw, SPEC, momentum="linear:peak=0.9,horizon=4", mu_dtype="bfloat16"
    )
    state: Any = optimizer.init(tree())
    moments = optax.tree_utils.tree_get(state, "mu")
    assert {leaf.dtype for leaf in jax.tree.leaves(moments)} == {jnp.dtype("bfloat16")}
    assert sorted(state.hyperparams) == ["b1", "learning_rate"]


def test_what_a_schedule_gives_is_not_given_twice() -> None:
    with pytest.raises(InputError, match="learning_rate is given twice"):
        scheduled(optax.sgd, SPEC, learning_rate=0.1)
    with pytest.raises(InputError, match="b1 is given twice"):
        scheduled(optax.adam, SPEC, momentum=0.9, b1=0.8)


def test_an_optimiser_that_is_made_already_is_refused():
    with pytest.raises(InputError, match=r"such as optax\.adamw and not optax\.adamw\(\.\.\.\)"):
        scheduled(optax.adamw(1e-3), SPEC)  # type: ignore[arg-type]
