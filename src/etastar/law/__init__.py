"""The loss law of real trainings: its terms, its fit to logs, its forecasts, its backtest."""

from ._average import AverageLaw
from ._backtest import Backtest, BacktestRun, backtest
from ._document import law_document
from ._exponents import Exponents, exponents, exponents_of
from ._fit import fit
from ._forms import FLOOR_PRIOR, FORMS, At, Form, LossSlopes, Mesh, NoiseMemory, Prior, form_named
from ._law import Difference, Forecast, Law
from ._mesh import BatchSize, ScheduleMesh, make_mesh
from ._misfit import misfit_features
from ._points import Units
from ._posterior import Posterior
from ._progress import Progress
from ._protocol import LossLaw
from ._reach import transient_of
from ._running import forecast_running

__all__ = [
    "FLOOR_PRIOR",
    "FORMS",
    "At",
    "AverageLaw",
    "Backtest",
    "BacktestRun",
    "BatchSize",
    "Difference",
    "Exponents",
    "Forecast",
    "Form",
    "Law",
    "LossLaw",
    "LossSlopes",
    "Mesh",
    "NoiseMemory",
    "Posterior",
    "Prior",
    "Progress",
    "ScheduleMesh",
    "Units",
    "backtest",
    "exponents",
    "exponents_of",
    "fit",
    "forecast_running",
    "form_named",
    "law_document",
    "make_mesh",
    "misfit_features",
    "transient_of",
]
