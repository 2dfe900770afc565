"""Closed forms at long horizons against the bound itself, and against textbook values."""

import math

import numpy as np
import pytest

from etastar.robust import last_iterate, limit
from etastar.robust._limits import ConstantLimit, CosineLimit, InverseSqrtLimit
from etastar.schedule import InputError, parse_schedule

RHO = np.array([0.1, 0.5, 1.0, 1.3, 2.0, 5.0, 10.0, 30.0, 100.0, 1000.0])


def schedule_of(spec, horizon=10**9):
    return parse_schedule(spec, horizon=horizon, peak=1.0)


@pytest.mark.parametrize(
    "spec",
    [
        "linear",
        "cosine",
        "polynomial:power=0.5",
        "polynomial:power=2",
        "polynomial:power=3",
        "wsd:cooldown=0.2",
        "wsd:cooldown=0.9",
        "constant",
        "inverse_sqrt",
    ],
)
def test_closed_form_is_the_bound_at_a_long_horizon(spec):
    schedule = schedule_of(spec)
    closed, curve = limit(schedule), last_iterate(schedule)
    assert curve.best_bound() * math.sqrt(1e9) == pytest.approx(closed.best, rel=1e-4)
    # Sums differ from integrals by the last updates, most where the rate falls late.
    np.testing.assert_allclose(curve.inflation(RHO), closed.inflation(RHO), rtol=5e-4)


def test_constants_known_in_closed_form():
    assert limit(schedule_of("linear")).best == 2.0
    assert limit(schedule_of("polynomial:power=2")).best == pytest.approx(3 / math.sqrt(2))
    assert limit(schedule_of("polynomial:power=3")).best == pytest.approx(4 / math.sqrt(3))
    # A cooldown over the whole run is linear decay.
    whole, almost = limit(schedule_of("linear")), limit(schedule_of("wsd:cooldown=0.999999"))
    np.testing.assert_allclose(almost.inflation(RHO), whole.inflation(RHO), rtol=1e-5)


def test_cosine_ends_like_a_square():
    """The factor of rho^(1/5) from the closed form of x^2, against the whole curve far out."""
    cosine = CosineLimit()
    far = cosine.inflation(1e9) / 1e9**0.2
    assert far == pytest.approx(cosine.coefficient, rel=1e-3)
    assert cosine.coefficient == pytest.approx(1.12132, abs=1e-5)
    assert cosine.best == pytest.approx(2.0602, abs=1e-4)


@pytest.mark.parametrize("kind", [ConstantLimit, InverseSqrtLimit])
def test_without_annealing_the_inflation_becomes_linear_as_the_horizon_grows(kind):
    """Only at horizons far beyond any training does the logarithm stop to matter."""

    def slope(horizon):
        low, high = np.log(kind(horizon).inflation([1e3, 1e5]))
        return (high - low) / math.log(100)

    assert slope(1e15) == pytest.approx(0.91, abs=0.01)
    assert slope(1e40) > 0.95
    assert slope(1e300) > 0.99


@pytest.mark.parametrize(
    "spec",
    [
        "cosine:final=0.1",
        "linear:warmup=10",
        "exponential:final=0.1",
        "wsd:cooldown=0.2,decay=sqrt",
    ],
)
def test_shapes_without_a_closed_form_are_refused(spec):
    with pytest.raises(InputError, match="no closed form"):
        limit(schedule_of(spec, 1000))
