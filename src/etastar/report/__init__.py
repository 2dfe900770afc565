"""Everything a person looks at: tables for a terminal, figures, the page of a plan.

Where to change what is shown:

- the tables of `etastar plan`, a row, a column or how caveats look: `_plan_tables.py`;
- a section of report.html, a column of its tables or how caveats look there: `_plan_page.py`, the
  figures in it: `_plan_figures.py`, what a figure can be there: `_charts.py`, its style sheet and
  skeleton: `_page.py`, the part that moves: `_explorer.py` and the scripts in `browser/`;
- what another command shows, table, figure and page: the file named after what it shows
  (`_backtest.py`, `_forecast.py`, `_phase.py`, `_pilot.py`, `_robust.py`, `_runs.py`,
  `_solution.py`, `_transfer.py`, `_watch.py`); what their pages share, from the title to the
  foot: `_frame.py`;
- what a result shows in a notebook, and the figure of its `plot()`: the function `shown` in
  `_schedule.py`, `_law.py`, `_plan_notebook.py` and `_solution.py`; how that becomes HTML
  `_notebook.py`, an SVG drawing `_sketch.py`, a plotly figure `_plotly.py`;
- how numbers are worded, everywhere: `_numbers.py`; schedules and phases: `_words.py`;
- colours, dashes and layouts of figures, everywhere: `_style.py`.

The caveats themselves come with the plan, from `etastar.planning`. A new function is listed below.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._backtest import backtest_figure, backtest_page, backtest_summary
    from ._forecast import forecast_summary
    from ._notebook import figure_of, notebook_html
    from ._phase import phase_figure, phase_page, phase_summary
    from ._pilot import LiveSweep, design_page, design_summary, sweep_page, sweep_summary
    from ._plan_page import plan_report, write_plan
    from ._plan_tables import plan_summary
    from ._robust import robust_figure, robust_page, robust_summary
    from ._runs import runs_figure, runs_summary
    from ._solution import solution_figure, solution_page, solution_summary
    from ._transfer import allocation_summary, transfer_summary
    from ._watch import watch_view

# Each is imported when it is first used: a table in the terminal must not wait for plotly, which
# only the page, its figures and the functions that return a figure import.
_FILES = {
    "LiveSweep": "_pilot",
    "allocation_summary": "_transfer",
    "backtest_figure": "_backtest",
    "backtest_page": "_backtest",
    "backtest_summary": "_backtest",
    "design_page": "_pilot",
    "design_summary": "_pilot",
    "figure_of": "_notebook",
    "forecast_summary": "_forecast",
    "notebook_html": "_notebook",
    "phase_figure": "_phase",
    "phase_page": "_phase",
    "phase_summary": "_phase",
    "plan_report": "_plan_page",
    "plan_summary": "_plan_tables",
    "robust_figure": "_robust",
    "robust_page": "_robust",
    "robust_summary": "_robust",
    "runs_figure": "_runs",
    "runs_summary": "_runs",
    "solution_figure": "_solution",
    "solution_page": "_solution",
    "solution_summary": "_solution",
    "sweep_page": "_pilot",
    "sweep_summary": "_pilot",
    "transfer_summary": "_transfer",
    "watch_view": "_watch",
    "write_plan": "_plan_page",
}

__all__ = [
    "LiveSweep",
    "allocation_summary",
    "backtest_figure",
    "backtest_page",
    "backtest_summary",
    "design_page",
    "design_summary",
    "figure_of",
    "forecast_summary",
    "notebook_html",
    "phase_figure",
    "phase_page",
    "phase_summary",
    "plan_report",
    "plan_summary",
    "robust_figure",
    "robust_page",
    "robust_summary",
    "runs_figure",
    "runs_summary",
    "solution_figure",
    "solution_page",
    "solution_summary",
    "sweep_page",
    "sweep_summary",
    "transfer_summary",
    "watch_view",
    "write_plan",
]


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module 'etastar.report' has no attribute {name!r}")
    return getattr(import_module(f"etastar.report.{_FILES[name]}"), name)
