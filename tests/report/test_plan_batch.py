"""What is shown of batch sizes: the map, the ramp, ties, what is about as good."""

from __future__ import annotations

import io

import numpy as np
import pytest
from rich.console import Console

from etastar.planning import BatchMap
from etastar.report import plan_report, plan_summary
from etastar.report._plan_batch import batch_figure
from tests.helpers.plans import make_batch_plan, make_plan


def printed(plan) -> str:
    console = Console(width=100, record=True, file=io.StringIO())
    console.print(plan_summary(plan))
    return " ".join(console.export_text().split())


def test_the_map_shows_losses_pilots_the_plan_and_what_is_about_as_good():
    plan = make_batch_plan()
    chart = batch_figure(plan)
    pilots, planned = chart.series
    assert plan.batch_map is not None
    assert chart.map is not None
    np.testing.assert_array_equal(chart.map.z, plan.batch_map.loss)
    assert np.asarray(chart.map.levels)[0] == pytest.approx(plan.batch_map.loss.min() + 0.002)
    assert np.all(np.diff(np.asarray(chart.map.levels)) > 0)
    assert len(chart.map.colors) == np.size(chart.map.levels) + 1
    assert list(np.asarray(pilots.x)) == [0.01, 0.02, 0.02]
    assert list(np.asarray(pilots.y)) == [16, 32, 128]
    assert list(np.asarray(planned.x)) == [0.015] * 3
    assert list(np.asarray(planned.y)) == [16, 32, 64]
    assert chart.x.log
    assert chart.y.log


def test_a_map_with_blanks_is_drawn_from_what_is_known():
    plan = make_batch_plan()
    charted = plan.batch_map
    assert charted is not None
    loss = charted.loss.copy()
    loss[0, 3:] = np.nan
    chart = batch_figure(
        make_batch_plan(batch_map=BatchMap(charted.peak, charted.batch_size, loss))
    )
    assert chart.map is not None
    assert np.isfinite(np.asarray(chart.map.levels)).all()
    assert "null, null" in chart.html("blank")


def test_the_page_and_the_summary_say_what_the_run_takes():
    plan = make_batch_plan()
    text, page = printed(plan), plan_report(plan)
    for words in (
        "16, 32 from 29%, 64 from 71% of the samples on",
        "224k samples, 8k updates, 90 min",
        "50 (90%: 30 to 90)",
        "peak LR from 0.011 to 0.018, or batch size from 20 to 45",
        "tie",
        "+0.0050 to +0.0400",
    ):
        assert words in text
    for words in ("Learning rate and batch size", "samples seen", "chart-batch", "128", "tie"):
        assert words in page


def test_a_plan_without_batch_sizes_shows_none():
    plan = make_plan()
    text, page = printed(plan), plan_report(plan)
    assert "batch" not in text
    assert "chart-batch" not in page
    assert "within 0.002 peak LR from 0.011 to 0.018" in text
