"""The plan: what to train with, what to expect, and what speaks against it."""

from ._batch import transfer_of
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
from ._stages import STAGES

__all__ = [
    "STAGES",
    "Alternative",
    "BatchMap",
    "Continuation",
    "Estimate",
    "OtherHorizon",
    "PhaseEstimate",
    "Plan",
    "Within",
    "plan",
    "transfer_of",
]
