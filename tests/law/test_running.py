"""The forecast of a run under way: nearer and narrower than that of its pilots, and honest."""

from dataclasses import replace

import numpy as np
import pytest

from etastar.law import fit, forecast_running
from etastar.law._misfit import alike
from etastar.runs import read_runs
from etastar.schedule import parse_schedule
from tests.helpers.curves import CURVES
from tests.helpers.laws import make_run

SPEC = "cosine:peak=1e-3,horizon=12000,warmup=100"


def until(run, part):
    done = run.step <= part * run.schedule.horizon
    return replace(run, step=run.step[done], loss=run.loss[done])


@pytest.fixture(scope="module")
def lucky():
    """A run that its luck moved by 0.3% as a whole, three times as long as the pilots."""
    run = make_run(SPEC, seed=5)
    return replace(run, loss=run.loss * 1.003)


def test_the_move_is_the_mean_of_the_posterior_of_constants_misfit_and_luck(law, lucky):
    """Against the same posterior in its information form, with the luck as an unknown."""
    again = fit([*law.runs[:3], until(lucky, 0.6)])
    posterior, own, at = again.posterior, 3, np.array([9000.0, 12000.0])
    size = posterior.likeliest
    alone = replace(posterior, sizes=(size._replace(probability=1.0),))
    targets = again._targets([lucky.schedule], [at], [lucky.batch_size])
    move, variance = alone.continued(targets.slope, targets.place, own)
    observed, n = posterior.observed, len(posterior.width)
    everywhere = np.concatenate([observed.place, targets.place])
    m = len(observed.residual)
    prior = np.zeros((n + m + 3,) * 2)
    prior[:n, :n] = np.eye(n)
    prior[n:-1, n:-1] = size.misfit**2 * (alike(everywhere, everywhere) + 1e-9 * np.eye(m + 2))
    prior[-1, -1] = size.luck**2
    here = (observed.run == own).astype(float)[:, None]
    seen = np.concatenate([observed.slope, np.eye(m, m + 2), here], 1)
    others = size.luck**2 * observed.same_run * (1 - here @ here.T)
    precision = np.linalg.inv(prior)
    precision += seen.T @ np.linalg.solve(np.diag(observed.scatter) + others, seen)
    covariance = np.linalg.inv(precision)
    noise = np.diag(observed.scatter) + others
    mean = covariance @ seen.T @ np.linalg.solve(noise, observed.residual)
    slope = targets.slope * posterior.width
    target = np.concatenate([slope, np.eye(m + 2)[m:], np.ones((2, 1))], 1)
    np.testing.assert_allclose(move, target @ mean, rtol=2e-3, atol=1e-6)
    expected = np.diag(target @ covariance @ target.T)
    np.testing.assert_allclose(variance, expected, rtol=5e-3, atol=1e-9)


def test_it_is_nearer_than_the_forecast_of_the_pilots_and_narrows(law, lucky):
    mean, low, high = law.predict(lucky.schedule, [12000]).final
    error, width = abs(mean - lucky.final_loss), high - low
    for part, most, widest in ((0.5, 0.3, 1.5), (0.75, 0.2, 0.8), (0.9, 0.2, 0.5)):
        mean, low, high = forecast_running(until(lucky, part), law).final
        assert abs(mean - lucky.final_loss) < most * error
        assert high - low < widest * width
        assert low <= lucky.final_loss <= high


def test_a_run_unlike_its_pilots_has_a_wider_interval_than_they_foretold(law, lucky):
    """Pilots alike to 0.05% know nothing of a luck of 1%: the run's own log does."""
    off = replace(lucky, loss=lucky.loss * 1.01)
    mean, low, high = law.predict(off.schedule, [12000]).final
    assert not low <= off.final_loss <= high
    own, own_low, own_high = forecast_running(until(off, 0.75), law).final
    assert own_low <= off.final_loss <= own_high
    assert own_high - own_low > high - low
    assert abs(own - off.final_loss) < 0.2 * abs(mean - off.final_loss)


@pytest.mark.parametrize("part", [0.25, 0.5, 0.75])
def test_the_intervals_of_published_runs_hold_where_the_pilots_are_nearer(part):
    """Five runs of 15,000 steps and a part of a longer one, which misses its end for a while."""
    names = [f"wsd_lr{peak}_T15000_cooldown0.2-linear" for peak in ("0.0005", "0.001", "0.002")]
    names += [f"cosine_lr{peak}_T15000" for peak in ("0.001", "0.002")]
    runs = {run.name: run for run in read_runs(CURVES / "llama124m")}
    law = fit([runs[name] for name in names])
    for run in (runs["cosine_lr0.001_T35000"], runs["cosine_lr0.002_T35000"]):
        _, low, high = forecast_running(until(run, part), law).final
        assert low <= run.final_loss <= high
        assert high - low < 0.03 * run.final_loss


@pytest.mark.slow
def test_on_the_bundled_long_runs_it_is_better_at_half_and_three_quarters():
    law = fit(read_runs("examples/gpt/pilots"))
    runs = read_runs(f"examples/gpt/check/{name}_seed0.csv" for name in ("cosine_1e-3", "wsd_1e-3"))
    for run in runs:
        alone, alone_low, alone_high = law.predict(run.schedule, [56000]).final
        for part in (0.5, 0.75):
            mean, low, high = forecast_running(until(run, part), law).final
            assert abs(mean - run.final_loss) < 0.6 * abs(alone - run.final_loss)
            assert high - low < 0.8 * (alone_high - alone_low)
            assert low <= run.final_loss <= high


def test_without_pilots_the_run_alone_is_fitted(lucky):
    mean, low, high = forecast_running(until(lucky, 0.75)).final
    assert abs(mean / lucky.final_loss - 1) < 0.02
    assert low < lucky.final_loss < high


def test_a_pilot_of_the_same_name_from_another_file_still_counts(law, lucky):
    half = until(lucky, 0.5)
    name = law.runs[0].name
    named = replace(half, name=name, metadata={"file": "elsewhere.csv"})
    assert forecast_running(named, law).final == pytest.approx(
        forecast_running(half, law).final, rel=1e-9
    )
    assert forecast_running(replace(half, name=name), law).final != pytest.approx(
        forecast_running(half, law).final, rel=1e-9
    )


def test_before_its_first_rows_and_after_a_divergence_the_pilots_speak_alone(law, lucky):
    alone = law.predict(lucky.schedule, [12000.0], batch_size=8).final
    early = replace(lucky, step=lucky.step[:2], loss=lucky.loss[:2])
    assert forecast_running(early, law).final == pytest.approx(alone, rel=1e-12)
    blown = replace(lucky, loss=np.r_[lucky.loss[:-3], 99.0, 99.0, 99.0])
    assert forecast_running(blown, law).final == pytest.approx(alone, rel=1e-12)


def test_its_interval_at_steps_far_ahead_is_wider(law, lucky):
    found = forecast_running(until(lucky, 0.5), law, at=[6500, 9000, 12000])
    widths = (found.high - found.low) / found.mean
    assert widths[-1] > widths[0]
    schedule = parse_schedule(SPEC)
    assert found.step[-1] == schedule.horizon
