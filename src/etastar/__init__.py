"""Plan the learning rate of a training run from a few short pilot runs.

The public names live in the modules of `_HOME` and are imported when they are first used, so that
`import etastar` costs nothing and a training job that only needs its schedule loads numpy alone.
The verb `plan` is at `etastar.plan.plan`: here its name is the module's.
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from etastar.control import (
        Solution,
        Transfer,
        baselines,
        best_member,
        compute_optimal,
        optimal_schedule,
        solve,
        transfer,
    )
    from etastar.law import Backtest, Forecast, Law, backtest, fit
    from etastar.model import LinearModel, Phase, PowerLaw, Spectrum, phase
    from etastar.pilot import run_pilots
    from etastar.plan import Plan
    from etastar.robust import grid_ratio, inflation
    from etastar.runs import Run, read_runs
    from etastar.schedule import InputError, Schedule, join, parse_schedule, table

__version__ = "0.1.0"

_HOME = {
    "schedule": ("InputError", "Schedule", "join", "parse_schedule", "table"),
    "runs": ("Run", "read_runs"),
    "law": ("Backtest", "Forecast", "Law", "backtest", "fit"),
    "model": ("LinearModel", "Phase", "PowerLaw", "Spectrum", "phase"),
    "control": (
        "Solution",
        "Transfer",
        "baselines",
        "best_member",
        "compute_optimal",
        "optimal_schedule",
        "solve",
        "transfer",
    ),
    "robust": ("grid_ratio", "inflation"),
    "pilot": ("run_pilots",),
    "plan": ("Plan",),
}
_MODULE = {name: module for module, names in _HOME.items() for name in names}

__all__ = [
    "Backtest",
    "Forecast",
    "InputError",
    "Law",
    "LinearModel",
    "Phase",
    "Plan",
    "PowerLaw",
    "Run",
    "Schedule",
    "Solution",
    "Spectrum",
    "Transfer",
    "backtest",
    "baselines",
    "best_member",
    "compute_optimal",
    "fit",
    "grid_ratio",
    "inflation",
    "join",
    "optimal_schedule",
    "parse_schedule",
    "phase",
    "read_runs",
    "run_pilots",
    "solve",
    "table",
    "transfer",
]


def __getattr__(name: str):
    if name not in _MODULE:
        raise AttributeError(f"module 'etastar' has no attribute {name!r}")
    value = getattr(import_module(f"etastar.{_MODULE[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
