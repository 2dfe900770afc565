"""`Regret`: what an exported schedule costs against the one that was asked for."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal


@dataclass(frozen=True)
class Regret:
    """What the exported schedule costs against the one asked for, and what says so.

    Attributes:
        basis: what the numbers are from. "law": predicted by the law fitted to the runs. "plan":
            predicted when the plan was made. "bound": the last-iterate bound, an upper bound of
            the final loss that knows nothing of the task.
        loss: the predicted final loss of the exported schedule, in the unit of the logs; None for
            a bound.
        regret: that loss minus the one of the schedule asked for, in the unit of the logs; None
            for a bound.
        inflation: the bound of the exported schedule over that of the schedule asked for, a ratio,
            at the base LR that is best for the latter; None for a prediction.

    >>> Regret("plan", loss=2.5, regret=0.0125).sentence()
    "predicted final loss 2.5, +0.013 to the plan's (the plan)"
    """

    basis: Literal["law", "plan", "bound"]
    loss: float | None = None
    regret: float | None = None
    inflation: float | None = None

    def sentence(self) -> str:
        """The regret in words.

        >>> Regret("bound", inflation=1.25).sentence().split(" of the schedule")[0]
        'its last-iterate bound is 1.250 times that'
        """
        if self.inflation is not None:
            return (
                f"its last-iterate bound is {self.inflation:.3f} times that of the schedule asked "
                "for, if that has its best base LR; no law was fitted, so this says nothing of "
                "the task: give --runs for a predicted loss"
            )
        source = "the law fitted to the runs" if self.basis == "law" else "the plan"
        return f"predicted final loss {self.loss:.4g}, {self.regret:+.2g} to the plan's ({source})"
