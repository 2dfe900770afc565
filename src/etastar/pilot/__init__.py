"""Pilot runs: which to make, running them here or on a cluster, their store.

Where to change what is done:

- the shapes, horizons and peaks of pilots: `_candidates.py`; the range test before them:
  `_range_test.py`;
- what is forecast, and how wrong that is: `_forecast_error.py`; what a run tells:
  `_information.py`; the choice: `_search.py`; the designer of these and its seeds:
  `_information_designer.py`;
- what a designer is asked and answers: `_proposal.py`;
- an option of a sweep: `_config.py`;
- a placeholder of the training's command: `_command.py`, what it stands for: `_job.py`;
- how a run ended, and what follows: `_judgement.py` decides, `_conclusion.py` carries out; when a
  run counts as hung: `_judgement.py` too;
- where runs take place: `_workers.py` says what is asked; `_local_workers.py`, `_ray_workers.py`
  and `_slurm_workers.py` answer; what is done on a node: `_task.py`;
- what Slurm is asked: `_slurm_cluster.py`; that one job runs a pilot: `_slurm_job.py`;
- the folder: `_store.py`, one entry of its state file: `_record.py`;
- which pilot starts next, and what it costs: `_queue.py`; the loop around all: `_sweep.py`;
- what is told while it runs: `_screen.py` (in a terminal `LiveSweep` of `etastar.report`).
"""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._advice import LookAhead
    from ._config import LogReading, SweepConfig, SweepOptions
    from ._information_designer import InformationDesigner, make_designer
    from ._outlook import Outlook
    from ._proposal import Designer, Finished, Pilot, PricedPilot, Proposal
    from ._run_pilots import design_pilots, run_pilots
    from ._screen import PlainLines, RunProgress, Screen, Silent, SweepProgress
    from ._sweep import SweepResult

# A training that is called in a process of its own comes by here: it must not wait for jax.
_FILES = {
    "Designer": "_proposal",
    "Finished": "_proposal",
    "InformationDesigner": "_information_designer",
    "LogReading": "_config",
    "LookAhead": "_advice",
    "Outlook": "_outlook",
    "Pilot": "_proposal",
    "PlainLines": "_screen",
    "PricedPilot": "_proposal",
    "Proposal": "_proposal",
    "RunProgress": "_screen",
    "Screen": "_screen",
    "Silent": "_screen",
    "SweepConfig": "_config",
    "SweepOptions": "_config",
    "SweepProgress": "_screen",
    "SweepResult": "_sweep",
    "design_pilots": "_run_pilots",
    "make_designer": "_information_designer",
    "run_pilots": "_run_pilots",
}

__all__ = [
    "Designer",
    "Finished",
    "InformationDesigner",
    "LogReading",
    "LookAhead",
    "Outlook",
    "Pilot",
    "PlainLines",
    "PricedPilot",
    "Proposal",
    "RunProgress",
    "Screen",
    "Silent",
    "SweepConfig",
    "SweepOptions",
    "SweepProgress",
    "SweepResult",
    "design_pilots",
    "make_designer",
    "run_pilots",
]


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module 'etastar.pilot' has no attribute {name!r}")
    return getattr(import_module(f"etastar.pilot.{_FILES[name]}"), name)
