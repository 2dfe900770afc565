"""The optimal schedule of a law: never beaten by a standard one, within its constraints."""

from typing import Any

import numpy as np
import pytest

from etastar.control import Limits, Past, best_members, optimal_schedule, steps_to_match
from etastar.control._law_schedule import LawGrid
from etastar.law import fit
from etastar.schedule import InputError, make_schedule, table
from tests.helpers.laws import compilations

HORIZON, WARMUP = 8000, 100


def limits(law, **changes) -> Limits:
    """What the LR may be: up to the pilots' largest peak, with changes."""
    return Limits(**{"cap": law.peak_range[1], **changes})


@pytest.fixture(scope="module")
def solution(law):
    return optimal_schedule(law, HORIZON, limits(law, warmup=WARMUP))


@pytest.mark.parametrize("horizon", [500, 4000, 40_000, 10**9])
def test_the_optimum_is_at_or_below_every_standard_family(law, horizon):
    found = optimal_schedule(law, horizon, limits(law, warmup=20))
    assert {member.family for member in found.baselines} == {"constant", "linear", "cosine", "wsd"}
    assert all(found.loss <= member.loss for member in found.baselines)
    assert found.loss == pytest.approx(law.final_losses([found.schedule])[0], rel=1e-12)
    assert found.gap < 5e-5


def test_random_schedules_are_not_better(law, solution):
    random = np.random.default_rng(0)
    step = np.linspace(WARMUP, HORIZON, 12).astype(int)
    for _ in range(200):
        rate = np.sort(random.uniform(0, law.peak_range[1], 12))[::-1]
        other = table(np.append(0, step), np.append(0.0, rate))
        assert law.final_losses([other])[0] > solution.loss


def test_small_changes_do_not_improve_it(law, solution):
    steps = np.unique(np.round(np.linspace(WARMUP, HORIZON, 30)).astype(int))
    rate = solution.schedule(steps)
    base = law.final_losses([table(np.append(0, steps), np.append(0.0, rate))])[0]
    for i in range(1, len(steps) - 1):
        for factor in (0.97, 1.03):
            changed = rate.copy()
            changed[i] *= factor
            changed = np.minimum.accumulate(np.minimum(changed, law.peak_range[1]))
            loss = law.final_losses([table(np.append(0, steps), np.append(0.0, changed))])[0]
            assert loss > min(base, solution.loss) - 1e-5


