"""Finite width: the sampled projection, its deterministic equivalent, and the first features."""

import numpy as np
import pytest

from etastar.model import (
    LinearModel,
    PowerLaw,
    Spectrum,
    exact_losses,
    loss,
    project,
    project_equivalent,
)
from etastar.schedule import InputError, parse_schedule

K = np.arange(1.0, 201)
WIDE = Spectrum(K**-1.5, K**-1.75)
TIMES = np.array([0.1, 1.0, 10.0, 100.0, 1000.0])


@pytest.mark.slow
def test_equivalent_is_the_mean_of_samples():
    """To 4 standard errors and an error of order 1 / width."""
    width = 60
    equivalent = project_equivalent(WIDE, width)
    samples = [project(WIDE, width, seed) for seed in range(40)]
    for of in (lambda x: x.bias(TIMES), lambda x: x.kernel(TIMES), lambda x: np.array(x.floor)):
        drawn = np.array([of(sample) for sample in samples])
        error = drawn.std(axis=0) / np.sqrt(len(samples))
        mean = drawn.mean(axis=0)
        assert np.all(np.abs(of(equivalent) - mean) < 4 * error + 2 * mean / width)


def test_projection_keeps_the_initial_loss():
    for narrow in (project(WIDE, 50), project_equivalent(WIDE, 50)):
        assert narrow.initial_loss == pytest.approx(WIDE.initial_loss, rel=1e-10)
        assert narrow.floor > 0


def test_sampled_projection_is_sgd_on_projected_features():
    """The recursion in the eigenbasis against the recursion for the whole matrix E[e e^T]."""
    features, width, batch, noise, rate = 12, 5, 2.0, 0.1, 0.1
    k = np.arange(1.0, features + 1)
    wide = Spectrum(k**-1.0, k**-1.0)
    mixing = np.random.default_rng(3).standard_normal((width, features)) / np.sqrt(width)
    h = mixing @ np.diag(wide.eigenvalue) @ mixing.T
    b = mixing @ np.sqrt(wide.eigenvalue * wide.target)
    best = np.linalg.solve(h, b)
    floor = wide.target.sum() - best @ h @ best
    second = np.outer(best, best)
    for _ in range(50):
        value = np.trace(h @ second)
        drift = h @ second + second @ h
        spread = (h @ second @ h * (1 + batch) + h * (value + noise + floor)) / batch
        second = second - rate * drift + rate**2 * spread
    expected = np.trace(h @ second) + floor
    model = LinearModel(project(wide, width, seed=3), noise, batch)
    found = exact_losses(model, parse_schedule("constant:peak=0.1,horizon=50"))[0]
    assert found == pytest.approx(expected, rel=1e-10)


def test_first_features_leave_a_floor_that_acts_as_noise():
    narrow = PowerLaw(1.5, 0.5, 0.1, 4, width=10)
    spectrum = narrow.spectrum_to(100)
    same = LinearModel(Spectrum(spectrum.eigenvalue, spectrum.target), 0.1 + spectrum.floor, 4)
    schedule = parse_schedule("cosine:peak=0.1,horizon=1000")
    assert loss(narrow, schedule) == pytest.approx(loss(same, schedule) + spectrum.floor, rel=1e-6)


@pytest.mark.parametrize("width", [0, 200, 2.5])
def test_bad_widths_are_refused(width):
    for make in (project, project_equivalent):
        with pytest.raises(InputError, match="width"):
            make(WIDE, width)
