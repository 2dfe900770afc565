"""Exponents of a measured spectrum: centres, intervals, files, and what is refused."""

from __future__ import annotations

import numpy as np
import pytest

from etastar.model import LinearModel, PowerLaw, Spectrum, fit_spectrum, phase_of, read_spectrum
from etastar.schedule import InputError

SEEDS = 100


def spectrum(capacity: float, source: float, count: int, seed: int | None = None):
    """Eigenvalues and target powers; with a seed both fluctuate as those of a measurement do."""
    k = np.arange(1.0, count + 1.0)
    values, powers = k**-capacity, k ** -(capacity * source + 1.0)
    if seed is None:
        return values, powers
    draws = np.random.default_rng(seed)
    # A Gaussian weight squared is chi-square with one degree of freedom.
    return values * np.exp(0.1 * draws.standard_normal(count)), powers * draws.chisquare(1, count)


@pytest.mark.parametrize(("capacity", "source", "count"), [(1.5, 0.3, 400), (2.0, 1.0, 1500)])
def test_intervals_hold_as_often_as_they_say_and_centres_are_right(capacity, source, count):
    fits = [fit_spectrum(*spectrum(capacity, source, count, seed)) for seed in range(SEEDS)]
    distance = source - 1.0 + 1.0 / capacity
    for name, true in (("capacity", capacity), ("source", source), ("distance", distance)):
        ends = [getattr(fit, f"{name}_ci") for fit in fits]
        held = sum(low <= true <= high for low, high in ends)
        assert 80 <= held <= SEEDS, name
    sources = np.array([fit.source for fit in fits])
    assert np.mean([fit.capacity for fit in fits]) == pytest.approx(capacity, rel=0.01)
    assert sources.mean() == pytest.approx(source, rel=0.03)
    # Nor are the intervals wider than the errors call for.
    width = np.median([fit.source_ci[1] - fit.source_ci[0] for fit in fits])
    assert width < 1.6 * 2 * 1.645 * sources.std()


def test_an_exact_power_law_has_its_exponents_in_any_order_and_unit():
    values, powers = spectrum(1.8, 0.4, 3000)
    fit = fit_spectrum(values, powers)
    assert fit.capacity == pytest.approx(1.8, rel=1e-3)
    assert fit.source == pytest.approx(0.4, rel=0.02)
    order = np.random.default_rng(0).permutation(3000)
    other = fit_spectrum(7.0 * values[order], 1e-6 * powers[order])
    assert other.source == pytest.approx(fit.source, rel=1e-9)
    assert other.capacity_ci == pytest.approx(fit.capacity_ci, rel=1e-6)


def test_rounding_errors_and_the_fall_at_the_end_are_left_out():
    values, powers = spectrum(1.5, 0.5, 1000)
    k = np.arange(1, 1001)
    # As the eigenvalues of a matrix of finite size end.
    ending = values * (1.0 - k / 1000.5)
    cut = fit_spectrum(np.append(ending, np.full(50, 1e-17)), np.append(powers, np.full(50, 1e-9)))
    assert 300 < cut.modes[1] < 1000
    assert cut.capacity == pytest.approx(1.5, rel=0.1)
    chosen = fit_spectrum(values, powers, first=10, last=200)
    assert chosen.modes == (10, 200)
    assert chosen.capacity == pytest.approx(1.5, rel=1e-6)


def test_a_spectrum_of_two_power_laws_has_an_interval_that_spans_both():
    k = np.arange(1.0, 2001.0)
    values = np.where(k < 100, k**-1.2, 100.0 ** (-1.2 + 2.0) * k**-2.0)
    fit = fit_spectrum(values, k**-2.0, first=5, last=2000)
    assert fit.capacity_ci[0] < 1.35
    assert fit.capacity_ci[1] > 1.85


