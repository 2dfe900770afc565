"""Plan the learning rate of a training run from a few short pilot runs.

The verbs and the nouns are here (`etastar.plan`, `etastar.fit`, `etastar.solve`, `etastar.Run`,
...), the rooms that they come from are attributes (`etastar.law`, `etastar.control`, ...). All are
imported when they are first used, so that `import etastar` costs nothing and a training job that
only needs its schedule loads numpy alone.
"""

from importlib import import_module
from typing import TYPE_CHECKING

from etastar import _display

if TYPE_CHECKING:
    from etastar import (
        cli,
        control,
        export,
        integrations,
        law,
        model,
        pilot,
        planning,
        report,
        robust,
        runs,
        schedule,
        train,
        watch,
    )
    from etastar._errors import InputError
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
    from etastar.export import export_schedule
    from etastar.law import Backtest, Forecast, Law, backtest, fit
    from etastar.model import LinearModel, Phase, PowerLaw, Spectrum, phase
    from etastar.pilot import run_pilots
    from etastar.planning import Plan, plan
    from etastar.robust import grid_ratio, inflation
    from etastar.runs import Run, read_runs
    from etastar.schedule import Schedule, join, parse_schedule, table

__version__ = "0.1.0"

_NAMES = {
    "_errors": ("InputError",),
    "schedule": ("Schedule", "join", "parse_schedule", "table"),
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
    "planning": ("Plan", "plan"),
    "export": ("export_schedule",),
    "cli": (),
    "integrations": (),
    "report": (),
    "train": (),
    "watch": (),
}
_ROOM = {name: room for room, names in _NAMES.items() for name in names}

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
    "cli",
    "compute_optimal",
    "control",
    "export",
    "export_schedule",
    "fit",
    "grid_ratio",
    "inflation",
    "integrations",
    "join",
    "law",
    "model",
    "optimal_schedule",
    "parse_schedule",
    "phase",
    "pilot",
    "plan",
    "planning",
    "read_runs",
    "report",
    "robust",
    "run_pilots",
    "runs",
    "schedule",
    "solve",
    "table",
    "train",
    "transfer",
    "watch",
]

# Only this file stands above all rooms, and so may say that reports draw what the others return.
_display.draw_with(lambda: import_module("etastar.report"))


def __getattr__(name: str):
    if name in _NAMES and not name.startswith("_"):
        return import_module(f"etastar.{name}")
    if name not in _ROOM:
        raise AttributeError(f"module 'etastar' has no attribute {name!r}")
    value = getattr(import_module(f"etastar.{_ROOM[name]}"), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted([*globals(), *__all__])
