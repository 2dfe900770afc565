"""A schedule in the configuration of other training frameworks, and what is lost on the way."""

from ._export import Export, Regret, export_schedule, plan_beside
from ._targets import TARGETS, Target, known_target

__all__ = [
    "TARGETS",
    "Export",
    "Regret",
    "Target",
    "export_schedule",
    "known_target",
    "plan_beside",
]
