"""The plan: what to train with, what to expect, and what speaks against it."""

from ._export import Export, export
from ._plan import plan
from ._types import Alternative, Continuation, Estimate, Phase, Plan, Transfer

__all__ = [
    "Alternative",
    "Continuation",
    "Estimate",
    "Export",
    "Phase",
    "Plan",
    "Transfer",
    "export",
    "plan",
]
