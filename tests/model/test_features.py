"""Features other than Gaussian ones: against runs of SGD, and segments against the recursion."""

import math

import jax
import numpy as np
import pytest

from etastar.control import closed_form, solve
from etastar.control._model_objective import Setting, mixed, stable_rate
from etastar.control._momentum_loss import MomentumLoss
from etastar.model import (
    LinearModel,
    PowerLaw,
    Segments,
    Spectrum,
    VelocityLoss,
    averaged_losses,
    exact_losses,
    loss,
    modes_of,
    project,
    segment_loss,
    segments_of,
    simulate,
)
from etastar.schedule import InputError, make_schedule, table

K = np.arange(1.0, 7)
TIMES = (1, 2, 4, 8, 14, 24, 40, 70, 110, 160)
LAWS = [
    *((1.5, 1.0), (9.0, 2.0)),
    *(
        pytest.param(*law, marks=pytest.mark.slow)
        for law in ((1.0, 1.0), (9.0, 1.0), (3.0, 2.0), (1.5, 2.0))
    ),
]
"""Kurtosis and scale moment."""


def model_of(kurtosis: float, scale_moment: float, batch_size: float) -> LinearModel:
    """Six features and a floor."""
    spectrum = Spectrum(K**-1.5, K**-2.0, floor=0.05, kurtosis=kurtosis, scale_moment=scale_moment)
    return LinearModel(spectrum, noise=0.2, batch_size=batch_size)


def power_law(kurtosis: float, scale_moment: float, batch_size: float) -> PowerLaw:
    return PowerLaw(1.5, 0.2, 0.25, batch_size, kurtosis=kurtosis, scale_moment=scale_moment)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize(("kurtosis", "scale_moment"), LAWS)
def test_moments_are_those_of_simulated_sgd(kurtosis, scale_moment, batch_size, momentum):
    """Within three standard errors at ten times, where the moments of Gaussian features are not."""
    model = model_of(kurtosis, scale_moment, batch_size)
    rate = 0.3 * model.max_rate * (1 - momentum)
    schedule = make_schedule("linear", peak=rate, horizon=160, warmup=10)
    runs = simulate(model, schedule, TIMES, seeds=2000, seed=1, momentum=momentum)
    mean, error = runs.mean(axis=0), runs.std(axis=0, ddof=1) / math.sqrt(len(runs)) + 1e-12
    exact = exact_losses(model, schedule, TIMES, momentum=momentum)
    assert np.all(np.abs(mean - exact) < 3 * error)
    gaussian = exact_losses(model_of(3.0, 1.0, batch_size), schedule, TIMES, momentum=momentum)
    assert np.any(np.abs(mean - gaussian) > 3 * error)


@pytest.mark.parametrize(("kurtosis", "scale_moment"), LAWS)
def test_drawn_features_have_the_moments_of_one_update(kurtosis, scale_moment):
    """One feature: after an update the error is 1 - eta x^2, so its square has E[x^4] = q k."""
    spectrum = Spectrum([1.0], [1.0], kurtosis=kurtosis, scale_moment=scale_moment)
    model = LinearModel(spectrum, noise=0.0, batch_size=1)
    once = make_schedule("constant", peak=0.1, horizon=1)
    runs = simulate(model, once, seeds=20_000, seed=2)[:, 0]
    expected = 1 - 0.2 + 0.01 * scale_moment * kurtosis
    assert exact_losses(model, once)[0] == pytest.approx(expected, rel=1e-12)
    assert abs(runs.mean() - expected) < 3 * runs.std() / math.sqrt(len(runs)) + 1e-12


@pytest.mark.parametrize("batch_size", [1, 8])
@pytest.mark.parametrize(("kurtosis", "scale_moment"), [(1.0, 1.0), (20.0, 1.0), (9.0, 2.0)])
def test_segments_agree_with_the_recursion(kurtosis, scale_moment, batch_size):
    model = power_law(kurtosis, scale_moment, batch_size)
    schedule = make_schedule("cosine", peak=0.9 * model.max_rate, horizon=5000)
    exact = exact_losses(model, schedule, [50, 700, 5000])
    assert loss(model, schedule, [50, 700, 5000]) == pytest.approx(exact, rel=1e-4)


def test_segments_agree_with_momentum():
    model = power_law(9.0, 2.0, 8)
    schedule = make_schedule("cosine", peak=0.3 * model.max_rate, horizon=3000)
    cells = segments_of(model, schedule, 256, momentum=0.6)
    modes = modes_of(model.spectrum_to(30_000)).trimmed(32)
    found = jax.jit(segment_loss)(modes, model.noise, cells)
    exact = exact_losses(model, schedule, momentum=0.6)[0]
    assert float(found) == pytest.approx(exact, rel=1e-4)


def test_segments_agree_with_a_velocity_of_its_own_lr():
    model, segments = power_law(9.0, 2.0, 8), Segments.of(300, 0.06)
    modes = modes_of(model.spectrum_to(3000)).trimmed(32)
    run, count = VelocityLoss(modes, model.noise, 8.0, segments), len(segments.first)
    rate, velocity = 0.3 * model.max_rate, 0.02 * model.max_rate
    found = run.losses(np.full(count, rate), np.full(count, velocity), np.full(count, 0.9))[-1]
    schedule = make_schedule("constant", peak=rate, horizon=300)
    exact = exact_losses(model, schedule, momentum=0.9, velocity=velocity)[0]
    assert segments.doublings.max() > 1
    assert found == pytest.approx(exact, rel=1e-4)


