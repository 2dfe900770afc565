"""The optimum of the solvable model in tables and in a figure."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from etastar.control import Member, Solution
from etastar.model import PowerLaw
from etastar.report import solution_figure, solution_page, solution_summary
from etastar.schedule import parse_schedule, table

MODEL = PowerLaw(1.5, 1.0, 0.25, 8)


def solution(**others: Any) -> Solution:
    """An optimum with two standard schedules, the second the better."""
    best, *standard = (
        parse_schedule(f"{name}:peak=0.5,horizon=1000") for name in ("cosine", "constant", "linear")
    )
    members = [
        Member(schedule.shape.name, schedule, loss)
        for schedule, loss in zip(standard, (0.3, 0.2), strict=True)
    ]
    return Solution(best, 0.1, tuple(members), gap=1e-5, **others)


def cells(table: Any) -> dict[str, list[str]]:
    return {column.header: list(column.cells) for column in table.columns}


def test_families_are_listed_from_the_best() -> None:
    summary: Any = solution_summary(MODEL, solution())
    families = cells(summary.renderables[-2])
    assert families["schedule"] == ["linear", "constant"]
    assert families["over the optimum"] == ["2", "3"]


def test_the_controls_that_were_solved_for_are_shown() -> None:
    momentum = parse_schedule("constant:peak=0.9,horizon=1000")
    summary: Any = solution_summary(MODEL, solution(momentum=momentum))
    controls = cells(summary.renderables[-1])
    assert list(controls) == ["step", "LR", "1 - momentum"]
    assert controls["step"][0] == "0"
    assert controls["step"][-1] == "999"
    assert set(controls["1 - momentum"]) == {"0.1"}
    figure: Any = solution_figure(solution(momentum=momentum))
    drawn = {trace.name: trace for trace in figure.data}
    np.testing.assert_allclose(drawn["1 - momentum"].y, 0.1)
    assert figure.layout.yaxis2.title.text == "1 - momentum"
    lines = [str(line) for line in summary.renderables[:-2]]
    assert "LR and momentum optimised" in lines[0]
    assert "left to gain" not in lines[1]


@pytest.mark.parametrize(("bound", "said"), [(0.05, True), (0.2, False), (None, False)])
def test_a_lower_bound_is_said_where_it_is_one(bound: float | None, said: bool) -> None:
    summary: Any = solution_summary(MODEL, solution(lower_bound=bound))
    words = [str(line) for line in summary.renderables[:-2]]
    assert any("no schedule below the cap ends below" in line for line in words) == said


@pytest.mark.parametrize("horizon", [9, 5000])
def test_learning_rates_above_the_cap_are_drawn_with_it(horizon: int) -> None:
    steps = np.arange(horizon)
    rates = np.where(steps % 3 == 1, 5.0, 0.5)
    linear = Member("linear", parse_schedule(f"linear:peak=0.5,horizon={horizon}"), 0.2)
    found = Solution(
        table(steps, rates, horizon=horizon), 0.1, (linear,), 1e-3, cap=1.0, transient=True
    )
    figure: Any = solution_figure(found)
    drawn = {trace.name: trace for trace in figure.data}
    assert list(drawn) == [
        "linear (2)",
        "cap: largest LR stable when held",
        "optimal, with LRs above the cap (1)",
    ]
    ours = np.asarray(drawn["optimal, with LRs above the cap (1)"].y)
    assert {ours.min(), ours.max()} == {0.5, 5.0}
    assert len(ours) <= 1300
    assert figure.layout.yaxis.type == "log"
    assert np.asarray(drawn["linear (2)"].y).min() > 0
    summary: Any = solution_summary(MODEL, found)
    said = " ".join(str(line) for line in summary.renderables[:-2])
    assert "33% of the LRs are above 1, the largest that is stable when held" in said
    assert "left to gain" not in said
    parts = cells(summary.renderables[-1])
    assert set(parts["highest LR"]) <= {"5", "0.5"}
    assert "cap: largest LR stable when held" in solution_page(MODEL, found)


def test_a_standard_schedule_of_another_length_is_not_drawn() -> None:
    other = Member("longer", parse_schedule("linear:peak=0.5,horizon=2000"), 0.2)
    found = solution()
    figure: Any = solution_figure(Solution(found.schedule, 0.1, (*found.baselines, other), 1e-5))
    assert [trace.name for trace in figure.data] == ["constant (3)", "linear (2)", "optimal (1)"]
