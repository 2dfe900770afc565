"""Optax and JAX follow the schedule, traced or not, in float32 and float64."""

from __future__ import annotations

import subprocess
import sys
from functools import partial
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import pytest
from hypothesis import given, settings

from etastar.integrations.optax import schedule, scheduled
from etastar.schedule import InputError, Schedule, join, parse_schedule, table
from tests.helpers.schedules import schedules

SPECS = Path(__file__).with_name("specs.txt").read_text().splitlines()
HORIZON = 10_000
T, W, PEAK, FINAL = 300, 30, 0.3, 0.1


@pytest.fixture
def single():
    """Float32 by default, as JAX is; other tests of the process may have set float64."""
    with jax.enable_x64(False):
        yield


@pytest.fixture
def double():
    with jax.enable_x64(True):
        yield


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.usefixtures("single")
def test_every_shape_is_the_schedule_to_float32_rounding_under_jit(spec: str) -> None:
    steps = np.arange(HORIZON + 1)
    rates = jax.jit(schedule(spec))(steps)
    assert rates.dtype == jnp.float32
    # 2e-6 is 17 roundings: most of them for final^x, whose exponent is rounded first.
    np.testing.assert_allclose(rates, parse_schedule(spec)(steps), rtol=2e-6, atol=0)


@pytest.mark.parametrize("spec", SPECS[::3])
@pytest.mark.usefixtures("double")
def test_every_shape_is_the_schedule_in_float64(spec: str) -> None:
    steps = np.arange(HORIZON + 1)
    wanted = parse_schedule(spec)
    rates = jax.jit(schedule(spec))(steps)
    assert rates.dtype == jnp.float64
    np.testing.assert_allclose(rates, wanted(steps), rtol=1e-13, atol=1e-15 * wanted.peak)


@settings(max_examples=15, deadline=None)
@given(schedules())
def test_any_schedule_is_followed(wanted: Schedule) -> None:
    steps = np.linspace(0, wanted.horizon + 10, 700).astype(int)
    steps[: len(wanted.breakpoints)] = np.ceil(wanted.breakpoints)
    with jax.enable_x64(True):
        rates = schedule(wanted)(steps)
    np.testing.assert_allclose(rates, wanted(steps), rtol=1e-11, atol=1e-14 * wanted.peak)


@pytest.mark.usefixtures("single")
def test_the_plan_of_the_example_is_followed() -> None:
    wanted = Schedule.load("examples/gpt/planned.json")
    steps = np.arange(0, wanted.horizon + 1, 7)
    rates = jax.jit(schedule("examples/gpt/planned.json"))(steps)
    np.testing.assert_allclose(rates, wanted(steps), rtol=1e-6, atol=0)


@pytest.mark.parametrize("name", ["linear", "cosine", "polynomial"])
@pytest.mark.usefixtures("single")
def test_a_count_beyond_2_to_24_keeps_its_step(name: str) -> None:
    # In float32 the last 32 steps before 2^30 are all 2^30, where the rate is 0.
    keys = ",power=2" if name == "polynomial" else ""
    wanted = parse_schedule(f"{name}:peak=0.1,horizon={2**30}{keys}")
    steps = 2**30 - np.arange(1, 33)
    rates = np.asarray(jax.jit(schedule(wanted))(steps))
    remaining = np.arange(1, 33) / 2**30
    exact = {
        "linear": remaining,
        "cosine": np.sin(np.pi * remaining / 2) ** 2,
        "polynomial": remaining**2,
    }[name]
    np.testing.assert_allclose(rates, 0.1 * exact, rtol=1e-6)
    assert np.all(np.diff(rates) > 0)


@pytest.mark.usefixtures("single")
def test_horizons_beyond_32_bits_are_followed_as_far_as_the_count_goes() -> None:
    wanted = table([0, 10**9, 3 * 10**9, 10**12], [0.1, 0.2, 0.05, 0.0])
    steps = np.array([0, 1, 10**9 - 1, 10**9, 2**31 - 1])
    for one in (wanted, parse_schedule("wsd:peak=0.1,horizon=1e12,warmup=1e9,cooldown=0.999")):
        rates = jax.jit(schedule(one))(steps.astype(np.int32))
        np.testing.assert_allclose(rates, one(steps), rtol=1e-6)


