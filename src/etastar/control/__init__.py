"""The best schedule: of the solvable model and of a fitted law, and of every standard family."""

from ._law_families import best_members, steps_to_match
from ._law_schedule import least_losses, optimal_schedule
from ._limits import Limits, Past, last_piece
from ._model_families import FAMILIES, baselines, best_member
from ._model_solver import solve
from ._model_transfer import Allocation, Transfer, compute_optimal, transfer
from ._solution import Member, Solution

__all__ = [
    "FAMILIES",
    "Allocation",
    "Limits",
    "Member",
    "Past",
    "Solution",
    "Transfer",
    "baselines",
    "best_member",
    "best_members",
    "compute_optimal",
    "last_piece",
    "least_losses",
    "optimal_schedule",
    "solve",
    "steps_to_match",
    "transfer",
]
