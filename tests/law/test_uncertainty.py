"""How sure a fit is: other fits, the posterior, exponents of the exact model, batch sizes."""

import base64

import numpy as np
import pytest

from etastar.control import Limits, least_losses, optimal_schedule
from etastar.law import AverageLaw, exponents, fit, law_document, make_mesh
from etastar.law._ends import end_misfit, end_spread
from etastar.law._forms import NORMALISED, OWN
from etastar.law._least_squares import LeastSquares
from etastar.law._misfit import alike
from etastar.law._points import Units, make_arrays, place
from etastar.model import PowerLaw, loss
from etastar.runs import Run
from etastar.schedule import InputError, parse_schedule, table
from tests.helpers.laws import LINEAR, TRUTH, UNITS, make_run, true_losses

TARGET = parse_schedule("cosine:peak=1e-3,horizon=8000,warmup=100")


@pytest.fixture(scope="module")
def drawn(law):
    return law.draws(64, seed=1)


def test_draws_spread_as_what_the_runs_leave_open(drawn, law):
    final = np.array([draw.final_losses([TARGET])[0] for draw in drawn])
    mean = law.final_losses([TARGET])[0]
    refit = law.refit
    targets = law._targets([TARGET], [np.array([8000.0])], [None])
    _, slope = refit.residuals(refit.centre[None], *refit.unmoved)
    open_constants = np.linalg.inv(slope[0].T @ slope[0])
    linear = mean * np.sqrt((targets.slope @ open_constants @ targets.slope.T).item())
    assert 0.6 < final.std() / linear < 1.6
    assert abs(final.mean() - mean) < linear
    truth = true_losses(TARGET, np.array([8000.0]))[0]
    assert abs(truth - mean) < 4 * linear


@pytest.mark.slow
def test_the_posterior_by_nuts_is_that_of_the_refits(pilots):
    pytest.importorskip("numpyro")
    law = fit(pilots[:4])
    refits, sampled = (
        np.array([draw.final_losses([TARGET])[0] for draw in law.draws(count, 0, sampler)])
        for count, sampler in ((200, "refits"), (100, "nuts"))
    )
    assert abs(refits.mean() - sampled.mean()) < refits.std()
    assert 0.5 < refits.std() / sampled.std() < 2.0


def test_the_misfit_leaves_out_the_scatter_of_points_but_not_an_offset(pilots):
    constants = np.concatenate([TRUTH, LINEAR])

    def at_truth(runs):
        arrays, _ = make_arrays(runs, 0.05)
        assert arrays.units.rate == UNITS.rate
        return LeastSquares(arrays, {}, OWN, OWN.noise)

    noisy = at_truth([make_run(run.schedule.spec, 70 + i, 1e-2) for i, run in enumerate(pilots)])
    # Ends of 4 and 8 points: 0.4% from the scatter alone.
    assert end_spread(noisy, constants) > 3e-3
    assert end_misfit(noisy, constants) < end_spread(noisy, constants) / 2
    offset = [
        Run(run.name, run.step, run.loss * (1.01 if i % 2 else 0.99), run.schedule)
        for i, run in enumerate(pilots)
    ]
    for size in (end_spread, end_misfit):
        assert 0.01 < size(at_truth(offset), constants) < 0.012


def test_draws_lie_in_the_bounds_and_repeat(law):
    first, again = law.draws(5, seed=3), law.draws(5, seed=3)
    for one, two in zip(first, again, strict=True):
        np.testing.assert_array_equal(one.theta, two.theta)
        assert np.all(one.theta >= law.form.lower)
        assert np.all(one.theta <= law.form.upper)
        assert np.all(one.linear >= 0)
    assert len({tuple(draw.theta) for draw in first}) == 5
    with pytest.raises(InputError, match="sampler must be one of 'refits', 'nuts'"):
        law.draws(3, sampler="jackknife")


def test_what_the_runs_leave_open_spreads_as_the_prior_does(pilots):
    one_peak = [run for run in pilots if run.schedule.peak == pilots[0].schedule.peak]
    form, draws = OWN, fit(one_peak).draws(64)
    # Runs far below the largest stable LR do not tell how noise grows near it.
    instability = form.names.index("log_instability")
    spread = np.std([draw.theta[instability] for draw in draws])
    assert 0.4 < spread / form.spread[instability] < 1.3


