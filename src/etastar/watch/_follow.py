"""A log that is followed while a training writes it."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import numpy as np

from etastar._errors import InputError
from etastar._files import is_folder
from etastar.law import Law
from etastar.runs import Run, live_log, log_status, read_runs
from etastar.schedule import Schedule

from ._report import RunReport, last_step, report_on

POLL = 2.0
"""Seconds between two looks at a log."""

SILENCE = 60.0
"""Seconds without a row after which a log that has no room for a further row has ended."""

PARTS = 100
"""By default a report follows after each hundredth of the horizon."""

PERSISTENT = 3
"""A log that has rows and cannot be read at so many looks is no log that is being written."""


class LiveRun:
    """The log of a training that may still be running, or has not begun.

    A log that is replaced by one that begins later (it was rotated) goes on: the rows read before
    stand before the new ones. One that begins anew takes the place of the other.

    Arguments:
        source: the log: a file, its path without suffix, or the folder that it lies in.
        schedule: of the run, where the log and the `runs.csv` beside it say none.
        options: further arguments of `etastar.runs.read_runs`, such as `loss` and `batch_size`.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "run.csv"
    >>> live = LiveRun(path, schedule="linear:peak=0.1,horizon=100")
    >>> print(live.read())
    None
    >>> _ = path.write_text("step,loss\\n10,4\\n20,3\\n")
    >>> live.read().step
    array([10., 20.])
    """

    def __init__(
        self,
        source: str | os.PathLike[str],
        *,
        schedule: Schedule | str | None = None,
        **options: Any,
    ) -> None:
        self.source = Path(source).expanduser()
        self._options = {**options, "schedule": schedule}
        self._signs: tuple[object, ...] = ()
        self._run: Run | None = None
        self._failed = 0
        self.problem: InputError | None = None
        """Why the last look at the log gave no run; None where it did, or where there is no log."""

    def read(self) -> Run | None:
        """The run so far; None before it has two rows, or where the log is away.

        Raises: InputError where the log has rows and cannot be read as one run, at the third look
            in succession: one that is being written may be cut anywhere.
        """
        log = live_log(self.source)
        if log is None:
            return self._run
        signs = _signs(log)
        if signs == self._signs:
            return self._run
        try:
            status = log_status(log)
        except InputError:  # no row yet, half of one, or columns that only the options name
            status = None
        try:
            runs = read_runs([log], **self._options)
            self.problem = None
        except InputError as error:
            self.problem = error
            # A log with one row has its step as the distance of its rows.
            self._failed += status is not None and status.gap != status.step
            if self._failed >= PERSISTENT:
                raise
            return self._run
        if len(runs) != 1:
            raise InputError(
                f"{log}: {len(runs)} runs ({', '.join(run.name for run in runs[:4])}, ...); name"
                " the log of one"
            )
        self._failed, self._signs = 0, signs
        self._run = _joined(self._run, runs[0])
        return self._run


def follow(
    live: LiveRun,
    law: Law | None = None,
    *,
    every: int | None = None,
    level: float = 0.9,
    share: float = 1.0,
    poll: float = POLL,
    wait: Callable[[float], object] = time.sleep,
) -> Iterator[RunReport]:
    """Reports of a run while its log grows, until it ends.

    The first report comes when the log has two rows, further ones every `every` updates, and one at
    the end. A run has ended where its log reaches the horizon, or has no room for a further row
    before it and is silent for a minute.

    Arguments:
        live: the log.
        law: fitted to pilots; without one, the run is forecast from its own log alone.
        every: updates between two reports; by default a hundredth of the horizon.
        level: of the intervals.
        share: part of the time, above 0 to 1, that may be spent on reports: after one that took a
            second, a share of 0.01 waits for 99 seconds.
        poll: seconds between two looks at the log.
        wait: how seconds are waited for; it may raise an exception to end the watch.

    Raises: InputError as `LiveRun.read`.
    """
    told, changed, last, diverged = -np.inf, time.monotonic(), -1.0, False
    while True:
        run = live.read()
        pause = poll
        if run is not None:
            now = time.monotonic()
            step = last_step(run)
            if step != last:
                last, changed = step, now
            ended = _is_over(run, now - changed)
            distance = max(run.schedule.horizon // PARTS, 1) if every is None else every
            due = not told <= step < told + distance
            if ended or due or run.diverged != diverged:
                spent = time.process_time()
                report = replace(report_on(run, law, level), ended=ended)
                told, diverged = step, run.diverged
                spent = time.process_time() - spent
                yield report
                if ended:
                    return
                pause = max(poll, spent * (1 / share - 1))
        wait(pause)


def _is_over(run: Run, silent: float) -> bool:
    horizon, step = run.schedule.horizon, last_step(run)
    if step >= horizon:
        return True
    gap = float(np.max(np.diff(run.step[-10:]))) if len(run.step) > 1 else run.final_step
    return step + gap > horizon and silent >= SILENCE


def _joined(before: Run | None, run: Run) -> Run:
    """The run, after the rows of a log that it goes on from."""
    if before is None or before.schedule != run.schedule or run.step[0] <= before.step[0]:
        return run
    kept = before.step < run.step[0]
    return replace(
        run,
        step=np.concatenate([before.step[kept], run.step]),
        loss=np.concatenate([before.loss[kept], run.loss]),
    )


def _signs(log: Path) -> tuple[object, ...]:
    """What changes when the log does."""
    found: list[object] = []
    try:
        for file in sorted(log.rglob("*")) if is_folder(log) else [log]:
            state = file.stat()
            found += [str(file), state.st_ino, state.st_mtime_ns, state.st_size]
    except OSError:  # gone meanwhile
        return (object(),)
    return tuple(found)