def test_the_phase_is_open_where_the_interval_holds_the_boundary():
    near = fit_spectrum(*spectrum(2.0, 0.5, 400, seed=1))
    assert near.undecided
    assert near.xi_ci[0] == 0.0 < near.xi_ci[1]
    easy = fit_spectrum(*spectrum(2.0, 1.5, 400, seed=1))
    assert not easy.undecided
    assert easy.phase.name == "easy"
    assert easy.xi_ci[0] < easy.phase.xi < easy.xi_ci[1]
    # Without label noise the boundary is at 3 - 1/a.
    silent = fit_spectrum(*spectrum(2.0, 1.5, 400, seed=1), noise=0.0)
    assert silent.phase.name == "hard"
    assert silent.distance_ci[1] < 0
    assert silent.xi_ci == (0.0, 0.0)


def test_a_model_of_a_spectrum_has_the_phase_that_was_fitted_to_it():
    values, powers = spectrum(1.5, 1.0, 200)
    model = LinearModel(Spectrum(values, powers), noise=0.1, batch_size=8)
    assert phase_of(model) is None
    found = phase_of(model, fit_spectrum(values, powers))
    exact = phase_of(PowerLaw(1.5, 1.0, 0.1, 8))
    assert found is not None
    assert exact is not None
    assert found.xi == pytest.approx(exact.xi, rel=0.05)


GOOD = spectrum(1.5, 0.5, 100)


@pytest.mark.parametrize(
    ("values", "powers", "options", "said"),
    [
        (GOOD[0][:20], GOOD[1][:20], {}, "too few"),
        (GOOD[0], GOOD[1][:-1], {}, "100 and 99 values"),
        (-GOOD[0], GOOD[1], {}, "eigenvalue must be finite and above 0"),
        (GOOD[0], -GOOD[1], {}, "target must be finite and at least 0"),
        (GOOD[0], 0 * GOOD[1], {}, "no value above 0"),
        (GOOD[0], GOOD[1], {"noise": -1}, "noise"),
        (GOOD[0], GOOD[1], {"last": 101}, "last must be at most 100"),
        (GOOD[0], GOOD[1], {"first": 0}, "first"),
        (GOOD[0], GOOD[1], {"first": 90}, "too few"),
        (GOOD[0] ** 0.5, GOOD[1], {}, "trace would be infinite"),
        (GOOD[0], np.ones(100), {}, "source must be above 0"),
        (np.ones(100), GOOD[1], {}, "must be above 1"),
    ],
)
def test_what_is_no_spectrum_is_refused(values, powers, options, said):
    with pytest.raises(InputError, match=said):
        fit_spectrum(values, powers, **options)


@pytest.mark.parametrize(
    "text",
    [
        "eigenvalue,target\n1,0.5\n0.25,0.125\n",
        "1,0.5\n0.25,0.125\n",
        "# measured\n\n1 0.5\n  0.25\t 0.125",
        "k;target;eigenvalue\n1;0.5;1\n2;0.125;0.25\n",
        "Eigenvalue\tTarget\r\n1\t0.5\r\n0.25\t0.125\r\n",
    ],
)
def test_a_spectrum_is_read_with_any_separator_and_with_or_without_a_header(tmp_path, text):
    path = tmp_path / "spectrum.csv"
    path.write_text(text)
    found = read_spectrum(path)
    assert list(found.eigenvalue) == [1.0, 0.25]
    assert list(found.target) == [0.5, 0.125]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("eigenvalue,target\n1,0.5\n0.2,x\n", ":3: target is not a number: 'x'"),
        ("1,0.5\n\n-0.2,1\n", ":3: eigenvalue must be above 0"),
        ("1,nan\n", ":1: target must be at least 0 and finite"),
        ("1,0.5\n0.25\n", ":2: the line ends before the column 'target'"),
        ("eigenvalue,power\n1,1\n", ":1: no column 'target'"),
        ("# nothing\n", "holds no mode"),
    ],
)
def test_a_wrong_line_is_named(tmp_path, text, said):
    path = tmp_path / "spectrum.csv"
    path.write_text(text)
    with pytest.raises(InputError) as caught:
        read_spectrum(path)
    assert "spectrum.csv" in str(caught.value)
    assert said in str(caught.value)
