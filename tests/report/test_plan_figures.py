"""The figures of a plan draw what it says, small enough for a phone."""

from __future__ import annotations

import re
from dataclasses import replace

import numpy as np
import pytest

from etastar.report import plan_report
from etastar.report._charts import Chart, Line
from etastar.report._plan_figures import fit_figure, forecast_figure, run_colors, schedule_figure
from etastar.runs import Run
from etastar.schedule import parse_schedule


def line_of(chart: Chart, name: str) -> Line:
    return next(line for line in chart.series if line.name == name)


def test_every_axis_of_every_figure_is_named_with_its_unit(plan_of):
    plan = plan_of()
    charts = (schedule_figure(plan), fit_figure(plan.law, plan.runs), forecast_figure(plan))
    for chart in charts:
        for axis in (chart.x, chart.y):
            assert re.fullmatch(r"\w[\w ]* \[[\w ]+\]", axis.label)


def test_the_forecast_band_and_the_fit_are_the_ones_of_the_plan(plan_of):
    plan = plan_of()
    line = line_of(forecast_figure(plan), "planned run")
    kept = plan.forecast.step >= 21
    np.testing.assert_array_equal(line.y, plan.forecast.mean[kept])
    np.testing.assert_array_equal(line.low, plan.forecast.low[kept])
    np.testing.assert_array_equal(line.high, plan.forecast.high[kept])
    fitted = [
        line for line in fit_figure(plan.law, plan.runs).series if line.name.endswith(", fitted")
    ]
    assert len(fitted) == len(plan.runs)
    steps, losses = np.asarray(fitted[0].x), np.asarray(fitted[0].y)
    np.testing.assert_allclose(losses * 1.001, plan.runs[0].loss[steps.astype(int) // 10 - 1])


def test_a_far_forecast_is_drawn_from_the_pilots_on(plan_of):
    horizon = 10**9
    schedule = parse_schedule(f"cosine:peak=0.01,horizon={horizon},warmup=20")
    law = plan_of().law
    plan = plan_of(horizon=horizon, schedule=schedule, forecast=law.predict(schedule))
    chart = forecast_figure(plan)
    line = line_of(chart, "planned run")
    steps = np.asarray(line.x)
    assert chart.x.log
    assert steps[0] < 100
    assert steps[-1] == horizon
    assert np.all(np.diff(steps) > 0)
    np.testing.assert_allclose(np.asarray(line.y), law.predict(schedule, steps).mean, rtol=1e-12)
    assert len(plan_report(plan)) < 5e5


def test_the_loss_axis_serves_the_forecast_and_not_a_run_that_was_lost(plan_of):
    plan = plan_of()
    calm = forecast_figure(plan).y.range
    lost = replace(plan.runs[0], name="lost", loss=np.full(100, 11.0))
    assert forecast_figure(plan_of(runs=(*plan.runs, lost))).y.range == calm
    assert calm is not None
    assert calm[0] < plan.forecast.low.min()
    assert calm[1] < 3.5


def test_few_pilots_are_told_apart_and_named(plan_of):
    plan = plan_of()
    pilots = [line for line in forecast_figure(plan).series if line.name != "planned run"]
    assert [line.name for line in pilots] == [f"{run.name}, measured" for run in plan.runs]
    assert len({line.color for line in pilots}) == len(pilots)


def test_many_long_runs_make_a_small_report(plan_of):
    step = np.arange(1.0, 20001.0)
    schedule = parse_schedule("constant:peak=0.01,horizon=20000")
    runs = tuple(Run(f"run {i}", step, 2 + 1 / step, schedule) for i in range(60))
    plan = plan_of(runs=runs)
    measured = [line for line in fit_figure(plan.law, plan.runs).series if line.points]
    assert sum(np.size(line.x) for line in measured) <= 6000
    assert len(plan_report(plan)) < 2e6


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
    lines = schedule_figure(plan_of(comparison=rivals)).series
    assert [line.name for line in lines if line.dash == "solid"] == ["planned"]
    assert len({(line.color, line.dash) for line in lines}) == 8
