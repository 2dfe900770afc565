"""The report of a plan stands alone, says what the plan says, and shows text as text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from etastar.report import plan_report, write_plan
from etastar.report._plan_figures import fit_figure, forecast_figure, run_colors, schedule_figure
from etastar.report._plan_page import SNIPPET
from etastar.report._words import shape_in_words
from etastar.runs import Run
from etastar.schedule import InputError, Schedule, parse_schedule, table

EVIL = "<script>alert(1)</script><img src=http://a.b/c>&\"'"


def own(plan) -> str:
    """The report without plotly.js."""
    page = plan_report(plan)
    assert page.count(get_plotlyjs()) == 1
    return page.replace(get_plotlyjs(), "")


def traces(figure: Any) -> list[Any]:
    return list(figure.data)


class Balanced(HTMLParser):
    """Fails on a tag that closes what is not open."""

    VOID = ("meta", "br", "wbr", "img", "link")

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag, attrs):
        self.seen.append(tag)
        if tag not in self.VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag, attrs):
        self.seen.append(tag)

    def handle_endtag(self, tag):
        assert self.open.pop() == tag


def test_the_report_loads_nothing_from_elsewhere(plan_of):
    page = own(plan_of())
    assert not re.search(r"""(src|href)\s*=|@import|url\(|https?://""", page)


def test_the_report_is_whole_html_with_a_viewport(plan_of):
    page = own(plan_of())
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert 'name="viewport" content="width=device-width, initial-scale=1"' in page


def test_every_axis_of_every_figure_is_named_with_its_unit(plan_of):
    for draw in (schedule_figure, fit_figure, forecast_figure):
        layout: Any = draw(plan_of()).layout
        for axis in (layout.xaxis, layout.yaxis):
            assert re.fullmatch(r"\w[\w ]* \[[\w ]+\]", axis.title.text)


def test_text_from_logs_is_escaped_everywhere(plan_of):
    plan = plan_of()
    evil_run = replace(plan.runs[0], name=EVIL)
    plan = plan_of(
        runs=(evil_run, *plan.runs[1:]),
        left_out=(evil_run,),
        caveats=(EVIL,),
        comparison=(replace(plan.comparison[0], family=EVIL),),
    )
    page = own(plan)
    assert "<script>alert" not in page
    assert "<img" not in page
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "&lt;script&gt;alert(1)" in page


def test_the_report_says_what_the_plan_says(plan_of):
    plan = plan_of()
    page = own(plan)
    for text in ("0.015", "8,000", "2.3900", "2.3600 to 2.4200", "only 3 pilots", "Easy phase"):
        assert text in page
    for other in plan.comparison:
        assert f"{other.loss:.4f}" in page
    assert "&gt; 100×" in page
    assert "1.12×" in page
    for run in plan.runs:
        assert run.name in page


def test_the_forecast_band_and_the_fit_are_the_ones_of_the_plan(plan_of):
    plan = plan_of()
    line = next(t for t in traces(forecast_figure(plan)) if t.name == "planned run")
    kept = plan.forecast.step >= 21
    np.testing.assert_array_equal(line.y, plan.forecast.mean[kept])
    np.testing.assert_array_equal(line.customdata[:, 0], plan.forecast.low[kept])
    fitted = [trace for trace in traces(fit_figure(plan)) if trace.mode == "lines"]
    assert len(fitted) == len(plan.runs)
    np.testing.assert_allclose(
        fitted[0].y * 1.001, plan.runs[0].loss[fitted[0].x.astype(int) // 10 - 1]
    )


def test_a_far_forecast_is_drawn_from_the_pilots_on(plan_of):
    horizon = 10**9
    schedule = parse_schedule(f"cosine:peak=0.01,horizon={horizon},warmup=20")
    law = plan_of().law
    plan = plan_of(horizon=horizon, schedule=schedule, forecast=law.predict(schedule))
    figure: Any = forecast_figure(plan)
    line = next(t for t in figure.data if t.name == "planned run")
    assert figure.layout.xaxis.type == "log"
    assert line.x[0] < 100
    assert line.x[-1] == horizon
    assert np.all(np.diff(line.x) > 0)
    np.testing.assert_allclose(line.y, law.predict(schedule, line.x).mean, rtol=1e-12)
    assert len(plan_report(plan)) < len(get_plotlyjs()) + 10**6


def test_many_long_runs_make_a_small_report(plan_of):
    step = np.arange(1.0, 20001.0)
    schedule = parse_schedule("constant:peak=0.01,horizon=20000")
    runs = tuple(Run(f"run {i}", step, 2 + 1 / step, schedule) for i in range(60))
    plan = plan_of(runs=runs)
    drawn = sum(len(trace.x) for trace in traces(fit_figure(plan)) if trace.mode == "markers")
    assert drawn <= 6000
    assert len(plan_report(plan)) < len(get_plotlyjs()) + 2 * 10**6


@pytest.mark.parametrize("count", [1, 2, 12, 13, 80])
def test_colours_order_by_peak(plan_of, count):
    run = plan_of().runs[0]
    runs = tuple(
        replace(run, schedule=run.schedule.scaled(peak=0.01 * (1 + i % 5))) for i in range(count)
    )
    colors = run_colors(runs)
    assert len(colors) == count
    if count > 12:
        assert len(set(colors)) == 5
    else:
        assert len(set(colors)) == count


def test_a_loss_that_is_not_finite_does_not_spoil_the_report(plan_of):
    plan = plan_of(comparison=(replace(plan_of().comparison[0], loss=np.nan, regret=np.inf),))
    page = own(plan)
    assert "unknown" in page
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.S).lower()


def test_the_snippet_gives_torch_the_planned_rates(plan_of, tmp_path, monkeypatch):
    torch = pytest.importorskip("torch")
    plan = plan_of()
    write_plan(plan, tmp_path)
    monkeypatch.chdir(tmp_path)
    setup, after = SNIPPET.split("# after each optimizer.step():\n")
    scope: dict[str, Any] = {"model": torch.nn.Linear(2, 1)}
    exec(setup, scope)
    optimizer, rates = scope["optimizer"], []
    for _ in range(50):
        rates.append(optimizer.param_groups[0]["lr"])
        optimizer.step()
        exec(after, scope)
    np.testing.assert_array_equal(rates, plan.schedule(np.arange(50)))


def test_snippet_lines_fit_a_phone():
    assert max(map(len, SNIPPET.splitlines())) <= 40


def test_written_files_are_whole_and_nothing_else_is_left(plan_of, tmp_path):
    plan = plan_of()
    path = write_plan(plan, tmp_path / "a" / "b")
    assert path.name == "report.html"
    assert sorted(p.name for p in path.parent.iterdir()) == [
        "plan.json",
        "report.html",
        "schedule.json",
    ]
    assert Schedule.load(path.parent / "schedule.json") == plan.schedule
    assert path.read_text(encoding="utf-8").endswith("</html>\n")


def test_a_failed_write_leaves_the_old_files(plan_of, tmp_path, monkeypatch):
    path = write_plan(plan_of(), tmp_path)
    old = path.read_bytes()

    def full(*_):
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("os.fsync", full)
    with pytest.raises(InputError, match=r"schedule.json: cannot be written: No space"):
        write_plan(plan_of(caveats=()), tmp_path)
    assert path.read_bytes() == old
    assert len(list(tmp_path.iterdir())) == 3


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("constant:peak=1,horizon=1000", "at its peak to the end"),
        ("linear:peak=1,horizon=1000", "falling from the start, half of it at step 500 (50%)"),
        ("cosine:peak=1,horizon=1000,final=0.1", "10% of the peak at the end"),
        ("step:peak=1,horizon=1000,at=700,factor=0.1", "until step 700 (70%), 10% of the peak"),
    ],
)
def test_words_for_shapes(spec, words):
    assert words in shape_in_words(parse_schedule(spec))


def test_words_find_the_warmup_in_knots():
    words = shape_in_words(table([0, 50, 800, 1000], [0, 1, 1, 0]))
    assert words.startswith("warmup over 50 steps, near its peak until step 810")
