"""The exact moments: against closed forms, and against SGD that is actually run."""

import math

import jax.numpy as jnp
import numpy as np
import pytest

from etastar.model import (
    LinearModel,
    PowerLaw,
    Spectrum,
    exact_losses,
    loss,
    modes_of,
    simulate,
    update_moments,
)
from etastar.schedule import InputError, make_schedule, parse_schedule, table

K = np.arange(1.0, 13)
SPECTRA = {
    "power law": Spectrum(K**-1.5, K**-2.0),
    "flat": Spectrum(np.full(6, 0.5), np.full(6, 0.2)),
    "steep with a floor": Spectrum(2.0 ** -K[:8], np.ones(8) / 8, floor=0.1),
}
SEEDS = {1: 4000, 4: 1500, 64: 200}
TIMES = (1, 2, 4, 8, 14, 24, 40, 64, 90, 120)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize(
    "batch_size", [4, *(pytest.param(size, marks=pytest.mark.slow) for size in (1, 64))]
)
@pytest.mark.parametrize(
    "name",
    [
        name if name == "power law" else pytest.param(name, marks=pytest.mark.slow)
        for name in SPECTRA
    ],
)
def test_moments_are_those_of_simulated_sgd(name, batch_size, momentum):
    """Within three standard errors at ten times."""
    model = LinearModel(SPECTRA[name], noise=0.2, batch_size=batch_size)
    rate = 0.3 * model.max_rate * (1 - momentum)
    schedule = make_schedule("linear", peak=rate, horizon=120, warmup=10)
    runs = simulate(model, schedule, TIMES, seeds=SEEDS[batch_size], seed=1, momentum=momentum)
    exact = exact_losses(model, schedule, TIMES, momentum=momentum)
    error = runs.std(axis=0, ddof=1) / math.sqrt(len(runs))
    assert np.all(np.abs(runs.mean(axis=0) - exact) < 3 * error + 1e-12)


@pytest.mark.parametrize("name", ["power law", "flat"])
def test_a_velocity_of_its_own_lr_has_the_moments_of_simulated_sgd(name):
    model = LinearModel(SPECTRA[name], noise=0.2, batch_size=4)
    schedule = make_schedule("linear", peak=0.3 * model.max_rate, horizon=120, warmup=10)
    momentum = table([0, 60, 120], [0.5, 0.95, 0.8])
    velocity = table([0, 120], [0.02 * model.max_rate, 0.01 * model.max_rate])
    runs = simulate(
        model, schedule, TIMES, seeds=SEEDS[4], seed=3, momentum=momentum, velocity=velocity
    )
    exact = exact_losses(model, schedule, TIMES, momentum=momentum, velocity=velocity)
    error = runs.std(axis=0, ddof=1) / math.sqrt(len(runs))
    assert np.all(np.abs(runs.mean(axis=0) - exact) < 3 * error + 1e-12)


@pytest.mark.parametrize("form", ["heavy ball", "sgd", "nesterov"])
def test_a_velocity_of_its_own_lr_holds_the_forms_that_are_known(form):
    """Next to no LR for one of the two, and Nesterov's w - eta (g + mu v')."""
    model = LinearModel(SPECTRA["power law"], noise=0.2, batch_size=math.inf)
    rate, mu = 0.1 * model.max_rate, 0.8
    one, none = (make_schedule("constant", peak=peak, horizon=50) for peak in (rate, 1e-300))
    times = [1, 2, 20, 50]
    if form == "heavy ball":
        found = exact_losses(model, none, times, momentum=mu, velocity=one)
        expected = exact_losses(model, one, times, momentum=mu)
    elif form == "sgd":
        found = exact_losses(model, one, times, momentum=mu, velocity=0.0)
        expected = exact_losses(model, one, times)
    else:
        found = exact_losses(model, one, times, momentum=mu, velocity=mu * rate)
        eigenvalue = SPECTRA["power law"].eigenvalue
        error, velocity = np.sqrt(SPECTRA["power law"].target / eigenvalue), 0.0
        losses = []
        for _ in range(50):
            gradient = eigenvalue * error
            velocity = mu * velocity + gradient
            error = error - rate * (gradient + mu * velocity)
            losses.append(eigenvalue @ error**2)
        expected = np.array(losses)[np.array(times) - 1]
    np.testing.assert_allclose(found, expected, rtol=1e-12)


