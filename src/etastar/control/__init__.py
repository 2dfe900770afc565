"""The best schedule: of the solvable model and of a fitted law, and of every standard family."""

from ._baselines import FAMILIES, baselines, best_member
from ._families import Past, best_members, last_piece, steps_to_match
from ._fitted import least_losses, optimal_schedule
from ._model import solve
from ._solution import Member, Solution
from ._transfer import Allocation, Transfer, compute_optimal, transfer

__all__ = [
    "FAMILIES",
    "Allocation",
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
