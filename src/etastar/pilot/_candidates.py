"""The runs that may be made: peaks of a grid x horizons that halve x shapes.

To add a shape: list it in `PILOT_SHAPES`. The candidates and the grid of peaks follow. What is
forecast at the horizon (`_forecast_error.py`) and what a plan compares (`_law_families.py` in
`etastar.control`) are lists of their own.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etastar.robust import grid_ratio, last_iterate
from etastar.schedule import Flat, Schedule, make_schedule

ACCEPTED = 1.1
"""What the grid of peaks may cost: the last-iterate bound at its best peak over the best."""

HALVINGS = 4
"""Horizons of candidates: the longest, a half, a quarter and an eighth of it."""

COOLDOWN_PARTS = (0.1, 0.2, 0.4)
"""Cooldowns of WSD candidates, as parts of their steps."""

MOST_PEAKS = 10
"""Peaks of the grid at most; over a range that needs more, the grid is coarser."""


@dataclass(frozen=True)
class PilotShape:
    """A shape that pilots may have, at any peak and horizon.

    Attributes:
        name: how the names of its pilots begin.
        shape: a name of `make_schedule`.
        keys: the shape's own keys. A cooldown is a part of the steps, and becomes whole ones.
    """

    name: str
    shape: str
    keys: Mapping[str, Any] = field(default_factory=dict)

    def schedule(self, peak: float, horizon: int, warmup: int = 0) -> Schedule:
        """The schedule of a run of this shape."""
        keys = dict(self.keys)
        if "cooldown" in keys:
            keys["cooldown"] = max(round(keys["cooldown"] * horizon), 1)
        return make_schedule(self.shape, peak=peak, horizon=horizon, warmup=warmup, **keys)


PILOT_SHAPES = (
    PilotShape("constant", "constant"),
    PilotShape("cosine", "cosine"),
    PilotShape("linear", "linear"),
    *(PilotShape(f"wsd{100 * x:.0f}", "wsd", {"cooldown": x}) for x in COOLDOWN_PARTS),
)
"""The shapes of pilots."""


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
            for shape in PILOT_SHAPES:
                schedule = shape.schedule(peak, steps, warmup)
                name = pilot_name(shape.name, schedule)
                found.append(Candidate(name, schedule, _flat_until(schedule)))
    return found


def pilot_name(begin: str, schedule: Schedule) -> str:
    """The name of a pilot, from that of its shape, its peak and its horizon.

    >>> pilot_name("wsd20", make_schedule("wsd", peak=0.001, horizon=500, cooldown=100))
    'wsd20_p0.001_h500'
    """
    return f"{begin}_p{schedule.peak:g}_h{schedule.horizon}"


def _flat_until(schedule: Schedule) -> int:
    """Updates after which the rate leaves the peak, 0 where it does so right after the warmup.

    >>> _flat_until(make_schedule("wsd", peak=1, horizon=500, warmup=10, cooldown=100))
    400
    """
    ends = [*(each.start for each in schedule.segments[1:]), float(schedule.horizon)]
    for each, end in zip(schedule.segments, ends, strict=True):
        if each.start >= schedule.warmup:
            held = isinstance(each.curve, Flat) and each.curve.rate == schedule.peak
            return int(end) if held else 0
    return 0


def _coarsest_ratio(longest: int) -> float:
    """The coarsest ratio of neighbouring peaks that all annealed shapes of pilots allow.

    It hardly depends on the horizon, so one of at most 4096 updates stands for all longer ones.
    """
    horizon = min(max(longest, 64), 4096)
    schedules = [shape.schedule(1.0, horizon) for shape in PILOT_SHAPES]
    annealed = [each for each in schedules if _flat_until(each) < horizon]
    return min(grid_ratio(last_iterate(each), ACCEPTED) for each in annealed)


def _grid(low: float, high: float, ratio: float) -> list[float]:
    """Peaks from low to high, evenly in the logarithm, three digits each."""
    count = min(int(np.ceil(np.log(high / low) / np.log(ratio) - 1e-9)) + 1, MOST_PEAKS)
    return sorted({float(f"{peak:.3g}") for peak in np.geomspace(high, low, count)})
