"""What a pilot above the pilots' highest peak LR would tell."""

import numpy as np
import pytest

from etastar.control import Limits, optimal_schedule
from etastar.law import Difference
from etastar.planning import plan
from etastar.planning._beyond import worth_of_knowing
from etastar.schedule import parse_schedule
from tests.helpers.laws import make_run, true_losses


@pytest.fixture(scope="module")
def low_pilots():
    """Pilots that all stay below the best peak LR of the horizon."""
    specs = [
        f"{shape}:peak={peak},horizon={horizon},warmup=100{rest}"
        for shape, rest in (("cosine", ""), ("wsd", ",cooldown=0.25"))
        for peak in (1.25e-4, 2.5e-4)
        for horizon in (2000, 4000)
    ]
    return [make_run(spec, seed) for seed, spec in enumerate(specs)]


def test_what_it_may_gain_holds_what_the_truth_gains(low_pilots):
    found = plan(low_pilots, 4000)
    beyond = found.beyond_cap
    assert found.peak_lr == pytest.approx(2.5e-4)
    assert beyond is not None
    assert beyond.peak_lr == pytest.approx(5e-4)
    # By the truth, which the pilots were made by.
    end, raised = np.array([4000.0]), Limits(5e-4, warmup=100)
    best = optimal_schedule(found.law, 4000, raised).schedule
    gained = true_losses(best, end)[0] - true_losses(found.schedule, end)[0]
    assert gained < 0
    assert beyond.difference.low < gained < beyond.difference.high
    assert beyond.difference.mean < 0
    assert beyond.worth >= -beyond.difference.mean
    # The shortest pilot at the cap, with twice its peak, is proposed, in the caveat too.
    spec = "cosine:peak=0.0005,horizon=2000,warmup=100"
    assert beyond.pilot == parse_schedule(spec)
    assert any(spec in line for line in found.caveats)
    document = found.to_dict()["beyond_cap"]
    assert document["pilot"] == {"spec": spec}
    assert document["worth"] == pytest.approx(beyond.worth)


def test_a_cap_that_was_given_and_a_plan_below_it_need_no_pilot(low_pilots):
    assert plan(low_pilots, 4000, peak_cap=2e-4).beyond_cap is None
    assert plan([*low_pilots, make_run("cosine:peak=4e-3,horizon=4000,warmup=100", 9)],
                4000).beyond_cap is None  # fmt: skip


@pytest.mark.parametrize(("mean", "spread"), [(-0.02, 0.01), (0.0, 0.01), (0.03, 0.02)])
def test_the_worth_of_knowing_is_what_a_simulated_choice_gains(mean, spread):
    draws = mean + spread * np.random.default_rng(0).standard_normal(400_000)
    gained = -np.minimum(draws, 0).mean()
    interval = Difference(mean, mean - 1.644854 * spread, mean + 1.644854 * spread)
    assert worth_of_knowing(interval) == pytest.approx(gained, rel=0.02)
