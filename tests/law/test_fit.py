"""The fit finds a known law again, in any units, and refuses what cannot be fitted."""

import tracemalloc
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etastar.law import backtest, fit
from etastar.law._forms import FORMS
from etastar.law._points import FEW_POINTS, MOST_POINTS, make_arrays, thinned
from etastar.model import PowerLaw, loss
from etastar.runs import Run
from etastar.schedule import InputError, parse_schedule
from tests.helpers.laws import TRUTH, compilations, make_run, true_losses


def test_a_known_law_is_forecast_at_four_times_the_horizon(law):
    for spec in (
        "cosine:peak=1e-3,horizon=16000,warmup=100",
        "wsd:peak=2e-3,horizon=16000,warmup=100,cooldown=0.1",
    ):
        schedule = parse_schedule(spec)
        truth = true_losses(schedule, np.array([16000.0]))[0]
        mean, low, high = law.predict(schedule).final
        assert mean == pytest.approx(truth, rel=2e-3)
        assert low <= truth <= high


@pytest.mark.parametrize("seed", [0, 1])
def test_a_peak_next_to_the_highest_fitted_is_not_foretold_to_be_unstable(seed):
    """Pilots of plain SGD leave the weights' norm open, which must not run away unseen."""
    model = PowerLaw(capacity=1.48, source=0.29, noise=0.085, batch_size=2)
    pilots = [
        "linear:peak=0.03158,horizon=2751,warmup=29",
        "constant:peak=0.02272,horizon=768,warmup=29",
        "linear:peak=0.03031,horizon=2696,warmup=29",
        "wsd:peak=0.02244,horizon=1416,warmup=29,cooldown=0.28,decay=sqrt",
        "cosine:peak=0.06375,horizon=973,warmup=29,final=0.1",
        "cosine:peak=0.03217,horizon=1636,warmup=29",
        "wsd:peak=0.02373,horizon=784,warmup=29,cooldown=0.45,decay=sqrt",
        "linear:peak=0.01676,horizon=713,warmup=29",
    ]
    rng = np.random.default_rng(seed)
    runs = []
    for spec in pilots:
        schedule = parse_schedule(spec)
        step = np.arange(27.0, schedule.horizon + 1, 27.0)
        luck = 1e-3 * (rng.standard_normal() + rng.standard_normal(len(step)))
        measured = (loss(model, schedule, at=step) + model.noise) * np.exp(luck)
        runs.append(Run(spec, step, measured, schedule))
    asked = parse_schedule("wsd:peak=0.06043,horizon=3568,warmup=29,cooldown=0.26")
    truth = loss(model, asked) + model.noise
    mean, low, high = fit(runs).predict(asked).final
    assert mean == pytest.approx(truth, rel=0.1)
    assert (high - low) / 2 < 0.2 * truth


def test_source_and_memory_lie_near_the_truth(law):
    sd = np.sqrt(np.diag(law.covariance))
    for i in (0, 1, 3):
        assert abs(law.theta[i] - TRUTH[i]) < max(4 * sd[i], 0.1)


def test_fitted_curves_follow_the_logs(law, pilots):
    for run in pilots:
        _, ratio = law.residuals[run.name]
        assert np.sqrt(np.mean(ratio**2)) < 2e-3


def test_units_of_the_learning_rate_do_not_matter(law, pilots):
    scaled = [
        replace(run, schedule=run.schedule.scaled(peak=1000 * run.schedule.peak)) for run in pilots
    ]
    other = fit(scaled)
    schedule = parse_schedule("cosine:peak=1e-3,horizon=8000,warmup=100")
    here = law.predict(schedule).final
    there = other.predict(schedule.scaled(peak=1.0)).final
    np.testing.assert_allclose(here, there, rtol=1e-5)


@pytest.mark.parametrize("unit", [1e-120, 1e-20, 1e-8, 1e20])
def test_units_of_the_loss_do_not_matter(law, pilots, unit):
    other = fit([replace(run, loss=run.loss * unit) for run in pilots])
    schedule = parse_schedule("cosine:peak=1e-3,horizon=8000,warmup=100")
    here, there = law.predict(schedule).final, other.predict(schedule).final
    np.testing.assert_allclose(np.array(there) / unit, here, rtol=1e-5)


def test_the_order_of_the_runs_does_not_matter(law, pilots):
    other = fit(pilots[::-1])
    schedule = parse_schedule("linear:peak=1e-3,horizon=8000,warmup=100")
    np.testing.assert_allclose(
        law.predict(schedule).final, other.predict(schedule).final, rtol=1e-4
    )


def test_fits_of_one_size_share_one_compilation(pilots):
    form: Any = FORMS["annealing"]
    fit(pilots[:9], form)
    before = compilations(form._compiled_with_slopes), compilations(form._compiled)
    for i in range(3):
        fit(pilots[i : i + 9], form)
    assert (compilations(form._compiled_with_slopes), compilations(form._compiled)) == before


def test_diverged_runs_are_left_out_and_named(law, pilots):
    bad = Run(
        "blown up", np.array([100.0, 200, 300, 400]), np.array([3.0, 2.9, 20.0, 30.0]),
        parse_schedule("constant:peak=0.1,horizon=400"), metadata={"diverged": True},
    )  # fmt: skip
    assert bad.diverged
    other = fit([*pilots, bad])
    assert any("blown up" in line for line in other.caveats)
    np.testing.assert_allclose(other.theta, law.theta, rtol=1e-9)


