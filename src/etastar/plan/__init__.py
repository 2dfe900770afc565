"""The plan: what to train with, what to expect, and what speaks against it."""

from ._plan import plan
from ._types import Alternative, Estimate, Phase, Plan, Transfer

__all__ = ["Alternative", "Estimate", "Phase", "Plan", "Transfer", "plan"]
