"""The last-iterate bound: its formula, its minimum over the start, its meshes and its exponents."""

import math
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etastar.robust import inflation, last_iterate, last_iterate_bound
from etastar.schedule import InputError, join, parse_schedule, table

SPECS = (
    "constant",
    "inverse_sqrt",
    "linear",
    "cosine",
    "polynomial:power=2",
    "polynomial:power=3",
    "wsd:cooldown=0.2",
)


def schedule_of(spec, horizon):
    return parse_schedule(spec, horizon=horizon, peak=1.0)


def bound_from_the_theorem(rates, distance, gradient):
    """The theorem as it stands: double sums, every start, one more step at the last rate."""
    eta = np.append(rates, rates[-1])
    first = [eta[k:].sum() for k in range(len(eta))]
    second = [(eta[k:] ** 2).sum() for k in range(len(eta))]
    values = []
    for k in range(len(rates)):
        late = sum(eta[j] / first[j + 1] * second[j] / first[j] for j in range(k, len(eta) - 1))
        noise = second[k] / first[k] + late
        values.append(distance**2 / (2 * first[k]) + gradient**2 / 2 * noise)
    return min(values)


rate_lists = st.lists(
    st.one_of(st.just(0.0), st.floats(1e-3, 1e3)), min_size=0, max_size=25
).flatmap(lambda head: st.floats(1e-3, 1e3).map(lambda last: [*head, last]))


@settings(max_examples=100, deadline=None)
@given(rate_lists, st.floats(1e-2, 1e2), st.floats(1e-2, 1e2))
def test_summed_by_parts_the_bound_is_that_of_the_theorem(rates, distance, gradient):
    expected = bound_from_the_theorem(np.array(rates), distance, gradient)
    found = last_iterate_bound(rates, distance=distance, gradient=gradient)
    assert found == pytest.approx(expected, rel=1e-10)


def test_many_schedules_at_once_are_each_alone():
    rates = np.random.default_rng(0).uniform(0.1, 1.0, (3, 2, 40))
    distance = np.array([0.5, 2.0])
    together = last_iterate_bound(rates, distance=distance, gradient=3.0)
    for i in range(3):
        for j in range(2):
            alone = last_iterate_bound(rates[i, j], distance=distance[j], gradient=3.0)
            assert together[i, j] == alone


@pytest.mark.parametrize("spec", [*SPECS, "cosine:warmup=40,final=0.05", "step:at=90,factor=0"])
def test_a_schedule_gives_what_its_rates_give(spec):
    schedule = schedule_of(spec, 300)
    rates = schedule(np.arange(300))
    rates = rates[: np.flatnonzero(rates)[-1] + 1]
    curve = last_iterate(schedule)
    scales = np.geomspace(1e-3, 1e3, 31)
    expected = [last_iterate_bound(s * rates, distance=2.0, gradient=0.7) for s in scales]
    np.testing.assert_allclose(
        curve.bound(scales, distance=2.0, gradient=0.7), expected, rtol=1e-12
    )


def test_scales_in_any_order_and_shape_find_their_own_start():
    curve = last_iterate(schedule_of("cosine", 5000))
    scales = np.random.default_rng(1).permutation(np.geomspace(1e-4, 1e4, 60)).reshape(5, 12)
    together = curve.bound(scales)
    assert together.shape == (5, 12)
    alone = [float(curve.bound(scale)) for scale in scales.ravel()]
    assert together.ravel().tolist() == alone


def test_best_scale_is_the_minimum():
    for spec in SPECS:
        curve = last_iterate(schedule_of(spec, 2000))
        constants = {"distance": 3.0, "gradient": 0.2}
        best = curve.best_scale(**constants)
        assert curve.bound(best, **constants) == pytest.approx(curve.best_bound(**constants))
        around = curve.bound(best * np.geomspace(0.01, 100, 400), **constants)
        assert np.all(around >= curve.best_bound(**constants) * (1 - 1e-12))


def test_inflation_depends_on_the_shape_alone():
    base = parse_schedule("wsd:peak=3e-4,horizon=5000,cooldown=0.3,warmup=100")
    rho = [0.1, 1.0, 7.0]
    np.testing.assert_allclose(inflation(base, rho), inflation(base.scaled(peak=2.0), rho))
    curve = last_iterate(base)
    scales = np.array(rho) * curve.best_scale(distance=5.0, gradient=0.1)
    ratio = curve.bound(scales, distance=5.0, gradient=0.1)
    ratio /= curve.best_bound(distance=5.0, gradient=0.1)
    np.testing.assert_allclose(curve.inflation(rho), ratio)


def test_a_larger_lr_starts_later():
    for spec in SPECS:
        starts = last_iterate(schedule_of(spec, 3000)).start(np.geomspace(1e-3, 1e3, 50))
        assert all(after >= before for before, after in pairwise(starts))


@pytest.mark.parametrize(
    ("spec", "exponent"),
    [
        ("linear", 1 / 3),
        ("cosine", 1 / 5),
        ("polynomial:power=2", 1 / 5),
        ("polynomial:power=3", 1 / 7),
        ("wsd:cooldown=0.2", 1 / 3),
    ],
)
def test_annealed_inflation_grows_as_rho_to_one_over_2p_plus_1(spec, exponent):
    """arXiv 2503.09411: the slope between rho = 1e3 and 1e5."""
    curve = last_iterate(schedule_of(spec, 10**6))
    low, high = np.log(curve.inflation([1e3, 1e5]))
    assert (high - low) / math.log(100) == pytest.approx(exponent, abs=0.01)
    assert curve.exponent == pytest.approx(exponent, abs=2e-3)


