"""Standard schedules that have the rates of another at every update, whatever that is made of."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq

from etastar.schedule import (
    Constant,
    Cosine,
    InverseSqrt,
    Linear,
    Polynomial,
    Schedule,
    Shape,
    WarmupStableDecay,
)

ROUNDING = 1e-9
"""Rates this close, over the peak, are the same: a trainer's float32 tells 6e-8 apart."""

PLATEAU = 1e-15
"""A rate this close to the peak, over it, is at the peak: a few roundings."""

POINTS = 64
"""Updates looked at between two steps where a schedule is not smooth: all of up to so many. Two
curves of a few parameters that agree at more of them than they have parameters are one curve."""

POWERS = (0.01, 100.0)
"""Powers of a polynomial from and to which one is looked for."""

DECAYS: dict[str, Callable[[float], float]] = {
    "linear": lambda left: 1.0 - left,
    "sqrt": lambda left: (1.0 - left) ** 2,
    "cosine": lambda left: math.acos(2.0 * left - 1.0) / math.pi,
}
"""Kinds of a cooldown, each with the part of its steps that is done where `left` of it is to come:
the inverse of its g in `WarmupStableDecay`."""


def equal_standards(schedule: Schedule) -> Iterator[Schedule]:
    """The standard schedules that have a schedule's rates at every update, the simplest first.

    Their numbers are read off the rates: the peak, the first update and the last one at it, and the
    rate at the end, which is no update's own. Each is then held against the schedule itself.

    Arguments:
        schedule: any, such as a join or a table.

    >>> from etastar.schedule import parse_schedule
    >>> join = "join:constant:peak=0.1,horizon=50,warmup=5 then linear:peak=0.1,horizon=50"
    >>> next(equal_standards(parse_schedule(join))).spec
    'wsd:peak=0.1,horizon=100,warmup=5,cooldown=50,decay=linear'
    """
    for candidate in _read_off(schedule):
        steps = _updates(schedule.horizon, schedule, candidate)
        if np.all(np.abs(candidate(steps) - schedule(steps)) <= ROUNDING * schedule.peak):
            yield candidate


def _updates(horizon: int, *schedules: Schedule) -> NDArray[np.float64]:
    """The updates that tell schedules apart: `POINTS` of each part where all are smooth."""
    points = np.unique(np.concatenate([schedule.breakpoints for schedule in schedules]))
    first, last = np.ceil(points[:-1])[:, None], np.floor(points[1:])[:, None]
    steps = np.rint(first + np.linspace(0.0, 1.0, POINTS) * np.maximum(last - first, 0.0))
    return np.unique(np.minimum(steps, horizon - 1.0))


def _read_off(schedule: Schedule) -> Iterator[Schedule]:
    """Every standard schedule that the schedule might be, by its peak and where that is held."""
    horizon, end = schedule.horizon, schedule(schedule.horizon)
    updates = _updates(horizon, schedule)
    # A warmup may be as long as the run, and its peak then the rate at the end.
    for steps in (np.append(updates, float(horizon)), updates):
        rates = schedule(steps)
        highest = float(rates.max())
        if highest == 0.0:
            continue
        peak = schedule.peak if math.isclose(highest, schedule.peak) else highest
        held = steps[rates >= highest * (1.0 - PLATEAU)]
        ratios = _Ratios(steps, rates / peak, horizon, int(held[0]), end / peak)
        for shape in _shapes(ratios, float(held[-1])):
            for final in ratios.finals(shape):
                yield Schedule(shape, peak, horizon, ratios.warmup, *final)


@dataclass(frozen=True)
class _Ratios:
    """Rates over the peak, in order of the update; `end` is that at the horizon."""

    steps: NDArray[np.float64]
    ratio: NDArray[np.float64]
    horizon: int
    warmup: int
    end: float

    def middle(self, start: float) -> tuple[float, float]:
        """The update in the middle of a fall from a start to the horizon, and its ratio."""
        at = int(np.argmin(np.abs(self.steps - (start + self.horizon) / 2)))
        return float(self.steps[at]), float(self.ratio[at])

    def finals(self, shape: Shape) -> list[tuple[float, ...]]:
        """Ends of a shape that the rates allow: 0, that of the horizon, or the last update's.

        No update has the rate of the horizon itself. Where that is another, the end follows from
        the last update: ratio = final + (1 - final) g, with g the part of the fall still to come.
        """
        if not shape.takes_final:
            return [()]
        ends = {0.0, min(self.end, 1.0)}
        left = Schedule(shape, 1.0, self.horizon, self.warmup)(float(self.steps[-1]))
        if left < 1.0:
            ends.add(_rounded(np.clip((self.ratio[-1] - left) / (1.0 - left), 0.0, 1.0)))
        return [(end,) for end in sorted(ends)]


def _shapes(ratios: _Ratios, held: float) -> Iterator[Shape]:
    """Shapes that leave the peak after the warmup, or where it is last held."""
    yield from (Constant(), Linear(), Cosine(), InverseSqrt())
    power = _power(ratios)
    if power is not None:
        yield Polynomial(power)
    for decay, part_done in DECAYS.items():
        for start in (held, *_starts(ratios, held, part_done)):
            cooldown = ratios.horizon - start
            if ratios.warmup <= start and cooldown > 0.0:
                whole = cooldown == round(cooldown)
                yield WarmupStableDecay(cooldown if whole else cooldown / ratios.horizon, decay)


def _starts(ratios: _Ratios, held: float, part_done: Callable[[float], float]) -> Iterator[float]:
    """Starts of a cooldown between two updates, from the part of it that is done in its middle."""
    step, ratio = ratios.middle(held)
    for end in {0.0, ratios.end}:
        left = (ratio - end) / (1.0 - end) if end < 1.0 else 0.0
        if 0.0 < left < 1.0:
            part = part_done(left)
            start = (step - part * ratios.horizon) / (1.0 - part)
            if held < start < held + 1.0:
                yield _rounded(start)


def _power(ratios: _Ratios) -> float | None:
    """The power of a polynomial through the update in the middle of the fall and the last one.

    The last, of which r steps in R are left, gives the end for each power p: ratio = end +
    (1 - end) (r/R)^p. Then p is where that in the middle agrees.
    """
    horizon, length = ratios.horizon, max(ratios.horizon - ratios.warmup, 1)
    step, wanted = ratios.middle(float(ratios.warmup))
    last, least = float(ratios.steps[-1]), float(ratios.ratio[-1])

    def off(power: float) -> float:
        left = [max((horizon - at) / length, 0.0) ** power for at in (step, last)]
        end = (least - left[1]) / (1.0 - left[1])
        return end + (1.0 - end) * left[0] - wanted

    if not ratios.warmup < step < last or off(POWERS[0]) * off(POWERS[1]) >= 0.0:
        return None
    found: Any = brentq(off, *POWERS, xtol=1e-14)
    return _rounded(found)


def _rounded(value: float) -> float:
    """Without the digits that rounding has left of a value that was solved for."""
    return float(f"{value:.11g}")
