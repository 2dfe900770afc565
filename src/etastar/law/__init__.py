"""The loss law of real trainings: its terms, its fit to logs, its forecasts, its backtest."""

from ._backtest import Backtest, BacktestRun, backtest
from ._fit import fit
from ._law import Forecast, Law

__all__ = ["Backtest", "BacktestRun", "Forecast", "Law", "backtest", "fit"]
