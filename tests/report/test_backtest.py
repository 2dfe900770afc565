"""A backtest as a table and as a figure."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np

from etastar.report import backtest_figure, backtest_summary
from tests.helpers.backtests import make_backtest

EVIL = "<b>run</b>"


def test_the_table_has_a_row_a_run_and_the_average() -> None:
    summary: Any = backtest_summary(make_backtest("low", "[red]high", "cooled"))
    rows: Any = summary.renderables[0]
    columns = {column.header: [str(cell) for cell in column.cells] for column in rows.columns}
    assert columns["run"] == ["low", "[red]high", "cooled", "average"]
    assert columns["covered"] == ["yes", "no", "yes", "0.667"]


def test_the_figure_draws_runs_as_measured_and_as_predicted() -> None:
    result = make_backtest("low", "high")
    figure: Any = backtest_figure(result)
    curves = [trace for trace in figure.data if trace.xaxis == "x2"]
    assert [(trace.name, trace.mode) for trace in curves] == [
        (name, mode) for name in ("low", "high") for mode in ("markers", "lines")
    ]
    np.testing.assert_array_equal(curves[0].y, result.runs[0].measured)
    np.testing.assert_array_equal(curves[1].y, result.runs[0].predicted)
    finals = next(trace for trace in figure.data if trace.error_y.array is not None)
    y, above, below = (
        np.array(values) for values in (finals.y, finals.error_y.array, finals.error_y.arrayminus)
    )
    np.testing.assert_allclose(y + above, [run.high for run in result.runs])
    np.testing.assert_allclose(y - below, [run.low for run in result.runs])


def test_the_frame_holds_every_end_measured_and_predicted() -> None:
    result = make_backtest(*(f"run {i}" for i in range(30)))
    # A run that is drawn among the final losses alone, and a forecast far from all others.
    runs = list(result.runs)
    runs[-1] = replace(runs[-1], predicted=runs[-1].predicted - 9.0)
    runs[1] = replace(runs[1], predicted=runs[1].predicted + 9.0)
    figure: Any = backtest_figure(replace(result, runs=tuple(runs)))
    low, high = figure.layout.yaxis2.range
    ends = [losses[-1] for run in runs for losses in (run.measured, run.predicted)]
    assert low < min(ends)
    assert max(ends) < high
    assert figure.layout.xaxis2.range is None
    # Plotly chooses a frame that holds all points where none is given.
    assert figure.layout.xaxis.range is None
    assert figure.layout.yaxis.range is None


def test_of_many_runs_few_are_curves_and_all_are_points() -> None:
    figure: Any = backtest_figure(make_backtest(*(f"run {i}" for i in range(40))))
    lines = [trace for trace in figure.data if trace.xaxis == "x2" and trace.mode == "lines"]
    assert len(lines) <= 12
    assert any(len(trace.x) == 40 for trace in figure.data)


def test_names_from_logs_are_drawn_as_text() -> None:
    figure: Any = backtest_figure(make_backtest(EVIL))
    shown = [
        text
        for trace in figure.data
        for text in (trace.name, trace.hovertemplate, *(trace.text or ()))
        if text and "run" in text
    ]
    assert len(shown) == 5
    assert all("&lt;b&gt;run&lt;/b&gt;" in text for text in shown)
