"""Results show themselves: small, safe, and without loading what they do not need."""

from __future__ import annotations

import subprocess
import sys
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any
from xml.etree import ElementTree

import numpy as np
import pytest

from etastar.control import Member, Solution
from etastar.law import fit
from etastar.planning import Plan
from etastar.report import figure_of, notebook_html
from etastar.report._charts import Axis, Chart, Line
from etastar.report._sketch import _Scale, sketch
from etastar.runs import Run
from etastar.schedule import parse_schedule, table
from tests.helpers.laws import make_run

EVIL = "<script>alert(1)</script><img src=http://a.b/c onerror=x>&\"'"
LIGHT = 60_000
"""Bytes; a page of a plan, with its scripts, has several times as many."""


class Seen(HTMLParser):
    """The elements and attributes of a text."""

    def __init__(self, text: str) -> None:
        super().__init__()
        self.elements: set[str] = set()
        self.attributes: list[tuple[str, str | None]] = []
        self.text = ""
        self.feed(text)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.elements.add(tag)
        self.attributes += attrs

    def handle_data(self, data: str) -> None:
        self.text += data


def assert_safe(text: str) -> Seen:
    """Nothing runs and nothing is fetched."""
    seen = Seen(text)
    allowed = {"div", "table", "tbody", "tr", "th", "td", "svg", "path", "polyline", "polygon"}
    assert seen.elements <= allowed | {"text", "title", "span", "ul", "li"}
    for name, value in seen.attributes:
        assert not name.startswith("on")
        assert name not in ("href", "src")
        assert "url(" not in (value or "")
    assert len(text) < LIGHT
    return seen


@pytest.fixture(scope="module")
def law() -> Any:
    peaks = (0.01, 0.02)
    return fit([make_run(f"constant:peak={peak},horizon=2000") for peak in peaks], "power")


def solution() -> Solution:
    best, linear = (parse_schedule(f"{name}:peak=1,horizon=900") for name in ("cosine", "linear"))
    momentum = parse_schedule("constant:peak=0.9,horizon=900")
    return Solution(best, 0.1, (Member("linear", linear, 0.2),), gap=1e-5, momentum=momentum)


def test_a_schedule_shows_its_spec_and_its_rates():
    schedule = parse_schedule("wsd:peak=0.1,horizon=1000,warmup=50,cooldown=0.2")
    seen = assert_safe(schedule._repr_html_())
    assert schedule.spec in seen.text
    figure: Any = schedule.plot()
    (line,) = figure.data
    np.testing.assert_allclose(line.y, schedule(line.x))
    assert set(schedule.breakpoints) <= set(line.x)


def test_a_schedule_of_very_many_knots_stays_small():
    steps = np.arange(20_000)
    schedule = table(steps, 1e-3 * (1.5 + np.sin(steps)))
    assert_safe(schedule._repr_html_())


def test_a_law_shows_its_constants_and_its_curves_over_the_logs(law):
    seen = assert_safe(law._repr_html_())
    for name, value in law.constants.items():
        assert f"{name} {value:.4g}" in seen.text
    traces = {trace.name: trace for trace in law.plot().data}
    for run in law.runs:
        fitted = traces[f"{run.name}, fitted"]
        np.testing.assert_allclose(fitted.y, law.predict(run.schedule, fitted.x).mean)
    assert repr(law).startswith("<Law power of 2 runs: ")
    assert len(repr(law)) < 400


def test_a_plan_shows_what_to_train_with_and_what_to_expect(plan_of):
    plan: Plan = plan_of()
    seen = assert_safe(plan._repr_html_())
    assert f"{plan.peak_lr:.3g}" in seen.text
    assert f"{plan.loss.value:#.5g}" in seen.text
    for caveat in plan.caveats:
        assert caveat in seen.text
    figure: Any = plan.plot()
    traces = {trace.name: trace for trace in figure.data}
    np.testing.assert_allclose(traces["planned"].y, plan.schedule(traces["planned"].x))
    assert traces["planned run"].y[-1] == pytest.approx(plan.forecast.mean[-1], rel=1e-6)
    band = traces["planned run, 90% interval"]
    assert band.y.max() >= plan.forecast.high[-1]
    assert len(repr(plan)) < 200


