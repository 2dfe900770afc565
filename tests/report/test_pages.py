"""The pages of the commands share one frame: small, alone, readable on a phone and in the dark."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from etastar._provenance import Input, Provenance
from etastar.control import Member, Solution
from etastar.model import PowerLaw
from etastar.pilot import Finished, Outlook, Pilot, Proposal, SweepResult
from etastar.report import (
    backtest_page,
    design_page,
    phase_page,
    plan_report,
    robust_page,
    solution_page,
    sweep_page,
)
from etastar.report._numbers import steps_text
from etastar.report._page import browser_text
from etastar.robust import last_iterate
from etastar.runs import Run
from etastar.schedule import parse_schedule, table
from tests.helpers.backtests import make_backtest
from tests.helpers.browser import opened_browser, opened_page
from tests.helpers.plans import make_plan

from .test_plan_page import EVIL, Balanced

MADE = Provenance(
    f"etastar plan {EVIL}",
    (Input(f"logs/{EVIL}.csv", 64 * "a"), Input("wandb:team/project")),
    {"etastar": "9.8.7", "python": "3.11.9", "numpy": "2.0.0", "jax": "0.5.0"},
    "2026-01-31T12:00:00+01:00",
)


def solution() -> Solution:
    best = table([0, 500, 1000], [0.5, 0.4, 0.0])
    cosine = parse_schedule("cosine:peak=0.5,horizon=1000")
    momentum = parse_schedule("constant:peak=0.9,horizon=1000")
    return Solution(best, 0.1, (Member("cosine", cosine, 0.2),), gap=1e-5, momentum=momentum)


def sweep(points: int = 200) -> SweepResult:
    pilot = Pilot(EVIL, parse_schedule("cosine:peak=0.1,horizon=100000"))
    step = np.linspace(1, 1e5, points)
    finished = Finished(pilot, Run(EVIL, step, 3 + step**-0.3, pilot.schedule))
    outlook = Outlook("cosine", 0.1, 2.0, 1.99, 2.01)
    return SweepResult((finished, Finished(pilot, None)), 100_000, 0.1, outlook, EVIL)


def pages() -> dict[str, str]:
    pilot = Pilot(EVIL, parse_schedule("cosine:peak=0.1,horizon=100000"))
    proposal = Proposal((pilot,), 0.5, (0.1,), EVIL)
    curve = last_iterate(parse_schedule("wsd:peak=1,horizon=2000,cooldown=0.2"))
    return {
        "solve": solution_page(PowerLaw(1.5, 1.0, 0.25, 8), solution(), MADE),
        "phase": phase_page(1.5, 0.2, noise=True, made=MADE),
        "robust": robust_page(curve, [2, 1e5], [1.1], MADE),
        "backtest": backtest_page(make_backtest("low", EVIL), MADE),
        "design": design_page(proposal, [100_000], 10**6, MADE),
        "sweep": sweep_page(sweep(), f"etastar plan {EVIL}", MADE),
        "plan": plan_report(make_plan(provenance=MADE)),
    }


@pytest.fixture(scope="module", name="made")
def _made() -> dict[str, str]:
    return pages()


NAMES = ("solve", "phase", "robust", "backtest", "design", "sweep", "plan")


@pytest.mark.parametrize("name", NAMES)
def test_a_page_is_whole_and_shows_text_as_text(made, name):
    page = made[name]
    assert len(page.encode()) < 2e6
    parser = Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "<script>alert" not in page
    assert "<img" not in page
    for script in ("uplot.min.js", "uplot.min.css"):
        page = page.replace(browser_text(script), "")
    assert not re.search(r"""<[^>]+\s(src|href)\s*=|@import|url\(""", page)


@pytest.mark.parametrize("name", NAMES)
def test_a_page_says_how_it_was_made(made, name):
    foot = made[name].split("<footer")[1]
    for text in ("2026-01-31T12:00:00+01:00", "etastar 9.8.7", "Python 3.11.9", "JAX 0.5.0"):
        assert text in foot
    assert foot.count(64 * "a") == 1
    assert "wandb:team/project" in foot
    assert "an address" in foot
    head = made[name].split("</h1>")[1][:400]
    assert '<p class="soft command"><code>etastar plan &lt;script&gt;' in head


def test_a_result_that_no_command_made_says_no_command(plan_of):
    for page in (plan_report(plan_of()), phase_page(1.5, 0.2, noise=True)):
        assert 'class="soft command"' not in page
        assert "<details><summary>The command" not in page
        assert "Made by etastar." in page


def test_long_logs_and_many_runs_keep_a_page_small():
    backtest = make_backtest(*(f"run {i}" for i in range(300)))
    step = np.arange(1.0, 50_001.0)
    long = replace(backtest.runs[0], step=step, measured=2 + step**-0.3, predicted=2 + step**-0.3)
    page = backtest_page(replace(backtest, runs=(*backtest.runs, *[long] * 12)))
    assert len(page.encode()) < 2e6
    result = sweep(100_000)
    page = sweep_page(replace(result, finished=result.finished * 100), "etastar plan x")
    assert len(page.encode()) < 2e6


COUNTS = (0, 1, 999, 1000, 1250, 8200, 12_345, 12_500, 16_000, 524_288, 1_100_000, 1_234_000)
COUNTS += (2_560_000, 12_345_678, 2e9, 20_000_000_000, 3e12, 12_345_678_901, 1.23456e13)


def test_a_count_is_shortened_only_where_that_loses_nothing():
    from etastar._checks import number_in

    for count in COUNTS:
        text = steps_text(count)
        if count < 1e10:
            assert number_in(text.replace(",", "")) == count
    assert steps_text(12_345) == "12,345"
    assert [steps_text(count) for count in (16_000, 2e5, 2e10)] == ["16k", "200k", "20B"]


@pytest.mark.slow
def test_pages_in_a_browser_fetch_nothing_and_fit(made, tmp_path):
    canvases = {"solve": 2, "backtest": 2, "plan": 3}
    with opened_browser() as browser:
        for name, page in made.items():
            for width, scheme in ((390, "dark"), (1280, "light")):
                shown = opened_page(
                    browser,
                    page,
                    tmp_path,
                    viewport={"width": width, "height": 800},
                    color_scheme=scheme,
                )
                assert shown.evaluate("document.documentElement.scrollWidth") == width, name
                assert shown.locator("[data-chart] canvas").count() == canvases.get(name, 1)
                assert all(said.startswith("file:") for said in shown.said), shown.said
                shown.locator("footer summary").first.click()
                assert shown.is_visible("footer pre")
                if name == "phase":
                    assert shown.evaluate(f"{list(COUNTS)}.map(Words.steps)") == [
                        steps_text(count) for count in COUNTS
                    ]
                shown.close()
