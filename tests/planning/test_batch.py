"""Batch sizes in a plan: which are allowed, what was chosen, and what is about as good."""

from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etastar import planning
from etastar.control import Budget, Limits, Past, solve
from etastar.law._forms import NORMALISED, OWN
from etastar.model import PowerLaw, loss
from etastar.planning import _within
from etastar.planning._batch import Task, sizes_asked
from etastar.schedule import InputError, parse_schedule
from tests.helpers.laws import TRUTH, make_batch_pilots, make_batch_run, make_run, true_law

# What these may leave out is there in these tests.
plan: Any = planning.plan
range_within: Any = _within.range_within
LOSS = _within.LOSS
SAMPLES = Budget.of(None, 256_000, None, (1.0, 0.0))
UPDATES = Budget(8000.0)


@pytest.fixture(scope="module")
def batch_pilots():
    return make_batch_pilots()


def task(runs, budget=SAMPLES, law=None, **changes) -> Any:
    return Task(law or true_law(), runs, budget, (32.0, 32.0), True, Limits(2e-3), **changes)


# What may be asked for


def test_by_default_the_batch_size_is_the_pilots_nearest_to_their_median(batch_pilots):
    one = batch_pilots[:6]
    assert sizes_asked(None, one, true_law(), SAMPLES, None) == (8.0, 8.0)
    assert sizes_asked(None, batch_pilots[:12], true_law(), SAMPLES, None) in ((8, 8), (32, 32))
    assert sizes_asked(None, batch_pilots, true_law(), UPDATES, None) == (32.0, 32.0)
    assert sizes_asked((16, 64), batch_pilots, true_law(), UPDATES, None) == (16.0, 64.0)
    going_on = batch_pilots[-1]
    assert sizes_asked(None, batch_pilots, true_law(), SAMPLES, going_on) == (128.0, 128.0)


@pytest.mark.parametrize("wrong", [0, -8, (64, 16), (0, 8), (8, np.inf), "many", (1, 2, 3), np.nan])
def test_batch_sizes_that_are_none_are_refused(batch_pilots, wrong):
    with pytest.raises(InputError, match="batch_size must be"):
        sizes_asked(wrong, batch_pilots, true_law(), SAMPLES, None)


def test_logs_that_do_not_say_their_batch_size_leave_one_number(batch_pilots):
    runs = [replace(batch_pilots[0], batch_size=None), *batch_pilots[1:]]
    law = true_law()
    assert sizes_asked(None, runs, law, UPDATES, None) is None
    assert sizes_asked(64, runs, law, SAMPLES, None) == (64.0, 64.0)
    with pytest.raises(InputError, match="samples: not all logs say their batch size"):
        sizes_asked(None, runs, law, SAMPLES, None)
    with pytest.raises(InputError, match="a range has nothing to go by"):
        sizes_asked((8, 64), runs, law, SAMPLES, None)


def test_a_range_needs_a_law_that_sees_it_and_a_run_from_its_start(batch_pilots):
    blind = replace(true_law(), form=OWN.__class__())
    object.__setattr__(blind, "form", type("Blind", (type(OWN),), {"sees_batch": False})())
    with pytest.raises(InputError, match="the law 'etastar' does not see it"):
        sizes_asked((8, 64), batch_pilots, blind, SAMPLES, None)
    with pytest.raises(InputError, match="a run that goes on has one"):
        sizes_asked((8, 64), batch_pilots, true_law(), SAMPLES, batch_pilots[0])


@pytest.mark.parametrize(
    ("budget", "words"),
    [
        ({}, "one budget is needed"),
        ({"horizon": 100, "samples": 100}, "horizon and samples"),
        ({"seconds": 100}, "seconds needs step_time"),
        ({"seconds": 100, "step_time": (0, 0)}, "step_time must be"),
        ({"samples": 0}, "samples must be"),
        ({"horizon": 7}, "horizon must be"),
    ],
)
def test_a_plan_needs_one_budget(pilots, budget, words):
    with pytest.raises(InputError, match=words):
        plan(pilots, **budget)


def test_a_budget_that_leaves_too_few_updates_is_refused_by_its_name(pilots):
    with pytest.raises(InputError, match="samples 40 leaves 5 updates of batch size 8"):
        plan(pilots, samples=40, form="power")


# Its budget and its limits


