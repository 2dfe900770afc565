"""The optimum of the solvable model: certified, never beaten, and at a cost free of the horizon."""

from __future__ import annotations

import itertools
import math
from typing import Any

import numpy as np
import pytest

from etastar.control import FAMILIES, baselines, best_member, solve, transfer
from etastar.control._model_solver import log_loss
from etastar.control._transient_loss import TransientLoss
from etastar.model import LinearModel, PowerLaw, Spectrum, exact_losses, loss, modes_of, phase
from etastar.schedule import InputError, parse_schedule, table

EASY, HARD = PowerLaw(1.5, 1.0, 0.25, 8), PowerLaw(1.5, 0.2, 0.25, 8)


def some_problems() -> list[tuple[PowerLaw, int]]:
    random = np.random.default_rng(0)
    problems = []
    for _ in range(6):
        capacity, source = random.uniform(1.1, 3.0), random.uniform(0.1, 2.0)
        noise, batch = 10 ** random.uniform(-2, 0.5), float(2 ** random.integers(0, 7))
        model = PowerLaw(round(capacity, 3), round(source, 3), round(noise, 4), batch)
        problems.append((model, int(10 ** random.uniform(2, 12))))
    return problems


@pytest.mark.parametrize(
    ("model", "horizon"),
    [
        pytest.param(*problem, marks=[pytest.mark.slow] if i != 2 else [])
        for i, problem in enumerate(some_problems())
    ],
)
def test_the_optimum_is_at_or_below_every_baseline_with_a_small_gap(model, horizon):
    found = solve(model, horizon)
    assert {member.family for member in found.baselines} == set(FAMILIES)
    assert all(found.loss <= member.loss for member in found.baselines)
    assert found.gap < 1e-4
    assert found.schedule.horizon == horizon
    assert found.schedule.peak <= model.max_rate * (1 + 1e-9)


@pytest.mark.parametrize("model", [EASY, HARD])
def test_the_loss_is_that_of_the_exact_recursion(model):
    found = solve(model, 20_000, compare=False)
    assert found.loss == pytest.approx(exact_losses(model, found.schedule)[0], rel=1e-4)


def test_the_lower_bound_certifies_the_optimum_where_noise_adds_up():
    gaps = []
    for horizon in (10**6, 10**8, 10**12):
        found = solve(EASY, horizon, compare=False)
        assert found.lower_bound is not None
        gaps.append(1 - found.lower_bound / found.loss)
    assert 0 < gaps[2] < gaps[1] < gaps[0] < 2e-2
    assert gaps[2] < 2e-3


def noisy_problems() -> list[tuple[PowerLaw, int]]:
    random = np.random.default_rng(5)
    problems = []
    for i in range(12):
        noise = 0.0 if i == 0 else 10 ** random.uniform(-3, 6)
        batch = math.inf if i in (0, 1) else float(2 ** random.integers(0, 12))
        model = PowerLaw(random.uniform(1.1, 3.0), random.uniform(0.1, 2.0), noise, batch)
        horizon = 10 ** random.uniform(0, 2) if i % 3 else 10 ** random.uniform(2, 12)
        problems.append((model, int(horizon)))
    return problems


@pytest.mark.slow  # every kind of noise: one compilation, then a solve and a search each
@pytest.mark.parametrize(("model", "horizon"), noisy_problems())
def test_bound_optimum_and_baselines_are_in_order_whatever_the_noise(model, horizon):
    found = solve(model, horizon, compare=False)
    assert found.lower_bound is not None
    assert 0 < found.lower_bound <= found.loss < model.spectrum_to(horizon).initial_loss
    for family in ("constant", "cosine"):
        member = best_member(model, family, horizon)
        assert found.loss <= member.loss * (1 + 2e-4)
        for factor in (0.5, 0.8, 1.25, 2.0):
            peak = min(factor * member.schedule.peak, model.max_rate)
            assert loss(model, member.schedule.scaled(peak=peak)) >= member.loss * (1 - 1e-4)


def test_loud_noise_leaves_small_learning_rates():
    """Against a general optimiser: the best constant LR is 1/200 of the cap, at horizon 20."""
    from scipy.optimize import minimize_scalar

    model = PowerLaw(1.5, 1.0, 1e3, 8)

    def after(log_rate: float) -> float:
        rate = math.exp(log_rate)
        return exact_losses(model, parse_schedule(f"constant:peak={rate},horizon=20"))[0]

    best: Any = minimize_scalar(after, bounds=(-10.0, 0.0), method="bounded")
    member = best_member(model, "constant", 20)
    assert member.loss == pytest.approx(best.fun, rel=1e-5)
    assert member.schedule.peak < 0.01 * model.max_rate
    assert solve(model, 20, compare=False).loss < member.loss


