"""Numbers and schedules in words, the same in the terminal and in the report."""

from __future__ import annotations

import math
from typing import Any

import numpy as np

from etastar.planning import Alternative, Estimate, PhaseEstimate, Plan
from etastar.schedule import Schedule

from ._numbers import (
    UNKNOWN,
    duration_text,
    exponent_text,
    rate_text,
    regret_text,
    size_text,
    steps_text,
)
from ._schedule import sampled, schedule_name

PHASE_MEANING = {
    "easy": (
        "Easy phase: the best peak LR falls as the horizon grows, and the LR should fall over a"
        " large part of the run rather than only at its end."
    ),
    "hard": (
        "Hard phase: the best peak LR does not move with the horizon; hold it, and anneal in a"
        " short last part. A longer run only lengthens the part that is held."
    ),
    "undetermined": (
        "Undetermined: the pilots cannot tell whether the peak LR should fall with the horizon"
        " (easy phase) or stay (hard phase). Pilots of other lengths would settle it."
    ),
}
NO_EXPONENTS = (
    "Unknown: the fitted law has no exponents that say whether the peak LR should fall with the"
    " horizon (easy phase) or stay (hard phase)."
)


def batch_text(plan: Plan) -> str:
    """The batch size, of a ramp with the part of the samples at which it changes; "" if unknown."""
    ramp = plan.ramp
    if not ramp or plan.samples is None:
        return ""
    parts = [size_text(ramp[0][1])]
    parts += [f"{size_text(size)} from {seen / plan.samples:.0%}" for seen, size in ramp[1:]]
    return parts[0] if len(parts) == 1 else f"{', '.join(parts)} of the samples on"


def budget_text(plan: Plan) -> str:
    """Samples, updates and, where the time of an update was given, time of the run."""
    parts = [f"{steps_text(plan.horizon)} updates"]
    if plan.samples is not None:
        parts.insert(0, f"{size_text(plan.samples)} samples")
    if plan.seconds is not None:
        parts.append(f"{duration_text(plan.seconds)} by the time of an update")
    return ", ".join(parts)


def size_interval(estimate: Estimate) -> str:
    """A batch size with its 90% interval, three digits each.

    >>> size_interval(Estimate(53.21, 30.0, 91.77))
    '53.2  (90%: 30 to 91.8)'
    """
    value, low, high = (f"{x:,.3g}" if x < 1000 else steps_text(x) for x in _values(estimate))
    return f"{value}  (90%: {low} to {high})"


def _values(estimate: Estimate) -> tuple[float, float, float]:
    return estimate.value, estimate.low, estimate.high


def groups_text(plan: Plan) -> str:
    """Which LR is planned and what the others keep, of a plan with several parameter groups."""
    assert plan.groups is not None
    kept = [
        f"{name} has {rate_text(ratio)} times it"
        for name, ratio in plan.groups.ratios.items()
        if name != plan.groups.planned
    ]
    return f"that of {plan.groups.planned}; {', '.join(kept)}"


def within_label(plan: Plan) -> str:
    """What `within_text` is of."""
    return f"within {plan.within.loss:g}"


def within_text(plan: Plan) -> str:
    """The peak LRs and batch sizes that cost little more than the plan."""
    low, high = plan.within.peak_lr
    text = f"peak LR from {rate_text(low)} to {rate_text(high)}"
    if plan.within.batch_size is not None:
        low, high = (f"{size:,.3g}" for size in plan.within.batch_size)
        text += f", or batch size from {low} to {high} at its own best LR"
    return text


def difference_text(other: Alternative) -> str:
    """The 90% interval of what an alternative loses more; a tie where it holds zero.

    >>> from etastar.schedule import parse_schedule
    >>> linear = parse_schedule("linear:peak=1,horizon=9")
    >>> difference_text(Alternative("linear", linear, 3.0, 0.1, None))
    ''
    """
    if other.difference is None:
        return ""
    if other.tie:
        return "tie"
    return f"{regret_text(other.difference.low)} to {regret_text(other.difference.high)}"


def interval_text(estimate: Estimate) -> str:
    """The 90% interval of an exponent.

    >>> interval_text(Estimate(0.5, 0.4, 0.625)), interval_text(Estimate(*3 * [math.nan]))
    ('0.400 to 0.625', 'unknown')
    """
    low, high = exponent_text(estimate.low), exponent_text(estimate.high)
    return UNKNOWN if low == high == UNKNOWN else f"{low} to {high}"


def has_phase(phase: PhaseEstimate) -> bool:
    """Whether the fitted law has the exponents that name a phase."""
    return math.isfinite(phase.xi.value)


def phase_meaning(phase: PhaseEstimate) -> str:
    """What a phase means for the choice of a schedule, in one or two sentences.

    >>> known = Estimate(0.3, 0.2, 0.4)
    >>> phase_meaning(PhaseEstimate("hard", known, known, known)).split(":")[0]
    'Hard phase'
    """
    return PHASE_MEANING.get(phase.name, phase.name) if has_phase(phase) else NO_EXPONENTS


def phase_text(plan: Plan) -> str:
    """What the phase means, and where the plans at other horizons show another picture, which.

    >>> phase_text(plan).split(",")[0]
    'Easy phase: the best peak LR falls as the horizon grows'
    """
    meaning = phase_meaning(plan.phase)
    how = peak_movement(plan)
    expected = {"easy": ("falls",), "hard": ("stays",)}.get(plan.phase.name)
    if not has_phase(plan.phase) or expected is None or how is None or how in expected:
        return meaning
    return f"{meaning} The plans of this page show it differently: {horizons_text(plan)}"


