"""The page of a plan stands alone, says what the plan says, and shows text as text."""

from __future__ import annotations

import re
from dataclasses import replace
from html.parser import HTMLParser
from typing import Any

import numpy as np
import pytest

from etastar.report import plan_report, write_plan
from etastar.report._page import browser_text
from etastar.report._plan_page import SNIPPET
from etastar.schedule import InputError, Schedule

EVIL = "<script>alert(1)</script><img src=http://a.b/c>&\"'"


def own(plan) -> str:
    """The report without uPlot and its licence."""
    page = plan_report(plan)
    for name in ("uplot.min.js", "uplot.min.css"):
        assert page.count(browser_text(name)) == 1
        page = page.replace(browser_text(name), "")
    return page


class Balanced(HTMLParser):
    """Fails on a tag that closes what is not open."""

    VOID = ("meta", "br", "wbr", "img", "link", "input")

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
    assert "\\u003cscript>alert(1)" in page
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "&lt;script&gt;alert(1)" in page


def test_the_report_says_what_the_plan_says(plan_of):
    plan = plan_of()
    page = own(plan)
    for text in ("0.015", "8k", "2.3900", "2.3600 to 2.4200", "only 3 pilots", "Easy phase"):
        assert text in page
    for other in plan.comparison:
        assert f"{other.loss:.4f}" in page
    assert "&gt; 100×" in page
    assert "1.12×" in page
    for run in plan.runs:
        assert run.name in page


def test_a_loss_that_is_not_finite_does_not_spoil_the_report(plan_of):
    plan = plan_of(comparison=(replace(plan_of().comparison[0], loss=np.nan, regret=np.inf),))
    page = own(plan)
    assert "unknown" in page
    assert "nan" not in re.sub(r"<script.*?</script>", "", page, flags=re.S).lower()


def test_what_a_law_does_not_have_is_unknown(plan_of, without_exponents):
    page = re.sub(r"<script.*?</script>", "", own(plan_of(phase=without_exponents)), flags=re.S)
    assert "nan" not in page.lower()
    assert page.count("Unknown: the fitted law has no exponents") == 2
    for name in ("source", "capacity", "xi"):
        row = re.search(rf"<tr[^>]*><td>{name}<small>.*?</tr>", page, flags=re.S)
        assert row is not None
        assert row[0].count("<td>unknown</td>") == 2
    assert "undetermined" not in page


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