@pytest.mark.parametrize("model", [EASY, HARD, PowerLaw(2.0, 0.5, 1.0, 1)])
def test_no_small_change_of_the_schedule_improves_it(model):
    found = solve(model, 5000, compare=False)
    steps = np.asarray(found.schedule.breakpoints)
    rates = found.schedule(steps)
    best = exact_losses(model, found.schedule)[0]
    random = np.random.default_rng(1)
    for _ in range(20):
        smooth = np.interp(steps, np.linspace(0, 5000, 6), random.normal(size=6))
        changed = np.minimum(rates * np.exp(0.1 * smooth), model.max_rate)
        assert exact_losses(model, table(steps, changed))[0] > best * (1 - 2e-5)


@pytest.mark.parametrize("horizon", [1, 2, 3, 5, 7, 10])
def test_few_single_updates_are_optimal_each(horizon):
    """Against a general optimiser on the exact recursion, every update's LR free."""
    from scipy.optimize import minimize

    model = PowerLaw(1.5, 1.0, 0.25, 8)
    found = solve(model, horizon, compare=False)
    steps = np.arange(horizon)

    def objective(rates: np.ndarray) -> float:
        return exact_losses(model, table(steps, rates, horizon=horizon))[0]

    bounds = [(1e-9, model.max_rate)] * horizon
    free = minimize(objective, np.full(horizon, 0.5), bounds=bounds, method="L-BFGS-B")
    assert objective(found.schedule(steps)) == pytest.approx(free.fun, rel=1e-4)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("model", "horizon"),
    [
        (PowerLaw(2.4, 1.67, 178.0, math.inf), 26),
        (PowerLaw(2.0, 0.59, 0.0, math.inf), 14),
        (PowerLaw(1.44, 0.99, 1.4e-3, 2048), 6),
        (PowerLaw(1.33, 0.34, 0.28, 512), 33),
    ],
)
def test_few_updates_in_large_batches_are_optimal_each(model, horizon):
    """Against the exact recursion's adjoint from random starts: a long step, then short ones."""
    from scipy.optimize import minimize

    found = solve(model, horizon, compare=False)
    exact = TransientLoss.of(modes_of(model.spectrum_to(horizon)), model.noise, model.batch_size)

    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        rate = model.max_rate * np.exp(logs)
        value, slope = exact.slopes(rate)
        return math.log(value), slope * rate / value

    random = np.random.default_rng(3)
    ends = [
        minimize(
            objective,
            math.log(height) - random.exponential(1.0, horizon),
            jac=True,
            method="L-BFGS-B",
            bounds=[(-30.0, 0.0)] * horizon,
        ).fun
        for height in np.geomspace(1e-3, 1.0, 8)
    ]
    assert found.loss < math.exp(min(ends)) * (1 + 2e-4)
    assert found.loss < math.exp(min(ends)) * (1 + found.gap + 1e-6)


@pytest.mark.slow  # seven families
@pytest.mark.parametrize("horizon", [1, 2, 7])
def test_baselines_of_few_updates(horizon):
    found = solve(EASY, horizon)
    assert len(found.baselines) == len(FAMILIES)
    assert all(found.loss <= member.loss for member in found.baselines)


