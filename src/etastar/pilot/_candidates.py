"""The runs that may be made: peaks of a grid x horizons that halve x shapes."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from etastar.robust import grid_ratio, last_iterate
from etastar.schedule import Schedule, make_schedule

ACCEPTED = 1.1
"""What the grid of peaks may cost: the last-iterate bound at its best peak over the best."""

HALVINGS = 4
"""Horizons of candidates: the longest, a half, a quarter and an eighth of it."""

COOLDOWN_PARTS = (0.1, 0.2, 0.4)
"""Cooldowns of WSD candidates, as parts of their steps."""

MOST_PEAKS = 10
"""Peaks of the grid at most; over a range that needs more, the grid is coarser."""


@dataclass(frozen=True)
class Candidate:
    """A run that may be made.

    Attributes:
        name: that of the pilot it would be.
        schedule: the learning rate of every update.
        flat: updates after which its rate is that of its peak no longer; 0 where it is annealed
            from the start, so that it shares no part with other runs.
    """

    name: str
    schedule: Schedule
    flat: int


def candidates_between(low: float, high: float, longest: int, warmup: int) -> list[Candidate]:
    """All runs that may be made.

    Arguments:
        low, high: the lowest and the highest peak learning rate.
        longest: updates of the longest run.
        warmup: updates of linear warmup of every run; runs shorter than four times this are left
            out, as the law is fitted to what follows the warmup.
    """
    found = []
    for peak in _grid(low, high, _coarsest_ratio(longest)):
        for halving in range(HALVINGS):
            steps = longest >> halving
            if steps < max(8, 4 * warmup):
                continue
            common = {"peak": peak, "horizon": steps, "warmup": warmup}
            for shape in ("constant", "cosine", "linear"):
                schedule = make_schedule(shape, **common)
                flat = steps if shape == "constant" else 0
                found.append(Candidate(pilot_name(schedule), schedule, flat))
            for part in COOLDOWN_PARTS:
                cooldown = max(round(part * steps), 1)
                schedule = make_schedule("wsd", cooldown=cooldown, **common)
                found.append(Candidate(pilot_name(schedule, part), schedule, steps - cooldown))
    return found


def pilot_name(schedule: Schedule, cooldown: float | None = None) -> str:
    """The name of a pilot, from its shape, cooldown, peak and horizon.

    >>> pilot_name(make_schedule("wsd", peak=0.001, horizon=500, cooldown=100), 0.2)
    'wsd20_p0.001_h500'
    """
    shape = schedule.shape.name + ("" if cooldown is None else f"{100 * cooldown:.0f}")
    return f"{shape}_p{schedule.peak:g}_h{schedule.horizon}"


def _coarsest_ratio(longest: int) -> float:
    """The coarsest ratio of neighbouring peaks that all annealed shapes of pilots allow.

    It hardly depends on the horizon, so one of at most 4096 updates stands for all longer ones.
    """
    horizon = min(max(longest, 64), 4096)
    shapes = [make_schedule(name, peak=1.0, horizon=horizon) for name in ("cosine", "linear")]
    shapes += [make_schedule("wsd", peak=1.0, horizon=horizon, cooldown=x) for x in COOLDOWN_PARTS]
    return min(grid_ratio(last_iterate(shape), ACCEPTED) for shape in shapes)


def _grid(low: float, high: float, ratio: float) -> list[float]:
    """Peaks from low to high, evenly in the logarithm, three digits each."""
    count = min(int(np.ceil(np.log(high / low) / np.log(ratio) - 1e-9)) + 1, MOST_PEAKS)
    return sorted({float(f"{peak:.3g}") for peak in np.geomspace(high, low, count)})
