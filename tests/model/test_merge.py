"""A measured spectrum of many modes and the few nodes in its place have the same losses."""

from __future__ import annotations

import numpy as np
import pytest

from etastar.control import solve
from etastar.model import LinearModel, PowerLaw, Spectrum, exact_losses, merged, sign_losses
from etastar.model._merge import MANY
from etastar.schedule import parse_schedule


def rough(count: int, seed: int) -> Spectrum:
    """Eigenvalues over five decades, targets and multiplicities that jump from one to the next."""
    random = np.random.default_rng(seed)
    value = np.exp(random.uniform(-12.0, 0.0, count))
    return Spectrum(value, random.exponential(1.0, count) ** 3, random.integers(1, 4, count))


def clustered() -> Spectrum:
    random = np.random.default_rng(2)
    value = np.concatenate([np.full(900, 1.0), np.full(500, 0.1), np.zeros(5)])
    return Spectrum(value, random.exponential(1.0, len(value)), floor=0.5, kurtosis=5.0)


@pytest.mark.parametrize("spectrum", [rough(600, 0), rough(6000, 1), clustered()])
def test_bias_and_kernel_are_those_of_all_modes(spectrum):
    few = merged(spectrum)
    assert len(few.eigenvalue) < 400
    slowest = spectrum.eigenvalue[spectrum.eigenvalue > 0].min()
    time = np.append(0.0, np.geomspace(1e-2, 1.5 / slowest, 300))
    for of_few, of_all in ((few.bias, spectrum.bias), (few.kernel, spectrum.kernel)):
        np.testing.assert_allclose(of_few(time), of_all(time), rtol=3e-4, atol=0)
        assert np.abs(of_few(time) - of_all(time)).max() < 2e-6 * of_all(0.0)
        assert (of_few(time) <= of_all(time) * (1 + 1e-13)).all()  # bounds rest on it


@pytest.mark.parametrize("spectrum", [rough(3000, 3), clustered()])
def test_what_stability_hangs_on_is_kept(spectrum):
    few = merged(spectrum)
    assert few.trace == spectrum.trace
    assert few.max_rate(8.0) == spectrum.max_rate(8.0)
    assert few.critical_rate(8.0) == pytest.approx(spectrum.critical_rate(8.0), rel=1e-9)
    assert (few.floor, few.kurtosis) == (spectrum.floor, spectrum.kurtosis)


@pytest.mark.parametrize(("peak", "momentum"), [(0.8, 0.0), (0.05, 0.95)])
def test_the_exact_losses_are_those_of_all_modes(monkeypatch, peak, momentum):
    spectrum = rough(2000, 4)
    schedule = parse_schedule(f"cosine:peak={peak * spectrum.max_rate(8.0)},horizon=400")
    model = LinearModel(spectrum, 0.1, 8.0)
    few = exact_losses(model, schedule, momentum=momentum)
    monkeypatch.setattr("etastar.model._power_law.merged", lambda spectrum: spectrum)
    np.testing.assert_allclose(few, exact_losses(model, schedule, momentum=momentum), rtol=1e-4)


def test_normalised_updates_look_at_every_mode():
    """Each weight has a step of its own size, which the mean of a bin does not have."""
    spectrum = rough(600, 6)
    split = Spectrum(
        np.repeat(spectrum.eigenvalue, 2),
        np.repeat(spectrum.target / 2, 2),
        np.repeat(spectrum.multiplicity / 2, 2),
    )
    schedule = parse_schedule("linear:peak=0.01,horizon=50")
    found, expected = (
        sign_losses(LinearModel(each, 0.1, 8.0), schedule)[0] for each in (split, spectrum)
    )
    assert found == pytest.approx(expected, rel=1e-9)


def test_few_modes_are_left_as_they_are():
    spectrum = rough(MANY, 5)
    assert merged(spectrum) is spectrum


@pytest.mark.slow
def test_twenty_thousand_modes_are_solved_like_the_power_law_they_are():
    mode = np.arange(1.0, 20_001.0)
    measured = LinearModel(Spectrum(mode**-1.5, mode**-1.75), 0.25, 8.0)
    known = PowerLaw(1.5, 0.5, 0.25, 8.0, width=20_000)
    horizon = 100
    few, exact = (solve(model, horizon, compare=False) for model in (measured, known))
    floor = known.spectrum_to(horizon).floor
    # The power law's floor also acts as label noise: both effects are far below the tolerance.
    assert few.loss == pytest.approx(exact.loss - floor, rel=1e-3)
