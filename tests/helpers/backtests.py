"""A backtest made by hand, for what shows backtests."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import numpy as np

from etastar.law import Backtest, BacktestRun


def make_backtest(*names: str) -> Backtest:
    """Test runs of these names, each measured a little higher than the one before."""
    step = np.arange(1.0, 51.0)
    runs = []
    for place, name in enumerate(names):
        measured = 3.0 + 0.1 * place - step / 50
        last = float(measured[-1])
        numbers: dict[str, Any] = {"r2": 0.9, "mae": 0.02, "rmse": 0.03, "final_error": 0.01}
        numbers |= {"mean_rel": 0.01, "worst_rel": 0.02, "covered": place != 1}
        numbers |= {"low": last - 0.1, "high": last + 0.1}
        runs.append(
            BacktestRun(name, **numbers, step=step, measured=measured, predicted=measured + 0.01)
        )
    law: Any = SimpleNamespace(form=SimpleNamespace(name="etastar"))
    return Backtest(tuple(runs), 0.9, 0.01, 1.5, law)