def test_a_solution_shows_every_control():
    found = solution()
    seen = assert_safe(found._repr_html_())
    assert "linear, 2 times the loss" in seen.text
    assert "1 - momentum" in seen.text
    figure: Any = found.plot()
    assert [trace.name for trace in figure.data] == ["linear (2)", "optimal (1)", "1 - momentum"]
    assert len(repr(found)) < 200


def test_text_from_logs_stays_text(plan_of, law):
    plan: Plan = plan_of()
    run = replace(plan.runs[0], name=EVIL)
    other = replace(plan.comparison[0], family=EVIL)
    plan = replace(plan, runs=(run, *plan.runs[1:]), caveats=(EVIL,), comparison=(other,))
    renamed = replace(law, runs=(replace(law.runs[0], name=EVIL),), caveats=(EVIL,))
    for result in (plan, renamed):
        seen = assert_safe(result._repr_html_())
        assert seen.text.count(EVIL) >= 2
        # Plotly draws tags in names.
        figure: Any = result.plot()
        assert all("<" not in trace.name for trace in figure.data)


def test_many_runs_and_points_stay_small(law):
    steps = np.arange(1.0, 20_001.0)
    schedule = parse_schedule("constant:peak=0.01,horizon=20000")
    loss = 3 + 1 / np.sqrt(steps)
    runs = tuple(Run(f"run {i}", steps, loss, schedule) for i in range(60))
    seen = assert_safe(replace(law, runs=runs)._repr_html_())
    assert "and 112 more" in seen.text
    figure: Any = replace(law, runs=runs).plot()
    assert not figure.layout.showlegend


def test_a_drawing_puts_points_where_the_axes_say():
    line = Line("up", [0.0, 50.0, 100.0], [0.0, 1.0, 2.0], "accent", 2.0)
    picture = ElementTree.fromstring(sketch(Chart(Axis("x"), Axis("y", range=(0, 2)), [line])))
    (drawn,) = picture.iter("polyline")
    points = np.array([pair.split(",") for pair in drawn.attrib["points"].split()], float)
    ticks = {each.text: each.attrib for each in picture.iter("text") if "x" in each.attrib}
    assert points[0, 0] == float(ticks["0"]["x"]) or points[0, 1] == pytest.approx(190)
    assert points[2, 0] == float(ticks["100"]["x"])
    np.testing.assert_allclose(points[1], (points[0] + points[2]) / 2)


def test_odd_charts_can_be_drawn():
    nothing = Chart(Axis("x"), Axis("y"), [])
    nan = Chart(Axis("x", log=True), Axis("y", log=True), [
        Line("gone", [0.0, np.nan], [np.inf, 1.0], "accent", 1.0),
        Line("flat", [1.0, 10.0], [2.0, 2.0], "mark", 1.0, points=3.0),
    ])  # fmt: skip
    for chart in (nothing, nan):
        text = sketch(chart)
        assert_safe(text)
        assert "nan" not in text
        assert "inf" not in text


@pytest.mark.parametrize("ends", [(0.0, 56_000.0), (1.21, 1.89), (3e-6, 4e-6), (-2.0, 7.0)])
def test_ticks_are_round_and_within_the_axis(ends: tuple[float, float]):
    ticks = _Scale(Axis("x"), ends, 0, 100).ticks()
    assert 3 <= len(ticks) <= 8
    assert ends[0] - 1e-9 <= ticks[0]
    assert ticks[-1] <= ends[1] * (1 + 1e-9)
    assert all(
        len(f"{tick:.3g}") <= 8 and float(f"{tick:.3g}") == pytest.approx(tick) for tick in ticks
    )


def test_the_verbs_and_the_functions_say_the_same(plan_of):
    plan = plan_of()
    assert notebook_html(plan) == plan._repr_html_()
    assert figure_of(plan) == plan.plot()


def test_to_show_a_schedule_loads_no_solver_and_to_make_one_loads_no_figures():
    script = """
import sys
from etastar.schedule import parse_schedule
schedule = parse_schedule("linear:peak=0.1,horizon=100")
print([name for name in ("plotly", "etastar.report") if name in sys.modules])
schedule._repr_html_()
print([name for name in ("plotly", "jax", "etastar.law", "etastar.control") if name in sys.modules])
"""
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True)
    assert done.stdout.splitlines() == ["[]", "[]"], done.stderr
