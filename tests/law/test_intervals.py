"""The 90% interval of a forecast holds the measured loss about as often as it says."""

from dataclasses import replace

import numpy as np
import pytest

from etastar.law import fit, forecast_running, transient_of
from etastar.law._misfit import alike, misfit_place
from etastar.schedule import parse_schedule
from tests.helpers.laws import make_run

OFFSET = 4e-3
"""What runs of one law differ by, relative: as two seeds of one training do."""

SPECS = [
    f"{shape}:peak={peak},horizon={horizon},warmup=100{rest}"
    for shape, rest in (("cosine", ""), ("wsd", ",cooldown=0.25"), ("linear", ""))
    for peak in (5e-4, 7e-4, 1e-3, 1.4e-3, 2e-3)
    for horizon in (2000, 3000, 4000)
]


@pytest.fixture(scope="module")
def sweep():
    """Runs each moved as a whole by an offset of its own."""
    offset = np.exp(OFFSET * np.random.default_rng(3).standard_normal(len(SPECS)))
    runs = [make_run(spec, seed) for seed, spec in enumerate(SPECS)]
    return [replace(run, loss=run.loss * by) for run, by in zip(runs, offset, strict=True)]


@pytest.fixture(scope="module")
def law(sweep):
    """The law fitted to every second run."""
    return fit(sweep[::2])


def forecasts(law, sweep):
    """Measured final losses of the runs not fitted, and their forecasts (3, runs)."""
    tested = sweep[1::2]
    found = [law.predict(run.schedule, at=[run.final_step]).final for run in tested]
    return np.array([run.final_loss for run in tested]), np.array(found).T


def test_the_interval_holds_nine_of_ten_measured_losses_and_is_no_wider(law, sweep):
    measured, (mean, low, high) = forecasts(law, sweep)
    # Of 22 runs; 0.9 give or take two standard deviations of a share.
    assert np.mean((low <= measured) & (measured <= high)) >= 0.77
    half = (high - low) / 2 / mean
    # 1.645 sd of the runs' own offsets, and little for what 23 runs leave open.
    assert np.all(half > 0.8 * 1.645 * OFFSET)
    assert np.all(half < 1.7 * 1.645 * OFFSET)


def width(law, schedule, **more):
    _, low, high = law.predict(schedule, at=[schedule.horizon], **more).final
    return (high - low) / law.final_losses([schedule])[0]


def test_it_widens_with_the_distance_from_the_runs(law, sweep):
    inside = sweep[2].schedule
    near = width(law, inside)
    longer = [inside.stretched(horizon=factor * int(law.steps_fitted)) for factor in (1, 8, 64)]
    widths = [width(law, one) for one in longer]
    assert widths[0] < widths[1] < widths[2]
    assert near < 1.1 * widths[0]
    high = law.peak_range[1]
    above = [width(law, inside.scaled(peak=high * factor)) for factor in (1.0, 1.5, 3.0)]
    assert above[0] < above[1] < above[2]
    # Two doublings of the peak cost at least a percent each, however well the constants are known.
    assert above[2] > 2 * 1.645 * 0.01 * np.log2(3.0)


def test_a_hindcast_that_fails_widens_what_lies_ahead_alone(law, sweep):
    failed = replace(law, trend=0.05)
    inside = sweep[2].schedule
    ahead = inside.stretched(horizon=2 * int(law.steps_fitted))
    assert width(failed, inside) == pytest.approx(width(law, inside), rel=1e-12)
    by = width(failed, ahead) ** 2 - width(law, ahead) ** 2
    assert np.sqrt(by) == pytest.approx(2 * 1.645 * (0.05 - 0.006), rel=1e-3)
    told, not_told = (list(transient_of(failed, one)) for one in (ahead, inside))
    assert "predicts their ends only to 5.0%" in told[0]
    assert not not_told
    assert not list(transient_of(law, ahead))


def test_differences_are_known_better_than_losses_and_hold(law, sweep):
    tested = sweep[1::2]
    inside = wide = 0
    pairs = [(one, other) for i, one in enumerate(tested) for other in tested[:i]]
    for one, other in pairs:
        found = law.difference(one.schedule, other.schedule)
        means = law.final_losses([one.schedule, other.schedule])
        assert found.mean == pytest.approx(means[0] - means[1], abs=1e-9)
        inside += found.low <= one.final_loss - other.final_loss <= found.high
        apart = np.hypot(*(width(law, run.schedule) * run.final_loss / 2 for run in (one, other)))
        wide += (found.high - found.low) / 2 > apart
    assert 0.8 <= inside / len(pairs) <= 0.99
    # Mostly luck here, which two runs do not share.
    assert wide < 0.1 * len(pairs)


