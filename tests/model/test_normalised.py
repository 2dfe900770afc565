"""Sign descent and Adam: the recursions against runs, closed forms and SGD of another spectrum."""

import math

import numpy as np
import pytest
from scipy.special import zeta
from scipy.stats import t as student

from etastar.model import (
    LinearModel,
    PowerLaw,
    Spectrum,
    adam_losses,
    exact_losses,
    sign_losses,
    simulate,
)
from etastar.schedule import InputError, make_schedule, table

TIMES = (1, 4, 16, 50, 100)


def model_of(capacity: float, source: float, noise: float, batch: float, modes: int = 48):
    k = np.arange(1.0, modes + 1)
    return LinearModel(Spectrum(k**-capacity, k ** -(capacity * source + 1)), noise, batch)


def mean_of(runs: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Mean over runs and its standard error."""
    return runs.mean(axis=0), runs.std(axis=0, ddof=1) / math.sqrt(len(runs))


def speed(batch: float) -> float:
    """f(B) = sqrt(2 / pi) E[chi_B]: m(e) = f e / R for small errors."""
    return (
        2.0 / math.sqrt(math.pi) * math.exp(math.lgamma((batch + 1) / 2) - math.lgamma(batch / 2))
    )


@pytest.mark.parametrize(
    ("capacity", "source", "noise", "batch"),
    [
        (1.5, 0.2, 0.25, 2),
        (1.5, 1.0, 1.0, 4),
        *(
            pytest.param(*task, marks=pytest.mark.slow)
            for task in ((1.5, 0.2, 4.0, 1), (3.0, 0.3, 0.1, 4), (1.5, 0.2, 0.0, 4),
                         (1.5, 1.0, 0.25, 64), (2.0, 0.5, 1.0, 16))
        ),
    ],
)  # fmt: skip
def test_losses_of_sign_descent_are_those_of_runs(capacity, source, noise, batch):
    """Within three standard errors and 2%, which is what the mean-field closure may miss."""
    model, seeds = model_of(capacity, source, noise, batch), 800 if batch < 16 else 200
    schedule = make_schedule("linear", peak=0.04, horizon=100)
    mean, error = mean_of(simulate(model, schedule, TIMES, seeds=seeds, update="sign"))
    found = sign_losses(model, schedule, TIMES)
    assert np.all(np.abs(found - mean) < 3 * error + 0.02 * mean)


SLOW_ADAM = ((1.0, 8, 0.999), (0.2, 1, 0.99), (0.2, 64, 0.999))


@pytest.mark.parametrize(
    ("source", "batch", "beta2"),
    [(0.2, 4, 0.99), *(pytest.param(*task, marks=pytest.mark.slow) for task in SLOW_ADAM)],
)
def test_losses_of_adam_are_those_of_runs(source, batch, beta2):
    """Within three standard errors and 5%: terms of order 1 - beta2 are left out."""
    model = model_of(1.5, source, 0.25, batch)
    schedule = make_schedule("linear", peak=0.04, horizon=100)
    seeds = 800 if batch < 64 else 200
    runs = simulate(model, schedule, TIMES, seeds=seeds, update="adam", beta2=beta2)
    mean, error = mean_of(runs)
    found = adam_losses(model, schedule, TIMES, beta2=beta2)
    assert np.all(np.abs(found - mean) < 3 * error + 0.05 * mean)


@pytest.mark.parametrize("batch", [1, 2, 3, 8, 100, 30_000])
def test_the_mean_sign_is_that_of_students_t(batch):
    """Of one mode: given the residuals' size the gradient is Gaussian, so that its ratio is t."""
    for noise in (1.2, 4.0, 100.0):
        model, rate = LinearModel(Spectrum([1.0], [1.0]), noise, batch), 1e-3
        schedule = make_schedule("constant", peak=rate, horizon=1)
        after = sign_losses(model, schedule)[0]
        part = 1.0 / math.sqrt(1.0 + noise)
        sign = 2 * student.cdf(math.sqrt(batch) * part / math.sqrt(1 - part**2), batch) - 1
        assert (1.0 + rate**2 - after) / (2 * rate) == pytest.approx(sign, rel=3e-3)


def test_full_gradients_have_exact_signs():
    eigenvalue, target = np.array([1.0, 0.3, 0.01]), np.array([1.0, 0.4, 0.2])
    model = LinearModel(Spectrum(eigenvalue, target), 0.5, math.inf)
    schedule = make_schedule("cosine", peak=0.07, horizon=60)
    error, second = -np.sqrt(target), np.zeros(3)
    adam = error.copy()
    for step in range(60):
        error = error - schedule(step) * np.sqrt(eigenvalue) * np.sign(error)
        second = 0.9 * second + 0.1 * adam**2
        rate = schedule(step) * np.sqrt(eigenvalue * (1 - 0.9 ** (step + 1)) / second)
        adam = adam - rate * adam
    assert sign_losses(model, schedule)[0] == pytest.approx(error @ error, rel=1e-9)
    assert adam_losses(model, schedule, beta2=0.9)[0] == pytest.approx(adam @ adam, rel=1e-9)


@pytest.mark.parametrize("batch", [3, 8, 64])
def test_where_noise_dominates_it_is_sgd_on_roots_of_the_eigenvalues(batch):
    """LR eta f / sigma and batch f^2 for sign descent, eta sqrt(B) / sigma and B for Adam."""
    k, noise = np.arange(1.0, 200.0), 2000.0 * batch
    target = k**-1.5
    model = LinearModel(Spectrum(k**-1.5, target), noise, batch)
    schedule = make_schedule("linear", peak=1e-4 * math.sqrt(noise), horizon=8000)
    at = [500, 4000, 8000]
    for found, fast in (
        (sign_losses(model, schedule, at), speed(batch)),
        (adam_losses(model, schedule, at), math.sqrt(batch)),
    ):
        same = LinearModel(Spectrum(k**-0.75, target), noise, fast**2)
        expected = exact_losses(same, schedule.scaled(peak=1e-4 * fast), at)
        np.testing.assert_allclose(found, expected, rtol=0.01)


def test_its_bias_falls_with_twice_the_source():
    """As by gradient flow with a / 2 and 2 s; the noise that LRs add, here small, is known."""
    model, at = PowerLaw(3.0, 0.25, 1e6, 4), np.array([200.0, 20_000.0])
    schedule = make_schedule("constant", peak=1e-2, horizon=20_000)
    found = sign_losses(model, schedule, at)
    eigenvalue = np.arange(1.0, 2e5) ** -model.capacity
    # A mode forgets at the rate 2 eta f sqrt(lambda) / sigma what an update adds to it.
    rate = 2 * schedule.peak * speed(4) / math.sqrt(model.noise) * np.sqrt(eigenvalue)
    kept = np.array([-np.expm1(-rate * steps) / rate for steps in at])
    noise = schedule.peak**2 * kept @ eigenvalue
    bias = Spectrum.power_law(1.5, 0.5).bias(schedule.peak * at * speed(4) / math.sqrt(model.noise))
    np.testing.assert_allclose(found, bias + noise, rtol=1e-3)
    assert noise[0] < 0.02 * bias[0]


@pytest.mark.slow
def test_runs_collapse_over_batch_sizes_where_noise_dominates():
    """With eta ~ f at equal f^2 T, f^2 = (2 B - 1) / pi nearly: eta ~ sqrt(B) at equal samples."""
    found = {}
    for batch in (1, 4, 16, 64):
        fast = speed(batch)
        horizon = round(1500 / fast**2)
        model = model_of(1.5, 0.2, 400.0, batch, modes=24)
        schedule = make_schedule("constant", peak=0.006 * fast, horizon=horizon)
        times = np.round(np.array([0.25, 0.5, 1.0]) * horizon)
        found[batch] = mean_of(simulate(model, schedule, times, seeds=250, update="sign"))
    middle, error = found[16]
    assert middle[-1] < 0.8 * middle[0]
    for mean, other in found.values():
        assert np.all(np.abs(mean - middle) < 3 * np.hypot(error, other) + 0.02 * middle)


def test_beyond_the_critical_batch_size_samples_are_wasted():
    """At equal samples and eta ~ sqrt(B): little is lost up to R^2 / e^2 of a mode, then much."""
    samples, found = 2**14, {}
    for batch in (8, 64, 2**12):
        peak = 4e-3 * math.sqrt(batch / 8)
        schedule = make_schedule("linear", peak=peak, horizon=samples // batch)
        found[batch] = sign_losses(PowerLaw(1.5, 1.0, 0.25, batch), schedule)[0]
    assert found[64] == pytest.approx(found[8], rel=0.1)
    assert found[2**12] > 2 * found[8]


def test_a_compressed_spectrum_has_the_losses_of_its_modes():
    k = np.arange(1.0, 3001)
    schedule = make_schedule("linear", peak=0.02, horizon=1000)
    floor = float(zeta(1.3, 3001.0))
    single = LinearModel(Spectrum(k**-1.5, k**-1.3, floor=floor), 0.25, 8)
    binned = PowerLaw(1.5, 0.2, 0.25, 8, width=3000)
    for losses in (sign_losses, adam_losses):
        found, expected = (losses(model, schedule)[0] for model in (binned, single))
        assert found == pytest.approx(expected, rel=1e-3)


def test_a_batch_size_may_change_during_a_run():
    model, schedule = PowerLaw(1.5, 0.2, 0.25, 4), make_schedule("constant", peak=0.02, horizon=100)
    ramp = table([0, 49, 50], [4, 4, 64], horizon=100)
    for losses in (sign_losses, adam_losses):
        found = losses(model, schedule, [50, 100], batch_size=ramp)
        small, large = (losses(model, schedule, [50, 100], batch_size=size) for size in (4, 64))
        assert found[0] == pytest.approx(small[0], rel=1e-4)
        assert large[1] < found[1] < small[1]


def test_adam_without_memory_is_sign_descent():
    model, schedule = model_of(1.5, 1.0, 0.25, 4), make_schedule("cosine", peak=0.1, horizon=40)
    sign = simulate(model, schedule, TIMES[:3], seeds=8, update="sign")
    adam = simulate(model, schedule, TIMES[:3], seeds=8, update="adam", beta2=0.0)
    np.testing.assert_allclose(adam, sign, rtol=1e-9)


@pytest.mark.slow
@pytest.mark.parametrize("batch", [1, 16])
def test_losses_in_a_random_basis_are_those_of_runs(batch):
    """Within three standard errors and 8%; the basis itself is drawn too, twice."""
    model = model_of(1.5, 0.2, 1.0, batch)
    schedule = make_schedule("linear", peak=0.03, horizon=100)
    runs = [
        simulate(model, schedule, TIMES, seeds=100, seed=seed, update="sign", rotated=True)
        for seed in range(2)
    ]
    mean, error = mean_of(np.concatenate(runs))
    found = sign_losses(model, schedule, TIMES, rotated=True)
    assert np.all(np.abs(found - mean) < 3 * error + 0.08 * mean)
    assert np.any(np.abs(sign_losses(model, schedule, TIMES) - mean) > 0.2 * mean)


def test_a_wide_random_basis_is_sgd_over_the_size_of_the_residuals():
    """Where label noise dominates: LR eta f / (sigma sqrt(mean lambda)), batch pi f^2 / 2."""
    # Many alike, so that no direction makes one coordinate's gradient larger than another's.
    k, batch, noise = np.arange(1.0, 201), 8, 400.0
    spectrum = Spectrum(k**-1.2, k**-1.5, multiplicity=np.full(200, 20.0))
    model = LinearModel(spectrum, noise, batch)
    mean, at = spectrum.trace / 4000, [300, 3000]
    schedule = make_schedule("linear", peak=1e-4 * math.sqrt(mean * noise), horizon=3000)
    found = sign_losses(model, schedule, at, rotated=True)
    same = LinearModel(spectrum, noise, math.pi / 2 * speed(batch) ** 2)
    expected = exact_losses(same, schedule.scaled(peak=1e-4 * speed(batch)), at)
    np.testing.assert_allclose(found, expected, rtol=0.03)
    assert found[-1] < 0.85 * found[0]


def test_a_rotation_changes_normalised_updates_alone():
    model, schedule = model_of(1.5, 0.2, 1.0, 4), make_schedule("constant", peak=0.02, horizon=50)
    plain, rotated = (simulate(model, schedule, seeds=4, rotated=each) for each in (False, True))
    np.testing.assert_array_equal(plain, rotated)


@pytest.mark.slow
def test_a_rotation_changes_nothing_where_all_directions_are_alike():
    model = LinearModel(Spectrum(np.full(24, 0.5), np.full(24, 0.05)), 4.0, 4)
    schedule = make_schedule("constant", peak=0.02, horizon=50)
    mean, error = mean_of(simulate(model, schedule, seeds=400, update="sign", rotated=True))
    for rotated in (False, True):
        found = sign_losses(model, schedule, rotated=rotated)
        assert np.all(np.abs(found - mean) < 3 * error + 0.02 * mean)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda m, s: simulate(m, s, update="lion"), "update must be one of sgd"),  # type: ignore[arg-type]
        (lambda m, s: simulate(m, s, update="sign", momentum=0.9), "momentum"),
        (lambda m, s: simulate(m, s, update="adam", velocity=0.1), "velocity"),
        (lambda m, s: simulate(m, s, update="adam", beta2=1.0), "beta2"),
        (lambda m, s: adam_losses(m, s, beta2=-0.1), "beta2"),
        (lambda m, s: adam_losses(m, s, beta2=math.nan), "beta2"),
        (lambda m, s: sign_losses(m, s, [21]), "at must"),
        (lambda _, s: sign_losses(PowerLaw(1.5, 1.0, 0.1, 4), s, rotated=True), "width"),
        (lambda m, s: sign_losses(m, s, batch_size=0.5), "batch_size"),
        (lambda _, s: sign_losses(PowerLaw(1.5, 1.0, 0.1, 4, kurtosis=9.0), s), "Gaussian"),
        (lambda m, s: sign_losses(m, s.stretched(horizon=10**9)), "one by one"),
    ],
)
def test_bad_requests_are_refused_by_name(call, word):
    with pytest.raises(InputError, match=word):
        call(model_of(1.5, 1.0, 0.1, 4), make_schedule("constant", peak=0.1, horizon=20))
