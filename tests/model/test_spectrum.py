"""The compressed spectrum is the spectrum, and bad spectra are refused."""

import numpy as np
import pytest

from etastar.model import LinearModel, PowerLaw, Spectrum, modes_of
from etastar.schedule import InputError

WIDTH = 10**6


@pytest.mark.parametrize(("capacity", "source"), [(1.1, 0.3), (1.5, 1.0), (2.0, 0.25), (2.0, 1.0)])
def test_compression_keeps_bias_and_kernel(capacity, source):
    spectrum = Spectrum.power_law(capacity, source, width=WIDTH)
    k = np.arange(1.0, WIDTH + 1)
    eigenvalue, target = k**-capacity, k ** -(capacity * source + 1)
    assert len(spectrum.eigenvalue) < 150
    for time in np.geomspace(0.1, min(1e9, 0.1 * WIDTH**capacity), 13):
        left = np.exp(-2 * eigenvalue * time)
        assert spectrum.bias(time) == pytest.approx(target @ left + spectrum.floor, rel=1e-4)
        assert spectrum.kernel(time) == pytest.approx(eigenvalue**2 @ left, rel=2e-4)
    assert spectrum.trace == pytest.approx(eigenvalue.sum(), rel=1e-12)


@pytest.mark.parametrize("source", [0.2, 1.0, 3.0])
def test_tail_node_is_within_its_tolerance(source):
    """Resolving a thousand times slower modes changes the loss by less than the tolerance."""
    time = np.array([1e2, 1e4])
    near = Spectrum.power_law(1.5, source, intrinsic_time=1e4)
    far = Spectrum.power_law(1.5, source, intrinsic_time=1e9)
    assert len(far.eigenvalue) > len(near.eigenvalue)
    np.testing.assert_allclose(near.bias(time), far.bias(time), rtol=1e-5)


def test_narrow_power_law_is_exact():
    spectrum = Spectrum.power_law(2.0, 0.5, width=20)
    np.testing.assert_allclose(spectrum.eigenvalue, np.arange(1.0, 21) ** -2.0, rtol=1e-14)
    assert spectrum.initial_loss == pytest.approx(np.pi**2 / 6, rel=1e-12)


def test_critical_rate_is_where_the_map_has_radius_one():
    eigenvalue = np.array([1.0, 0.5, 0.1])
    for batch in (1.0, 4.0):
        spectrum = Spectrum(eigenvalue, np.ones(3))
        rate = spectrum.critical_rate(batch)
        x = rate * eigenvalue
        update = np.diag(1 - 2 * x + x**2 * (1 + 1 / batch)) + np.outer(x**2, np.ones(3)) / batch
        assert np.abs(np.linalg.eigvals(update)).max() == pytest.approx(1.0, abs=1e-9)
        assert spectrum.max_rate(batch) <= rate


def test_modes_are_padded_to_few_shapes():
    shapes = {
        modes_of(PowerLaw(1.5, 0.5, 0, 1).spectrum_to(10.0**p)).target.shape for p in range(13)
    }
    assert len(shapes) <= 4


@pytest.mark.parametrize(
    ("make", "word"),
    [
        (lambda: Spectrum([1.0], [1.0, 2.0]), "as long"),
        (lambda: Spectrum([np.nan], [1.0]), r"eigenvalue\[0\]"),
        (lambda: Spectrum([1.0, -1.0], [1.0, 1.0]), r"eigenvalue\[1\]"),
        (lambda: Spectrum([0.0], [1.0]), "above 0"),
        (lambda: Spectrum([], []), "at least one"),
        (lambda: Spectrum("x", [1.0]), "numbers"),
        (lambda: PowerLaw(1.0, 0.5, 0.1, 1), "capacity"),
        (lambda: PowerLaw(1.5, 0.0, 0.1, 1), "source"),
        (lambda: PowerLaw(1.5, 0.5, -0.1, 1), "noise"),
        (lambda: PowerLaw(1.5, 0.5, 0.1, 0.5), "batch_size"),
        (lambda: PowerLaw(1.5, 0.5, 0.1, 1, width=0), "width"),
        (lambda: LinearModel([1.0], 0.1, 1), "spectrum"),  # type: ignore[arg-type]
    ],
)
def test_bad_spectra_are_refused_by_name(make, word):
    with pytest.raises(InputError, match=word):
        make()
