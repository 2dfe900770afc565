"""The best schedule: of the solvable model and of a fitted law, and of every standard family."""

from importlib import import_module
from typing import TYPE_CHECKING

from ._budget import Budget
from ._law_batch import BatchSolution, optimal_controls
from ._law_families import best_members, steps_to_match
from ._law_schedule import least_losses, optimal_schedule, schedule_at
from ._limits import Limits, Past, last_piece
from ._solution import Member, Solution

if TYPE_CHECKING:
    from ._model_closed_form import closed_form
    from ._model_families import FAMILIES, baselines, best_member
    from ._model_solver import solve
    from ._model_transfer import Allocation, Transfer, compute_optimal, transfer

# Imported when first used: a plan from logs needs no model, and JAX takes a second.
_FILES = {
    "FAMILIES": "_model_families",
    "Allocation": "_model_transfer",
    "Transfer": "_model_transfer",
    "baselines": "_model_families",
    "best_member": "_model_families",
    "closed_form": "_model_closed_form",
    "compute_optimal": "_model_transfer",
    "solve": "_model_solver",
    "transfer": "_model_transfer",
}

__all__ = [
    "FAMILIES",
    "Allocation",
    "BatchSolution",
    "Budget",
    "Limits",
    "Member",
    "Past",
    "Solution",
    "Transfer",
    "baselines",
    "best_member",
    "best_members",
    "closed_form",
    "compute_optimal",
    "last_piece",
    "least_losses",
    "optimal_controls",
    "optimal_schedule",
    "schedule_at",
    "solve",
    "steps_to_match",
    "transfer",
]


def __getattr__(name: str):
    if name not in _FILES:
        raise AttributeError(f"module 'etastar.control' has no attribute {name!r}")
    return getattr(import_module(f"etastar.control.{_FILES[name]}"), name)