def test_two_runs_give_a_usable_law(pilots):
    two = fit([pilots[1], pilots[7]])
    schedule = parse_schedule("cosine:peak=5e-4,horizon=8000,warmup=100")
    mean, low, high = two.predict(schedule).final
    truth = true_losses(schedule, np.array([8000.0]))[0]
    assert np.isfinite([mean, low, high]).all()
    assert mean == pytest.approx(truth, rel=0.03)


@pytest.mark.parametrize(
    ("runs", "message"),
    [([], "no runs"), ("short", "too few points"), ("diverged", "every run diverged")],
)
def test_what_cannot_be_fitted_is_refused(runs, message):
    schedule = parse_schedule("constant:peak=0.1,horizon=400")
    if runs == "short":
        runs = [Run("one", np.array([300.0, 400]), np.array([3.0, 2.9]), schedule)]
    elif runs == "diverged":
        runs = [
            Run(
                "bad",
                np.array([300.0, 400]),
                np.array([3.0, 90.0]),
                schedule,
                metadata={"diverged": True},
            )
        ]
    with pytest.raises(InputError, match=message):
        fit(runs)


def test_long_logs_are_averaged_to_a_fixed_number_of_points():
    run = make_run("cosine:peak=1e-3,horizon=4000,warmup=100", every=1)
    used = run.step >= 100
    step, loss, count = thinned(run.step[used], run.loss[used], run.schedule)
    assert MOST_POINTS - 4 <= len(step) <= MOST_POINTS
    assert step[-1] == 4000
    assert loss[-1] == pytest.approx(run.loss[-1])
    assert np.all(np.diff(step) > 0)
    assert count.sum() == used.sum()
    np.testing.assert_allclose(count @ np.log(loss), np.log(run.loss[used]).sum())
    truth = true_losses(run.schedule, step)
    # Each row is off by 5e-4, each point by what is left in the mean of its rows.
    assert np.abs((loss / truth - 1) * np.sqrt(count))[1:].mean() < 6e-4


@pytest.mark.parametrize("most", [FEW_POINTS, MOST_POINTS])
@pytest.mark.parametrize(
    "spec",
    [
        "step:peak=1,horizon=8000,warmup=50,at=3001,factor=0.1",
        "wsd:peak=1,horizon=8000,warmup=50,cooldown=0.2",
        "constant:peak=1,horizon=8000",
    ],
)
def test_no_point_mixes_rows_before_and_after_a_break(spec, most):
    schedule = parse_schedule(spec)
    step = np.arange(51.0, 8001.0)
    breaks = [b for b in schedule.breakpoints if step[0] < b < step[-1]]
    piece = np.searchsorted(breaks, step).astype(float)
    mean = np.log(thinned(step, np.exp(piece), schedule, most)[1])
    np.testing.assert_allclose(mean, mean.round(), atol=1e-9)
    assert set(mean.round()) == set(range(len(breaks) + 1))


@pytest.mark.parametrize("rows", [65, 70, 100, 1000])
def test_a_log_with_few_rows_more_than_points_loses_few(rows):
    schedule = parse_schedule("wsd:peak=1,horizon=8000,warmup=50,cooldown=0.2")
    step = np.linspace(51, 8000, rows)
    count = thinned(step, np.ones(rows), schedule)[2]
    assert len(count) >= MOST_POINTS - 8
    assert count.sum() == rows


def test_an_averaged_power_law_is_the_same_power_law():
    schedule = parse_schedule("constant:peak=1,horizon=100000")
    step = np.arange(1.0, 100001.0)
    mean_step, mean_loss, _ = thinned(step, (step + 1) ** -0.5, schedule)
    assert (
        mean_step[0] < 10
    )  # of 100,000: early rows, where the loss falls fast, are few in a point
    np.testing.assert_allclose(mean_loss, (mean_step + 1) ** -0.5, rtol=1e-9)


def test_every_run_counts_the_same(pilots):
    arrays, kept = make_arrays([*pilots[:3], make_run(pilots[3].name, every=5)], 0.05)
    run = arrays.points.run
    total = [np.sum(arrays.weight[run == i] ** 2) for i in range(len(kept))]
    np.testing.assert_allclose(total, 1.0)


@pytest.mark.parametrize("horizon", [10**6, 10**9, 10**13])
def test_a_forecast_does_not_grow_with_the_horizon(law, horizon):
    schedule = parse_schedule(f"wsd:peak=1e-3,horizon={horizon},warmup=100,cooldown=0.2")
    law.predict(schedule)
    tracemalloc.start()
    mean, low, high = law.predict(schedule).final
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert 0 <= low < mean < high
    assert peak < 1e7


@pytest.mark.parametrize("at", [[], [-1], [5, 5], [10**9], [float("nan")]])
def test_steps_outside_the_schedule_are_refused(law, at):
    with pytest.raises(InputError, match="at must"):
        law.predict(parse_schedule("constant:peak=1e-3,horizon=4000"), at=at)


@pytest.mark.parametrize("given", ["pilots", Path("pilots")])
def test_the_path_of_logs_in_place_of_runs_is_refused_with_what_reads_it(given):
    with pytest.raises(InputError, match=r"runs is .*: give a list of Run, such as read_runs\('"):
        fit(given)
    with pytest.raises(InputError, match=r"fit_runs is .*, such as read_runs\('pilots'\)"):
        backtest(given, [])
    with pytest.raises(InputError, match=r"runs is .*: give a list of Run$"):
        fit(make_run("constant:peak=1e-3,horizon=4000"))  # type: ignore[arg-type]
