"""Taking up what an earlier driver left, however it ended."""

from __future__ import annotations

import contextlib

from etastar._errors import InputError

from . import _process
from ._conclusion import Conclusion
from ._judgement import is_over
from ._queue import PilotQueue
from ._record import PilotRecord, PilotStatus
from ._screen import Screen
from ._store import PilotStore
from ._watch import RunWatch, status_of
from ._workers import Workers


class Recovery:
    """Looks through a store before a sweep goes on in it.

    Arguments:
        store: what an earlier driver left.
        workers: asked to watch runs that are still under way.
        queue: gets the pilots that are to start again.
        conclusion: gets the runs that ended while nobody watched.
        screen: is told.
        watches: gets the runs that are still under way, by name.
    """

    def __init__(
        self,
        store: PilotStore,
        workers: Workers,
        queue: PilotQueue,
        conclusion: Conclusion,
        screen: Screen,
        watches: dict[str, RunWatch],
    ) -> None:
        self._store, self._workers, self._queue = store, workers, queue
        self._conclusion, self._screen, self._watches = conclusion, screen, watches

    def run(self) -> None:
        """Check logs, take up what is under way, try again what was set aside.

        Raises: InputError where files cannot be written, or the training itself does not work.
        """
        for record in self._store.records.values():
            if not record.ended:
                self._take_up(record)
            elif record.status != PilotStatus.SET_ASIDE:
                self._check_log(record)
        self._try_set_aside_again()
        if self._store.records:
            kept = sum(record.ended for record in self._store.records.values())
            taken_up = len(self._queue.again) + len(self._watches)
            self._screen.say(f"goes on: {kept} ended runs kept, {taken_up} taken up")

    def _take_up(self, record: PilotRecord) -> None:
        name = record.pilot.name
        folder = self._store.runs / name
        if self._workers.adopt(name):
            self._watches[name] = RunWatch(record, self._store)
            waits = "waiting for a place" if self._workers.waits(name) else "running"
            self._screen.say(f"{name}: still {waits}, watched again")
        elif not (folder / _process.OUTPUT).exists():  # killed before it was started
            self._queue.again.append(record)
        elif _process.exit_code(folder) is not None or self._is_over(record):
            self._conclusion.ended(record, earlier=True)
        else:  # taken away with the driver, or with the machine: no fault of its own
            self._queue.again.append(record)
            self._screen.say(f"{name}: was cut off, started again")

    def _is_over(self, record: PilotRecord) -> bool:
        with contextlib.suppress(InputError):
            status = status_of(self._store, record)
            return status is not None and is_over(status, record.pilot.steps)
        return False

    def _check_log(self, record: PilotRecord) -> None:
        """A log that was damaged: put it back from the run's folder, or make the run again."""
        try:
            self._store.read(record)
            return
        except InputError as error:
            what = f"{record.pilot.name}: its log cannot be read ({error})"
        try:
            run = self._store.work_run(record)
        except InputError:
            moved = self._store.move_away(record)
            self._queue.again.append(record)
            self._screen.say(f"{what}, kept as {moved}; run again")
            return
        self._store.publish(record, record.status, run)
        self._screen.say(f"{what}; restored")

    def _try_set_aside_again(self) -> None:
        """The user may have fixed the training; within the budget, one start is worth it."""
        for record in self._store.of_status(PilotStatus.SET_ASIDE):
            running = (each.pilot for each in self._store.of_status(PilotStatus.RUNNING))
            if self._queue.cost(record.pilot) <= self._queue.left(running):
                record.status, record.failures, record.hangs = PilotStatus.RUNNING, [], 0
                self._queue.again.append(record)