@pytest.mark.slow
def test_limits_are_kept():
    cap, floor, warmup = 0.02, 0.001, 500
    found = solve(EASY, 20_000, cap=cap, floor=floor, warmup=warmup, monotone=True)
    rate = found.schedule(np.arange(20_000))
    assert rate.max() <= cap * (1 + 1e-12)
    assert rate[warmup:].min() >= floor * (1 - 1e-9)
    assert np.all(np.diff(rate[warmup:]) <= 1e-12)
    assert found.schedule(0) == 0.0
    assert found.schedule(warmup // 2) == pytest.approx(found.schedule(warmup) / 2, rel=1e-9)
    assert found.loss > solve(EASY, 20_000, compare=False).loss
    assert found.gap < 1e-4


@pytest.mark.slow
def test_the_horizon_costs_neither_compilations_nor_accuracy():
    solve(EASY, 1000, compare=False)
    solve(HARD, 10**12, compare=False)
    before = log_loss._cache_size()  # type: ignore[attr-defined]
    for i in range(40):
        model = PowerLaw(1.2 + 0.02 * i, 0.3 + 0.02 * i, 0.1 + 0.01 * i, 1 + i)
        solve(model, int(10 ** (3 + i / 5)), compare=False)
    assert log_loss._cache_size() <= before + 2  # type: ignore[attr-defined]


@pytest.mark.parametrize("model", [EASY, PowerLaw(2.0, 1.0, 0.25, 8)])
def test_easy_phase_exponents(model):
    found = transfer(model, "optimal", [10**8, 10**9])
    expected = phase(model.capacity, model.source)
    assert found.loss_exponent == pytest.approx(expected.loss_exponent, abs=0.01)
    assert found.xi == pytest.approx(expected.xi, abs=0.01)


def test_hard_phase_leaves_the_base_rate_where_it_is():
    found = transfer(HARD, "optimal", [10**8, 10**10])
    assert found.xi == pytest.approx(0.0, abs=0.01)
    assert found.loss_exponent == pytest.approx(0.2, abs=0.02)


def test_best_constant_and_its_exponent():
    """Best constant LR ~ T^-s/(1+s) with the loss, and by brute force."""
    found = transfer(EASY, "constant", [10**9, 10**10])
    assert found.loss_exponent == pytest.approx(0.5, abs=0.01)
    assert found.xi == pytest.approx(0.5, abs=0.01)
    member = best_member(EASY, "constant", 2000)
    for factor in (0.9, 0.97, 1.03, 1.1):
        assert loss(EASY, member.schedule.scaled(peak=factor * member.schedule.peak)) > member.loss


def test_a_fixed_shape_is_kept():
    member = best_member(EASY, "wsd", 10_000, cooldown=0.25, decay="linear")
    assert "cooldown=0.25" in member.schedule.spec
    free = best_member(EASY, "wsd", 10_000)
    assert free.loss <= member.loss


@pytest.mark.slow
def test_measured_eigenvalues_can_be_solved_too():
    spectrum = Spectrum([1.0, 0.5, 0.1, 0.01], [0.5, 0.2, 0.2, 0.1])
    model = LinearModel(spectrum, noise=0.1, batch_size=2)
    found = solve(model, 3000)
    assert all(found.loss <= member.loss for member in found.baselines)


@pytest.mark.slow
def test_batch_ramp_under_a_budget_of_time():
    easy = solve(
        EASY,
        seconds=2e4,
        step_time=(1.0, 1 / 64),
        controls="lr,batch",
        max_batch=4096,
        compare=False,
    )
    fixed = min(
        solve(PowerLaw(1.5, 1.0, 0.25, b), seconds=2e4, step_time=(1.0, 1 / 64), compare=False).loss
        for b in (64, 128, 256)
    )
    assert easy.batch_size is not None
    assert easy.loss < 0.97 * fixed
    size = easy.batch_size(np.linspace(0, easy.schedule.horizon, 20))
    assert size[-2] > 4 * size[5]
    steps = np.arange(easy.schedule.horizon)
    assert np.sum(1.0 + easy.batch_size(steps) / 64) == pytest.approx(2e4, rel=0.01)


@pytest.mark.slow
def test_momentum_helps_the_hard_phase_and_never_hurts():
    """The loss of the exact recursion, below that of the best LR alone."""
    hard = solve(HARD, 200, controls="lr,momentum", compare=False)
    assert hard.momentum is not None
    exact = exact_losses(HARD, hard.schedule, momentum=hard.momentum)[0]
    assert hard.loss == pytest.approx(exact, rel=1e-3)
    assert hard.loss < 0.95 * solve(HARD, 200, compare=False).loss
    easy = solve(EASY, 200, controls="lr,momentum", compare=False)
    plain = solve(EASY, 200, compare=False).loss
    assert 0.98 * plain < easy.loss <= plain


@pytest.mark.slow
def test_under_a_budget_of_samples_all_mixes_are_nearly_as_good():
    """The same noise eta / B by a decay of the LR or by a ramp of the batch size."""
    small = solve(EASY, samples=1e6, controls="lr,batch", compare=False)
    same = solve(PowerLaw(1.5, 1.0, 0.25, 1), 10**6, compare=False)
    assert small.batch_size is not None
    assert small.loss == pytest.approx(same.loss, rel=5e-3)
    steps = np.arange(small.schedule.horizon)
    assert np.sum(small.batch_size(steps)) == pytest.approx(1e6, rel=0.01)


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({}, "one budget"),
        ({"horizon": 10, "samples": 10.0}, "horizon and samples"),
        ({"samples": 7.0}, "less than one update of batch size 8"),
        ({"horizon": 1000, "controls": "lr,batch"}, "horizon: where the batch size varies"),
        ({"seconds": 1000.0, "controls": "lr,batch"}, "seconds: where the batch size varies"),
        ({"horizon": 1000, "controls": "lr,momentum,batch"}, "momentum goes with"),
        ({"horizon": 1000.5}, "whole number"),
        ({"horizon": 10**16}, "below 1e15"),
        ({"horizon": 1000, "controls": "momentum"}, "controls"),
        ({"horizon": 1000, "cap": 100.0}, "not stable"),
        ({"horizon": 1000, "floor": 2.0}, "floor"),
        ({"horizon": 1000, "warmup": 1000}, "warmup"),
        ({"seconds": 10.0, "step_time": (0.0, 0.0)}, "step_time"),
        ({"samples": 1e6, "controls": "lr,batch", "warmup": 10}, "warmup"),
        ({"samples": 1e6, "controls": "lr,momentum,batch"}, "momentum goes with"),
        ({"horizon": 1000, "max_momentum": 1.0, "controls": "lr,momentum"}, "max_momentum"),
    ],
)
def test_wrong_limits_are_named(options, said):
    with pytest.raises(InputError, match=said):
        solve(EASY, **options)


