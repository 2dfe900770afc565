"""The figures of a plan draw what it says, small enough for a phone."""

from __future__ import annotations

import re
from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from plotly.offline import get_plotlyjs

from etastar.report import plan_report
from etastar.report._plan_figures import fit_figure, forecast_figure, run_colors, schedule_figure
from etastar.runs import Run
from etastar.schedule import parse_schedule


def traces(figure: Any) -> list[Any]:
    return list(figure.data)


def test_every_axis_of_every_figure_is_named_with_its_unit(plan_of):
    for draw in (schedule_figure, fit_figure, forecast_figure):
        layout: Any = draw(plan_of()).layout
        for axis in (layout.xaxis, layout.yaxis):
            assert re.fullmatch(r"\w[\w ]* \[[\w ]+\]", axis.title.text)


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


def test_the_planned_schedule_is_the_one_solid_line(plan_of):
    other = plan_of().comparison[0]
    rivals = tuple(replace(other, family=f"rival {i}") for i in range(7))
    figure = schedule_figure(plan_of(comparison=rivals))
    dashes = {trace.name: trace.line.dash for trace in traces(figure)}
    assert [name for name, dash in dashes.items() if dash in (None, "solid")] == ["planned"]
    styles = {(trace.line.color, trace.line.dash) for trace in traces(figure)}
    assert len(styles) == 8
