"""Which stage a command is in, and how long the rest may take."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping

from rich.progress import ProgressColumn, Task
from rich.text import Text

KNOWN = 0.2
"""The part of all weights that must be behind a command before it says what is left."""

KNOWN_LONG, LONG = 0.01, 1.5
"""The part that is enough where it took that many seconds: what is left is then worth knowing."""

RISE = 1.25
"""What is left is said to have grown only where it has by more than this factor."""


class Stages:
    """The stages of a command, told as they come by, and an estimate of what is left.

    The stages done took some seconds for each unit of their weights, and the rest is expected to
    take as many. A stage of weight 0 says nothing about the others.

    Arguments:
        weights: of the stages in their order; their ratios are those of the seconds they take.
        clock: gives seconds.

    >>> ticks = iter([0.0, 3.0, 3.5])
    >>> stages = Stages({"fitting": 1.0, "solving": 2.0}, clock=lambda: next(ticks))
    >>> stages("fitting", 0, 1); stages("fitting", 1, 1)
    >>> stages.left()  # solving takes twice as long, and half a second of it is over
    5.5
    """

    def __init__(
        self, weights: Mapping[str, float], clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._weights, self._clock = dict(weights), clock
        self.total = sum(weights.values())
        self.done = 0.0
        self.title = ""
        self._spent, self._since = 0.0, 0.0
        self._end: float | None = None

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Take note of where the work is."""
        now = self._clock()
        names = list(self._weights)
        place = names.index(stage)
        reached = sum(self._weights[name] for name in names[:place])
        reached += self._weights[stage] * done / total
        if reached > self.done:
            self._spent += now - self._since
            self.done = reached
        self._since = now
        self.title = stage if len(names) == 1 else f"{place + 1}/{len(names)} {stage}"

    def left(self) -> float | None:
        """Seconds that the rest may take; None while that is not known, or where they are over."""
        if not self._is_known():
            return None
        now = self._clock()
        end = self._since + self._spent / self.done * (self.total - self.done)
        # The pace changes from part to part: a number that goes up and down tells nothing.
        if self._end is None or not self._end < end <= now + RISE * max(self._end - now, 1.0):
            self._end = end
        return self._end - now if self._end > now else None

    def _is_known(self) -> bool:
        if self.done > KNOWN * self.total:
            return True
        return self._spent >= LONG and self.done > KNOWN_LONG * self.total


class LeftColumn(ProgressColumn):
    """What is left, in words."""

    def __init__(self, stages: Stages) -> None:
        super().__init__()
        self._stages = stages

    def render(self, task: Task) -> Text:
        """The column of one bar."""
        return Text(left_text(self._stages.left()))


def left_text(seconds: float | None) -> str:
    """Seconds left, in words; nothing where they are not known or less than one.

    >>> left_text(3.2), left_text(200.0), left_text(0.4), left_text(None)
    ('about 3 s left', 'about 3 min left', '', '')
    """
    if seconds is None or seconds < 1:
        return ""
    return f"{about(seconds)} left"


def about(seconds: float) -> str:
    """Seconds in words.

    >>> about(40.3), about(150.0)
    ('about 40 s', 'about 2 min')
    """
    return f"about {seconds:.0f} s" if seconds < 100 else f"about {seconds / 60:.0f} min"