def test_unknown_family_is_named():
    with pytest.raises(InputError, match="family 'triangle'"):
        best_member(EASY, "triangle", 1000)


@pytest.mark.slow
def test_baselines_are_at_their_own_optimum():
    """On a fine grid of peaks none is better."""
    for member in baselines(HARD, 3000):
        for factor in np.exp(np.linspace(-0.5, 0.5, 9)):
            peak = min(factor * member.schedule.peak, HARD.max_rate)
            assert loss(HARD, member.schedule.scaled(peak=peak)) >= member.loss * (1 - 3e-5)


@pytest.mark.slow
def test_the_order_of_baselines_is_that_of_theory():
    """Easy: annealed shapes beat powers of time; hard: WSD beats cosine."""
    easy = {m.family: m.loss for m in baselines(EASY, 10**10)}
    hard = {m.family: m.loss for m in baselines(HARD, 10**10)}
    assert easy["cosine"] < easy["linear"] < easy["power"] < easy["constant"]
    assert hard["wsd"] < 0.95 * hard["cosine"]
    for first, second in itertools.pairwise(("polynomial", "cosine", "constant")):
        assert easy[first] < easy[second]


@pytest.mark.slow
def test_without_label_noise_no_start_ends_far_above_the_others():
    """The schedule that is best at s = 4.5 has 7.21e-17 here; one start alone ended at 1.1e-16."""
    assert solve(PowerLaw(2.0, 4.0, 0.0, 8), 10**6, compare=False).loss < 7.21e-17


def test_a_target_without_power_is_refused():
    with pytest.raises(InputError, match="nothing to learn"):
        solve(LinearModel(Spectrum([1.0, 0.5], [0.0, 0.0], floor=1.0), 0.25, 8), 100)


def test_the_order_of_few_steps_is_optimal_too():
    """A search over all LRs that starts with the lower step one update earlier ends lower."""
    model = LinearModel(Spectrum([1.0, 0.1, 0.01], [1.0, 1.0, 1.0]), 1e-4, 256.0)
    found = solve(model, 30, compare=False)
    step = np.arange(30)
    best = np.asarray(found.schedule(step))
    exact = TransientLoss.of(modes_of(model.spectrum), 1e-4, 256.0)
    for first, second in itertools.combinations(range(20, 30), 2):
        rate = best.copy()
        rate[[first, second]] = rate[[second, first]]
        for _ in range(200):  # gradient descent, its steps of a fixed size
            slope = exact.slopes(rate)[1]
            rate = np.clip(rate - 0.05 * slope / np.abs(slope).max(), 1e-9, model.max_rate)
        assert exact.slopes(rate)[0] > found.loss * (1 - 2e-5)
    assert found.loss < 0.313615
