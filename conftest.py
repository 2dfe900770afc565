"""Settings made before any framework is imported, and what the examples of reports show."""

from __future__ import annotations

import os

import pytest

# By default Keras asks for TensorFlow.
os.environ.setdefault("KERAS_BACKEND", "torch")


@pytest.fixture(autouse=True)
def _examples_of_reports(request: pytest.FixtureRequest) -> None:
    """`plan` and `tested` for the examples in docstrings of `etastar.report`.

    To plan, or to fit a law that can be tested, would take an example half a minute.
    """
    if request.node.path.parent.name == "report" and request.node.path.suffix == ".py":
        from tests.helpers.backtests import make_backtest
        from tests.helpers.plans import make_plan

        namespace = request.getfixturevalue("doctest_namespace")
        namespace.update(plan=make_plan(), tested=make_backtest("low", "high"))
