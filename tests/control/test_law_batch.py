"""The best batch size of a law: never beaten by a standard schedule at another, within a budget."""

from typing import Any

import numpy as np
import pytest

from etastar import control
from etastar.control import Budget, Limits, best_members, optimal_schedule
from etastar.control._law_batch import fixed_solution, rounded, stepped
from etastar.control._law_joint import JointGrid
from etastar.law._forms import NORMALISED, OWN
from etastar.schedule import InputError, parse_schedule
from tests.helpers.laws import NORMALISED_TRUTH, TRUTH, true_law

optimal_controls: Any = control.optimal_controls  # what it may leave out is there
CAP = 2e-3
SIZES = (4.0, 256.0)
BUDGETS = {
    "samples": Budget.of(None, 256_000, None, (1.0, 0.0)),
    "seconds": Budget.of(None, None, 8000.0, (1.0, 0.02)),
}
LAWS = {"sgd": true_law(OWN, TRUTH), "normalised": true_law(NORMALISED, NORMALISED_TRUTH)}
EACH = pytest.mark.parametrize(
    ("law", "budget"),
    [(law, budget) for law in LAWS.values() for budget in BUDGETS.values()],
    ids=[f"{law}-{budget}" for law in LAWS for budget in BUDGETS],
)


def limits_at(size: float) -> Limits:
    """A cap that falls with small batch sizes, and some warmup."""
    return Limits(CAP * min(1.0, size / 16) ** 0.5, floor=1e-6, warmup=20)


@EACH
def test_slopes_by_rates_and_batch_sizes_are_those_of_the_loss(law, budget):
    joint = JointGrid.make(law, budget, SIZES, limits_at, 12.0, rising=True)
    schedule = parse_schedule(f"cosine:peak=1e-3,horizon={joint.grid.horizon},warmup=20,final=0.1")
    knots = joint.spread.shape[1]
    x = joint.variables(schedule, np.linspace(np.log(12), np.log(100), knots))
    _, slope = joint.log_loss(x)
    rates = len(joint.grid.step)
    for i in (0, 4, 20, 40, rates, rates + 1, rates + 6, rates + knots - 1):
        move = 1e-5 * np.eye(len(x))[i]
        by_hand = (joint.log_loss(x + move)[0] - joint.log_loss(x - move)[0]) / 2e-5
        assert slope[i] == pytest.approx(by_hand, rel=1e-4, abs=1e-9)


@pytest.mark.slow
@EACH
def test_no_standard_schedule_at_any_batch_size_is_better(law, budget):
    found = optimal_controls(law, budget, SIZES, limits_at, ramp=False).fixed
    batch = found.batch_size.peak
    assert SIZES[0] <= batch <= SIZES[1]
    assert found.schedule.horizon == found.batch_size.horizon == int(budget.updates(batch))
    reported = law.final_losses([found.schedule], [found.batch_size])[0]
    assert found.loss == pytest.approx(reported, rel=1e-12)
    for size in np.geomspace(*SIZES, 25):
        limits = limits_at(float(size))
        members = best_members(law, int(budget.updates(size)), limits, float(size))
        best = min(member.loss for member in members)
        assert best > found.loss - 1e-4, f"batch size {size:.1f}"


@pytest.mark.slow
@EACH
def test_a_finer_search_over_batch_sizes_finds_nothing_better(law, budget):
    found = optimal_controls(law, budget, SIZES, limits_at, ramp=False).fixed
    for size in found.batch_size.peak * np.array([0.8, 0.9, 1.1, 1.25]):
        if SIZES[0] <= size <= SIZES[1]:
            other = fixed_solution(law, budget, float(size), limits_at)
            assert other.loss > found.loss * (1 - 5e-5)


