"""What a framework gets for a schedule that it cannot follow, and what that is said to cost."""

from __future__ import annotations

import numpy as np
import pytest

from etastar.export import export_schedule
from etastar.law import fit
from etastar.robust import last_iterate
from etastar.runs import read_runs
from etastar.schedule import Schedule, parse_schedule, table

PLANNED = "examples/gpt/planned.json"


def test_the_nearest_by_shape_is_the_one_it_was_made_from() -> None:
    for spec in (
        "wsd:peak=0.3,horizon=2000,warmup=100,cooldown=400,decay=cosine",
        "cosine:peak=0.3,horizon=2000,warmup=100",
    ):
        wanted = parse_schedule(spec)
        steps = np.arange(2001)
        # Off by more than rounding, so that it equals no standard schedule.
        disguised = table(steps, wanted(steps) * (1 + 1e-4 * np.sin(steps) * (steps > 150)))
        result = export_schedule(disguised, "torchtitan")
        assert not result.exact
        assert (result.schedule.shape, result.schedule.warmup) == (wanted.shape, 100)
        assert result.schedule.peak == pytest.approx(0.3, rel=1e-3)


def test_without_a_law_the_regret_is_the_bounds_inflation() -> None:
    wanted = parse_schedule("power:peak=0.3,horizon=500,chi=0.4")
    result = export_schedule(wanted, "nanochat")
    assert result.regret is not None
    curve, other = last_iterate(wanted), last_iterate(result.schedule)
    distance = 1 / curve.best_scale()
    inflation = float(other.bound(distance=distance)) / curve.best_bound(distance=distance)
    assert result.regret.basis == "bound"
    assert result.regret.inflation == pytest.approx(inflation)
    assert "no law was fitted" in result.text


def test_the_warmup_of_the_nearest_is_the_rising_part_from_zero() -> None:
    falling = "linear:peak=1,horizon=180"
    for schedule, warmup in (
        (table([0, 20, 90, 200], [0, 1, 1, 0]), 20),
        (table([0, 10, 20, 200], [0, 0.8, 1, 0]), 20),
        (table([0, 20, 200], [0.5, 1, 0]), 0),
        (table([0, 150, 200], [0, 0.5, 1]), 0),
        (parse_schedule("power:peak=1,horizon=200,chi=0.4,warmup=20"), 20),
        (parse_schedule(f"join:linear:peak=1,horizon=20,warmup=7 then {falling}"), 7),
    ):
        assert export_schedule(schedule, "nanochat").schedule.warmup == warmup


@pytest.mark.slow
def test_with_a_law_it_is_the_best_that_the_framework_has() -> None:
    law = fit(read_runs(["examples/gpt/pilots"]))
    wanted = Schedule.load(PLANNED)
    result = export_schedule(wanted, "nanochat", law=law)
    assert result.regret is not None
    assert (result.regret.basis, result.regret.inflation) == ("law", None)
    loss, planned = law.final_losses([result.schedule, wanted])
    assert result.regret.loss == pytest.approx(loss)
    assert result.regret.regret == pytest.approx(loss - planned)
    # No trapezoid of a coarse grid is better.
    peaks = law.peak_range[1] * 2.0 ** -np.arange(0, 5)
    rivals = [
        parse_schedule(f"wsd:peak={peak},horizon=56000,warmup=200,cooldown={part}")
        for peak in peaks
        for part in (0.05, 0.2, 0.5, 0.9)
    ]
    assert loss <= law.final_losses(rivals).min() + 1e-9