def test_updates_follow_from_samples_and_seconds():
    run = make_run("constant:peak=1e-3,horizon=500", every=10)
    assert task([run]).horizon(64.0) == 4000
    timed = Budget.of(None, None, 100.0, (0.01, 0.001))
    assert task([run], timed).horizon(90.0) == 1000
    assert task([run], UPDATES).horizon(64.0) == 8000
    past = Past(run.schedule, 500, 8)
    gone_on = replace(task([run]), limits=Limits(2e-3, past=past))
    assert gone_on.horizon(16.0) == 500 + (256_000 - 500 * 8) // 16
    batch = gone_on.batch(16.0, gone_on.horizon(16.0))
    assert (batch(499), batch(500)) == (8.0, 16.0)
    assert batch.intrinsic_time(batch.horizon) == 256_000
    seconds = replace(gone_on, step_time=(0.5, 0.01)).seconds_of(batch, batch.horizon)
    assert seconds == pytest.approx(0.5 * batch.horizon + 2560)


def test_the_cap_at_a_batch_size_is_what_pilots_show_to_be_stable_there():
    runs = [
        make_batch_run(f"constant:peak={peak},horizon=100", size)
        for peak, size in ((1e-3, 8), (2e-3, 32), (5e-4, 128))
    ]
    for law, power in ((true_law(OWN, TRUTH), 1.0), (true_law(NORMALISED), 0.5)):
        caps = [task(runs, law=law).limits_at(size).cap for size in (2, 8, 32, 512)]
        expected = [1e-3 * 0.25**power, 1e-3, 2e-3, 2e-3]
        assert caps == pytest.approx(expected, rel=1e-12)
    given = task(runs, capped=True)
    assert given.limits_at(2).cap == 2e-3


def test_a_warmup_takes_at_most_a_tenth_of_the_updates():
    runs = [make_batch_run("constant:peak=1e-3,horizon=1000,warmup=100", 8)]
    assert task(runs).limits_at(8.0).warmup == 100
    assert task(runs).limits_at(1024.0).warmup == 25
    assert task(runs, warmup=60).limits_at(1024.0).warmup == 60


# What is about as good


def test_a_range_ends_where_the_curve_crosses_the_loss_allowed():
    place = np.geomspace(1, 100, 41)
    curve = 0.01 * np.log(place / 10) ** 2
    low, high = range_within(place, curve, 20)
    assert np.log([10 / low, high / 10]) == pytest.approx([np.sqrt(LOSS / 0.01)] * 2, rel=0.02)
    assert range_within(place, curve * 0.0, 20) == pytest.approx((1, 100))
    assert range_within(place, curve + 0.01, 20) is None
    assert range_within(place, np.where(place > 9, np.nan, curve), 18)[1] <= 9


# Whole plans


@pytest.fixture(scope="module")
def planned(batch_pilots):
    return plan(batch_pilots, samples=512_000, batch_size=(8, 128), step_time=(0.5, 0.01))


@pytest.mark.slow
def test_a_plan_of_several_batch_sizes_is_whole(planned):
    assert type(planned.law.form) is type(NORMALISED)
    assert 512_000 - 8 < planned.samples <= 512_000
    batch = planned.batch_size
    assert batch.horizon == planned.horizon == planned.schedule.horizon
    assert 8 <= batch(0) <= batch.peak <= 128
    assert planned.samples == batch.intrinsic_time(planned.horizon)
    assert planned.seconds == pytest.approx(0.5 * planned.horizon + 0.01 * planned.samples)
    predicted = planned.law.predict(planned.schedule, batch_size=batch).final[0]
    assert planned.loss.value == pytest.approx(predicted, rel=1e-12)
    found = planned.critical_batch
    # The runs were made with a critical batch size of e^1.2 times 32.
    assert found.low <= 32 * np.exp(1.2) * 1.02
    assert found.high >= 32 * np.exp(1.2) / 1.02


@pytest.mark.slow
def test_a_ramp_is_planned_only_where_its_gain_can_be_told_from_zero(planned):
    assert planned.batch_size(0) < planned.batch_size.peak
    constant = planned.nearest
    assert constant.batch_size not in (None, planned.batch_size.peak)
    assert constant.difference.low > 0
    assert not constant.tie
    assert any("the batch size rises from 8 to" in line for line in planned.caveats)
    # Each step of it in whole updates, for all the samples.
    ends = [samples for samples, _ in planned.ramp[1:]] + [planned.samples]
    for (begin, size), end in zip(planned.ramp, ends, strict=True):
        assert (end - begin) % size == 0


