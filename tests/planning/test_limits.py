"""Limits hold everywhere in a plan: in its schedule, the standard ones, those at other horizons."""

import numpy as np
import pytest

from etastar.control import Limits, optimal_schedule, steps_to_match
from etastar.law import FORMS, exponents_of, fit, make_mesh
from etastar.planning import plan
from etastar.runs import read_runs
from etastar.schedule import InputError, Schedule, parse_schedule
from tests.helpers.laws import make_run

HORIZON, WARMUP = 12_000, 100
FLOOR, CAP = 2e-4, 2e-3


@pytest.fixture(scope="module")
def floored(pilots):
    return plan(pilots, HORIZON, floor=FLOOR)


def rates_after_warmup(schedule: Schedule) -> np.ndarray:
    return schedule(np.arange(WARMUP, schedule.horizon + 1))


@pytest.mark.slow
def test_every_schedule_of_a_plan_keeps_to_the_floor(floored):
    schedules = [floored.schedule, *(other.schedule for other in floored.comparison)]
    assert len(schedules) == 5
    for schedule in schedules:
        rates = rates_after_warmup(schedule)
        assert rates.min() >= FLOOR * (1 - 1e-9)
        assert rates.max() <= CAP * (1 + 1e-9)
        assert schedule(0) == 0.0


@pytest.mark.slow
def test_no_standard_schedule_is_better_than_the_plan_within_the_floor(floored):
    assert all(other.regret >= 0 for other in floored.comparison)
    assert floored.nearest.schedule(HORIZON) >= FLOOR


@pytest.mark.slow
def test_a_family_that_would_end_below_the_floor_ends_at_it(floored):
    ends = {other.family: other.schedule(HORIZON) for other in floored.comparison}
    for family in ("linear", "cosine", "wsd"):
        # Four digits of the ratio to the peak are written down.
        assert FLOOR <= ends[family] <= 1.002 * FLOOR


@pytest.mark.slow
def test_plans_at_other_horizons_keep_to_the_floor(law, floored):
    free = Limits(CAP, warmup=WARMUP)
    for row in floored.other_horizons:
        limits = Limits(CAP, FLOOR, WARMUP).at(row.horizon)
        within = optimal_schedule(law, row.horizon, limits)
        assert rates_after_warmup(within.schedule).min() >= FLOOR * (1 - 1e-9)
        unlimited = optimal_schedule(law, row.horizon, free.at(row.horizon))
        # What the floor costs shows in the row: the loss there is one that the floor allows.
        assert row.loss > unlimited.loss
        assert row.loss == pytest.approx(within.loss, rel=2e-3)


@pytest.mark.slow
def test_a_plan_that_may_rise_is_planned_so_at_other_horizons_too(pilots):
    falls = plan(pilots, HORIZON, warmup=10, monotone=True)
    rises = plan(pilots, HORIZON, warmup=10, monotone=False)
    pairs = list(zip(falls.other_horizons, rises.other_horizons, strict=True))
    assert all(free.loss <= fixed.loss + 1e-4 for fixed, free in pairs)
    assert any(free.loss < fixed.loss - 1e-6 for fixed, free in pairs)


