"""Going on from a run: what it has done, and what it costs to have known the horizon too late."""

from __future__ import annotations

from etastar._errors import InputError
from etastar.control import Limits, Past, Solution, optimal_schedule
from etastar.law import LossLaw
from etastar.runs import Run

from ._results import Continuation


def past_of(run: Run) -> Past:
    """What a run has done.

    Raises: InputError where the run has diverged.
    """
    if run.diverged:
        raise InputError(f"{run.name}: has diverged, so there is nothing to go on from")
    return Past(run.schedule, int(run.final_step), run.batch_size)


def check_left(run: Run, horizon: int, budget: str) -> None:
    """Refuse a horizon, counted from the start of the run, that leaves fewer than 8 updates.

    Raises: InputError, which names the `budget`: horizon, samples or seconds.
    """
    step = int(run.final_step)
    if horizon < step + 8:
        raise InputError(
            f"{run.name}: has done {step} updates, and the horizon of {horizon} leaves fewer than "
            f"8 more: raise --{budget}, which counts from the start of the run"
        )


def continuation_of(
    law: LossLaw, run: Run, solution: Solution, loss: float, limits: Limits, fresh: Limits
) -> Continuation:
    """The run that a plan goes on from, and what the horizon known too late costs.

    Arguments: the law that the plan minimises; the run; the plan's solution and its expected final
    loss; its limits, and those of a run planned for this horizon from its first update.
    """
    assert limits.past is not None
    horizon, batch = solution.schedule.horizon, solution.batch_size
    size = None if batch is None else float(batch(horizon))
    known = optimal_schedule(law, horizon, fresh, batch_size=size)
    cost = solution.loss - known.loss
    past = limits.past
    return Continuation(run.name, past.step, past.rate, loss - cost, known.schedule.peak, cost)