def test_the_average_law_is_the_mean_of_its_members(drawn, law):
    members = (law, *drawn[:4])
    average = AverageLaw(law, members)
    schedules = [TARGET, parse_schedule("constant:peak=1e-3,horizon=8000")]
    each = [member.final_losses(schedules) for member in members]
    np.testing.assert_allclose(average.each(schedules), each, rtol=1e-12)
    np.testing.assert_allclose(average.final_losses(schedules), np.mean(each, axis=0), rtol=1e-12)
    mesh = make_mesh(TARGET)
    loss, slope, *_ = average.final_loss_and_slopes(mesh.rate, mesh.length)
    assert loss == pytest.approx(np.mean(each, axis=0)[0], rel=1e-9)
    slopes = [member.final_loss_and_slopes(mesh.rate, mesh.length)[1] for member in members]
    np.testing.assert_allclose(slope, np.mean(slopes, axis=0), rtol=1e-9, atol=1e-12)


@pytest.mark.slow
def test_a_plan_over_other_fits_is_stable_and_knows_what_uncertainty_costs(drawn, law):
    members = (law, *drawn[:4])
    average = AverageLaw(law, members)
    limits = Limits(law.peak_range[1], warmup=100)
    best = optimal_schedule(average, 8000, limits)
    alone = [optimal_schedule(member, 8000, limits) for member in members]
    least = least_losses(average, best.schedule, limits)
    np.testing.assert_allclose(least, [found.loss for found in alone], atol=2e-5)
    expected_regret = best.loss - least.mean()
    assert expected_regret > 0
    # Nothing that one of the fits alone would choose has a lower expected loss.
    losses = average.final_losses([found.schedule for found in alone])
    assert losses.min() > best.loss - 1e-6
    assert losses.max() - best.loss < best.nearest.loss - best.loss


def run_of(form, theta, spec, batch_size, seed):
    """A log of a law at a batch size, the reference's being 8."""
    schedule = parse_schedule(spec)
    step = np.arange(50, schedule.horizon + 1, 50, dtype=float)
    units = Units(UNITS.rate, UNITS.steps, 8.0)
    value = place([schedule], [step], units, [batch_size]).columns(form, np.array(theta))
    jitter = np.exp(5e-4 * np.random.default_rng(seed).standard_normal(len(step)))
    return Run(spec, step, value @ LINEAR * jitter, schedule, batch_size=batch_size)


def of_sizes(form, theta):
    """Logs of three batch sizes, twelve runs each."""
    specs = [
        f"{shape}:peak={peak},horizon={horizon},warmup=100"
        for shape in ("cosine", "constant") for peak in (5e-4, 1e-3, 2e-3)
        for horizon in (2000, 4000)
    ]  # fmt: skip
    return [
        run_of(form, theta, spec, size, 50 * size + i)
        for size in (4, 8, 32) for i, spec in enumerate(specs)
    ]  # fmt: skip


@pytest.mark.parametrize(
    ("form", "more", "name"),
    [(OWN, (), "sgd"), (NORMALISED, (0.7, 0.9, -3.0), "normalised")],
)
def test_the_runs_tell_how_the_batch_size_acts(form, more, name):
    theta = (*TRUTH, *more)
    runs = of_sizes(form, theta)
    law = fit(runs)
    assert law.form is form
    assert law.units.batch == 8.0
    test = run_of(form, theta, "cosine:peak=1e-3,horizon=6000,warmup=100", 16.0, 99)
    assert law.predict(test.schedule, batch_size=16).final[0] == pytest.approx(
        test.final_loss, rel=2e-3
    )
    assert fit(runs, optimiser=name).theta == pytest.approx(law.theta)
    other = fit(runs, optimiser={"sgd": "normalised", "normalised": "sgd"}[name])
    assert other.form is not form
    with pytest.raises(InputError, match="batch_size must be positive"):
        law.predict(test.schedule, batch_size=0)
    with pytest.raises(InputError, match="optimiser must be one of 'auto', 'sgd', 'normalised'"):
        fit(runs, optimiser="adam")


def test_one_batch_size_leaves_nothing_to_choose(pilots, law):
    np.testing.assert_array_equal(fit(pilots, optimiser="normalised").theta, law.theta)


