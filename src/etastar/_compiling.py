"""How long JAX has compiled in this process, so that the time of a solve can be told apart from it.

JAX compiles each program when it is first used, for longer than many a solve takes. It reports how
long tracing, lowering and compiling (or loading what an earlier process compiled) took. One such
time may lie within another, so that their sum would count it twice: here each moment counts once.
"""

from __future__ import annotations

import time
from collections.abc import Callable

_COMPILING = "/jax/core/compile/"


class Spans:
    """The moments covered by spans of time, of which one that holds another is told after it.

    >>> clock = iter([3.0, 5.0, 9.0])
    >>> spans = Spans(lambda: next(clock))
    >>> spans.ended(1.0); spans.ended(4.0); spans.ended(2.0)  # 2 to 3, 1 to 5, 7 to 9
    >>> spans.total
    6.0
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._apart: list[tuple[float, float]] = []
        self.total = 0.0

    def ended(self, seconds: float) -> None:
        """Take note of a span that ends now."""
        end = self._clock()
        start = end - seconds
        while self._apart and self._apart[-1][1] > start:
            first, last = self._apart.pop()
            self.total -= last - first
            start = min(start, first)
        self._apart.append((start, end))
        self.total += end - start


_SPENT = Spans()


def listen() -> None:
    """Have JAX report its compilations; called once, where JAX is configured."""
    import jax

    jax.monitoring.register_event_duration_secs_listener(_take)


def compiling_seconds() -> float:
    """Seconds that JAX has compiled in this process so far; 0 where it was not loaded.

    >>> import jax, etastar._precision
    >>> before = compiling_seconds()
    >>> double = jax.jit(lambda x: 2 * x)
    >>> float(double(1.5)), compiling_seconds() > before
    (3.0, True)
    """
    return _SPENT.total


def running_seconds() -> float:
    """A clock that stands still while JAX compiles: only its differences mean something.

    >>> began = running_seconds()
    >>> running_seconds() >= began
    True
    """
    return time.monotonic() - _SPENT.total


def _take(event: str, duration_secs: float, **_: object) -> None:
    if event.startswith(_COMPILING):
        _SPENT.ended(duration_secs)
