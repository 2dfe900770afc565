"""How long work says where it is."""

from __future__ import annotations

from typing import Protocol


class Progress(Protocol):
    """Whom long work tells of its stages: any function of a stage, and of how much of it is done.

    It is called with (stage, 0, total) when a stage begins, and with (stage, done, total) whenever
    another part of it is done: a name for people to read, and two numbers of parts. It is called in
    the thread of the work, which waits for it, and what it raises ends the work.

    >>> from etastar.law import backtest
    >>> from etastar.runs import read_runs
    >>> first, second, *_ = read_runs("examples/gpt/pilots")
    >>> tested = backtest([first], [second], form="power", progress=print)
    fitting the law 0 1
    fitting the law 1 1
    predicting 0 1
    predicting 1 1
    """

    def __call__(self, stage: str, done: int, total: int, /) -> None:
        """Take note that `done` of the `total` parts of a `stage` are done."""
