"""The decision itself: what a plan holds, and a run that it goes on from."""

from dataclasses import replace

import numpy as np
import pytest

from etastar.planning import STAGES, plan
from etastar.report import plan_report
from etastar.report._words import spec_of_the_rest
from etastar.schedule import InputError
from tests.helpers.laws import make_run

HORIZON = 12_000


@pytest.fixture(scope="module")
def planned(pilots):
    return plan(pilots, HORIZON)


@pytest.fixture(scope="module")
def under_way():
    return make_run("constant:peak=1e-3,horizon=6000,warmup=100", seed=5)


@pytest.fixture(scope="module")
def extended(pilots, under_way):
    return plan(pilots, HORIZON, continued=under_way)


@pytest.mark.slow
def test_regrets_are_expected_ones_and_losses_follow_the_plans(planned):
    assert planned.expected_regret > 0
    for other in planned.comparison:
        assert other.regret > 0
        assert other.loss == pytest.approx(planned.loss.value + other.regret, abs=1e-12)
    regrets = [other.regret for other in planned.comparison]
    assert regrets == sorted(regrets)
    assert planned.nearest is planned.comparison[0]
    assert "continuation" not in planned.to_dict()


@pytest.mark.slow
def test_the_same_runs_give_the_same_plan(planned, pilots):
    again = plan(pilots, HORIZON)
    assert again.schedule == planned.schedule
    assert again.expected_regret == planned.expected_regret


@pytest.mark.slow
def test_a_plan_that_goes_on_keeps_what_was_done(extended, under_way, pilots):
    step = int(under_way.final_step)
    steps = np.arange(step)
    np.testing.assert_array_equal(extended.schedule(steps), under_way.schedule(steps))
    assert extended.schedule.horizon == HORIZON
    assert len(extended.runs) == len(pilots) + 1
    found = extended.continuation
    assert (found.run, found.step, found.lr) == (under_way.name, step, 1e-3)
    assert extended.loss.value - found.known_loss == pytest.approx(found.cost, abs=1e-12)
    document = extended.to_dict()["continuation"]
    assert list(document) == ["run", "step", "lr", "known_loss", "known_peak", "cost"]
    page = plan_report(extended)
    assert f"Goes on from {under_way.name}" in page
    assert spec_of_the_rest(extended.nearest.schedule).startswith("from step 6")


@pytest.mark.slow
def test_an_annealed_run_costs_more_to_extend(extended, pilots):
    annealed = make_run("linear:peak=1e-3,horizon=6000,warmup=100", seed=5)
    other = plan(pilots, HORIZON, continued=annealed)
    assert other.continuation is not None
    assert other.continuation.cost > extended.continuation.cost
    assert any(line.startswith("the LR is raised from") for line in other.caveats)


@pytest.mark.slow
def test_there_must_be_something_to_go_on_from(pilots, under_way):
    with pytest.raises(InputError, match="raise --horizon"):
        plan(pilots, 6004, continued=under_way)
    lost = replace(under_way, metadata={"diverged": True})
    with pytest.raises(InputError, match="has diverged"):
        plan(pilots, HORIZON, continued=lost)


def test_a_plan_tells_whom_it_is_given_every_stage_once_and_whole(pilots):
    told = []
    plan(pilots, 8000, form="power", progress=lambda *event: told.append(event))
    assert list(dict.fromkeys(stage for stage, _, _ in told)) == list(STAGES)
    for stage in STAGES:
        events = [(done, total) for name, done, total in told if name == stage]
        assert [done for done, _ in events] == list(range(events[0][1] + 1))
        assert len({total for _, total in events}) == 1


def test_a_plan_ends_with_what_its_listener_raises(pilots):
    def stop(stage, done, total):
        if stage == "solving for the schedule":
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        plan(pilots, 8000, form="power", progress=stop)


def test_the_path_of_logs_in_place_of_runs_is_refused_with_what_reads_it():
    with pytest.raises(InputError, match=r"such as read_runs\('pilots'\)"):
        plan("pilots", 4000)  # type: ignore[arg-type]
