"""Parameter groups with schedules of their own, and weight decays that follow, in Optax."""

from __future__ import annotations

import math
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest

from etastar.integrations.optax import schedule, scheduled
from etastar.schedule import GroupSchedules, InputError, parse_schedule

H = 60
GROUPS = GroupSchedules(
    {
        "muon": f"wsd:peak=0.02,horizon={H},warmup=5,cooldown=0.4",
        "adamw": f"linear:peak=3e-3,horizon={H},final=0.1",
    }
)
PLAIN = f"wsd:peak=0.1,horizon={H},warmup=5,cooldown=0.4,final=0.1"


def test_the_function_is_that_of_the_named_group():
    steps = np.arange(H)
    for name, wanted in GROUPS.items():
        found = schedule(GROUPS, group=name)(steps)
        assert np.array(found) == pytest.approx(wanted(steps), rel=2e-6, abs=1e-12)


def test_a_source_of_several_schedules_must_be_told_which():
    with pytest.raises(InputError, match="groups muon, adamw: say which one is meant, such as gr"):
        schedule(GROUPS)
    with pytest.raises(InputError, match="groups muon, adamw: say which one"):
        scheduled(optax.sgd, GROUPS)
    with pytest.raises(InputError, match="'adam': did you mean 'adamw'"):
        scheduled(optax.sgd, GROUPS, group="adam")
    with pytest.raises(InputError, match="'muon' is asked for, and the source holds one schedule"):
        scheduled(optax.sgd, PLAIN, group="muon")


def shrunk(optimizer: optax.GradientTransformation) -> float:
    """What is left of a weight of 1 after the run, without gradients."""
    weights = {"w": jnp.ones((2, 2))}
    state = optimizer.init(weights)

    def update(carry: Any, _: Any) -> Any:
        weights, state = carry
        still = jax.tree.map(jnp.zeros_like, weights)
        changes, state = optimizer.update(still, state, weights)
        return (optax.apply_updates(weights, changes), state), None

    (weights, _), _ = jax.lax.scan(update, (weights, state), None, length=H)
    assert float(weights["w"].max() - weights["w"].min()) == 0.0
    return float(weights["w"][0, 0])


@pytest.mark.parametrize("kind", [optax.adamw, optax.contrib.muon, optax.lion])
def test_what_the_weights_lose_is_held_by_the_rule_at_every_update(kind: Any):
    planned = parse_schedule(PLAIN)
    wanted = {
        "coupled": math.prod(1 - 0.2 * planned(t) for t in range(H)),
        # The LR of update 0 is 0, so that nothing can shrink in it.
        "decoupled": (1 - 0.2 * planned.peak) ** (H - 1),
        "timescale=40": (1 - 1 / 40) ** (H - 1),
    }
    for rule, left in wanted.items():
        made = scheduled(kind, PLAIN, weight_decay=0.2, weight_decay_rule=rule)
        assert shrunk(made) == pytest.approx(left, rel=2e-5), rule


def test_the_weight_decay_is_the_optimisers_own_where_none_is_given():
    made = scheduled(optax.adamw, PLAIN, weight_decay_rule="decoupled")
    assert shrunk(made) == pytest.approx((1 - 1e-4 * 0.1) ** (H - 1), rel=1e-5)
    none = scheduled(optax.adamw, PLAIN, weight_decay=0.0, weight_decay_rule="timescale=40")
    assert shrunk(none) == 1.0


@pytest.mark.parametrize(
    ("kind", "arguments", "told"),
    [
        (optax.sgd, {}, "as adamw and muon have it: sgd has none"),
        (optax.adamw, {"weight_decay": lambda count: 0.1}, "adamw has <function"),
        (optax.adamw, {"weight_decay_rule": "fixed"}, "'fixed': give 'coupled'"),
    ],
)
def test_a_rule_that_cannot_be_followed_is_an_error(kind: Any, arguments: Any, told: str):
    with pytest.raises(InputError, match=told):
        scheduled(kind, PLAIN, **{"weight_decay_rule": "decoupled", **arguments})
