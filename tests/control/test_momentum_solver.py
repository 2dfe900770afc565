"""LR and momentum together: exact slopes, and losses at or below those of every update's own."""

from __future__ import annotations

import math

import numpy as np
import pytest
from scipy.optimize import minimize

from etastar.control import _momentum_solver, solve
from etastar.control._momentum_loss import MomentumLoss
from etastar.model import PowerLaw, exact_losses, modes_of
from etastar.schedule import InputError, table

HARD, QUIET = PowerLaw(1.5, 0.2, 0.25, 8), PowerLaw(2.0, 0.25, 0.0, 8)


def test_slopes_are_those_of_the_exact_recursion():
    steps = np.arange(300)  # more than one piece, and part of another
    rate, momentum = 0.2 + 0.1 * np.sin(steps / 9), 0.6 + 0.3 * np.cos(steps / 7)

    def after(rate: np.ndarray, momentum: np.ndarray) -> float:
        schedules = (table(steps, values, horizon=300) for values in (rate, momentum))
        return exact_losses(HARD, next(schedules), momentum=next(schedules))[0]

    found = MomentumLoss.of(modes_of(HARD.spectrum_to(3000)), 0.25, 8.0, 300)
    loss, by_rate, by_momentum = found.slopes(rate, momentum)
    assert loss == pytest.approx(after(rate, momentum), rel=1e-12)
    for step in (0, 255, 256, 298):
        shift = 1e-5 * (steps == step)
        slope = (after(rate + shift, momentum) - after(rate - shift, momentum)) / 2e-5
        assert by_rate[step] == pytest.approx(slope, rel=1e-5, abs=1e-11)
        slope = (after(rate, momentum + shift) - after(rate, momentum - shift)) / 2e-5
        assert by_momentum[step] == pytest.approx(slope, rel=1e-5, abs=1e-11)


@pytest.mark.slow  # some thousand exact runs
@pytest.mark.parametrize(("model", "loss"), [(HARD, 0.86967), (QUIET, 0.27510)])
def test_no_worse_than_a_search_over_every_update(model, loss):
    """Losses at T = 250 of L-BFGS over all 500 controls, from four starts."""
    found = solve(model, 250, controls="lr,momentum", compare=False)
    assert found.loss < 1.001 * loss
    assert found.momentum is not None
    exact = exact_losses(model, found.schedule, momentum=found.momentum)[0]
    assert found.loss == pytest.approx(exact, rel=1e-9)
    assert found.schedule.peak <= model.max_rate * (1 + 1e-12)


FIVE = [
    (PowerLaw(1.3, 0.1, 0.1, 16), 60),
    (PowerLaw(2.0, 0.3, 1.0, 4), 90),
    (PowerLaw(3.0, 0.5, 0.01, 32), 40),
    (PowerLaw(1.5, 1.0, 0.25, 8), 80),
    (PowerLaw(1.8, 0.4, 0.0, 2), 70),
]


@pytest.mark.slow  # some thousand exact runs
@pytest.mark.parametrize(("model", "horizon"), FIVE)
def test_no_worse_than_brute_force_elsewhere(model, horizon):
    exact = MomentumLoss.of(
        modes_of(model.spectrum_to(horizon**2)), model.noise, float(model.batch_size), horizon
    )

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        rate, slow = model.max_rate * np.exp(x[:horizon]), np.exp(x[horizon:])
        loss, by_rate, by_momentum = exact.slopes(rate, 1 - slow)
        if not loss < 1e6:
            return 30.0, np.zeros_like(x)
        return math.log(loss), np.concatenate([by_rate * rate, -by_momentum * slow]) / loss

    bounds = [(-25.0, 0.0)] * horizon + [(math.log(1e-7), 0.0)] * horizon
    least = min(
        math.exp(
            minimize(
                objective,
                np.repeat([math.log(0.5 * part), math.log(part)], horizon),
                jac=True,
                method="L-BFGS-B",
                bounds=bounds,
                options={"maxiter": 1000, "maxcor": 40},
            ).fun
        )
        for part in (0.5, 0.15)
    )
    found = solve(model, horizon, controls="lr,momentum", compare=False)
    assert found.loss < 1.001 * least


def test_limits_are_kept_with_momentum():
    found = solve(
        HARD, 64, controls="lr,momentum", warmup=8, floor=0.01, max_momentum=0.9, compare=False
    )
    assert found.momentum is not None
    steps = np.arange(64)
    assert found.momentum(steps).max() <= 0.9 + 1e-9
    rate = found.schedule(steps)
    assert rate[0] == 0
    assert np.allclose(np.diff(rate[:9]), rate[8] / 8)
    assert rate[8:].min() >= 0.01


def test_too_long_a_horizon_is_refused_before_computing():
    with pytest.raises(InputError, match="largest for which momentum"):
        solve(HARD, 10**7, controls="lr,momentum")


@pytest.mark.slow  # a minute each
@pytest.mark.parametrize("model", [HARD, QUIET])
def test_the_gap_of_a_long_run_is_true(monkeypatch, model):
    """Against horizons that grow by two, with four times the iterations at each."""
    found = solve(model, 12_500, controls="lr,momentum", compare=False)
    monkeypatch.setattr(_momentum_solver, "_RATIOS", (2, 2))
    monkeypatch.setattr(_momentum_solver, "_GROWTH", 1e6)
    monkeypatch.setattr(_momentum_solver, "_WORK", 2e6)
    better = solve(model, 12_500, controls="lr,momentum", compare=False)
    assert better.loss < found.loss < better.loss * (1 + found.gap)