def test_averages_of_weights_are_those_of_simulated_sgd():
    model = model_of(9.0, 2.0, 4)
    schedule = make_schedule("constant", peak=0.3 * model.max_rate, horizon=100)
    runs = simulate(model, schedule, seeds=2000, seed=4, average="window:0.5")[:, 0]
    exact = averaged_losses(model, schedule, "window:0.5")[0]
    assert abs(runs.mean() - exact) < 3 * runs.std() / math.sqrt(len(runs))


def test_the_critical_rate_is_where_the_loss_stops_being_bounded():
    for kurtosis, scale_moment, batch_size in ((20.0, 1.0, 1), (1.5, 2.0, 4), (1.0, 1.0, 1)):
        model = model_of(kurtosis, scale_moment, batch_size)
        rate = model.spectrum.critical_rate(batch_size)
        assert model.max_rate <= rate * (1 + 1e-12)
        for part, grows in ((0.98, False), (1.02, True)):
            constant = make_schedule("constant", peak=part * rate, horizon=4000)
            half, end = exact_losses(model, constant, [2000, 4000])
            assert (end > 1.1 * half) == grows


def test_slopes_of_the_momentum_loss_are_those_of_the_recursion():
    model, steps = power_law(9.0, 2.0, 8), np.arange(300)
    rate, momentum = 0.04 + 0.02 * np.sin(steps / 9), 0.6 + 0.3 * np.cos(steps / 7)

    def after(rate: np.ndarray, momentum: np.ndarray) -> float:
        lr, mu = (table(steps, values, horizon=300) for values in (rate, momentum))
        return exact_losses(model, lr, momentum=mu)[0]

    found = MomentumLoss.of(modes_of(model.spectrum_to(3000)), model.noise, 8.0, 300)
    value, by_rate, by_momentum = found.slopes(rate, momentum)
    assert value == pytest.approx(after(rate, momentum), rel=1e-12)
    for step in (0, 255, 256, 298):
        shift = 1e-5 * (steps == step)
        slope = (after(rate + shift, momentum) - after(rate - shift, momentum)) / 2e-5
        assert by_rate[step] == pytest.approx(slope, rel=1e-5, abs=1e-9)
        slope = (after(rate, momentum + shift) - after(rate, momentum - shift)) / 2e-5
        assert by_momentum[step] == pytest.approx(slope, rel=1e-5, abs=1e-9)


def test_only_a_schedule_made_for_heavy_tails_is_stable_on_them():
    heavy, gaussian = power_law(20.0, 1.0, 1), power_law(3.0, 1.0, 1)
    found, other = (solve(model, 200, compare=False) for model in (heavy, gaussian))
    assert found.schedule.peak <= heavy.max_rate * (1 + 1e-12)
    start, end = exact_losses(heavy, found.schedule, [0, 200])
    assert end == pytest.approx(found.loss, rel=1e-9)
    assert end < 0.5 * start
    assert exact_losses(heavy, other.schedule)[0] > 1e20 * start


@pytest.mark.parametrize(("kurtosis", "scale_moment"), [(1.0, 1.0), (20.0, 1.0), (9.0, 2.0)])
def test_the_bound_and_the_closed_form_hold(kurtosis, scale_moment):
    model = power_law(kurtosis, scale_moment, 8)
    found = solve(model, 1000, compare=False)
    assert found.lower_bound is not None
    assert 0.8 * found.loss < found.lower_bound < found.loss
    assert found.loss * (1 - 1e-4) < closed_form(model, 1000).loss < 1.01 * found.loss


def test_a_batch_ramp_holds_the_stable_rate_of_its_batch_sizes():
    spectrum = power_law(20.0, 2.0, 1).spectrum_to(1000)
    setting = Setting(
        length=None,
        spread=None,
        ramp=None,
        batch_size=1.0,
        update_cost=1.0,
        sample_cost=1.0,
        floor=0.0,
        cap=math.inf,
        max_batch=1e9,
        largest=float(spectrum.eigenvalue.max()),
        fed=spectrum.scale_moment * spectrum.trace,
        own=spectrum.own_noise,
    )
    for size in (20.0, 100.0, 1000.0):
        stable = spectrum.max_rate(size)
        assert float(stable_rate(setting, size)) == pytest.approx(stable, rel=1e-12)
        rate, batch = mixed(setting, stable / size, 1.0)
        assert (float(rate), float(batch)) == pytest.approx((stable, size), rel=1e-6)


def test_gaussian_features_are_the_default():
    assert Spectrum([1.0], [1.0]).own_noise == 1.0
    assert PowerLaw(1.5, 1.0, 0.1, 4, kurtosis=3.0) == PowerLaw(1.5, 1.0, 0.1, 4)
    spectrum = PowerLaw(1.5, 1.0, 0.1, 4, kurtosis=9.0, scale_moment=2.0).spectrum_to(100)
    assert (spectrum.kurtosis, spectrum.scale_moment) == (9.0, 2.0)


@pytest.mark.parametrize("name", ["kurtosis", "scale_moment"])
@pytest.mark.parametrize("value", [0.9, math.nan, math.inf])
def test_moments_out_of_range_are_refused(name, value):
    with pytest.raises(InputError, match=name):
        Spectrum([1.0], [1.0], **{name: value})
    with pytest.raises(InputError, match=name):
        PowerLaw(1.5, 1.0, 0.1, 4, **{name: value})


def test_a_projection_keeps_the_shared_size_and_refuses_other_kurtosis():
    assert project(Spectrum(K**-1.5, K**-2.0, scale_moment=2.0), 3).scale_moment == 2.0
    with pytest.raises(InputError, match="kurtosis 3"):
        project(Spectrum(K**-1.5, K**-2.0, kurtosis=4.0), 3)
