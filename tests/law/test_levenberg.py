"""Our least squares against SciPy's, problem by problem."""

import numpy as np
import pytest
from scipy import optimize

from etastar.law._levenberg import least_squares

TIME = np.linspace(0.1, 3, 30)


def model(x):
    """a exp(-b t) + c, its residuals' slopes too."""
    a, b, c = x
    decay = np.exp(-b * TIME)
    return a * decay + c, np.stack([decay, -a * TIME * decay, np.ones_like(TIME)], 1)


@pytest.fixture
def problems():
    rng = np.random.default_rng(0)
    truth = rng.uniform([1, 0.3, -0.5], [3, 2, 0.5], (12, 3))
    return np.array([model(x)[0] for x in truth]) + 0.05 * rng.standard_normal((12, len(TIME)))


def test_many_at_once_are_each_at_scipys_optimum_within_bounds(problems):
    # The truth of several lies beyond a bound.
    lower, upper = np.array([0.0, 0.5, 0.0]), np.array([2.5, 5.0, 1.0])

    asked = []

    def residuals(x, which):
        asked.append(len(which))
        found = [model(one) for one in x]
        value, slope = (np.array([each[i] for each in found]) for i in (0, 1))
        return value - problems[which], slope

    start = np.tile([1.0, 1.0, 0.1], (len(problems), 1))
    got = least_squares(residuals, start, lower, upper, np.ones(3), tolerance=1e-12, most=200)
    held = 0
    for x, cost, data in zip(got.x, got.cost, problems, strict=True):
        best = optimize.least_squares(
            lambda one, data=data: model(one)[0] - data, start[0], bounds=(lower, upper),
            ftol=1e-14, xtol=1e-14, gtol=1e-14,
        )  # fmt: skip
        assert cost <= best.cost * (1 + 1e-6)
        np.testing.assert_allclose(x, best.x, atol=2e-3)
        held += bool(np.any((x < lower + 1e-6) | (x > upper - 1e-6)))
    assert 2 <= held < len(problems)
    # Those that have converged are left alone.
    assert asked[0] == len(problems) > asked[-1]
    assert asked == sorted(asked, reverse=True)


def test_it_stops_after_as_many_evaluations_as_it_may(problems):
    calls = []

    def residuals(x, which):
        calls.append(len(which))
        value, slope = model(x[0])
        return (value - problems[0])[None], slope[None]

    bounds = np.full(3, -10.0), np.full(3, 10.0)
    found = least_squares(residuals, np.ones((1, 3)), *bounds, np.ones(3), most=3)
    assert len(calls) == found.evaluations == 3
