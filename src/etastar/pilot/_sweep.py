"""The loop of a sweep: watch the runs, ask which pilots come next, start them."""

from __future__ import annotations

import contextlib
import signal
import threading
import time
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass

from etastar._errors import InputError

from ._advice import Advice, LookAhead
from ._command import TrainingCommand
from ._conclusion import Conclusion
from ._config import SweepConfig
from ._job import Job
from ._judgement import half_interval, is_disk_full, patience_for
from ._outlook import Outlook
from ._process import AlreadyRunning, still_runs
from ._proposal import Designer, Finished, Proposal
from ._queue import PilotQueue
from ._record import PilotRecord
from ._recovery import Recovery
from ._screen import Screen, SweepProgress
from ._store import PilotStore
from ._watch import RunWatch
from ._workers import Workers

BEAT = 0.2
"""Seconds between two looks at the runs."""

_FREE_SPACE = "free some space and start the same command again: what has ended is kept"


@dataclass(frozen=True)
class SweepResult:
    """What a sweep leaves.

    Attributes:
        finished: the pilots that ended, in the order in which they were started.
        steps: updates paid for.
        interval: relative half width of the 90% interval of the loss at the horizon by the
            designer (0.05 is 5% of the loss), None where it is not known.
        outlook: what the runs say of the horizon; None where they are too few.
        reason: why the sweep stopped, in one clause.
    """

    finished: tuple[Finished, ...]
    steps: int
    interval: float | None
    outlook: Outlook | None
    reason: str


