"""The bound for smooth losses, against exact moments and against simulated projected SGD."""

import math

import numpy as np
import pytest

from etastar.robust import smooth_best_scale, smooth_bound, smooth_inflation
from etastar.schedule import InputError, parse_schedule

SPECS = ("constant", "inverse_sqrt", "linear", "cosine", "polynomial:power=3", "wsd:cooldown=0.2")


def schedule_of(spec, horizon=200):
    return parse_schedule(spec, horizon=horizon, peak=1.0)


def test_bound_is_its_formula_start_by_start():
    rates = np.random.default_rng(0).uniform(0.1, 1.3, 40)
    steps = np.arange(40)
    from etastar.schedule import table

    schedule = table(steps, rates, horizon=40)
    distance, noise, smoothness = 1.5, 0.4, 1.0
    expected = math.inf
    for k in range(40):
        late = rates[k:]
        if late.max() * smoothness > 1:
            continue
        sums = np.cumsum(late[::-1])[::-1]
        factor = np.where(late <= 0.5, 0.5 / (1 - np.minimum(late, 0.5)), 1.0)
        value = distance**2 / (2 * sums[0]) + noise**2 * np.sum(factor * late**2 / sums)
        expected = min(expected, value)
    found = smooth_bound(schedule, distance=distance, noise=noise, smoothness=smoothness)
    assert found == pytest.approx(expected, rel=1e-12)


@pytest.mark.parametrize("spec", SPECS)
def test_bound_holds_exactly_for_quadratics(spec):
    """Moments of SGD are exact here. Any D serves that bounds E|x_k - x*|^2 at every start k."""
    rng = np.random.default_rng(1)
    largest = 0.0
    for _ in range(40):
        curvature = rng.uniform(0.0, 1.0, 5) ** 3
        curvature[0] = 1.0
        noise = rng.uniform(0.0, 1.0, 5) * rng.choice((0.1, 1.0))
        mean, variance = rng.standard_normal(5), np.zeros(5)
        schedule = schedule_of(spec, int(rng.integers(1, 300)))
        scale = rng.uniform(0.05, 1.0)
        apart = []
        for eta in scale * schedule(np.arange(schedule.horizon)):
            apart.append(np.sum(mean**2 + variance))
            mean = (1 - eta * curvature) * mean
            variance = (1 - eta * curvature) ** 2 * variance + eta**2 * noise**2
        constants = {
            "distance": math.sqrt(max(apart)),
            "noise": float(np.linalg.norm(noise)),
            "smoothness": 1.0,
        }
        loss = 0.5 * np.sum(curvature * (mean**2 + variance))
        largest = max(largest, loss / float(smooth_bound(schedule, scale, **constants)))
    # Holds, and is no looser than a small factor.
    assert 0.1 < largest < 1.0


@pytest.mark.parametrize("scale", [0.3, 1.0, 30.0])
def test_bound_holds_for_projected_sgd_on_a_logistic_loss(scale):
    """In a ball, from the far side, at rates up to 30 times the largest stable one."""
    rng = np.random.default_rng(2)
    dimension, radius, sigma, seeds, horizon = 4, 3.0, 0.5, 400, 150
    rows = rng.standard_normal((30, dimension))
    rows = np.concatenate([rows, -rows])  # even, so that 0 is the minimiser
    smoothness = float(np.linalg.eigvalsh(rows.T @ rows).max()) / 4 / len(rows)

    def loss(x):
        return np.logaddexp(0.0, x @ rows.T).mean(axis=-1)

    start = np.full(dimension, radius / math.sqrt(dimension))
    for spec in SPECS:
        schedule = schedule_of(spec, horizon)
        x = np.tile(start, (seeds, 1))
        for eta in scale / smoothness * schedule(np.arange(horizon)):
            weight = 1.0 / (1.0 + np.exp(-(x @ rows.T)))
            gradient = weight @ rows / len(rows)
            x = x - eta * (gradient + sigma / 2 * rng.standard_normal(x.shape))
            x *= np.minimum(radius / np.linalg.norm(x, axis=1, keepdims=True), 1.0)
        excess = float(loss(x).mean() - math.log(2))
        # Every point of the ball is within `radius` of the minimiser.
        constants = {"distance": radius, "noise": sigma, "smoothness": smoothness}
        assert excess <= smooth_bound(schedule, scale / smoothness, **constants)


def test_without_noise_only_the_distance_is_left():
    schedule = schedule_of("constant", 10)
    found = smooth_bound(schedule, [0.5, 1.0], distance=2.0, noise=0.0, smoothness=1.0)
    np.testing.assert_allclose(found, [4.0 / (2 * 5.0), 4.0 / (2 * 10.0)])


def test_rates_that_stay_above_the_stable_one_have_no_bound():
    constants = {"distance": 1.0, "noise": 0.1, "smoothness": 1.0}
    assert smooth_bound(schedule_of("constant"), 1.01, **constants) == math.inf
    assert smooth_bound(schedule_of("linear"), 50.0, **constants) < math.inf


@pytest.mark.parametrize("noise", [0.0, 0.01, 1.0, 30.0])
@pytest.mark.parametrize("spec", SPECS)
def test_best_scale_beats_a_fine_grid(spec, noise):
    constants = {"distance": 1.0, "noise": noise, "smoothness": 2.0}
    schedule = schedule_of(spec, 400)
    best = smooth_best_scale(schedule, **constants)
    grid = best * np.geomspace(1e-3, 1e3, 2000)
    smallest = smooth_bound(schedule, grid, **constants).min()
    assert smooth_bound(schedule, best, **constants) <= smallest * (1 + 1e-6)


def test_much_noise_brings_back_the_exponents_of_the_lipschitz_case():
    """Where the noise decides, the best LR is far below 1/smoothness."""
    for spec, exponent in (("linear", 1 / 3), ("cosine", 1 / 5), ("polynomial:power=3", 1 / 7)):
        found = smooth_inflation(
            schedule_of(spec, 100_000), [30.0, 300.0], distance=1.0, noise=1e4, smoothness=1.0
        )
        slope = math.log(found[1] / found[0]) / math.log(10)
        assert slope == pytest.approx(exponent, abs=0.02)


@pytest.mark.parametrize(
    ("change", "match"),
    [
        ({"distance": 0.0}, "distance"),
        ({"noise": -1.0}, "noise"),
        ({"noise": math.nan}, "noise"),
        ({"smoothness": math.inf}, "smoothness"),
    ],
)
def test_bad_constants_are_named(change, match):
    constants = {"distance": 1.0, "noise": 1.0, "smoothness": 1.0, **change}
    with pytest.raises(InputError, match=match):
        smooth_bound(schedule_of("linear"), **constants)


def test_too_long_a_horizon_is_refused():
    with pytest.raises(InputError, match="horizon"):
        smooth_bound(schedule_of("linear", 10**9), distance=1.0, noise=1.0, smoothness=1.0)