def test_a_schedule_ties_with_itself_and_loses_against_a_much_better_one(law, sweep):
    good, bad = parse_schedule(SPECS[8]), parse_schedule("constant:peak=5e-5,horizon=2000")
    same = law.difference(good, good)
    assert (same.mean, same.low, same.high) == pytest.approx((0.0, 0.0, 0.0), abs=1e-9)
    assert same.tie
    there, back = law.difference(bad, good), law.difference(good, bad)
    assert not there.tie
    assert there.low > 0
    assert (back.mean, back.low, back.high) == pytest.approx(
        (-there.mean, -there.high, -there.low), rel=1e-9
    )


def test_what_is_left_open_is_what_conditioning_by_hand_leaves(law):
    posterior = law.posterior
    observed, size = posterior.observed, posterior.likeliest
    alone = replace(posterior, sizes=(size._replace(probability=1.0),))
    slope, at = observed.slope[:3] / posterior.width, observed.place[:3] + 0.3
    found = alone.moments(slope, at)
    # Constants and misfits as one vector of unknowns, with a prior; then its information form.
    everywhere = np.concatenate([observed.place, at])
    known = len(observed.residual)
    prior = np.zeros((len(posterior.width) + len(everywhere),) * 2)
    n = len(posterior.width)
    prior[:n, :n] = np.eye(n)
    prior[n:, n:] = size.misfit**2 * (alike(everywhere, everywhere) + 1e-9 * np.eye(known + 3))
    seen = np.concatenate([observed.slope, np.eye(known, known + 3)], 1)
    noise = np.diag(observed.scatter) + size.luck**2 * observed.same_run
    precision = np.linalg.inv(prior) + seen.T @ np.linalg.solve(noise, seen)
    covariance = np.linalg.inv(precision)
    mean = covariance @ seen.T @ np.linalg.solve(noise, observed.residual)
    target = np.concatenate([slope * posterior.width, np.eye(known + 3)[known:]], 1)
    np.testing.assert_allclose(found.shift, target @ mean, rtol=1e-3, atol=1e-7)
    np.testing.assert_allclose(
        found.covariance, target @ covariance @ target.T, rtol=2e-3, atol=1e-9
    )
    assert found.luck == size.luck**2


def test_misfits_have_the_size_that_the_weights_of_the_fit_take_them_for(law, sweep):
    problem = law.refit.problem
    run = next(i for i, each in enumerate(law.runs) if each.final_step == law.steps_fitted)
    here = problem.run == run
    step, weight = problem.step[here], problem.weight[here]
    place = misfit_place(law.runs[run].schedule, step, longest=law.steps_fitted)
    size = np.sqrt(np.diag(alike(place, place)))
    # Up to the clipping of the weights of the very first steps.
    late = step > 0.02 * step[-1]
    rows = problem.arrays.rows[here]
    np.testing.assert_allclose((size * weight / np.sqrt(rows))[late], weight[-1], rtol=1e-9)
    beyond = misfit_place(law.runs[run].schedule, step, batch=9.0, longest=8 * step[-1])
    assert beyond[-1, 4] == 1.0
    samples = misfit_place(law.runs[run].schedule, step, batch=2.0, longest=8 * step[-1])
    assert samples[-1, 4] == pytest.approx(2.0)


def test_a_run_under_way_is_forecast_better_the_longer_it_runs(sweep):
    law = fit(sweep[:3])
    run = make_run("cosine:peak=1e-3,horizon=12000,warmup=100", seed=5)
    run = replace(run, loss=run.loss * np.exp(OFFSET))
    errors, halves = [], []
    for part in (0.0, 0.5, 0.9):
        far = max(int(part * len(run.step)), 2)
        so_far = replace(run, step=run.step[:far], loss=run.loss[:far])
        mean, low, high = forecast_running(so_far, law).final
        errors.append(abs(mean - run.final_loss))
        halves.append(high - low)
    assert errors[2] < 0.5 * errors[0]
    assert halves[2] < halves[0]
    alone = law.predict(run.schedule, [12000.0]).final
    early = replace(run, step=run.step[:2], loss=run.loss[:2])
    assert forecast_running(early, law).final == pytest.approx(alone, rel=1e-12)


def test_a_wider_level_gives_a_wider_interval(law, sweep):
    run = sweep[1]
    halves = [
        np.ptp(law.predict(run.schedule, at=[run.final_step], level=level).final[1:])
        for level in (0.5, 0.9, 0.99)
    ]
    assert halves[0] < 0.5 * halves[1] < 0.5 * halves[2]
