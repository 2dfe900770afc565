"""What a terminal shows does not wait for what draws figures."""

from __future__ import annotations

import subprocess
import sys

import pytest

import etastar.report

TABLES = """
import sys

from etastar import report
from tests.helpers.backtests import make_backtest
from tests.helpers.plans import make_plan

plan = make_plan()
report.plan_summary(plan)
report.backtest_summary(make_backtest("low", "high"))
report.forecast_summary(plan.schedule, plan.forecast)
for name in report.__all__:
    if name.endswith("_summary"):
        getattr(report, name)
print("plotly" in sys.modules)
report.plan_report
print("plotly" in sys.modules)
"""


def test_tables_do_not_import_plotly() -> None:
    done = subprocess.run(
        [sys.executable, "-c", TABLES], check=True, capture_output=True, text=True
    )
    assert done.stdout.split() == ["False", "True"]


def test_every_public_name_is_found_in_its_file() -> None:
    for name in etastar.report.__all__:
        function = getattr(etastar.report, name)
        assert function.__name__ == name
        assert function.__module__ == f"etastar.report.{etastar.report._FILES[name]}"
    assert set(etastar.report._FILES) == set(etastar.report.__all__)
    with pytest.raises(AttributeError, match="has no attribute 'no_such_figure'"):
        etastar.report.no_such_figure  # noqa: B018  # pyright: ignore[reportAttributeAccessIssue]