class Sweep:
    """One driver over one store; `run` goes on from wherever the store stands."""

    def __init__(
        self,
        config: SweepConfig,
        command: TrainingCommand,
        store: PilotStore,
        workers: Workers,
        designer: Designer,
        look_ahead: LookAhead,
        screen: Screen,
    ) -> None:
        self._config, self._command, self._screen = config, command, screen
        self._store, self._workers = store, workers
        self._advice = Advice(designer, look_ahead)
        self._queue = PilotQueue(store.records, config.budget, command.branches)
        self._conclusion = Conclusion(store, self._queue, screen, config.retries)
        self._watches: dict[str, RunWatch] = {}
        self._recovery = Recovery(
            store, workers, self._queue, self._conclusion, screen, self._watches
        )
        self._reason = ""

    def run(self) -> SweepResult:
        """Run pilots until the designer has no more, the budget is spent or the interval reached.

        Raises: InputError for a full disk or a command that never works; KeyboardInterrupt. Runs
            under way are ended then, and the next call goes on.
        """
        with ThreadPoolExecutor(1) as thread, _ended_by_signals():
            try:
                self._recovery.run()
                while self._is_busy():
                    self._watch()
                    self._ask(thread)
                    self._start()
                    self._screen.show(self._progress())
                    time.sleep(BEAT)
            except BaseException as error:
                self._stop(error)
                if isinstance(error, InputError) and is_disk_full(str(error)):
                    raise InputError(f"{error}; {_FREE_SPACE}") from None
                raise
        proposal = self._advice.proposal
        return SweepResult(
            finished=tuple(self._store.finished()),
            steps=self._queue.paid(),
            interval=None if proposal is None else proposal.interval,
            outlook=self._advice.outlook,
            reason=self._reason,
        )

    def _is_busy(self) -> bool:
        return bool(self._watches or self._queue or self._is_choosing())

    def _is_choosing(self) -> bool:
        """Whether a run has ended and what to start after it is not known yet."""
        return self._advice.pending or self._advice.is_due(self._ended())

    def _ended(self) -> frozenset[str]:
        return frozenset(name for name, record in self._store.records.items() if record.ended)

    def _stop(self, error: BaseException) -> None:
        """End what runs. A second Ctrl-C leaves it running; the next start takes it up."""
        names = list(self._watches)
        if names:
            self._screen.say(f"ending {len(names)} running: {', '.join(names)}")
            self._workers.end(names)
        if isinstance(error, KeyboardInterrupt):
            kept = len(self._ended())
            self._screen.say(f"{kept} ended runs are kept; the same command goes on")

    # --------------------------------------------------------------------------------- watching

    def _watch(self) -> None:
        for name, watch in list(self._watches.items()):
            if self._workers.ended(name):
                del self._watches[name]
                self._conclusion.ended(watch.record, self._workers.taken_by(name))
                continue
            watch.look(self._workers.waits(name))
            silence = watch.silence()
            if watch.status is not None and watch.status.hopeless:
                self._end(name)
                self._conclusion.hopeless(watch)
            elif silence > self._patience(watch):
                self._end(name)
                self._conclusion.hung(watch, silence)

    def _end(self, name: str) -> None:
        self._workers.end([name])
        del self._watches[name]

    def _patience(self, watch: RunWatch) -> float:
        gaps = [each.longest_gap for each in self._watches.values()]
        has_row = watch.status is not None
        return patience_for(self._config.patience, has_row, watch.longest_gap, gaps)

    # ---------------------------------------------------------------------------------- choosing

    def _ask(self, thread: ThreadPoolExecutor) -> None:
        if not self._advice.pending and self._advice.is_due(self._ended()):
            running = [watch.record.pilot for watch in self._watches.values()]
            running += [record.pilot for record in self._queue.again]
            left = max(self._queue.left(running), 0)
            self._advice.ask(thread, self._store.finished(), running, left)
        first = self._advice.proposal is None
        proposal = self._advice.take()
        if proposal is not None:
            if first:
                paid = list(map(self._queue.cost, proposal.pilots))
                self._screen.design(proposal, paid, self._config.horizon)
            self._want(proposal)

    def _want(self, proposal: Proposal) -> None:
        """Queue what is proposed, unless the interval is what was asked for."""
        self._queue.propose(proposal)
        if not self._queue.proposed:
            self._reason = proposal.reason
        asked, half = self._config.interval, self._half_interval()
        if asked is not None and half is not None and half <= asked:
            self._queue.proposed.clear()
            self._reason = f"half the interval, {half:.2g}, is below the {asked:g} asked"

    def _half_interval(self) -> float | None:
        proposal = self._advice.proposal
        return half_interval(self._advice.outlook, proposal.interval if proposal else None)

    # ---------------------------------------------------------------------------------- starting

    def _start(self) -> None:
        while self._queue.again and self._workers.free() > 0:
            self._start_one(self._queue.again.popleft())
        if self._is_choosing():
            return
        while self._queue.proposed and self._workers.free() > 0:
            pilot = self._queue.next()
            if pilot is None:
                return
            running = (watch.record.pilot for watch in self._watches.values())
            if self._queue.cost(pilot) > self._queue.left(running):
                self._reason = f"the budget of {self._config.budget:,} steps is spent"
                continue  # a shorter one may still fit
            self._store.clear(pilot.name)
            record = self._store.records[pilot.name] = PilotRecord(pilot)
            self._store.save()  # first, so that a driver killed here leaves no run unknown
            self._start_one(record)

    def _start_one(self, record: PilotRecord) -> None:
        pilot = record.pilot
        self._watches[pilot.name] = RunWatch(record, self._store)
        try:
            self._workers.start(Job(self._command, pilot, self._queue.checkpoints(pilot)))
        except AlreadyRunning:
            del self._watches[pilot.name]
            raise InputError(still_runs(self._store.runs / pilot.name)) from None
        except OSError as error:
            del self._watches[pilot.name]
            raise InputError(f"{self._store.runs}: cannot be written: {error.strerror}") from None

    # ----------------------------------------------------------------------------------- showing

    def _progress(self) -> SweepProgress:
        return SweepProgress(
            runs=tuple(watch.progress() for watch in self._watches.values()),
            ended=len(self._ended()),
            steps=self._queue.paid(),
            budget=self._config.budget,
            horizon=self._config.horizon,
            half_interval=self._half_interval(),
            outlook=self._advice.outlook,
            choosing=self._advice.pending,
        )


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A polite kill and a closed terminal end the sweep as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield  # only the main thread may set handlers
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = [(s, signal.signal(s, interrupt)) for s in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
