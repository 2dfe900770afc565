"""The decision: from pilot runs to a schedule, with its evidence, its rivals and its caveats."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace

import numpy as np

from etastar._errors import InputError
from etastar._threads import one_thread
from etastar.control import Limits, Past, least_losses, optimal_schedule
from etastar.law import AverageLaw, Form, Progress, fit, form_named
from etastar.runs import Run

from ._caveats import Evidence, caveats_of
from ._comparison import alternatives_of, other_horizons_of
from ._continuation import continuation_of, past_of
from ._phase import phase_of
from ._results import Estimate, Plan
from ._stages import AGAIN, COMPARING, FITTING, SOLVING, stage

MOST_STEPS = 10**13


@one_thread
def plan(
    runs: Sequence[Run],
    horizon: int,
    *,
    peak_cap: float | None = None,
    floor: float = 0.0,
    warmup: int | None = None,
    monotone: bool = True,
    continued: Run | None = None,
    form: Form | str = "etastar",
    transient: float | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Plan a training of `horizon` updates from the logs of pilot runs.

    Fits the loss law, finds the schedule with the lowest expected final loss over that law and
    others that fit the runs about as well, and compares it with constant, linear, cosine and WSD
    schedules, each at its own best peak LR and within the same limits.

    Arguments:
        runs: pilots, from `read_runs`; one batch size and one kind of loss.
        horizon: number of updates of the training to plan.
        peak_cap: largest LR allowed; by default the largest peak LR of a pilot that did not
            diverge: beyond it the logs say nothing.
        floor: smallest LR allowed after the warmup.
        warmup: updates of linear warmup; by default the median of the pilots', and at most a tenth
            of the run.
        monotone: whether the LR may not rise after the warmup.
        continued: a run that is under way, or has ended: the plan keeps what it has done up to its
            last logged step, and goes on from there with a warmup from the LR it has come to.
        form: the law to fit, or its name in `etastar.law.FORMS`.
        transient: the part of the longest pilot that the fit leaves out, as in `etastar.law.fit`.
        progress: is told of the stages, which `etastar.planning.STAGES` lists.

    Returns: a `Plan`; LRs and steps in the pilots' units, losses in the unit of their logs.
    Raises: InputError for a horizon that is not a whole number in 8..1e13, or what `fit` and
        `optimal_schedule` refuse.

    >>> from etastar.runs import read_runs
    >>> decision = plan(read_runs("examples/gpt/pilots"), 56_000, form="power")
    >>> decision.horizon, decision.comparison[0] is decision.nearest
    (56000, True)
    """
    horizon, runs = _horizon(horizon), list(runs)
    if continued is not None and not any(run is continued for run in runs):
        runs.append(continued)
    form = form_named(form) if isinstance(form, str) else form
    with stage(progress, FITTING):
        law = fit(runs, form, transient=transient)
    used = [run for run in runs if run.name in law.residuals and not run.diverged]
    past = None if continued is None else past_of(continued, horizon)
    cap = law.peak_range[1] if peak_cap is None else peak_cap
    limits = Limits(cap, floor, _warmup(used, horizon, warmup, past), monotone, past)
    fresh = replace(limits, warmup=_warmup(used, horizon, warmup, None), past=None)
    with stage(progress, AGAIN):
        average = AverageLaw(law, (law, *law.draws(form.draws)))
    with stage(progress, SOLVING):
        solution = optimal_schedule(average, horizon, limits)
    evidence = Evidence(law, solution, runs, used, horizon, limits, peak_cap is not None)
    return _decided(evidence, average, continued, fresh, progress)


def _decided(
    evidence: Evidence,
    average: AverageLaw,
    run: Run | None,
    fresh: Limits,
    progress: Progress | None,
) -> Plan:
    """The plan that follows from the solution, with what it is compared with.

    Arguments: what it was made from; the law that the solution minimises; the run that it goes on
    from, and the limits of a run planned from its first update; who is told of the stages.
    """
    law, solution, limits = evidence.law, evidence.solution, evidence.limits
    with stage(progress, COMPARING):
        least = least_losses(average.members, solution.schedule, limits)
        forecast = law.predict(solution.schedule)
        loss = Estimate(*forecast.final)
        alternatives = alternatives_of(average, solution, loss.value, limits)
        going_on = None
        if run is not None:
            going_on = continuation_of(average, run, solution, loss.value, limits, fresh)
    return Plan(
        horizon=evidence.horizon,
        schedule=solution.schedule,
        loss=loss,
        forecast=forecast,
        phase=phase_of(law),
        nearest=alternatives[0],
        comparison=alternatives,
        # Where all fits agree, rounding alone would make it negative.
        expected_regret=max(solution.loss - float(least.mean()), 0.0),
        other_horizons=other_horizons_of(average, solution, limits, MOST_STEPS, progress),
        caveats=tuple(caveats_of(evidence)),
        runs=tuple(evidence.used),
        left_out=tuple(
            run for run in evidence.runs if not any(run is other for other in evidence.used)
        ),
        law=law,
        continuation=going_on,
    )


def _warmup(runs: Sequence[Run], horizon: int, wanted: int | None, past: Past | None) -> int:
    """The warmup asked for; else the pilots' median, at most a tenth of what is to come."""
    if wanted is not None:
        return wanted
    usual = round(float(np.median([run.warmup for run in runs])))
    return min(usual, (horizon - (0 if past is None else past.step)) // 10)


def _horizon(horizon: int) -> int:
    whole = isinstance(horizon, int | np.integer) or (
        isinstance(horizon, float) and horizon.is_integer()
    )
    if isinstance(horizon, bool) or not whole or not 8 <= horizon <= MOST_STEPS:
        raise InputError(
            f"horizon must be a whole number of updates from 8 to {MOST_STEPS:.0e}, got {horizon!r}"
        )
    return int(horizon)
