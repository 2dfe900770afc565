"""LRs above the largest stable one: the exact slope, what is gained, and what is refused."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from scipy.optimize import minimize

from etastar.control import _transient_solver, solve
from etastar.control._transient_loss import TransientLoss
from etastar.control._transient_starts import chebyshev, silver
from etastar.model import LinearModel, PowerLaw, Spectrum, exact_losses, modes_of
from etastar.schedule import InputError, make_schedule, table


def hard(batch_size: float, **features: Any) -> PowerLaw:
    return PowerLaw(1.5, 0.2, 0.25, batch_size, **features)


def loss_of(model: PowerLaw, horizon: int) -> TransientLoss:
    modes = modes_of(model.spectrum_to(horizon * 1000.0))
    return TransientLoss.of(modes, model.noise, float(model.batch_size))


def free_search(model: PowerLaw, horizon: int, starts: int, seed: int = 0) -> float:
    """The lowest loss of L-BFGS over the log of every update's LR from random starts."""
    exact, random = loss_of(model, horizon), np.random.default_rng(seed)
    ends = []

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = exact.slopes(np.exp(x))
        if not loss < 1e6 * exact.initial:
            return 700.0, np.zeros_like(x)
        return math.log(loss), slope * np.exp(x) / loss

    for _ in range(starts):
        spread = random.uniform(0.2, 1.5)
        x = math.log(0.5 * model.max_rate) + spread * random.standard_normal(horizon)
        while objective(x)[0] > math.log(1e3 * exact.initial):
            x -= 0.1
        found = minimize(
            objective, x, jac=True, method="L-BFGS-B",
            options={"maxiter": 1000, "maxcor": 30, "ftol": 1e-10},
        )  # fmt: skip
        ends.append(math.exp(found.fun))
    return min(ends)


def test_slopes_are_those_of_the_exact_recursion():
    model = hard(8, kurtosis=9.0, scale_moment=2.0)
    steps = np.arange(150)  # two pieces, and part of another
    rate = model.max_rate * (0.5 + 0.4 * np.sin(steps / 9))
    rate[70] *= 5.0

    def after(rate: np.ndarray) -> float:
        return exact_losses(model, table(steps, rate, horizon=150))[0]

    loss, slope = TransientLoss.of(modes_of(model.spectrum_to(300)), 0.25, 8.0).slopes(rate)
    assert loss == pytest.approx(after(rate), rel=1e-12)
    for step in (0, 63, 64, 70, 149):
        shift = 1e-5 * model.max_rate * (steps == step)
        change = (after(rate + shift) - after(rate - shift)) / (2 * shift.max())
        assert slope[step] == pytest.approx(change, rel=1e-6, abs=1e-10)


@pytest.mark.parametrize("ratio", [2.0, 100.0])
def test_chebyshev_steps_shrink_every_mode_of_their_interval_as_much(ratio):
    steps = chebyshev(8, ratio)
    value = np.linspace(1.0 / ratio, 1.0, 4001)
    left = np.abs(np.prod(1.0 - np.outer(value, steps), axis=1)).max()
    middle = (ratio + 1.0) / (ratio - 1.0)
    assert left == pytest.approx(1.0 / math.cosh(8 * math.acosh(middle)), rel=1e-9)


def test_silver_steps_are_longer_where_the_base_divides_more_often():
    assert silver(np.array([1, 2, 4, 6])) == pytest.approx([math.sqrt(2), 2, 2 + math.sqrt(2), 2])
    longer = silver(np.arange(1, 28), 3)
    assert list(np.flatnonzero(longer > 2) + 1) == [9, 18, 27]


@pytest.mark.slow
def test_a_long_run_is_solved_from_a_shorter_one(monkeypatch):
    whole = solve(hard(64), 1000, compare=False)
    monkeypatch.setattr(_transient_solver, "_SOME", 600)
    found = solve(hard(64), 1000, cap="transient", warmup=8, compare=False)
    assert whole.loss / found.loss > 1.19
    assert 1e-3 < found.gap < 0.05
    assert found.schedule.horizon == 1000
    # In large batches the stretched run may blow up: then it starts anew.
    monkeypatch.setattr(_transient_solver, "_HUGE", 0.0)
    again = solve(hard(64), 1000, cap="transient", warmup=8, compare=False)
    assert again.loss == pytest.approx(found.loss, rel=2e-3)


GAINS = [
    ((1.5, 0.2, 0.25, 64), 250, 1.17),
    ((1.5, 0.2, 0.25, 8), 1000, 1.007),
    ((1.5, 0.2, 0.25, 64), 1000, 1.20),
    ((1.5, 0.2, 0.25, 512), 1000, 1.50),
    ((2.0, 0.25, 0.0, 8), 500, 1.08),
]
"""Capped loss over that with transient LRs: L-BFGS over every update from four starts had these."""


@pytest.mark.slow  # some thousand exact runs
@pytest.mark.parametrize(("task", "horizon", "gain"), GAINS)
def test_transient_rates_gain_what_a_free_search_does(task, horizon, gain):
    model = PowerLaw(*task)
    capped = solve(model, horizon, compare=False)
    found = solve(model, horizon, cap="transient", compare=False)
    assert capped.loss / found.loss > gain
    assert found.loss == pytest.approx(exact_losses(model, found.schedule)[0], rel=1e-12)
    assert found.transient
    assert found.schedule.peak > 2 * model.max_rate


