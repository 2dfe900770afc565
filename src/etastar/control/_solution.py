"""What a solver returns: the best controls, their loss, and what they were measured against."""

from __future__ import annotations

from dataclasses import dataclass

from etastar.schedule import Schedule


@dataclass(frozen=True)
class Member:
    """One schedule of a standard family and its final loss."""

    family: str
    schedule: Schedule
    loss: float


@dataclass(frozen=True)
class Solution:
    """The best controls found and what they were measured against.

    `schedule` the LR, with its final `loss`; `momentum` and `batch_size` where they were optimised
    too, else None. `baselines` the best member of each standard family. `gap` the relative loss
    still to be gained to first order within the limits, and at least the relative loss by which
    independent starts ended apart. `lower_bound`, where there is one, a loss that no schedule
    undercuts, in the limit of LRs small against 1 / eigenvalue. `seconds` the time of the solve.
    """

    schedule: Schedule
    loss: float
    baselines: tuple[Member, ...]
    gap: float
    momentum: Schedule | None = None
    batch_size: Schedule | None = None
    lower_bound: float | None = None
    seconds: float = 0.0

    @property
    def nearest(self) -> Member:
        """The standard schedule closest in loss."""
        return min(self.baselines, key=lambda member: member.loss)
