"""The best schedule: of a fitted law, and of every standard family."""

from ._families import Member, best_members, steps_to_match
from ._fitted import Solution, optimal_schedule

__all__ = ["Member", "Solution", "best_members", "optimal_schedule", "steps_to_match"]
