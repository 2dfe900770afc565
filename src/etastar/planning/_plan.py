"""The decision: from pilot runs to a schedule, with its evidence, its rivals and its caveats."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import numpy as np

from etastar._errors import InputError
from etastar.control import (
    Member,
    Past,
    Solution,
    last_piece,
    least_losses,
    optimal_schedule,
    steps_to_match,
)
from etastar.law import AverageLaw, Form, Law, fit
from etastar.runs import Run, check_together
from etastar.schedule import Schedule

from ._evidence import phase_of
from ._results import Alternative, Continuation, Estimate, OtherHorizon, Plan

MOST_STEPS = 10**13
FAR = 8.0
"""Horizon over the longest pilot beyond which a plan warns of extrapolation."""

TRANSFER = (0.25, 0.5, 2.0, 4.0)
DRAWS = 32
"""Other fits of the runs over which the loss of a schedule is averaged."""


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
) -> Plan:
    """Plan a training of `horizon` updates from the logs of pilot runs.

    Fits the loss law, finds the schedule with the lowest expected final loss over that law and
    32 more that fit the runs about as well, and compares it with constant, linear, cosine and
    WSD schedules, each at its own best peak LR.

    Arguments:
        runs: pilots, from `read_runs`; one batch size and one kind of loss.
        horizon: number of updates of the training to plan.
        peak_cap: largest LR allowed; by default the largest peak LR of a pilot that did not
            diverge: beyond it the logs say nothing.
        floor: smallest LR allowed.
        warmup: updates of linear warmup; by default the median of the pilots', and at most a tenth
            of the run.
        monotone: whether the LR may not rise after the warmup.
        continued: a run that is under way, or has ended: the plan keeps what it has done up to its
            last logged step, and goes on from there with a warmup from the LR it has come to.

    Returns: a `Plan`; LRs and steps in the pilots' units, losses in the unit of their logs.
    Raises: InputError for a horizon that is not a whole number in 8..1e13, or what `fit` and
        `optimal_schedule` refuse.
    """
    horizon = _horizon(horizon)
    runs = list(runs)
    if continued is not None and not any(run is continued for run in runs):
        runs.append(continued)
    law = fit(runs, form, draws=DRAWS)
    average = AverageLaw(law, (law, *law.draws(DRAWS)))
    used = [run for run in runs if run.name in law.residuals and not run.diverged]
    cap = law.peak_range[1] if peak_cap is None else peak_cap
    past = None if continued is None else _past(continued, horizon)
    usual = round(float(np.median([run.schedule.warmup for run in used])))
    fresh = min(usual, horizon // 10) if warmup is None else warmup
    if past is not None and warmup is None:
        warmup = min(usual, (horizon - past.step) // 10)
    warmup = fresh if warmup is None else warmup
    limits: dict[str, Any] = {"cap": cap, "floor": floor, "monotone": monotone}
    solution = optimal_schedule(average, horizon, warmup=warmup, past=past, **limits)
    least = least_losses(average.members, solution.schedule, warmup=warmup, past=past, **limits)
    forecast = law.predict(solution.schedule)
    mean, low, high = forecast.final
    phase = phase_of(law)
    alternatives = tuple(
        _alternative(average, member, solution.loss, mean, cap, past)
        for member in sorted(solution.baselines, key=lambda member: member.loss)
    )
    return Plan(
        horizon=horizon,
        schedule=solution.schedule,
        loss=Estimate(mean, low, high),
        forecast=forecast,
        phase=phase,
        nearest=alternatives[0],
        comparison=alternatives,
        expected_regret=solution.loss - float(least.mean()),
        other_horizons=_other_horizons(average, solution, horizon, warmup, cap, past),
        caveats=(
            *_caveats(law, solution, used, horizon, cap, peak_cap),
            *([] if past is None else _jumps(past, solution, warmup)),
            *_reading(runs),
            *law.caveats,
        ),
        runs=tuple(used),
        left_out=tuple(run for run in runs if not any(run is other for other in used)),
        law=law,
        continuation=None
        if past is None or continued is None
        else _continuation(
            continued,
            past,
            mean,
            solution,
            optimal_schedule(average, horizon, warmup=fresh, **limits),
        ),
    )


def _past(run: Run, horizon: int) -> Past:
    step = int(run.final_step)
    if run.diverged:
        raise InputError(f"{run.name}: has diverged, so there is nothing to go on from")
    if horizon < step + 8:
        raise InputError(
            f"{run.name}: has done {step} updates, and the horizon of {horizon} leaves fewer than "
            "8 more: raise --horizon, which counts from the start of the run"
        )
    return Past(run.schedule, step)


def _continuation(
    run: Run, past: Past, mean: float, solution: Solution, known: Solution
) -> Continuation:
    cost = solution.loss - known.loss
    return Continuation(run.name, past.step, past.rate, mean - cost, known.schedule.peak, cost)


def _jumps(past: Past, solution: Solution, warmup: int) -> list[str]:
    new = float(solution.schedule(past.step + warmup))
    if new <= 1.5 * past.rate:
        return []
    return [
        f"the LR is raised from {past.rate:.3g} to {new:.3g} within {warmup} updates from step "
        f"{past.step}: the loss rises before it falls, and no pilot has shown such a rise; "
        "lengthen it with --warmup where it becomes unstable"
    ]


def _horizon(horizon: int) -> int:
    whole = isinstance(horizon, int | np.integer) or (
        isinstance(horizon, float) and horizon.is_integer()
    )
    if isinstance(horizon, bool) or not whole or not 8 <= horizon <= MOST_STEPS:
        raise InputError(
            f"horizon must be a whole number of updates from 8 to {MOST_STEPS:.0e}, got {horizon!r}"
        )
    return int(horizon)


def _alternative(
    law: AverageLaw, member: Member, least: float, loss: float, cap: float, past: Past | None
) -> Alternative:
    """A standard schedule; its loss is the plan's forecast and what it is expected to lose more."""
    regret = member.loss - least
    steps = steps_to_match(law, member, least, cap, past)
    return Alternative(member.family, member.schedule, loss + regret, regret, steps)


