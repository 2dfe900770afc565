"""Alarms on curves whose faults are known, and none on curves that have none."""

from dataclasses import replace

import numpy as np
import pytest

from etastar.law import Forecast
from etastar.runs import Run
from etastar.schedule import parse_schedule
from etastar.watch import Alarm, find_alarms, report_on
from etastar.watch._alarms import scatter, without_spikes
from tests.helpers.laws import make_run

SCHEDULE = parse_schedule("constant:peak=1e-3,horizon=1000")
STEPS = np.arange(10.0, 801.0, 10.0)
NOISE = 0.003


def curve(seed=0, noise=NOISE):
    jitter = np.random.default_rng(seed).standard_normal(len(STEPS))
    return 2 + 3 * STEPS**-0.5, np.exp(noise * jitter)


def run_and_band(change, seed=0):
    """A run whose last 16 rows are changed, and the band of these, known to 0.5%."""
    clean, jitter = curve(seed)
    loss = clean * jitter
    loss[-16:] = change(loss[-16:], loss[:-16])
    expected = clean[-16:]
    band = Forecast(STEPS[-16:], expected, 0.992 * expected, 1.008 * expected)
    return Run("run", STEPS, loss, SCHEDULE), band


def kinds(change, seed=0):
    return [alarm.kind for alarm in find_alarms(*run_and_band(change, seed))]


def at(place, factor):
    """Rows made larger by a factor."""

    def change(last, _):
        out = last.copy()
        out[place] = out[place] * factor
        return out

    return change


def test_a_curve_without_a_fault_raises_no_alarm():
    assert [kinds(lambda last, _: last, seed) for seed in range(50)] == [[]] * 50


@pytest.mark.parametrize("rows", [slice(8, 9), slice(8, 10), slice(15, 16), slice(14, 16)])
def test_one_or_two_rows_far_above_are_a_spike(rows):
    run, band = run_and_band(at(rows, 1.3))
    (alarm,) = find_alarms(run, band)
    assert alarm.kind == "spike"
    assert alarm.step == band.step[rows][0]
    assert alarm.loss == pytest.approx(1.3 * alarm.expected, rel=0.02)


def test_a_spike_that_comes_back_slowly_is_no_divergence():
    assert kinds(at(slice(10, 16), np.array([1.6, 1.5, 1.35, 1.25, 1.15, 1.08]))) == ["spike"]


def test_the_latest_spike_is_told():
    change = at([3, 9], np.array([1.5, 1.3]))
    (alarm,) = find_alarms(*run_and_band(change))
    assert alarm.step == STEPS[-16 + 9]


@pytest.mark.parametrize("rise", [0.1, 0.3])
def test_a_loss_that_rises_and_stays_is_a_divergence(rise):
    grow = at(slice(8, 16), np.exp(np.linspace(0.02, rise, 8)))
    assert kinds(grow) == ["divergence"]
    step_up = at(slice(10, 16), 1 + rise)
    assert kinds(step_up) == ["divergence"]


def test_a_loss_that_is_not_finite_is_a_divergence_even_without_a_band():
    run, _ = run_and_band(lambda last, _: last)
    run = replace(run, metadata={"diverged": True})
    (alarm,) = find_alarms(run, None)
    assert alarm.kind == "divergence"
    assert "expected" not in alarm.message


def test_a_loss_that_stops_falling_is_a_plateau(law):
    whole = make_run("cosine:peak=1e-3,horizon=8000,warmup=100", seed=2)
    loss, stop = whole.loss.copy(), 90
    jitter = np.exp(5e-4 * np.random.default_rng(4).standard_normal(len(loss) - stop))
    loss[stop:] = loss[stop] * jitter
    stuck = replace(whole, step=whole.step[:115], loss=loss[:115])
    (alarm,) = report_on(stuck, law).alarms
    assert alarm.kind == "plateau"
    assert alarm.step >= whole.step[stop]
    assert alarm.expected < alarm.loss
    assert report_on(replace(whole, step=whole.step[:115], loss=whole.loss[:115]), law).alarms == ()


def test_several_rows_above_the_band_that_do_not_rise_are_a_plateau():
    def flat(last, before):
        return np.full(16, before[-1])

    clean, _ = curve()
    falling = clean[-17] * np.exp(-np.linspace(0, 0.2, 17))[1:]
    band = Forecast(STEPS[-16:], falling, 0.992 * falling, 1.008 * falling)
    run, _ = run_and_band(flat)
    assert [alarm.kind for alarm in find_alarms(run, band)] == ["plateau"]


def test_losses_below_the_band_raise_no_alarm():
    assert kinds(at(slice(5, 16), 0.8)) == []


def test_small_differences_raise_no_alarm_however_smooth_the_log_is():
    clean, _ = curve()
    expected = clean[-16:]
    band = Forecast(STEPS[-16:], expected, expected * (1 - 1e-9), expected * (1 + 1e-9))
    run = Run("run", STEPS, np.r_[clean[:-16], 1.009 * expected], SCHEDULE)
    assert find_alarms(run, band) == ()
    assert find_alarms(replace(run, loss=np.r_[clean[:-16], 1.02 * expected]), band) != ()


def test_the_scatter_is_that_of_single_rows_and_spikes_do_not_count():
    clean, jitter = curve(noise=0.01)
    found = scatter(Run("run", STEPS, clean * jitter, SCHEDULE))
    assert found == pytest.approx(0.01, rel=0.25)
    spiked = clean * jitter
    spiked[40] *= 3
    assert scatter(Run("run", STEPS, spiked, SCHEDULE)) == pytest.approx(found, rel=0.15)


def test_spikes_are_taken_out_before_a_forecast_and_nothing_else():
    clean, jitter = curve()
    run = Run("run", STEPS, clean * jitter, SCHEDULE)
    assert without_spikes(run) is run
    spiked = run.loss.copy()
    spiked[[30, 31, 60]] *= 1.5
    left = without_spikes(replace(run, loss=spiked))
    assert set(STEPS) - set(left.step) == {STEPS[30], STEPS[31], STEPS[60]}
    last = run.loss.copy()
    last[-1] *= 1.5
    assert without_spikes(replace(run, loss=last)).final_step == STEPS[-1]


def test_words_of_an_alarm():
    alarm = Alarm("divergence", 12000.0, 5.25, 3.1)
    assert alarm.message == "divergence from step 12,000: the loss is 5.25, expected 3.1"
