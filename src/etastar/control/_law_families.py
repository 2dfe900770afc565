"""The standard schedules, each at its own best peak LR under a fitted law."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence

import numpy as np

from etastar._checks import HORIZON_LIMIT
from etastar.law import BatchSize, LossLaw
from etastar.schedule import Schedule, make_schedule

from ._limits import Limits, last_piece
from ._solution import Member

COOLDOWN_PARTS = (0.05, 0.1, 0.2, 0.4)
RANGE = 64.0
"""Peaks are searched from the cap down to cap / RANGE."""

Maker = Callable[[int, float], Schedule]
"""A shape as a function of (horizon, peak)."""


def family_makers(limits: Limits) -> dict[str, list[Maker]]:
    """For each standard family its shapes, as functions of (horizon, peak), within the limits.

    Where a shape would end below the floor its own `final` is raised to it. With a past the shape
    is what follows it and a warmup from its LR, to the whole's horizon.
    """

    def shape(name: str, **keys) -> Maker:
        def make(horizon: int, peak: float) -> Schedule:
            if limits.past is None:
                warmup = min(limits.warmup, horizon // 2)
                rest = make_schedule(name, peak=peak, horizon=horizon, warmup=warmup, **keys)
            else:
                rest = make_schedule(name, peak=peak, horizon=horizon - limits.start, **keys)
            return limits.whole(limits.raised(rest))

        return make

    return {
        "constant": [shape("constant")],
        "linear": [shape("linear")],
        "cosine": [shape("cosine")],
        "wsd": [
            shape("wsd", cooldown=part, decay=decay)
            for part in COOLDOWN_PARTS
            for decay in ("linear", "sqrt")
        ],
    }


def best_members(
    law: LossLaw, horizon: int, limits: Limits, batch_size: BatchSize = None
) -> list[Member]:
    """The member of each standard family with the lowest predicted final loss.

    Peaks on a grid of ratio 2^(1/2) from the cap down, then two rounds of a grid four times as fine
    around the best.

    Arguments:
        law: a fitted law, or an average of several.
        horizon: number of updates of the whole run.
        limits: what the LR may be, with a finite cap.
        batch_size: of the run, a number or a schedule of the same horizon; by default the law's
            reference.

    Returns: one `Member` a family: constant, linear, cosine, WSD (its best cooldown and decay), all
        within the limits.
    Raises: InputError for an infinite cap, or a horizon that leaves no update after the limits'
        past and warmup.

    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> steps = np.arange(100, 1001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * steps**-0.5 + lr,
    ...             make_schedule("constant", peak=lr, horizon=1000)) for lr in (0.01, 0.02)]
    >>> law = fit(runs, "power")
    >>> [member.family for member in best_members(law, 2000, Limits(cap=0.02))]
    ['constant', 'linear', 'cosine', 'wsd']
    """
    out = []
    below = limits.cap * np.exp2(-np.arange(0.5, np.log2(RANGE) + 0.25, 0.5))
    # But for the cap peaks that one would write down.
    coarse = np.array([limits.cap, *(float(f"{peak:.3g}") for peak in below)])
    coarse = coarse[coarse >= limits.floor]
    for family, shapes in family_makers(limits).items():
        candidates = [(make, peak) for make in shapes for peak in coarse]
        ratio = 2**0.5
        best = _best(law, horizon, batch_size, family, candidates)
        for _ in range(2):
            finer = best[1] * ratio ** np.linspace(-0.75, 0.75, 7)
            finer = [float(f"{peak:.3g}") for peak in finer]
            finer = np.unique(np.append(np.clip(finer, limits.floor, limits.cap), best[1]))
            around = [(best[0], peak) for peak in finer]
            best = _best(law, horizon, batch_size, family, around)
            ratio **= 0.25
        out.append(best[2])
    return out


def _best(
    law: LossLaw, horizon: int, batch_size: BatchSize, family: str, candidates: Sequence[tuple]
) -> tuple:
    schedules = [make(horizon, float(peak)) for make, peak in candidates]
    losses = law.final_losses(schedules, [batch_size] * len(schedules))
    i = int(np.argmin(losses))
    return (*candidates[i], Member(family, schedules[i], float(losses[i])))


FACTORS = np.array([1, 1.03, 1.07, 1.12, 1.2, 1.35, 1.5, 1.75, 2, 3, 5, 10, 30, 100])
"""Horizons, over that of the run, at which a family is asked for a loss."""


def steps_to_match(
    law: LossLaw, member: Member, loss: float, limits: Limits, batch_size: BatchSize = None
) -> float | None:
    """Steps at which the family of `member`, its peak re-tuned, reaches `loss`.

    The shape is stretched to horizons on a grid from 1 to 100 times its own, its peak tuned on a
    grid of ratio 2^(1/2), and the steps interpolated in the logarithm. Of a run with a past only
    what follows is stretched and tuned.

    Arguments:
        law: a fitted law, or an average of several.
        member: a standard schedule within the limits, and its loss under the law.
        loss: the loss to reach, in the unit of the runs.
        limits: what the LR may be.
        batch_size: of the runs, a number or a schedule that goes on as it ends; by default the
            law's reference.

    Returns: a number of updates of the whole run, at least that of `member`; None where it would
        take more than 100 times as many, or 1e15.

    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> steps = np.arange(100, 1001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * steps**-0.5 + lr,
    ...             make_schedule("constant", peak=lr, horizon=1000)) for lr in (0.01, 0.02)]
    >>> law, linear = fit(runs, "power"), make_schedule("linear", peak=0.01, horizon=1000)
    >>> now = Member("linear", linear, float(law.final_losses([linear])[0]))
    >>> steps_to_match(law, now, now.loss, Limits(cap=0.02))
    1000.0
    >>> steps_to_match(law, now, now.loss - 0.02, Limits(cap=0.02)) > 1500
    True
    """
    horizon = member.schedule.horizon
    if member.loss <= loss:
        return float(horizon)
    best: list[float] = []
    for factor in FACTORS:
        longer = round(horizon * factor)
        if longer >= HORIZON_LIMIT:
            return None
        tuned = list(_stretched(member.schedule, longer, limits))
        losses = law.final_losses(tuned, [batch_size] * len(tuned))
        best.append(float(losses.min()))
        if best[-1] <= loss:
            break
    reached = np.minimum.accumulate(np.append(min(best[0], member.loss), best[1:]))
    if reached[-1] > loss:
        return None
    log_steps = np.log(horizon * FACTORS[: len(reached)])
    return float(np.exp(np.interp(-loss, -reached, log_steps)))


def _stretched(schedule: Schedule, horizon: int, limits: Limits) -> Iterator[Schedule]:
    """A run of the same shape to another horizon, at peaks around its own."""
    shape = last_piece(schedule)
    before = schedule.horizon - shape.horizon
    longer = shape.stretched(horizon=horizon - before)
    if longer.shape.takes_final:  # the floor decides anew where it ends, for each peak
        longer = Schedule(longer.shape, longer.peak, longer.horizon, longer.warmup, final=0.0)
    peaks = np.clip(shape.peak * 2.0 ** np.arange(-2, 0.75, 0.5), limits.floor, limits.cap)
    for peak in np.unique(peaks[peaks > 0]):
        yield limits.whole(limits.raised(longer.scaled(peak=float(peak))))
