"""What a solver returns: the best controls, their loss, and what they were measured against."""

from __future__ import annotations

from dataclasses import dataclass

from etastar._display import Displayed
from etastar.schedule import Schedule


@dataclass(frozen=True)
class Member:
    """One schedule of a standard family.

    Attributes:
        family: constant, linear, cosine, wsd, ...
        schedule: the LR.
        loss: its final loss: the excess loss of the solvable model, in the unit of the runs under a
            fitted law.
    """

    family: str
    schedule: Schedule
    loss: float


@dataclass(frozen=True, repr=False)
class Solution(Displayed):
    """The best controls found and what they were measured against.

    Attributes:
        schedule: the LR; where the velocity has its own, that of the gradient.
        loss: its final loss, in the unit of a `Member`'s.
        baselines: the best member of each standard family, where these were asked for.
        gap: the relative loss still to be gained to first order within the limits, and at least
            that by which independent starts ended apart.
        momentum: mu of every update, where it was optimised too and gains something, else None.
        batch_size: samples of every update, where it was optimised too, else None.
        lower_bound: where there is one, a loss that no schedule within the cap undercuts.
        seconds: the time of the solve, without compilation and without the standard families.
        velocity: LR of the velocity, where it was optimised too and gains something, else None.
        cap: the largest LR of an optimum of the solvable model; None where that moves with the
            batch size, and under a fitted law.
        transient: whether single LRs were free to lie above the cap.
        wall_seconds: what the caller waited for: the solve, the standard families, compilation.
        compile_seconds: the part of it in which JAX compiled, once in a process for each size.

    >>> from etastar.control import solve
    >>> from etastar.model import PowerLaw
    >>> solution = solve(PowerLaw(1.5, 1.0, 0.25, 8), 1000)
    >>> solution.loss <= solution.nearest.loss, solution.momentum is None
    (True, True)
    """

    schedule: Schedule
    loss: float
    baselines: tuple[Member, ...]
    gap: float
    momentum: Schedule | None = None
    batch_size: Schedule | None = None
    lower_bound: float | None = None
    seconds: float = 0.0
    velocity: Schedule | None = None
    cap: float | None = None
    transient: bool = False
    wall_seconds: float = 0.0
    compile_seconds: float = 0.0

    def __repr__(self) -> str:
        schedule = self.schedule
        return (
            f"<Solution of {schedule.horizon} updates: peak LR {schedule.peak:.4g}, loss "
            f"{self.loss:.5g}, gap {self.gap:.1g}>"
        )

    @property
    def nearest(self) -> Member:
        """The standard schedule closest in loss."""
        return min(self.baselines, key=lambda member: member.loss)