def peak_movement(plan: Plan) -> str | None:
    """How the peak LR of the plans moves with the horizon: falls, rises, stays, or stays capped.

    None where there are not two horizons; "stays" is within 5% from the first to the last.
    """
    peaks = [other.peak_lr for other in plan.other_horizons]
    if len(peaks) < 2:
        return None
    cap = math.inf if plan.limits is None else plan.limits.cap
    if min(peaks) >= 0.999 * cap:
        return "capped"
    ratio = peaks[-1] / peaks[0]
    return "falls" if ratio < 0.95 else "rises" if ratio > 1.05 else "stays"


def horizons_text(plan: Plan) -> str:
    """A sentence on how the peak LR of the plans moves with the horizon; "" for less than two.

    >>> horizons_text(plan)
    'from 4k to 8k steps the peak LR falls from 0.02 to 0.015.'
    """
    how = peak_movement(plan)
    if how is None:
        return ""
    first, last = plan.other_horizons[0], plan.other_horizons[-1]
    span = f"from {steps_text(first.horizon)} to {steps_text(last.horizon)} steps"
    if how == "capped":
        assert plan.limits is not None
        return (
            f"{span} every plan stands at the highest LR allowed, {rate_text(plan.limits.cap)}; the"
            " best may lie above it."
        )
    if how == "stays":
        return f"{span} the peak LR stays near {rate_text(last.peak_lr)}."
    peaks = f"{rate_text(first.peak_lr)} to {rate_text(last.peak_lr)}"
    return f"{span} the peak LR {how} from {peaks}."


def spec_of_the_rest(schedule: Schedule) -> str:
    """What a schedule is called; of one that goes on from a run, what is done last, from where.

    >>> from etastar.schedule import join, parse_schedule
    >>> done = parse_schedule("constant:peak=1,horizon=100")
    >>> spec_of_the_rest(join([(done, 60), (parse_schedule("linear:peak=1,horizon=40"), 100)]))
    'from step 60: linear:peak=1.0,horizon=40'
    """
    pieces: Any = getattr(schedule.shape, "pieces", ())
    if len(pieces) < 2:
        return schedule_name(schedule)
    return f"from step {pieces[-2][1]}: {schedule_name(pieces[-1][0])}"


def done_steps(plan: Plan) -> int:
    """Updates that a run has done already before the plan begins."""
    return 0 if plan.continuation is None else plan.continuation.step


def shape_in_words(schedule: Schedule, done: int = 0) -> str:
    """How the LR moves: warmup, how long it stays near its peak, where it halves, where it ends.

    Made from values, so that it holds for knots as well as for named shapes. "Near" is within 5%.

    >>> from etastar.schedule import parse_schedule
    >>> print(shape_in_words(parse_schedule("wsd:peak=1,horizon=1000,warmup=50,cooldown=0.2")))
    warmup over 50 steps, near its peak until step 810 (81%), half of it at step 900 (90%), 0 at the end
    >>> print(shape_in_words(parse_schedule("constant:peak=1,horizon=1000")))
    at its peak to the end
    """  # noqa: E501  (a doctest's output is one line)
    steps, rates = sampled(schedule, 4000)
    steps, rates = steps[steps >= done], rates[steps >= done]
    horizon, peak = schedule.horizon, float(rates.max())
    parts = []
    rise = float(steps[np.argmax(rates >= (1 - 1e-6) * peak)]) if done else steps_to_peak(schedule)
    if rates[0] < 0.5 * peak:
        start = f" from step {steps_text(done)}" if done else ""
        parts.append(f"warmup over {steps_text(rise - done)} steps{start}")
    after = steps >= rise
    steps, rates = steps[after], rates[after]
    if np.all(rates >= 0.999 * peak):
        return ", ".join([*parts, "at its peak to the end"])

    def last_above(part: float) -> float:
        above = np.flatnonzero(rates >= part * peak)
        return float(steps[above[-1]]) if len(above) else float(steps[0])

    def at(step: float) -> str:
        return f"step {steps_text(_rounded(step, horizon))} ({step / horizon:.0%})"

    near = last_above(0.95)
    near_peak = near - rise > 0.1 * horizon
    parts.append(f"near its peak until {at(near)}" if near_peak else "falling from the start")
    half = at(last_above(0.5))
    if rates[-1] < 0.5 * peak and half not in parts[-1]:
        parts.append(f"half of it at {half}")
    end = rates[-1] / peak
    parts.append("0 at the end" if end < 5e-4 else f"{100 * end:.2g}% of the peak at the end")
    return ", ".join(parts)


def steps_to_peak(schedule: Schedule) -> float:
    """Steps of warmup; of a schedule without one, such as knots, those before its highest rate.

    It differs from `Schedule.rise`, which ends where knots first stop rising.

    >>> from etastar.schedule import table
    >>> steps_to_peak(table([0, 10, 100], [0.0, 0.2, 0.1]))
    10.0
    """
    if schedule.warmup:
        return float(schedule.warmup)
    steps, rates = sampled(schedule, 4000)
    return float(steps[np.argmax(rates >= (1 - 1e-6) * schedule.peak)])


def _rounded(step: float, horizon: int) -> float:
    """A step to three digits of the horizon: more would pretend to a precision of the words."""
    unit = 10.0 ** max(0, math.floor(math.log10(horizon)) - 2)
    return round(step / unit) * unit
