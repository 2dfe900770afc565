"""The standard schedules, each at its own best peak LR under a fitted law."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, NamedTuple

import numpy as np

from etastar.law import AverageLaw, Law
from etastar.schedule import Schedule, join, make_schedule, table

from ._solution import Member

COOLDOWNS = (0.05, 0.1, 0.2, 0.4)
RANGE = 64.0
"""Peaks are searched from the cap down to cap / RANGE."""


class Past(NamedTuple):
    """What a run has done: the `schedule` that was in force for its first `step` updates.

    >>> from etastar.schedule import parse_schedule
    >>> past = Past(parse_schedule("constant:peak=0.1,horizon=100"), 60)
    >>> whole = past.then(parse_schedule("linear:peak=0.2,horizon=30"), warmup=10)
    >>> whole.horizon, whole(59), round(whole(65), 3), whole(70), whole(100)
    (100, 0.1, 0.15, 0.2, 0.0)
    """

    schedule: Schedule
    step: int

    @property
    def rate(self) -> float:
        """The LR that it has come to."""
        return float(self.schedule(max(self.step - 1, 0)))

    def then(self, rest: Schedule, warmup: int = 0) -> Schedule:
        """The whole run: what it did, a line to the first LR of `rest`, and `rest` after that.

        The line takes `warmup` updates; `rest` is counted from its own step 0.
        """
        start = self.step + warmup
        pieces = [(self.schedule, self.step)]
        if warmup > 0:
            pieces.append((table([0, warmup], [self.rate, rest(0)]), start))
        return join([*pieces, (rest, start + rest.horizon)])


def family_makers(
    warmup: int, past: Past | None = None
) -> dict[str, list[Callable[[int, float], Schedule]]]:
    """For each standard family its shapes, as functions of (horizon, peak).

    With a `past` the shape is what follows it and a warmup from its LR, to the whole's horizon.
    """

    def shape(name: str, **keys) -> Callable[[int, float], Schedule]:
        def fresh(horizon: int, peak: float) -> Schedule:
            steps = min(warmup, horizon // 2)
            return make_schedule(name, peak=peak, horizon=horizon, warmup=steps, **keys)

        def after(past: Past, horizon: int, peak: float) -> Schedule:
            left = horizon - past.step - warmup
            return past.then(make_schedule(name, peak=peak, horizon=left, **keys), warmup)

        return fresh if past is None else partial(after, past)

    cooldowns = [
        shape("wsd", cooldown=part, decay=decay)
        for part in COOLDOWNS
        for decay in ("linear", "sqrt")
    ]
    return {
        "constant": [shape("constant")],
        "linear": [shape("linear")],
        "cosine": [shape("cosine")],
        "wsd": cooldowns,
    }


def best_members(
    law: Law | AverageLaw, horizon: int, warmup: int, cap: float, past: Past | None = None
) -> list[Member]:
    """The member of each standard family with the lowest predicted final loss, peaks up to `cap`.

    Peaks on a grid of ratio 2^(1/2), then two rounds of a grid four times as fine around the best.

    Arguments: a fitted law, the horizon in updates, warmup in updates, the largest peak allowed,
    and what the run has done already, if anything.
    Returns: one `Member` a family: constant, linear, cosine, WSD (its best cooldown and decay).
    """
    out = []
    coarse = cap * np.exp2(-np.arange(0, np.log2(RANGE) + 0.25, 0.5))
    for family, shapes in family_makers(warmup, past).items():
        candidates = [(make, peak) for make in shapes for peak in coarse]
        ratio = 2**0.5
        best = _best(law, horizon, family, candidates)
        for _ in range(2):
            finer = best[1] * ratio ** np.linspace(-0.75, 0.75, 7)
            finer = [float(f"{peak:.3g}") for peak in finer]  # a peak that one would write down
            finer = np.unique(np.append(np.minimum(finer, cap), best[1]))
            best = _best(law, horizon, family, [(best[0], peak) for peak in finer])
            ratio **= 0.25
        out.append(best[2])
    return out


def _best(law: Law | AverageLaw, horizon: int, family: str, candidates: Sequence[tuple]) -> tuple:
    schedules = [make(horizon, float(peak)) for make, peak in candidates]
    losses = law.final_losses(schedules)
    i = int(np.argmin(losses))
    return (*candidates[i], Member(family, schedules[i], float(losses[i])))


def steps_to_match(
    law: Law | AverageLaw, member: Member, loss: float, cap: float, past: Past | None = None
) -> float | None:
    """Steps at which the family of `member`, its peak re-tuned, reaches `loss`; None beyond 100x.

    The shape is stretched to horizons on a grid from 1 to 100 times its own, its peak tuned on a
    grid of ratio 2^(1/2), and the steps interpolated in the logarithm. Of a run with a past only
    what follows is stretched and tuned.
    """
    horizon = member.schedule.horizon
    shape = last_piece(member.schedule)
    before = horizon - shape.horizon
    if member.loss <= loss:
        return float(horizon)
    factors = np.array([1, 1.03, 1.07, 1.12, 1.2, 1.35, 1.5, 1.75, 2, 3, 5, 10, 30, 100])
    best = []
    for factor in factors:
        stretched = shape.stretched(horizon=round(horizon * factor) - before)
        peaks = np.unique(np.minimum(shape.peak * 2.0 ** np.arange(-2, 0.75, 0.5), cap))
        tuned = [stretched.scaled(peak=float(peak)) for peak in peaks]
        if past is not None:
            tuned = [past.then(rest, before - past.step) for rest in tuned]
        losses = law.final_losses(tuned)
        best.append(losses.min())
        if best[-1] <= loss:
            break
    reached = np.minimum.accumulate(np.append(min(best[0], member.loss), best[1:]))
    if reached[-1] > loss:
        return None
    log_steps = np.log(horizon * factors[: len(reached)])
    return float(np.exp(np.interp(-loss, -reached, log_steps)))


def last_piece(schedule: Schedule) -> Schedule:
    """What a joined schedule does last, such as one of `Past.then` after its warmup; else all.

    >>> from etastar.schedule import parse_schedule
    >>> linear = parse_schedule("linear:peak=0.2,horizon=30")
    >>> last_piece(Past(linear, 20).then(linear)) == last_piece(linear) == linear
    True
    """
    pieces: Any = getattr(schedule.shape, "pieces", ())
    return pieces[-1][0] if pieces else schedule
