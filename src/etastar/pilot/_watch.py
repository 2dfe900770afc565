"""What is seen of runs: how far one under way is, and what one that ended has left."""

from __future__ import annotations

import time
from collections.abc import Iterable
from pathlib import Path

from etastar._errors import InputError
from etastar.runs import LogStatus

from . import _process
from ._job import begin_of
from ._judgement import Ending
from ._record import PilotRecord
from ._screen import RunProgress
from ._store import PilotStore


class RunWatch:
    """A run under way, seen through its log and what it prints.

    Attributes:
        record: the run.
        status: what its log said at the last look, None before its first row.
        longest_gap: seconds between two rows at most, 0 before the second row; as seen here, so
            that neither the clocks nor the buffers of other machines matter.
    """

    def __init__(self, record: PilotRecord, store: PilotStore) -> None:
        self.record = record
        self.status: LogStatus | None = None
        self.longest_gap = 0.0
        self._store = store
        self._folder = store.runs / record.pilot.name
        self._seen_alive = self._seen_row = time.monotonic()
        self._waits = True
        self._signs: tuple[int, ...] = ()
        self._first: tuple[float, float] | None = None  # when, and which step

    def look(self, waits: bool = False) -> None:
        """Take in what the log says now; `waits` says that the run waits for a place.

        A run that has been sent back to wait, as by a job of more importance, begins anew.
        """
        now = time.monotonic()
        self._waits = waits
        if waits:
            self._seen_alive = self._seen_row = now
            self.status = self._first = None
            self._signs = ()
            return
        try:
            log = self._store.log_of(self.record.pilot.name)
            signs = _signs([self._folder / _process.OUTPUT, *([] if log is None else [log])])
            if signs == self._signs:
                return  # reading a long log several times a second would cost more than training
            self._signs, self._seen_alive = signs, now
            status = None if log is None else self._store.status(log)
        except (InputError, OSError):
            return  # half a row, or a file that is being replaced: the next look will do
        if status is None or (self.status is not None and status.step == self.status.step):
            return
        if self.status is not None:
            self.longest_gap = max(self.longest_gap, now - self._seen_row)
        self._first = self._first or (now, status.step)
        self.status, self._seen_row = status, now

    def silence(self) -> float:
        """Seconds since the last row; before the first, since the last sign of life.

        0 while it waits for a place in a cluster, as it also does after its node died.
        """
        if self._waits:
            return 0.0
        return time.monotonic() - (self._seen_alive if self.status is None else self._seen_row)

    def progress(self) -> RunProgress:
        """How far the run is, for a screen."""
        status = self.status
        return RunProgress(
            pilot=self.record.pilot,
            step=None if status is None else status.step,
            loss=None if status is None else status.loss,
            begin=begin_of(self._folder),
            seconds_left=self._seconds_left(),
        )

    def _seconds_left(self) -> float | None:
        if self._first is None or self.status is None or self.status.step <= self._first[1]:
            return None
        rate = (self.status.step - self._first[1]) / (self._seen_row - self._first[0])
        left = (self.record.pilot.steps - self.status.step) / rate
        return max(left - (time.monotonic() - self._seen_row), 0.0)


def status_of(store: PilotStore, record: PilotRecord) -> LogStatus | None:
    """What the log of a run says, None where there is none. Raises: InputError if unreadable."""
    log = store.log_of(record.pilot.name)
    return None if log is None else store.status(log)


def ending_of(store: PilotStore, record: PilotRecord, taken_by: str | None = None) -> Ending:
    """What is left of a run whose processes have ended; `taken_by` as the workers know it."""
    folder = store.runs / record.pilot.name
    status, run, unreadable = None, None, ""
    try:
        status = status_of(store, record)
        if status is not None:
            run = store.work_run(record)
    except InputError as error:
        unreadable = str(error)
    return Ending(
        exit_code=_process.exit_code(folder),
        log=status,
        run=run,
        unreadable=unreadable,
        printed=_process.last_words(folder),
        taken_by=taken_by,
    )


def _signs(paths: Iterable[Path]) -> tuple[int, ...]:
    """What changes when one of the files does, or one in a folder. Raises: OSError."""
    found: list[int] = []
    for path in paths:
        for file in path.iterdir() if path.is_dir() else [path]:
            if file.exists():
                state = file.stat()
                found += [state.st_mtime_ns, state.st_size]
    return tuple(found)