@pytest.mark.slow  # some thousand exact runs
@pytest.mark.parametrize(
    ("batch", "horizon"),
    [(batch, horizon) for batch in (8, 64, 512) for horizon in (20, 60, 250)],
)
def test_no_free_search_of_every_update_is_lower_by_more_than_the_gap(batch, horizon):
    found = solve(hard(batch), horizon, cap="transient", compare=False)
    assert found.gap < 0.1
    least = free_search(hard(batch), horizon, starts=20)
    assert found.loss < 1.0001 * least
    assert found.loss * (1.0 - found.gap) < least


def test_in_the_easy_phase_nothing_is_gained_and_nothing_lost():
    model = PowerLaw(1.5, 1.0, 0.25, 8)
    capped = solve(model, 200, compare=False)
    found = solve(model, 200, cap="transient", compare=False)
    assert 0.999 * capped.loss < found.loss <= capped.loss * (1 + 1e-9)
    assert found.gap < 1e-3


def test_the_answer_is_never_worse_than_the_capped_one():
    for horizon in (1, 2, 5):
        capped = solve(hard(4), horizon, compare=False)
        found = solve(hard(4), horizon, cap="transient", compare=False)
        assert found.loss <= capped.loss * (1 + 1e-9)


def test_a_single_mode_is_learned_at_once():
    model = LinearModel(Spectrum([2.0], [1.0]), noise=0.0, batch_size=math.inf)
    found = solve(model, 3, cap="transient", compare=False)
    assert found.loss < 1e-9


def test_floor_and_warmup_are_kept():
    found = solve(hard(64), 16, cap="transient", floor=0.6, warmup=4, compare=False)
    rate = found.schedule(np.arange(16))
    assert rate[4:].min() >= 0.6
    assert rate[:5] == pytest.approx(rate[4] * np.arange(5) / 4)
    assert rate.max() > 2 * hard(64).max_rate


@pytest.mark.parametrize(
    ("options", "said"),
    [
        ({"controls": "lr,momentum"}, "goes with controls=lr"),
        ({"controls": "lr,batch", "horizon": None, "samples": 1e3}, "goes with controls=lr"),
        ({"monotone": True}, "monotone forbids"),
        ({"horizon": 100_001}, "largest for cap=transient"),
        ({"cap": "free"}, "cap must be"),
        ({"floor": 5.0}, "floor must be"),
    ],
)
def test_what_does_not_go_together_is_refused(options, said):
    given = {"horizon": 100, "cap": "transient", **options}
    with pytest.raises(InputError, match=said):
        solve(hard(8), **given)


def test_a_solution_says_its_cap():
    model = hard(8)
    assert solve(model, 20, cap=0.5, compare=False).cap == 0.5
    assert solve(model, 20, compare=False).cap == pytest.approx(model.max_rate)


def test_only_a_constant_rate_from_the_critical_one_on_is_said_to_diverge():
    model = hard(64)
    critical = model.spectrum_to(100).critical_rate(64)
    assert solve(model, 100, cap=0.999 * critical, compare=False).cap == 0.999 * critical
    with pytest.raises(InputError, match="a constant LR diverges from"):
        solve(model, 100, cap=1.001 * critical, compare=False)
    # A schedule that is above it now and then need not diverge.
    rate = np.where(np.arange(100) % 10 == 5, 3.0 * critical, 0.5 * critical)
    first, last = exact_losses(model, table(np.arange(100), rate, horizon=100), [0, 100])
    assert last < first


def _finite_spectra() -> list[tuple[str, np.ndarray, np.ndarray]]:
    k = np.arange(1.0, 101.0)
    return [
        ("one", np.ones(1), np.ones(1)),
        ("equal", np.full(20, 3.0), np.ones(20)),
        ("geometric", 0.8 ** k[:40], 0.7 ** k[:40]),
        ("power law 1.5", k**-1.5, k**-1.3),
        ("power law 3", k[:30] ** -3.0, k[:30] ** -4.0),
    ]


@pytest.mark.parametrize("batch", [1, 8, 64, math.inf])
@pytest.mark.parametrize(
    ("kurtosis", "scale"), [(3.0, 1.0), (1.0, 1.0), (9.0, 1.0), (3.0, 2.0), (9.0, 2.0)]
)
def test_the_critical_rate_is_the_threshold_of_the_recursion(kurtosis, scale, batch):
    """Without label noise the loss falls for ever just below it and grows for ever just above."""
    for name, eigenvalue, target in _finite_spectra():
        spectrum = Spectrum(eigenvalue, target, kurtosis=kurtosis, scale_moment=scale)
        model = LinearModel(spectrum, 0.0, batch)
        for part in (0.98, 1.02):
            rate = part * spectrum.critical_rate(batch)
            schedule = make_schedule("constant", peak=rate, horizon=4000)
            try:
                half, end = exact_losses(model, schedule, [2000, 4000])
            except InputError:  # it overflows
                half, end = 1.0, math.inf
            assert (end > half) == (part > 1), (name, part)
