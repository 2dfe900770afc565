"""The loss law of real trainings: its terms, its fit to logs, its forecasts, its backtest."""

from ._average import AverageLaw
from ._backtest import Backtest, BacktestRun, backtest
from ._exponents import Exponents, exponents, exponents_of
from ._fit import fit
from ._form import Form
from ._law import Forecast, Law
from ._mesh import make_mesh
from ._published import FORMS

__all__ = [
    "FORMS",
    "AverageLaw",
    "Backtest",
    "BacktestRun",
    "Exponents",
    "Forecast",
    "Form",
    "Law",
    "backtest",
    "exponents",
    "exponents_of",
    "fit",
    "make_mesh",
]