def test_a_ramp_spends_the_budget_in_rising_steps_and_is_better():
    law = LAWS["sgd"]
    budget = Budget.of(None, None, 3000.0, (1.0, 0.01))
    found = optimal_controls(law, budget, (4.0, 4096.0), lambda size: Limits(CAP, warmup=20))
    ramp = found.ramp
    assert ramp is not None
    assert ramp.loss < (1 - 1e-4) * found.fixed.loss
    assert ramp.loss == pytest.approx(law.final_losses([ramp.schedule], [ramp.batch_size])[0])
    assert ramp.schedule.horizon == ramp.batch_size.horizon
    steps = np.array(ramp.batch_size.breakpoints[:-1])
    sizes = ramp.batch_size(steps)
    assert 2 <= len(sizes) <= 6
    assert np.all(sizes[1:] > 1.3 * sizes[:-1])
    updates = np.diff([*steps, ramp.batch_size.horizon])
    spent = float(updates @ budget.cost(sizes))
    assert budget.total - budget.cost(sizes[0]) < spent <= budget.total * (1 + 1e-9)
    rates = ramp.schedule(np.arange(20, ramp.schedule.horizon + 1))
    assert np.all(np.diff(rates) <= 1e-12)


@pytest.mark.slow
def test_random_ramps_are_hardly_better():
    law, budget = LAWS["sgd"], Budget.of(None, None, 3000.0, (1.0, 0.01))
    found = optimal_controls(law, budget, (4.0, 4096.0), lambda size: Limits(CAP))
    assert found.ramp is not None
    random = np.random.default_rng(0)
    for _ in range(6):
        sizes = np.sort(np.exp(random.uniform(np.log(32), np.log(2048), 3))).round()
        part = random.dirichlet([2.0, 1.0, 1.0])
        updates = (part * budget.total / budget.cost(sizes)).astype(int)
        batch = stepped(sizes.tolist(), updates.tolist())
        assert batch is not None
        other = optimal_schedule(law, batch.horizon, Limits(CAP), batch_size=batch)
        assert other.loss > found.ramp.loss * (1 - 2e-4)


def test_of_updates_alone_there_is_no_ramp():
    found = optimal_controls(LAWS["sgd"], Budget(2000.0), SIZES, limits_at)
    assert found.ramp is None
    assert found.fixed.batch_size.peak == SIZES[1]


def test_one_batch_size_is_that_of_the_schedule_alone():
    law, budget = LAWS["normalised"], BUDGETS["samples"]
    found = optimal_controls(law, budget, (32.0, 32.0), limits_at)
    alone = optimal_schedule(law, 8000, limits_at(32.0), batch_size=32.0)
    assert found.ramp is None
    assert (found.fixed.schedule, found.fixed.loss) == (alone.schedule, alone.loss)
    assert found.fixed.batch_size == parse_schedule("constant:peak=32,horizon=8000")


def test_a_budget_of_fewer_than_8_updates_is_refused_by_its_name():
    law = LAWS["sgd"]
    with pytest.raises(InputError, match="samples 100 leaves 6 updates of batch size 16"):
        optimal_controls(law, Budget.of(None, 100, None, (1, 0)), (16.0, 64.0), limits_at)
    with pytest.raises(InputError, match="seconds 5 leaves 4 updates of batch size 8"):
        fixed_solution(law, Budget.of(None, None, 5, (1.0, 0.01)), 8.0, limits_at)


def test_sizes_that_a_budget_does_not_allow_are_left_out():
    budget = Budget.of(None, 1000, None, (1.0, 0.0))
    found = optimal_controls(LAWS["sgd"], budget, (16.0, 100_000.0), lambda size: Limits(CAP))
    assert found.fixed.schedule.horizon >= 8


@pytest.mark.parametrize("size", [1.0, 3.0, 15.7, 16.4, 100.3, 4095.0, 123_456.7])
def test_a_rounded_batch_size_has_few_binary_digits_and_is_near(size):
    near = rounded(size, 1.0, 1e6)
    assert near == pytest.approx(size, rel=1 / 16 if size > 8 else 0.2)
    odd = near / 2.0 ** max(0, np.floor(np.log2(near)) - 3)
    assert odd.is_integer()


@pytest.mark.parametrize("wrong", [{}, {"samples": 10, "seconds": 10}, {"samples": -1}])
def test_budgets_that_are_none_are_refused(wrong):
    with pytest.raises(InputError, match=r"budget|samples must be"):
        Budget.of(None, wrong.get("samples"), wrong.get("seconds"), (1.0, 0.0))