@pytest.mark.parametrize("spec", ["constant", "inverse_sqrt"])
def test_inflation_of_rates_that_do_not_vanish_is_linear(spec):
    """At 20000 updates the start has nearly reached the last one when rho is 1e3."""
    curve = last_iterate(schedule_of(spec, 20_000))
    low, high = np.log(curve.inflation([1e3, 1e5]))
    assert 0.95 < (high - low) / math.log(100) < 1.01
    assert curve.exponent == pytest.approx(1.0, abs=1e-3)


def test_at_a_longer_horizon_a_logarithm_delays_the_linear_growth():
    slopes = []
    for horizon in (10**9, 10**12, 9 * 10**14):
        low, high = np.log(last_iterate(schedule_of("constant", horizon)).inflation([1e3, 1e5]))
        slopes.append((high - low) / math.log(100))
    assert 0.6 < slopes[0] < slopes[1] < slopes[2] < 0.95


def test_too_small_a_rate_costs_its_inverse_whatever_the_schedule():
    rho = np.array([1e-2, 1e-3])
    for spec in SPECS:
        found = inflation(schedule_of(spec, 10_000), rho)
        assert found[1] / found[0] == pytest.approx(10.0, rel=0.01)


@pytest.mark.parametrize("spec", [*SPECS, "wsd:cooldown=0.1,decay=sqrt", "cosine:warmup=500"])
def test_mesh_agrees_with_every_update(spec):
    schedule = schedule_of(spec, 300_000)
    exact, mesh = last_iterate(schedule, mesh=False), last_iterate(schedule, mesh=True)
    scales = exact.best_scale() * np.geomspace(1e-2, 1e5, 40)
    np.testing.assert_allclose(mesh.bound(scales), exact.bound(scales), rtol=1e-6)
    assert mesh.best_scale() == pytest.approx(exact.best_scale(), rel=1e-5)
    assert len(mesh.terms.time) < len(exact.terms.time) / 5


def test_mesh_of_tables_joins_and_zero_tails():
    knots = np.linspace(0, 200_000, 301)
    ragged = table(knots, np.append(np.random.default_rng(2).uniform(0.1, 1.0, 300), 0.0))
    joined = join(
        [(schedule_of("constant", 50_000), 50_000), (schedule_of("linear", 100_000), 150_000)]
    )
    stopped = schedule_of("step:at=120000,factor=0", 200_000)
    for schedule in (ragged, joined, stopped):
        exact, mesh = last_iterate(schedule, mesh=False), last_iterate(schedule, mesh=True)
        scales = exact.best_scale() * np.geomspace(1e-2, 1e4, 20)
        np.testing.assert_allclose(mesh.bound(scales), exact.bound(scales), rtol=1e-5)
        assert mesh.start(1e9) == exact.start(1e9) == exact.terms.last


def test_longest_horizons_keep_their_scaling():
    for spec in ("linear", "cosine", "polynomial:power=3"):
        short = last_iterate(schedule_of(spec, 10**6))
        long = last_iterate(schedule_of(spec, 9 * 10**14))
        ratio = long.best_bound() / short.best_bound() * math.sqrt(9e8)
        assert ratio == pytest.approx(1.0, rel=1e-5)


def test_bound_holds_for_projected_sgd(bench_script):
    """A dozen of the problems of bench/robust_bound.py, six schedules, rho in 1 to 100."""
    bench = bench_script("robust_bound")
    rng = np.random.default_rng(3)
    found = np.array([bench.ratios(rng, seeds=16) for _ in range(12)])
    assert np.all(found < 1.0)
    # Far from vacuous: a bound half as large would fail.
    assert found.max() > 0.25


def test_the_bound_is_nearly_met_where_the_worst_can_happen():
    """f = |x| from distance 1: steps that never reach the minimum lose what the bound allows."""
    updates, rate = 50, 0.01
    final = 1.0 - updates * rate
    bound = float(last_iterate_bound(np.full(updates, rate)))
    assert final < bound < 2.2 * final


@pytest.mark.parametrize(
    ("call", "match"),
    [
        (lambda: inflation(schedule_of("linear", 100), 0.0), "rho"),
        (lambda: inflation(schedule_of("linear", 100), [1.0, math.nan]), "rho"),
        (lambda: inflation(schedule_of("linear", 100), "ten"), "rho"),
        (lambda: last_iterate(schedule_of("linear", 100)).bound(1.0, distance=-1.0), "distance"),
        (lambda: last_iterate(schedule_of("linear", 100)).bound(1.0, gradient=0.0), "gradient"),
        (lambda: last_iterate([0.1, 0.2]), "schedule"),  # type: ignore[arg-type]
        (lambda: last_iterate(schedule_of("step:at=0,factor=0", 9)), "no rate above 0"),
        (lambda: last_iterate(schedule_of("step:at=0,factor=0", 9), mesh=True), "no rate above 0"),
        (lambda: last_iterate_bound([]), "rates"),
        (lambda: last_iterate_bound([0.1, 0.0]), "rates"),
        (lambda: last_iterate_bound([-0.1, 0.1]), "rates"),
    ],
)
def test_bad_input_is_named(call, match):
    with pytest.raises(InputError, match=match):
        call()


def test_one_update():
    curve = last_iterate(schedule_of("constant", 1))
    assert curve.bound(0.5, distance=1.0, gradient=1.0) == pytest.approx(0.5 * (1 / 1.0 + 1.0))
    assert curve.exponent == 1.0
