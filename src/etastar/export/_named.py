"""Frameworks that know standard schedules by name, and nothing else."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import ClassVar

import numpy as np

from etastar.schedule import (
    Constant,
    GroupSchedules,
    InverseSqrt,
    Polynomial,
    Schedule,
    Shape,
    WarmupStableDecay,
)

from ._target import Target

POWERS = (0.5, 1.5, 2.0, 3.0, 4.0, 6.0)
"""Powers of a polynomial that are tried; 1 is `linear`."""

COOLDOWN_PERCENTS = tuple(range(5, 100, 5))
"""Lengths of a cooldown that are tried, in percent of the horizon."""


class NamedShapes(Target):
    """A framework that knows some standard shapes, and WSD with some kinds of decay.

    WSD (warmup, stable, decay) holds the peak and falls in a cooldown at the end.

    Attributes:
        shapes: the classes of the shapes that it has, WSD apart.
        decays: the kinds of decay of a WSD that it has, each with the framework's own word.
    """

    shapes: ClassVar[tuple[type[Shape], ...]]
    decays: ClassVar[Mapping[str, str]]

    def takes(self, schedule: Schedule) -> bool:
        match schedule.shape:
            case WarmupStableDecay(decay=decay):
                return decay in self.decays
            case shape:
                return isinstance(shape, self.shapes)

    def standards(self, *, horizon: int, warmup: int, final: float) -> Iterator[Schedule]:
        for shape in self._tried(horizon, warmup):
            if isinstance(shape, Constant | InverseSqrt):
                yield Schedule(shape, 1.0, horizon, warmup)
            else:
                for end in sorted({0.0, final}):
                    yield Schedule(shape, 1.0, horizon, warmup, end)

    def _tried(self, horizon: int, warmup: int) -> Iterator[Shape]:
        for kind in self.shapes:
            if kind is Polynomial:
                yield from map(Polynomial, POWERS)
            # Without a warmup frameworks start it at different updates.
            elif warmup or kind is not InverseSqrt:
                yield kind()
        for percent in COOLDOWN_PERCENTS:
            cooldown = round(percent * horizon / 100)
            if 1 <= cooldown <= horizon - warmup:
                yield from (WarmupStableDecay(cooldown, decay) for decay in self.decays)

    def notes(self, schedule: Schedule) -> list[str]:
        if not isinstance(schedule.shape, WarmupStableDecay):
            return []
        steps = _cooldown(schedule.shape, schedule.horizon)
        if steps == round(steps):
            return []
        return [f"the cooldown of {steps:.6g} updates is rounded to {_at_least_one(steps)}"]


def falling_updates(schedule: Schedule) -> int:
    """Updates over which the rate falls, whole as frameworks count them; 0 for a constant.

    >>> from etastar.schedule import parse_schedule
    >>> falling_updates(parse_schedule("cosine:peak=1,horizon=100,warmup=10"))
    90
    >>> falling_updates(parse_schedule("wsd:peak=1,horizon=101,cooldown=0.2"))
    20
    """
    match schedule.shape:
        case WarmupStableDecay() as shape:
            return _at_least_one(_cooldown(shape, schedule.horizon))
        case Constant():
            return 0
    return schedule.horizon - schedule.warmup


def end_ratio(schedule: Schedule) -> float:
    """The rate that a fall ends at, over the peak; 0 for a constant, which has no fall."""
    return 0.0 if isinstance(schedule.shape, Constant) else schedule.final


def multiples(groups: GroupSchedules) -> dict[str, float]:
    """The groups whose LR is that of the first times a ratio at every update, with the ratio.

    >>> first = "linear:peak=0.2,horizon=9"
    >>> multiples(GroupSchedules({"muon": first, "head": 0.5, "rest": "cosine:peak=1,horizon=9"}))
    {'head': 0.5}
    """
    first = groups[groups.planned]
    steps = np.linspace(0, first.horizon, 1001)
    return {
        name: ratio
        for name, ratio in list(groups.ratios.items())[1:]
        if np.allclose(groups[name](steps), ratio * first(steps), 1e-9, 1e-9 * groups[name].peak)
    }


def _cooldown(shape: WarmupStableDecay, horizon: int) -> float:
    return horizon - shape.cooldown_start(horizon)


def _at_least_one(steps: float) -> int:
    return max(round(steps), 1)


def warmup_ahead(framework: str, schedule: Schedule) -> list[str]:
    """The note for a framework whose warmup is one update ahead of ours; none without a warmup."""
    if not schedule.warmup:
        return []
    return [
        f"{framework}'s warmup is one update ahead: (t + 1)/warmup of the peak at update t, "
        "here t/warmup; from there on both are the same"
    ]