def test_a_ramp_of_the_batch_size_ends_near_a_run_of_its_last_size():
    law = fit(of_sizes(NORMALISED, (*TRUTH, 0.7, 0.9, -3.0)))
    ramp = table([0, 2999, 3000, 6000], [8.0, 8.0, 32.0, 32.0])
    schedule = parse_schedule("constant:peak=2e-3,horizon=6000,warmup=100")
    small, ramped, large = law.final_losses([schedule] * 3, [8.0, ramp, 32.0])
    assert large < small
    # The end, at the large size, decides.
    assert abs(ramped - large) < 0.2 * (small - large)
    assert law.predict(schedule, batch_size=ramp).final[0] == pytest.approx(ramped, rel=1e-12)
    # How far ahead a run lies is counted in the samples that it takes, not in those of its end.
    targets = law._targets([schedule], [np.array([6000.0])], [ramp])
    assert targets.ahead[0] == pytest.approx(law.doublings(schedule, ramp), abs=1e-3)
    assert targets.ahead[0] < law.doublings(schedule, 32.0)


SHAPES = (
    (1, "cosine:peak={},horizon=4000,warmup=50"),
    (2, "wsd:peak={},horizon=4000,warmup=50,cooldown=0.2"),
    (1, "wsd:peak={},horizon=2000,warmup=50,cooldown=0.4"),
    (2, "constant:peak={},horizon=4000,warmup=50"),
    (8, "constant:peak={},horizon=2000,warmup=50"),
    (4, "cosine:peak={},horizon=2000,warmup=50"),
    (1, "step:peak={},horizon=4000,warmup=50,at=1500,factor=0.1"),
    (2, "step:peak={},horizon=3000,warmup=50,at=1000,factor=0.3"),
)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("capacity", "source", "phase"), [(1.5, 0.9, "easy"), (1.8, 0.2, "hard"), (1.85, 0.72, "easy")]
)
def test_exponents_of_the_exact_model_are_found_again(capacity, source, phase):
    model = PowerLaw(capacity, source, 0.25, 4)
    rng = np.random.default_rng(0)
    runs = []
    for part, shape in SHAPES:
        schedule = parse_schedule(shape.format(f"{0.4 * model.max_rate / part:.3g}"))
        step = np.arange(10, schedule.horizon + 1, 10, dtype=float)
        clean = loss(model, schedule, at=step) + model.noise
        jitter = np.exp(1e-3 * rng.standard_normal(len(step)))
        runs.append(Run(schedule.spec, step, clean * jitter, schedule))
    found = exponents(runs)
    assert found.law.form.name == "solvable"
    assert found.name == phase
    assert abs(found.source[0] - source) < 0.01
    assert abs(found.capacity[0] - capacity) < 0.08
    assert found.source[1] <= source <= found.source[2]
    assert found.capacity[1] <= capacity <= found.capacity[2]


@pytest.mark.slow
def test_logs_that_the_model_does_not_describe_keep_our_own_exponents(pilots, law):
    found = exponents(pilots, law)
    assert found.law is law
    assert found.source[0] == law.theta[0]
    assert found.xi[1] <= found.xi[0] <= found.xi[2]


def test_two_seeds_of_one_run_do_not_stop_a_fit(pilots):
    twice = make_run(pilots[0].name, seed=77)
    assert np.isfinite(fit([*pilots, twice]).predict(TARGET).final).all()


def test_the_document_of_a_law_has_the_moments_of_its_posterior(law):
    found = law_document(law)["interval"]
    known, misfits = (np.frombuffer(base64.b64decode(found[key])) for key in ("known", "misfits"))
    count, width = len(found["places"]), np.array(found["width"])
    triangle = np.zeros((count, count))
    triangle[np.triu_indices(count)] = misfits
    schedules = [TARGET, TARGET.scaled(peak=3e-3), TARGET.stretched(horizon=300)]
    steps = [np.array([0.3, 1.0]) * one.horizon for one in schedules]
    targets = law._targets(schedules, steps, [None] * 3)
    slope, near = targets.slope * width, alike(targets.place, np.array(found["places"]))
    sure = np.hstack([slope, near]) @ known.reshape(-1, len(width) + count).T
    missed = near @ triangle.T
    covariance = sure @ sure.T - missed @ missed.T
    covariance += found["misfit"] * alike(targets.place, targets.place)
    moments = law.posterior.moments(targets.slope, targets.place)
    scale = np.sqrt(np.outer(np.diag(moments.covariance), np.diag(moments.covariance)))
    np.testing.assert_allclose(covariance / scale, moments.covariance / scale, atol=1e-6)
    shift = slope @ found["moved"] + near @ found["movedMisfit"]
    np.testing.assert_allclose(shift, moments.shift, rtol=1e-6)
    assert found["luck"] == pytest.approx(moments.luck, rel=1e-12)
