"""Constants of the bound from a training curve."""

import math

import numpy as np
import pytest

from etastar.robust import estimate_constants
from etastar.schedule import InputError, parse_schedule

STEPS = np.array([10, 30, 100, 200, 400, 700, 1000])


def losses_of(schedule, distance, gradient, floor):
    """floor plus the theorem started at the first update, from its rates."""
    found = []
    for count in STEPS:
        rates = schedule(np.arange(count))
        eta = np.append(rates, rates[-1])
        first = np.cumsum(eta[::-1])[::-1]
        second = np.cumsum((eta**2)[::-1])[::-1]
        late = np.sum(eta[:-1] / first[1:] * second[:-1] / first[:-1])
        noise = second[0] / first[0] + late
        found.append(floor + distance**2 / (2 * first[0]) + gradient**2 / 2 * noise)
    return np.array(found)


@pytest.mark.parametrize("spec", ["constant:peak=0.02", "cosine:peak=0.05,final=0.1"])
def test_constants_come_back_from_a_curve_made_with_them(spec):
    schedule = parse_schedule(spec, horizon=1000)
    found = estimate_constants(schedule, STEPS, losses_of(schedule, 3.0, 0.7, 1.9))
    assert found.distance == pytest.approx(3.0, rel=1e-6)
    assert found.gradient == pytest.approx(0.7, rel=1e-6)
    assert found.floor == pytest.approx(1.9, rel=1e-6)
    assert found.misfit < 1e-9


@pytest.mark.parametrize("spec", ["cosine:peak=0.05", "wsd:peak=0.05,cooldown=0.3"])
def test_estimated_constants_follow_sgd_and_have_a_smaller_product(spec):
    """On |x - x*| in 5 dimensions with noisy gradients: D = 1, G^2 = 6."""
    rng = np.random.default_rng(0)
    schedule = parse_schedule(spec, horizon=1000)
    x = np.zeros((200, 5))
    x[:, 0] = 1.0
    steps, losses = [], []
    for t, rate in enumerate(schedule(np.arange(1000))):
        if t % 50 == 0 and t:
            steps.append(t)
            losses.append(float(np.linalg.norm(x, axis=1).mean()))
        direction = x / np.maximum(np.linalg.norm(x, axis=1, keepdims=True), 1e-12)
        x = x - rate * (direction + rng.standard_normal(x.shape))
    found = estimate_constants(schedule, steps, losses)
    assert found.misfit < 0.2 * (max(losses) - min(losses))
    assert 0.05 < found.distance * found.gradient < math.sqrt(6.0)


SCHEDULE = parse_schedule("constant:peak=0.1,horizon=1000")


@pytest.mark.parametrize(
    ("step", "loss", "match"),
    [
        ([1, 2, 3], [3.0, 2.0, 1.0], "too few"),
        ([1, 2, 3, 4], [3.0, 2.0, 1.0], "as long"),
        ([1, 2, 3, 3], [3.0, 2.0, 1.0, 1.0], "increase"),
        ([1, 2, 3, 1001], [3.0, 2.0, 1.0, 1.0], "horizon"),
        ([1, 2, 3, 4], [3.0, 2.0, math.nan, 1.0], "finite"),
        (["a", "b"], [1.0, 2.0], "numbers"),
        ([10, 100, 300, 1000], [1.0, 1.0, 1.0, 1.0], "loss"),
        ([10, 100, 300, 1000], [1.0, 2.0, 3.0, 4.0], "loss"),
    ],
)
def test_bad_curves_are_named(step, loss, match):
    with pytest.raises(InputError, match=match):
        estimate_constants(SCHEDULE, step, loss)