@pytest.mark.usefixtures("single")
def test_it_is_traced_once_and_works_under_vmap_and_scan() -> None:
    wanted = parse_schedule(WSD)
    rate, traces = schedule(wanted), []

    @jax.jit
    def counted(count):
        traces.append(1)
        return rate(count)

    one_by_one = [counted(jnp.int32(step)) for step in range(0, 340, 17)]
    assert len(traces) == 1
    steps = jnp.arange(0, 340, 17)
    np.testing.assert_array_equal(jax.vmap(rate)(steps), one_by_one)
    _, scanned = jax.lax.scan(lambda count, _: (count + 17, rate(count)), 0, length=20)
    np.testing.assert_allclose(scanned, one_by_one, rtol=3e-7)
    square = rate(steps.reshape(4, 5))
    np.testing.assert_allclose(square.ravel(), one_by_one, rtol=3e-7)


@pytest.mark.usefixtures("single")
def test_no_value_that_is_not_used_is_nan() -> None:
    # jax_debug_nans looks at every intermediate value, also at those of the other segments.
    with jax.debug_nans(True):
        for spec in SPECS[::3]:
            assert np.all(np.isfinite(schedule(spec)(np.array([0, 1, HORIZON // 2, HORIZON]))))


@pytest.mark.usefixtures("single")
def test_counts_outside_hold_the_ends_and_odd_ones_are_refused() -> None:
    rate = schedule("cosine:peak=0.1,horizon=100,final=0.2")
    np.testing.assert_allclose(rate(np.array([-5, 0, 100, 2**31 - 1])), [0.1, 0.1, 0.02, 0.02])
    np.testing.assert_allclose(rate(np.uint32(2**32 - 1)), 0.02)
    assert schedule("constant:peak=1,horizon=9", dtype="bfloat16")(3).dtype == jnp.bfloat16
    with pytest.raises(InputError, match="must be an integer"):
        rate(1.5)
    with pytest.raises(InputError, match="enable_x64"):
        rate(2**40)
    with pytest.raises(InputError, match="enable_x64"):
        schedule("constant:peak=1,horizon=9", dtype="float64")
    with pytest.raises(InputError, match="is no float"):
        schedule("constant:peak=1,horizon=9", dtype="int32")
    with pytest.raises(InputError, match="beyond the largest"):
        schedule("constant:peak=1e90,horizon=9")
    with pytest.raises(InputError, match="did you mean 'cosine'"):
        schedule("cosin:peak=1,horizon=9")


def trained(optimizer: Any, count: int, state: Any = None, params: Any = None) -> tuple:
    """The rates and momenta in use, the weights and the state after updates of a quadratic."""

    @jax.jit
    def update(params, state):
        grads = jax.tree.map(lambda w: w * jnp.array([1.0, 3.0]), params)
        updates, state = optimizer.update(grads, state, params)
        return optax.apply_updates(params, updates), state

    params = {"w": jnp.ones(2)} if params is None else params
    state = optimizer.init(params) if state is None else state
    seen = []
    for _ in range(count):
        params, state = update(params, state)
        seen.append({name: float(value) for name, value in state.hyperparams.items()})
    return seen, params, state


@pytest.mark.usefixtures("single")
def test_momentum_follows_its_schedule_and_a_saved_state_resumes() -> None:
    lr, beta = (
        "wsd:peak=0.1,horizon=40,warmup=5,cooldown=10",
        "linear:peak=0.9,horizon=40,final=0.5",
    )
    for factory, name in ((optax.sgd, "momentum"), (optax.adamw, "b1")):
        make = partial(scheduled, factory, lr, momentum=beta)
        seen, whole, _ = trained(make(), 40)
        for wanted, key in ((parse_schedule(lr), "learning_rate"), (parse_schedule(beta), name)):
            used = [values[key] for values in seen]
            np.testing.assert_allclose(used, wanted(np.arange(40)), rtol=1e-6)
        _, params, state = trained(make(), 17)
        leaves, tree = jax.tree.flatten(state)
        back = jax.tree.unflatten(tree, [jnp.array(np.array(leaf)) for leaf in leaves])
        rest, resumed, _ = trained(make(), 23, back, params)
        assert rest == seen[17:]
        np.testing.assert_array_equal(resumed["w"], whole["w"])


@pytest.mark.usefixtures("single")
def test_a_solution_brings_its_momentum_and_a_number_stays() -> None:
    class Solved:
        schedule = parse_schedule("linear:peak=0.1,horizon=10")
        momentum = parse_schedule("linear:peak=0.8,horizon=10")

    seen, *_ = trained(scheduled(optax.sgd, Solved(), nesterov=True), 3)
    np.testing.assert_allclose([s["momentum"] for s in seen], [0.8, 0.72, 0.64], rtol=1e-6)
    seen, *_ = trained(scheduled(optax.sgd, Solved(), momentum=0.5), 3)
    assert [s["momentum"] for s in seen] == [0.5] * 3
    with pytest.raises(InputError, match="no momentum or b1"):
        scheduled(optax.adagrad, "constant:peak=1,horizon=9", momentum=0.9)
    with pytest.raises(InputError, match="momentum"):
        scheduled(optax.sgd, "constant:peak=1,horizon=9", momentum=1.0)


WSD = f"wsd:peak={PEAK},horizon={T},warmup={W},cooldown=60,final={FINAL}"
OWN = {
    f"constant:peak={PEAK},horizon={T}": optax.constant_schedule(PEAK),
    f"linear:peak={PEAK},horizon={T},final={FINAL}": optax.linear_schedule(PEAK, FINAL * PEAK, T),
    f"cosine:peak={PEAK},horizon={T},final={FINAL}": optax.cosine_decay_schedule(PEAK, T, FINAL),
    f"cosine:peak={PEAK},horizon={T},warmup={W},final={FINAL}": (
        optax.warmup_cosine_decay_schedule(0.0, PEAK, W, T, FINAL * PEAK)
    ),
    f"polynomial:peak={PEAK},horizon={T},power=2.5,final={FINAL}": (
        optax.polynomial_schedule(PEAK, FINAL * PEAK, 2.5, T)
    ),
    f"exponential:peak={PEAK},horizon={T},final=0.05": optax.exponential_decay(PEAK, T, 0.05),
    f"step:peak={PEAK},horizon={T},at=200,factor=0.2": (
        optax.piecewise_constant_schedule(PEAK, {200: 0.2})
    ),
    WSD: optax.join_schedules(
        [
            optax.linear_schedule(0.0, PEAK, W),
            optax.constant_schedule(PEAK),
            optax.linear_schedule(PEAK, FINAL * PEAK, 60),
        ],
        [W, T - 60],
    ),
}


@pytest.mark.parametrize("spec", OWN)
@pytest.mark.usefixtures("single")
def test_values_are_those_of_optax_at_the_same_count(spec: str) -> None:
    # Not T itself: compiled, Optax's polynomial is NaN there (a power of -6e-8).
    steps = jnp.arange(T)
    theirs = jax.jit(jax.vmap(OWN[spec]))(steps)
    ours = jax.jit(schedule(spec))(steps)
    assert ours.dtype == jnp.float32
    np.testing.assert_allclose(ours, theirs, rtol=1e-6, atol=2e-7 * PEAK)


def test_the_dtype_under_x64_is_that_of_optax() -> None:
    cosine = f"cosine:peak={PEAK},horizon={T}"
    for x64 in (False, True):
        with jax.enable_x64(x64):
            theirs = jnp.asarray(optax.cosine_decay_schedule(PEAK, T)(jnp.array(3, int)))
            assert schedule(cosine)(jnp.array(3, int)).dtype == theirs.dtype


def test_many_pieces_and_knots_are_followed() -> None:
    rng = np.random.default_rng(0)
    steps = np.sort(rng.choice(100_000, 1000, replace=False))
    knotted = table(steps, rng.uniform(0.1, 1, 1000))
    pieces = join(
        (parse_schedule(f"linear:peak={1 + k},horizon=50"), 50 * (k + 1)) for k in range(20)
    )
    for wanted in (knotted, pieces):
        at = np.arange(0, wanted.horizon, 7)
        with jax.enable_x64(False):
            np.testing.assert_allclose(jax.jit(schedule(wanted))(at), wanted(at), rtol=2e-6)


def test_importing_it_brings_in_optax_and_numpy_alone() -> None:
    code = """
import sys, optax
before = set(sys.modules)
import etastar.integrations.optax
new = set(sys.modules) - before
assert not {name.split('.')[0] for name in new} & {'torch', 'polars', 'keras', 'plotly', 'typer'}
own = {name.split('.')[1] for name in new if name.startswith('etastar.')}
ground = {'_checks', '_display', '_errors', '_files', '_json', '_locks', '_provenance'}
assert own - ground == {'schedule', 'integrations'}, own
"""
    subprocess.run([sys.executable, "-c", code], check=True)
