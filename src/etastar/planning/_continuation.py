"""Going on from a run: what it has done, and what it costs to have known the horizon too late."""

from __future__ import annotations

from etastar._errors import InputError
from etastar.control import Limits, Past, Solution, optimal_schedule
from etastar.law import LossLaw
from etastar.runs import Run

from ._results import Continuation


def past_of(run: Run, horizon: int) -> Past:
    """What a run has done, for a plan to a horizon that counts from the start of the run.

    Raises: InputError where the run has diverged, or fewer than 8 updates are left.
    """
    step = int(run.final_step)
    if run.diverged:
        raise InputError(f"{run.name}: has diverged, so there is nothing to go on from")
    if horizon < step + 8:
        raise InputError(
            f"{run.name}: has done {step} updates, and the horizon of {horizon} leaves fewer than "
            "8 more: raise --horizon, which counts from the start of the run"
        )
    return Past(run.schedule, step)


def continuation_of(
    law: LossLaw, run: Run, solution: Solution, loss: float, limits: Limits, fresh: Limits
) -> Continuation:
    """The run that a plan goes on from, and what the horizon known too late costs.

    Arguments: the law that the plan minimises; the run; the plan's solution and its expected final
    loss; its limits, and those of a run planned for this horizon from its first update.
    """
    assert limits.past is not None
    known = optimal_schedule(law, solution.schedule.horizon, fresh)
    cost = solution.loss - known.loss
    past = limits.past
    return Continuation(run.name, past.step, past.rate, loss - cost, known.schedule.peak, cost)