@pytest.mark.slow
def test_other_horizons_stand_in_order_with_the_plans_own_among_them(floored):
    horizons = [row.horizon for row in floored.other_horizons]
    assert horizons == [HORIZON // 4, HORIZON // 2, HORIZON, 2 * HORIZON, 4 * HORIZON]
    losses = [row.loss for row in floored.other_horizons]
    assert losses == sorted(losses, reverse=True)
    own = floored.other_horizons[2]
    assert own.peak_lr == floored.peak_lr


@pytest.mark.parametrize(("horizon", "warmup"), [(500, 50), (12_000, 100)])
def test_the_warmup_is_the_pilots_and_at_most_a_tenth_of_the_run(pilots, horizon, warmup):
    short = plan(pilots, horizon, form="power")
    assert short.schedule.rise == warmup
    assert short.nearest.schedule.warmup == warmup


def test_a_floor_that_no_schedule_can_meet_is_refused(pilots):
    with pytest.raises(InputError, match=r"floor must be .* below the cap 0.002, got 0.002"):
        plan(pilots, HORIZON, floor=CAP)


def test_steps_to_match_ask_for_schedules_within_the_floor(law):
    limits = Limits(CAP, FLOOR, WARMUP)
    found = optimal_schedule(law, HORIZON, limits)
    asked: list[Schedule] = []

    class Listening:
        def final_losses(self, schedules, batch_sizes):
            asked.extend(schedules)
            return law.final_losses(schedules, batch_sizes)

    steps_to_match(Listening(), found.nearest, found.loss, limits)  # type: ignore[arg-type]
    assert len(asked) >= 6
    assert min(rates_after_warmup(schedule).min() for schedule in asked) >= FLOOR * (1 - 1e-9)


@pytest.fixture(scope="module")
def logged_pilots(tmp_path_factory):
    """Pilots whose schedule is known from the LRs in their logs alone."""
    folder = tmp_path_factory.mktemp("logged")
    for seed, spec in enumerate(
        f"{shape}:peak={peak},horizon={horizon},warmup=100{rest}"
        for shape, rest in (("cosine", ""), ("wsd", ",cooldown=0.25"))
        for peak, horizon in ((1e-3, 2000), (2e-3, 4000))
    ):
        run = make_run(spec, seed, every=10)
        rows = [
            f"{step:.0f},{run.schedule(step):.10g},{loss:.6f}"
            for step, loss in zip(run.step, run.loss, strict=True)
        ]
        (folder / f"run{seed}.csv").write_text("\n".join(["step,lr,loss", *rows]) + "\n")
    return read_runs(folder)


def test_the_warmup_of_a_logged_schedule_is_its_first_rising_part(logged_pilots):
    assert [run.warmup for run in logged_pilots] == [100] * 4


def test_a_plan_from_logged_schedules_warms_up_as_they_did(logged_pilots):
    found = plan(logged_pilots, HORIZON, form="power")
    assert found.schedule.rise == 100
    assert found.schedule(50) == pytest.approx(found.schedule(100) / 2, rel=1e-9)
    assert found.nearest.schedule.warmup == 100


@pytest.mark.slow
def test_going_on_from_a_logged_run_raises_the_lr_over_its_warmup(logged_pilots):
    annealed = logged_pilots[0]
    found = plan(logged_pilots, 6000, continued=annealed, form="etastar")
    step = int(annealed.final_step)
    rates = found.schedule(np.arange(step, step + 102))
    assert rates[100] > 2 * rates[0]
    assert np.diff(rates).max() <= 1.01 * (rates[100] - rates[0]) / 100
    assert any("within 100 updates" in line for line in found.caveats)


@pytest.fixture(
    scope="module",
    params=[
        form if form in ("etastar", "power") else pytest.param(form, marks=pytest.mark.slow)
        for form in FORMS
    ],
)
def any_law(request, pilots):
    """Every law, fitted to some of the pilots."""
    return fit(pilots[::2], request.param)


def test_every_law_can_be_planned(any_law):
    found = optimal_schedule(any_law, 8000, Limits(CAP, warmup=WARMUP))
    assert all(found.loss <= member.loss + 1e-12 for member in found.baselines)
    assert 0 < found.loss < 10
    assert found.loss == pytest.approx(any_law.final_losses([found.schedule])[0], rel=1e-9)
    rates = rates_after_warmup(found.schedule)
    assert np.all(np.diff(rates) <= 1e-12)
    assert rates.max() <= CAP * (1 + 1e-9)


def test_the_slope_of_every_law_is_that_of_its_losses(any_law):
    # A cosine falls and bends everywhere: neither the highest LR so far nor a limiter has a kink.
    mesh = make_mesh(parse_schedule("cosine:peak=1.5e-3,horizon=3000,warmup=100,final=0.1"))
    _, slope, *_ = any_law.final_loss_and_slopes(mesh.rate, mesh.length)
    for cell in (100, 130, 160):
        move = np.zeros_like(mesh.rate)
        move[cell] = 1e-5 * mesh.rate[cell]
        above, *_ = any_law.final_loss_and_slopes(mesh.rate + move, mesh.length)
        below, *_ = any_law.final_loss_and_slopes(mesh.rate - move, mesh.length)
        by_hand = (above - below) / (2 * move[cell])
        # The difference of two losses keeps about ten digits.
        assert slope[cell] == pytest.approx(by_hand, rel=1e-3, abs=1e-10 / move[cell])


@pytest.mark.slow
def test_a_law_without_exponents_names_no_phase(pilots):
    with pytest.raises(InputError, match="no exponents of the task"):
        exponents_of(fit(pilots, "power"))
    found = plan(pilots[:4], 500, form="annealing")
    assert found.phase.name == "undetermined"
    assert np.isnan(found.phase.xi.value)
    assert found.to_dict()["phase"]["xi"] is None
    assert any("names no phase" in line for line in found.caveats)
