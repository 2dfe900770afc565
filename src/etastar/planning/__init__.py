"""The plan: what to train with, what to expect, and what speaks against it."""

from ._plan import plan
from ._results import (
    Alternative,
    BatchMap,
    Continuation,
    Estimate,
    OtherHorizon,
    PhaseEstimate,
    Plan,
    Within,
)

__all__ = [
    "Alternative",
    "BatchMap",
    "Continuation",
    "Estimate",
    "OtherHorizon",
    "PhaseEstimate",
    "Plan",
    "Within",
    "plan",
]
