"""Everything a person looks at: tables for a terminal, figures, the page of a plan."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._backtest import backtest_figure, backtest_summary
    from ._forecast import forecast_summary
    from ._pilot import LiveSweep, design_summary, sweep_summary
    from ._plan_page import plan_report, write_plan
    from ._plan_tables import plan_summary
    from ._robust import robust_figure, robust_summary
    from ._solve import phase_figure, phase_summary, solution_figure, solution_summary

# A table in the terminal must not wait for plotly.
_FILES = {
    "LiveSweep": "_pilot",
    "backtest_figure": "_backtest",
    "backtest_summary": "_backtest",
    "design_summary": "_pilot",
    "forecast_summary": "_forecast",
    "phase_figure": "_solve",
    "phase_summary": "_solve",
    "plan_report": "_plan_page",
    "plan_summary": "_plan_tables",
    "robust_figure": "_robust",
    "robust_summary": "_robust",
    "solution_figure": "_solve",
    "solution_summary": "_solve",
    "sweep_summary": "_pilot",
    "write_plan": "_plan_page",
}

__all__ = [
    "LiveSweep",
    "backtest_figure",
    "backtest_summary",
    "design_summary",
    "forecast_summary",
    "phase_figure",
    "phase_summary",
    "plan_report",
    "plan_summary",
    "robust_figure",
    "robust_summary",
    "solution_figure",
    "solution_summary",
    "sweep_summary",
    "write_plan",
]


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module 'etastar.report' has no attribute {name!r}")
    return getattr(import_module(f"etastar.report.{_FILES[name]}"), name)