def _other_horizons(
    law: AverageLaw,
    solution: Solution,
    horizon: int,
    warmup: int,
    cap: float,
    past: Past | None,
) -> tuple[OtherHorizon, ...]:
    """The optimal schedule's peak at other horizons, and the loss it would reach there."""

    def row(schedule: Schedule) -> OtherHorizon:
        loss = float(law.centre.final_losses([schedule])[0])
        return OtherHorizon(schedule.horizon, last_piece(schedule).peak, loss)

    rows = [row(solution.schedule)]
    for factor in TRANSFER:
        other = round(horizon * factor)
        left = other if past is None else other - past.step
        if left < 8 * 4 or other > MOST_STEPS:
            continue
        short = min(warmup, left // 10)
        best = optimal_schedule(law, other, cap=cap, warmup=short, tolerance=1e-9, past=past)
        rows.append(row(best.schedule))
    return tuple(sorted(rows, key=lambda row: row.horizon))


def _reading(runs: Sequence[Run]) -> list[str]:
    lines = list(check_together(list(runs)))
    for run in runs:
        lines += [line for line in run.caveats if line not in lines]
    return lines


def _caveats(
    law: Law,
    solution: Solution,
    runs: Sequence[Run],
    horizon: int,
    cap: float,
    peak_cap: float | None,
) -> list[str]:
    lines = []
    reach = horizon / law.steps_fitted
    if reach > FAR:
        lines.append(
            f"the horizon is {reach:.1f} times the longest pilot: forecasts were checked only to "
            f"twice it; a pilot of {horizon / FAR:.0f} steps would make the plan safer"
        )
    lowest, highest = law.peak_range
    peak = last_piece(solution.schedule).peak
    if peak >= 0.999 * cap:
        source = "the largest of the pilots" if peak_cap is None else "the cap that was given"
        lines.append(
            f"the planned peak LR is {source} ({cap:g}): a higher one may be better, and a pilot "
            f"at {2 * cap:g} would tell"
        )
    elif peak < 0.999 * lowest:
        lines.append(
            f"the planned peak LR {peak:.3g} is below every pilot's ({lowest:g} at the least)"
        )
    if lowest == highest:
        lines.append(
            f"all pilots have the peak LR {highest:g}: how the loss depends on the peak is guessed "
            "from the shapes alone; add a pilot at half of it"
        )
    if len(runs) < 4:
        lines.append(f"only {len(runs)} pilots: intervals are wide and lean on a prior")
    if law.spread > 0.01:
        lines.append(
            f"the law misses the ends of the pilots by {law.spread:.1%}: longer pilots, or none at "
            "peak LRs far above the best, would narrow the forecast"
        )
    if not any(_anneals(run.schedule) for run in runs):
        lines.append(
            "no pilot lowers its LR by half or more: the gain from annealing is extrapolated; add "
            "a pilot with a cooldown"
        )
    for run in runs:
        _, ratio = law.residuals[run.name]
        late = float(np.mean(ratio[-max(len(ratio) // 10, 1) :]))
        if abs(late) > max(3 * law.spread, 0.01):
            lines.append(f"{run.name}: its end lies {-late:+.1%} from the law fitted to all runs")
    return lines


def _anneals(schedule: Schedule) -> bool:
    return schedule(schedule.horizon) <= 0.5 * schedule.peak
