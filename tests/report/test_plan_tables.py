"""The tables of a plan say what it says, and what it does not know."""

from __future__ import annotations

import io
import math

from rich.console import Console

from etastar.planning import Estimate, PhaseEstimate, Plan
from etastar.report import plan_report, plan_summary
from etastar.schedule import GroupSchedules


def printed(plan: Plan) -> dict[str, str]:
    """The rows of what a terminal shows: the first word, and the rest of the line."""
    console = Console(file=io.StringIO(), width=100)
    console.print(plan_summary(plan))
    assert isinstance(console.file, io.StringIO)
    lines = [line.split("  ", 1) for line in console.file.getvalue().splitlines() if line.strip()]
    return {name: rest[0].strip() if rest else "" for name, *rest in lines}


def test_the_exponents_stand_with_their_intervals(plan_of):
    rows = printed(plan_of())
    assert rows["xi"] == "0.300  (90%: 0.200 to 0.400)  peak LR ~ horizon^-xi"
    assert rows["capacity"] == "1.500  (90%: 1.400 to 1.700)"
    assert rows["source"] == "0.500  (90%: 0.450 to 0.550)"


def test_what_a_law_does_not_have_is_unknown(plan_of, without_exponents):
    rows = printed(plan_of(phase=without_exponents))
    assert rows["xi"] == "unknown  peak LR ~ horizon^-xi"
    assert rows["capacity"] == rows["source"] == "unknown"
    assert rows["phase"].startswith("Unknown: the fitted law has no exponents")
    assert "nan" not in " ".join(rows.values())


def test_an_exponent_whose_interval_is_unknown_keeps_its_value(plan_of):
    known, half = Estimate(0.3, 0.2, 0.4), Estimate(0.5, math.nan, math.nan)
    rows = printed(plan_of(phase=PhaseEstimate("easy", known, known, half)))
    assert rows["source"] == "0.500  (90%: unknown)"
    assert rows["phase"].startswith("Easy phase")


def test_tables_and_the_page_say_which_lr_is_planned(plan_of):
    groups = GroupSchedules({"muon": plan_of().schedule, "head": 0.25})
    plan = plan_of(groups=groups)
    assert printed(plan)["planned LR"] == "that of muon; head has 0.25 times it"
    assert "The planned LR is that of muon; head has 0.25 times it." in plan_report(plan)
    assert "planned LR" not in printed(plan_of())