def test_one_mode_has_its_closed_form():
    eigenvalue, target, noise, batch, rate, steps = 0.5, 2.0, 0.3, 4.0, 0.4, 37
    model = LinearModel(Spectrum([eigenvalue], [target]), noise, batch)
    x = rate * eigenvalue
    factor = 1 - 2 * x + x**2 * (1 + 2 / batch)
    end = x**2 * noise / batch / (1 - factor)
    expected = end + (target - end) * factor**steps
    schedule = make_schedule("constant", peak=rate, horizon=steps)
    assert exact_losses(model, schedule)[0] == pytest.approx(expected, rel=1e-13)
    assert loss(model, schedule) == pytest.approx(expected, rel=1e-6)


@pytest.mark.parametrize("momentum", [0.0, pytest.param(0.9, marks=pytest.mark.slow)])
def test_infinite_batch_is_gradient_descent(momentum):
    eigenvalue, weight = np.array([1.0, 0.3, 0.01]), np.array([1.0, -2.0, 3.0])
    model = LinearModel(Spectrum(eigenvalue, eigenvalue * weight**2), 0.5, math.inf)
    schedule = make_schedule("cosine", peak=0.05, horizon=300)
    error, velocity = -weight, np.zeros(3)
    for step in range(300):
        velocity = momentum * velocity + eigenvalue * error
        error = error - schedule(step) * velocity
    expected = eigenvalue @ error**2
    assert exact_losses(model, schedule, momentum=momentum)[0] == pytest.approx(expected, rel=1e-12)
    assert loss(model, schedule, momentum=momentum) == pytest.approx(expected, rel=1e-4)


def test_only_momentum_below_one_shrinks_the_covariance_of_error_and_velocity():
    """Its determinant becomes mu^2 of itself, plus noise: derived in docs/controls_details.md."""
    eigenvalue, noise, batch, momentum = np.array([1.0, 0.3]), 0.25, 3.0, 0.7
    modes = modes_of(Spectrum(eigenvalue, np.ones(2)))
    # lambda c, lambda m and lambda u of two modes; the others are padding.
    c, m, u = np.zeros((3, len(modes.eigenvalue)))
    c[:2], m[:2], u[:2] = (0.9, 0.2), (-0.3, 0.1), (0.8, 0.5)
    added = (c.sum() + noise + c) * c / batch * np.asarray(modes.eigenvalue) ** 2
    for rate in (0.01, 0.4, 1.5):
        moments = jnp.asarray(c), jnp.asarray(m), jnp.asarray(u)
        after = update_moments(modes, noise, moments, rate, batch, momentum)
        found = after[0] * after[2] - after[1] ** 2
        assert np.allclose(found, momentum**2 * (c * u - m**2) + added, rtol=1e-12)


def test_without_noise_the_loss_vanishes():
    model = LinearModel(Spectrum([1.0, 0.5], [1.0, 1.0]), 0.0, 4)
    assert exact_losses(model, parse_schedule("constant:peak=0.3,horizon=400"))[0] < 1e-40


@pytest.mark.parametrize(("capacity", "source"), [(1.5, 0.5), (2.0, 0.25), (2.0, 1.0)])
def test_bias_falls_as_intrinsic_time_to_minus_source(capacity, source):
    """At full gradients and a constant LR the loss is T^-s."""
    model = PowerLaw(capacity, source, noise=0.0, batch_size=math.inf)
    schedule = make_schedule("constant", peak=0.5, horizon=10**9)
    steps = np.array([10**6, 10**7, 10**8, 10**9])
    slopes = np.diff(np.log10(loss(model, schedule, steps)))
    np.testing.assert_allclose(slopes, -source, atol=5e-3)


@pytest.mark.parametrize(
    ("call", "word"),
    [
        (lambda m, s: exact_losses(m, s, [101]), "at must"),
        (lambda m, s: exact_losses(m, s, [0.5]), "at must"),
        (lambda m, s: exact_losses(m, s, momentum=1.0), "momentum"),
        (lambda m, s: exact_losses(m, s, momentum=-0.1), "momentum"),
        (lambda m, s: loss(m, s, batch_size=0), "batch_size"),
        (lambda m, s: loss(m, s, tolerance=0), "tolerance"),
        (lambda m, _: loss(m, "linear"), "schedule"),  # type: ignore[arg-type]
        (lambda m, s: loss(m, s.stretched(horizon=10**6).scaled(peak=9.0)), "unstable"),
        (lambda m, s: exact_losses(m, s.stretched(horizon=10**9)), "one by one"),
        (lambda m, s: simulate(m, s), "multiplicities"),
    ],
)
def test_bad_requests_are_refused_by_name(call, word):
    model = PowerLaw(1.5, 0.5, 0.1, 1)
    with pytest.raises(InputError, match=word):
        call(model, parse_schedule("constant:peak=0.1,horizon=100"))