@pytest.mark.slow
def test_the_comparison_holds_other_batch_sizes_for_the_same_samples(planned):
    own = [other for other in planned.comparison if other.batch_size == planned.nearest.batch_size]
    others = [other for other in planned.comparison if other not in own]
    assert len(own) == 4
    assert {other.batch_size for other in others} == {8.0, 32.0, 128.0}
    for other in others:
        assert other.schedule.horizon == 512_000 // other.batch_size
        assert other.regret > own[0].regret - 1e-4
    for other in planned.comparison:
        assert other.difference.low <= other.difference.mean <= other.difference.high
        assert other.tie == (other.difference.low <= 0 <= other.difference.high)


@pytest.mark.slow
def test_the_ends_of_the_ranges_cost_what_is_said(batch_pilots):
    found = plan(batch_pilots, samples=256_000, batch_size=(8, 128), floor=1e-5)
    batch = found.batch_size
    if batch.peak == batch(0):
        low, high = found.within.batch_size
        assert 8 <= low <= batch.peak <= high <= 128
    for peak in found.within.peak_lr:
        other = found.schedule.scaled(peak=float(peak))
        cost = found.law.final_losses([other, found.schedule], [batch, batch])
        assert cost[0] - cost[1] == pytest.approx(LOSS, rel=0.1) or peak == pytest.approx(2e-3)


@pytest.mark.slow
def test_the_map_has_its_lowest_loss_at_the_plan(batch_pilots):
    found = plan(batch_pilots, 8000, batch_size=32)
    assert found.within.batch_size is not None
    charted = found.batch_map
    row = int(np.argmin(np.abs(charted.batch_size - 32)))
    column = int(np.argmin(np.abs(np.log(charted.peak / found.peak_lr))))
    assert charted.batch_size[row] == 32
    assert charted.loss[row, column] == pytest.approx(found.loss.value, abs=1e-6)
    assert np.nanmin(charted.loss[row]) >= found.loss.value - 1e-5
    assert set(charted.batch_size) <= set(np.clip(charted.batch_size, 8, 128))


@pytest.mark.slow
def test_a_run_goes_on_for_a_budget_of_samples_at_another_batch_size(batch_pilots):
    run = batch_pilots[6]
    found = plan(batch_pilots, samples=256_000, batch_size=64, continued=run)
    step = int(run.final_step)
    assert found.batch_size(step - 1) == run.batch_size
    assert found.batch_size(step) == 64
    assert 256_000 - 64 < found.samples <= 256_000
    np.testing.assert_array_equal(found.schedule(np.arange(step)), run.schedule(np.arange(step)))
    with pytest.raises(InputError, match="raise --samples"):
        plan(batch_pilots, samples=64_100, continued=run)


@pytest.mark.slow
def test_one_batch_size_is_planned_as_without_one(pilots):
    alone, told = plan(pilots, 3000), plan(pilots, samples=24_000)
    assert alone.schedule == told.schedule
    assert alone.loss == told.loss
    assert alone.samples == told.samples == 24_000
    assert alone.batch_size == parse_schedule("constant:peak=8,horizon=3000")
    assert alone.batch_map is None


@pytest.mark.slow
@pytest.mark.parametrize(("source", "best"), [(1.0, 256), (0.2, 32)])
def test_a_plan_from_logs_of_the_exact_model_is_near_its_optimum(source, best):
    """The example of docs/planning.md in the easy phase, and the same in the hard one.

    `best` is the best power of two for this time by the solver of the model itself.
    """
    text = Path("docs/planning.md").read_text(encoding="utf-8")
    code = text.split("An example to run:")[1].split("```python\n")[1].split("```")[0]
    names: dict[str, Any] = {}
    exec(code.replace("source=1.0", f"source={source}"), names)
    found = names["plan"]
    assert found.seconds <= 7200

    def model(size):
        return PowerLaw(1.5, source, 0.25, size)

    def fixed(size):
        return solve(model(size), int(7200 / (1 + 0.01 * size)), cap=cap(size), compare=False).loss

    def cap(size):
        return 0.6 * model(size).max_rate

    exact = {size: fixed(size) for size in (8, 16, 32, 64, 128, 256)}
    assert min(exact, key=lambda size: exact[size]) == best
    assert best / 2 <= found.batch_size.peak <= 2 * best
    reached = loss(model(8), found.schedule, batch_size=found.batch_size)
    assert reached < 1.15 * exact[best]
    # The model's own joint optimum has no cap but the stable rate.
    joint = solve(
        model(8), None, controls="lr,batch", seconds=7200, step_time=(1.0, 0.01), max_batch=256,
        compare=False,
    )  # fmt: skip
    assert joint.loss * (1 - 1e-3) < reached < 1.35 * joint.loss