def test_it_respects_cap_floor_warmup_and_does_not_rise(law):
    cap, floor = 1e-3, 2e-4
    found = optimal_schedule(law, HORIZON, limits(law, cap=cap, floor=floor, warmup=WARMUP))
    rate = found.schedule(np.arange(WARMUP, HORIZON + 1))
    assert rate.max() <= cap * (1 + 1e-12)
    assert rate.min() >= floor * (1 - 1e-9)
    assert np.all(np.diff(rate) <= 1e-12)
    assert found.schedule(0) == 0.0
    assert found.schedule(WARMUP // 2) == pytest.approx(found.schedule(WARMUP) / 2)


def test_without_monotony_it_is_no_worse(law, solution):
    free = optimal_schedule(law, HORIZON, limits(law, warmup=WARMUP, monotone=False))
    assert free.loss <= solution.loss + 1e-6


def test_the_default_cap_is_the_largest_peak_of_the_pilots(law, solution):
    assert solution.schedule.peak <= law.peak_range[1] * (1 + 1e-12)


def test_each_family_is_at_its_own_best_peak(law):
    cap = law.peak_range[1]
    for member in best_members(law, HORIZON, limits(law, warmup=WARMUP)):
        peaks = np.geomspace(cap / 60, cap, 80)
        losses = law.final_losses([member.schedule.scaled(peak=float(peak)) for peak in peaks])
        assert member.loss <= losses.min() + 5e-6  # its peak has three digits


def test_steps_to_match_reach_the_loss(law, solution):
    cap = law.peak_range[1]
    for member in solution.baselines:
        steps = steps_to_match(law, member, solution.loss, limits(law, warmup=WARMUP))
        if steps is None:
            continue
        assert steps >= HORIZON
        peaks = np.minimum(np.geomspace(member.schedule.peak / 4, cap, 60), cap)
        longer = member.schedule.stretched(horizon=round(steps))
        reached = law.final_losses([longer.scaled(peak=float(peak)) for peak in peaks]).min()
        assert reached == pytest.approx(
            solution.loss, abs=0.1 * (member.loss - solution.loss) + 1e-4
        )


@pytest.mark.parametrize(
    "keys",
    [{"horizon": 7}, {"warmup": 7999}, {"cap": 0.0}, {"floor": 1.0}, {"floor": -1e-3}],
)
def test_impossible_constraints_are_refused(law, keys):
    rest = {key: value for key, value in keys.items() if key != "horizon"}
    with pytest.raises(InputError):
        optimal_schedule(law, keys.get("horizon", HORIZON), limits(law, **rest))


def test_many_solves_share_one_compilation(pilots):
    law = fit(pilots, "annealing")
    form: Any = law.form
    compiled = form._compiled_final, form._compiled
    optimal_schedule(law, 1000, limits(law, warmup=10))
    before = [compilations(each) for each in compiled]
    for horizon in (777, 3131, 10**7):
        optimal_schedule(law, horizon, limits(law, warmup=horizon // 50))
    assert [compilations(each) for each in compiled] == before


@pytest.mark.slow
def test_a_warmup_of_any_length_is_a_schedule(law):
    for warmup in (0, 1, 2, 4000):
        found = optimal_schedule(law, HORIZON, limits(law, warmup=warmup))
        reference = make_schedule("constant", peak=1.0, horizon=HORIZON, warmup=warmup)
        assert found.schedule(warmup) == found.schedule.peak
        assert found.schedule.horizon == reference.horizon


DONE = Past(make_schedule("constant", peak=1e-3, horizon=6000, warmup=WARMUP), 3000)
ANNEALED = Past(make_schedule("linear", peak=1e-3, horizon=3000, warmup=WARMUP), 3000)


@pytest.mark.parametrize("past", [DONE, ANNEALED])
@pytest.mark.parametrize("warmup", [0, 150])
def test_a_run_that_goes_on_keeps_its_past(law, past, warmup):
    found = optimal_schedule(law, HORIZON, limits(law, past=past, warmup=warmup))
    steps = np.arange(past.step)
    np.testing.assert_array_equal(found.schedule(steps), past.schedule(steps))
    assert found.schedule.horizon == HORIZON
    assert found.loss == pytest.approx(law.final_losses([found.schedule])[0], rel=1e-12)
    assert all(found.loss <= member.loss for member in found.baselines)
    for member in found.baselines:
        np.testing.assert_array_equal(member.schedule(steps), past.schedule(steps))
        assert member.schedule.horizon == HORIZON
    after = found.schedule(np.arange(past.step + warmup, HORIZON + 1))
    assert np.all(np.diff(after) <= 1e-12)
    if warmup:
        middle = found.schedule(past.step + warmup // 2)
        assert middle == pytest.approx((past.rate + after[0]) / 2, rel=1e-9)
    matched = steps_to_match(
        law, found.baselines[0], found.loss, limits(law, past=past, warmup=warmup)
    )
    assert matched is None or matched >= HORIZON


def test_going_on_from_the_optimum_itself_loses_nothing(law, solution):
    past = Past(solution.schedule, 2000)
    found = optimal_schedule(law, HORIZON, limits(law, past=past))
    assert found.loss == pytest.approx(solution.loss, rel=2e-5)


def test_going_on_from_an_annealed_run_costs_more_than_from_a_stable_one(law):
    losses = [
        optimal_schedule(law, HORIZON, limits(law, past=past)).loss for past in (DONE, ANNEALED)
    ]
    assert losses[0] < losses[1]


def test_random_ways_to_go_on_are_not_better(law):
    found = optimal_schedule(law, HORIZON, limits(law, past=DONE))
    random = np.random.default_rng(1)
    step = np.linspace(0, HORIZON - DONE.step, 10).astype(int)
    for _ in range(100):
        rate = np.sort(random.uniform(0, law.peak_range[1], 10))[::-1]
        assert law.final_losses([DONE.then(table(step, rate))])[0] > found.loss


@pytest.mark.parametrize("floor", [0.0, 2e-5])
@pytest.mark.parametrize("monotone", [True, False])
def test_an_annealed_end_falls_to_the_floor_and_is_the_best_such_end(
    law, solution, floor, monotone
):
    part = 0.1
    within = limits(law, floor=floor, warmup=WARMUP, monotone=monotone, annealed=part)
    found = optimal_schedule(law, HORIZON, within)
    assert found.schedule(HORIZON) == pytest.approx(floor, abs=1e-12)
    begin = HORIZON - part * (HORIZON - WARMUP)
    late = np.arange(int(begin) + 1, HORIZON + 1)
    line = (HORIZON - late) / (HORIZON - begin)
    assert np.all(found.schedule(late) - floor <= law.peak_range[1] * line * (1 + 1e-3))
    # The end costs something, and less than the same end put on the free optimum or on others.
    assert found.loss >= solution.loss - 1e-9
    step = np.unique(np.round(np.linspace(WARMUP, HORIZON, 400)))
    taper = np.minimum((HORIZON - step) / (HORIZON - begin), 1.0)
    peak = law.peak_range[1]
    bases = [solution.schedule(step), np.full(len(step), 0.5 * peak), peak * (1 - step / HORIZON)]
    for base in bases:
        rate = floor + np.maximum(base - floor, 0.0) * taper
        other = table(np.append(0, step).astype(int), np.append(0.0, rate))
        assert found.loss <= law.final_losses([other])[0] + 1e-6


def test_slopes_of_an_annealed_end_match_differences(law):
    within = limits(law, floor=1e-5, warmup=WARMUP, annealed=0.2)
    grid = LawGrid.make(law, HORIZON, within)
    x = grid.sampled(make_schedule("cosine", peak=1e-3, horizon=HORIZON, warmup=WARMUP))
    x = np.clip(x + 0.05, *grid.rates.bounds(len(x)))
    slope = grid.log_loss(x)[1]
    for i in range(0, len(x), 6):
        step = np.zeros(len(x))
        step[i] = 1e-5
        by_difference = (grid.log_loss(x + step)[0] - grid.log_loss(x - step)[0]) / 2e-5
        assert slope[i] == pytest.approx(by_difference, rel=1e-4, abs=1e-9)
    reported = law.final_losses([grid.schedule(x)])[0]
    assert np.exp(grid.log_loss(x)[0]) == pytest.approx(reported, rel=1e-9)


def test_an_annealed_part_that_is_none_is_refused():
    for part in (-0.1, 1.5, float("nan")):
        with pytest.raises(InputError, match="annealed must be a part from 0 to 1"):
            Limits(1.0, annealed=part)
