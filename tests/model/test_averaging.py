"""The loss of averaged weights: against SGD that is run, closed forms, and what must not matter."""

import math

import numpy as np
import pytest

from etastar.model import LinearModel, PowerLaw, Spectrum, averaged_losses, exact_losses, simulate
from etastar.schedule import InputError, WeightAverage, make_schedule, parse_schedule, table

K = np.arange(1.0, 13)
MODEL = LinearModel(Spectrum(K**-1.5, K**-2.0, floor=0.01), noise=0.2, batch_size=4)
TIMES = (1, 2, 8, 24, 60, 80, 100, 120)


@pytest.mark.parametrize("momentum", [0.0, 0.8])
@pytest.mark.parametrize("average", ["window:0.5", "ema:15"])
def test_moments_are_those_of_averages_of_simulated_sgd(average, momentum):
    """Within three standard errors at eight times."""
    rate = 0.3 * MODEL.max_rate * (1 - momentum)
    schedule = make_schedule("constant", peak=rate, horizon=120, warmup=10)
    options = {"momentum": momentum}
    runs = simulate(MODEL, schedule, TIMES, seeds=1500, seed=1, average=average, **options)
    exact = averaged_losses(MODEL, schedule, average, TIMES, **options)
    error = runs.std(axis=0, ddof=1) / math.sqrt(len(runs))
    assert np.all(np.abs(runs.mean(axis=0) - exact) < 3 * error + 1e-12)
    assert exact[-1] < 0.9 * exact_losses(MODEL, schedule, **options)[0]


@pytest.mark.parametrize("average", ["window:30", "ema:30"])
def test_without_gradient_noise_the_average_is_that_of_gradient_descent(average):
    eigenvalue, weight = np.array([1.0, 0.3, 0.01]), np.array([1.0, -2.0, 3.0])
    model = LinearModel(Spectrum(eigenvalue, eigenvalue * weight**2), 0.5, math.inf)
    schedule = make_schedule("cosine", peak=0.05, horizon=100)
    kept = WeightAverage.parse(average).kept(np.arange(100), 100)
    error, mean = -weight, -weight
    for step in range(100):
        error = error - schedule(step) * eigenvalue * error
        mean = kept[step] * mean + (1 - kept[step]) * error
    found = averaged_losses(model, schedule, average)[0]
    assert found == pytest.approx(eigenvalue @ mean**2, rel=1e-12)


def test_one_mode_in_balance_has_the_variance_of_a_mean_of_an_autoregression():
    """Mean of N values of correlation r^|i - j|: var (1 + 2 sum_d (1 - d/N) r^d) / N."""
    model = LinearModel(Spectrum([0.5], [1e-12]), noise=0.3, batch_size=16)
    schedule, count = parse_schedule("constant:peak=0.4,horizon=4000"), 50
    lag = np.arange(1, count)
    r = 1 - 0.4 * 0.5
    variance = exact_losses(model, schedule)[0]
    expected = variance * (1 + 2 * np.sum((1 - lag / count) * r**lag)) / count
    found = averaged_losses(model, schedule, f"window:{count}")[0]
    assert found == pytest.approx(expected, rel=1e-10)


def test_an_average_of_one_update_is_the_weights():
    schedule = parse_schedule("linear:peak=0.2,horizon=300")
    plain = exact_losses(MODEL, schedule, TIMES, momentum=0.5)
    for average in ("window:1", "ema:1"):
        found = averaged_losses(MODEL, schedule, average, TIMES, momentum=0.5)
        np.testing.assert_allclose(found, plain, rtol=1e-13)
    # Before a window begins the average is the weights.
    found = averaged_losses(MODEL, schedule, "window:100", TIMES, momentum=0.5)
    np.testing.assert_allclose(found, plain, rtol=1e-13)


def test_a_window_is_a_linear_fall_to_first_order():
    """In the limit of small LRs the mean of a window weighs updates as an LR that falls to zero.

    w_T - w_0 averaged over the last N is sum_j eta g_j min(1, (T - j) / N): a WSD schedule.
    """
    model = LinearModel(Spectrum([1e-4], [1.0]), noise=0.3, batch_size=1)
    constant = parse_schedule("constant:peak=0.5,horizon=400")
    # The weights after updates 301 to 400: update j is in min(100, 400 - j) of them.
    steps = np.arange(401)
    fall = table(steps, 0.5 * np.minimum(1.0, (400 - steps) / 100) + 1e-15)
    averaged = averaged_losses(model, constant, "window:100")[0]
    assert averaged == pytest.approx(exact_losses(model, fall)[0], rel=1e-4)
    assert averaged != pytest.approx(exact_losses(model, constant)[0], rel=3e-3)


@pytest.mark.parametrize("average", ["mean:3", "ema", "window:0", "ema:-1", "window:x", "ema:nan"])
def test_an_average_that_is_none_is_refused(average):
    with pytest.raises(InputError, match=r"average|length"):
        WeightAverage.parse(average)


def test_averages_are_read_back_and_count_along_the_horizon():
    for text in ("window:0.2", "ema:500", "ema:0.05", "window:12.5"):
        assert WeightAverage.parse(WeightAverage.parse(text).spec) == WeightAverage.parse(text)
    window = WeightAverage("window", 0.25)
    values = np.arange(1.0, 9.0)
    mean = 0.0
    for kept, value in zip(window.kept(np.arange(8), 8), values, strict=True):
        mean = kept * mean + (1 - kept) * value
    assert mean == values[-2:].mean()
    assert WeightAverage("window", 5000).first(1000) == 0


@pytest.mark.slow  # a recursion of 30000 updates
@pytest.mark.parametrize(("source", "exponent"), [(1.0, 0.6), (0.2, 0.2)])
def test_constant_rate_and_average_have_the_exponent_of_the_best_annealing(source, exponent):
    """Both phases at capacity 1.5: LR T^-xi, a window of half the run, loss T^-exponent."""
    model = PowerLaw(1.5, source, noise=0.25, batch_size=8)
    xi = max(0.0, (source - 1 + 1 / 1.5) / (source + 1 / 1.5))
    losses = []
    for horizon in (3000, 30_000):
        rate = 0.4 * (horizon / 3000) ** -xi
        schedule = make_schedule("constant", peak=rate, horizon=horizon)
        losses.append(averaged_losses(model, schedule, "window:0.5")[0])
    assert -np.log10(losses[1] / losses[0]) == pytest.approx(exponent, abs=0.04)
