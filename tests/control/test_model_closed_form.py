"""The optimal LR by a formula: against the solver, which knows none."""

from __future__ import annotations

import numpy as np
import pytest

from etastar import InputError
from etastar.control import best_member, closed_form, solve
from etastar.model import LinearModel, PowerLaw, Spectrum


@pytest.mark.parametrize(
    ("task", "horizon", "above"),
    [
        ((1.5, 1.0, 0.25, 8), 10**6, 2e-5),
        ((1.5, 0.2, 0.25, 8), 10**6, 2e-5),
        ((3.0, 0.3, 0.25, 8), 10**4, 5e-5),
        ((2.0, 1.5, 1e-3, 1), 10**7, 2e-5),
        ((1.3, 0.6, 10.0, 256), 10**5, 2e-5),
        ((1.5, 1.0, 0.25, 8), 100, 2e-3),
        ((1.1, 0.1, 0.25, 1), 1000, 6e-3),
    ],
)
def test_its_loss_is_that_of_the_solver(task, horizon, above):
    model = PowerLaw(*task)
    found, best = closed_form(model, horizon), solve(model, horizon, compare=False)
    # The solver's loss is known to 1e-4, and its gap is about 1e-5.
    assert -1e-4 < found.loss / best.loss - 1.0 < above + 1e-4


def test_it_beats_cosine_and_stays_below_the_cap():
    model = PowerLaw(1.5, 0.2, 0.25, 8)
    found = closed_form(model, 10**5)
    assert found.family == "closed_form"
    assert found.loss < best_member(model, "cosine", 10**5).loss
    assert 0.99 * model.max_rate < found.schedule.peak <= model.max_rate * (1 + 1e-12)
    assert found.schedule.horizon == 10**5


def test_without_feedback_it_is_the_square_root():
    # One slow mode and a large batch: g is about 0, and eta(u) ~ 1 / sqrt(K n).
    model = LinearModel(Spectrum([1.0], [1e-6]), noise=1.0, batch_size=1e6)
    schedule = closed_form(model, 1000).schedule
    rates = schedule(np.arange(1000.0))
    to_go = np.cumsum(rates[::-1])[::-1]
    inside = (rates < 0.5 * rates.max()) & (to_go < 0.9 * to_go[0])
    slope = np.polyfit(to_go[inside], np.log(rates[inside]), 1)[0]
    assert inside.sum() > 50
    assert slope == pytest.approx(1.0, abs=0.05)  # 1 / sqrt(exp(-2 u))


def test_a_horizon_too_short_is_refused():
    with pytest.raises(InputError, match="horizon"):
        closed_form(PowerLaw(1.5, 1.0, 0.25, 8), 7)
