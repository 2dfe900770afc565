"""A schedule in the configuration of other training frameworks, and what is lost on the way.

Each framework is a file of its own, named after it; `_target.py` says how to add one.
"""

from ._export import Export, export_schedule
from ._plan_file import plan_beside
from ._regret import Regret
from ._target import Target
from ._targets import TARGETS, known_target
from ._templates import snippet_templates

__all__ = [
    "TARGETS",
    "Export",
    "Regret",
    "Target",
    "export_schedule",
    "known_target",
    "plan_beside",
    "snippet_templates",
]
