"""The driver of a sweep: starts pilots, watches them, judges how they ended, asks for the next."""

from __future__ import annotations

import contextlib
import re
import signal
import threading
import time
from collections import deque
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING

from etastar._errors import InputError
from etastar.runs import Run

from . import _launch, _store
from ._launch import Command, Job
from ._progress import Line, Screen, View
from ._run_local import Workers
from ._store import DIVERGED, FINISHED, RUNNING, SET_ASIDE, Record, Store
from ._types import Designer, Finished, Pilot, Proposal

if TYPE_CHECKING:
    from ._outlook import Outlook

BEAT = 0.2
"""Seconds between two looks at the runs."""

FIRST_ROW = 1800.0
"""Seconds without a sign of life before the first row; later, `GAPS` of the longest gap so far."""
GAPS, LEAST_PATIENCE = 20.0, 300.0

HANGS = 2
"""A pilot that hangs this often is set aside."""

HOPELESS = 3
"""So many pilots set aside, and none that ended well: the command itself is at fault."""

_NO_SPACE = re.compile(r"No space left on device|Disk quota exceeded|\bErrno 28\b")
_FREE_SPACE = "free some space and start the same command again: what has ended is kept"
_SAID_DIVERGED = re.compile(r"loss\W{0,4}(?:is )?(?:nan|inf)\b|\bdiverged\b", re.I)


@dataclass(frozen=True)
class Wishes:
    """What a sweep is asked: budget in updates, when to stop, what to put up with."""

    horizon: int
    budget: int
    interval: float | None = None
    patience: float | None = None
    retries: int = 2


@dataclass(frozen=True)
class Swept:
    """What a sweep leaves.

    Attributes: `finished` (all pilots that ended), `steps` (updates paid for), `interval` (relative
    half width of the 90% interval at the horizon, None where unknown), `outlook`, `reason` (why it
    stopped, one sentence).
    """

    finished: tuple[Finished, ...]
    steps: int
    interval: float | None
    outlook: Outlook | None
    reason: str


class _Watch:
    """A run under way, seen through its log."""

    def __init__(self, record: Record) -> None:
        self.record = record
        self.started = self.alive = self.row = time.monotonic()
        self.longest_gap = 0.0
        self.state: tuple[int, ...] = ()
        self.glance: _store.Glance | None = None
        self.first: tuple[float, float] | None = None

    def look(self, store: Store) -> None:
        """Take in what the log says now."""
        name = self.record.pilot.name
        now = time.monotonic()
        try:
            path = store.log_of(name)
            state = _signs((store.runs / name / _launch.OUTPUT, path))
            if state == self.state:
                return
            self.state, self.alive = state, now
            seen = None if path is None else _store.glance(path)
        except (InputError, OSError):
            return  # half a row, or a file that is being replaced: the next look will do
        if seen is None or (self.glance is not None and seen.step == self.glance.step):
            return
        if self.glance is not None:
            self.longest_gap = max(self.longest_gap, now - self.row)
        self.first = self.first or (now, seen.step)
        self.glance, self.row = seen, now

    def silence(self) -> float:
        """Seconds since the last row; before the first, since the last sign of life."""
        return time.monotonic() - (self.alive if self.glance is None else self.row)

    def seconds_left(self) -> float | None:
        if self.first is None or self.glance is None or self.glance.step <= self.first[1]:
            return None
        rate = (self.glance.step - self.first[1]) / (self.row - self.first[0])
        left = (self.record.pilot.steps - self.glance.step) / rate
        return max(left - (time.monotonic() - self.row), 0.0)


def _signs(paths: Sequence[Path | None]) -> tuple[int, ...]:
    """What changes when one of the files does, or one in a folder."""
    found: list[int] = []
    for path in paths:
        for file in path.iterdir() if path is not None and path.is_dir() else [path]:
            if file is not None and file.exists():
                state = file.stat()
                found += [state.st_mtime_ns, state.st_size]
    return tuple(found)


class Sweep:
    """One driver over one store; `run` goes on from wherever the store stands."""

    def __init__(
        self,
        store: Store,
        workers: Workers,
        designer: Designer,
        command: Command,
        wishes: Wishes,
        screen: Screen,
        outlook: Callable[[list[Run]], Outlook | None],
    ) -> None:
        self.store, self.workers, self.designer = store, workers, designer
        self.command, self.wishes, self.screen = command, wishes, screen
        self.look_ahead = outlook
        self.watches: dict[str, _Watch] = {}
        self.again: deque[Record] = deque()
        self.queue: deque[Pilot] = deque()
        self.proposal: Proposal | None = None
        self.outlook: Outlook | None = None
        self.due = True
        self.thought: Future[tuple[Proposal, Outlook | None]] | None = None
        self.reason = ""

    # ----------------------------------------------------------------------------------- the loop

    def run(self) -> Swept:
        """Run pilots until the designer has no more, the budget is spent or the interval reached.

        Raises: InputError for a full disk or a command that never works; KeyboardInterrupt. Runs
        under way are ended then, and the next call goes on.
        """
        with ThreadPoolExecutor(1) as thinker, _ended_by_signals():
            try:
                self._recover()
                while self._busy():
                    self._watch()
                    self._think(thinker)
                    self._start()
                    self.screen.show(self._view())
                    time.sleep(BEAT)
            except BaseException as error:
                self._stop(error)
                if isinstance(error, InputError) and _NO_SPACE.search(str(error)):
                    raise InputError(f"{error}; {_FREE_SPACE}") from None
                raise
        return Swept(
            tuple(self.store.finished()),
            self._paid(),
            self.proposal.interval if self.proposal else None,
            self.outlook,
            self.reason,
        )

    def _busy(self) -> bool:
        waiting = self.due or self.thought is not None
        return bool(self.watches or self.again or self.queue or waiting)

    def _stop(self, error: BaseException) -> None:
        """End what runs. A second Ctrl-C leaves it running; the next start takes it up."""
        names = list(self.watches)
        if names:
            self.screen.say(f"ending {len(names)} running: {', '.join(names)}")
            self.workers.end(names)
        kept = sum(record.status != RUNNING for record in self.store.records.values())
        if isinstance(error, KeyboardInterrupt):
            self.screen.say(f"{kept} ended runs are kept; the same command goes on")

    def _think(self, thinker: ThreadPoolExecutor) -> None:
        """Ask the designer, beside the watching: a fit takes seconds."""
        if self.thought is None and self.due:
            self.due = False
            running = [watch.record.pilot for watch in self.watches.values()]
            running += [record.pilot for record in self.again]
            left = self.wishes.budget - self._paid() - sum(map(self._cost, running))
            finished = self.store.finished()
            self.thought = thinker.submit(self._thinking, finished, running, max(left, 0))
        if self.thought is not None and self.thought.done():
            proposal, self.outlook = self.thought.result()
            self.thought = None
            if self.proposal is None:
                self.screen.design(proposal, list(map(self._cost, proposal.pilots)), self._horizon)
            self.proposal = proposal
            self._take(proposal)

    def _thinking(
        self, finished: list[Finished], running: list[Pilot], left: int
    ) -> tuple[Proposal, Outlook | None]:
        proposal = self.designer.propose(finished, running, left)
        return proposal, self.look_ahead([each.run for each in finished if each.run is not None])

    def _take(self, proposal: Proposal) -> None:
        """Queue what is proposed, unless the interval is what was asked for."""
        known = self.store.records
        self.queue = deque(pilot for pilot in proposal.pilots if pilot.name not in known)
        self.reason = self.reason if self.queue else proposal.reason
        asked, half = self.wishes.interval, self._half()
        if asked is not None and half is not None and half <= asked:
            self.queue.clear()
            self.reason = f"half the interval, {half:.2g}, is below the {asked:g} asked"

    def _half(self) -> float | None:
        """Half the 90% interval at the horizon: the larger of the designer's and the law's."""
        ahead, width = self.outlook, self.proposal.interval if self.proposal else None
        if ahead is None:
            return None
        return max((ahead.high - ahead.low) / 2, (width or 0.0) * ahead.loss)

    @property
    def _horizon(self) -> int:
        return self.wishes.horizon

    def _paid(self) -> int:
        return sum(each.steps for each in self.store.records.values() if each.status != RUNNING)

    def _cost(self, pilot: Pilot) -> int:
        branch = self.command.branches and pilot.parent is not None
        return pilot.steps - (pilot.branch_step if branch else 0)

    # ----------------------------------------------------------------------------------- starting

    def _start(self) -> None:
        while self.again and self.workers.free() > 0:
            self._start_one(self.again.popleft())
        if self.due or self.thought is not None:
            return  # a run has ended: what to start now is being asked
        while self.queue and self.workers.free() > 0:
            pilot = next((each for each in self.queue if not self._waits(each)), None)
            if pilot is None:
                return
            self.queue.remove(pilot)
            running = sum(self._cost(watch.record.pilot) for watch in self.watches.values())
            if self._paid() + running + self._cost(pilot) > self.wishes.budget:
                self.reason = f"the budget of {self.wishes.budget:,} steps is spent"
                continue
            record = self.store.records[pilot.name] = Record(pilot)
            self.store.save()
            self._start_one(record)

    def _waits(self, pilot: Pilot) -> bool:
        """Whether a branch must wait for its parent."""
        if pilot.parent is None or not self.command.branches:
            return False
        parent = self.store.records.get(pilot.parent)
        queued = any(each.name == pilot.parent for each in self.queue)
        return queued if parent is None else parent.status == RUNNING

    def _start_one(self, record: Record) -> None:
        pilot = record.pilot
        known = [*self.queue, *(each.pilot for each in self.store.records.values())]
        steps = {each.branch_step for each in known if each.parent == pilot.name}
        if pilot.schedule(pilot.steps) > 0.5 * pilot.schedule.peak:
            steps.add(pilot.steps)  # not annealed: others may branch off its end
        self.watches[pilot.name] = _Watch(record)
        try:
            self.workers.start(Job(self.command.words, pilot, tuple(sorted(steps))))
        except OSError as error:
            del self.watches[pilot.name]
            raise InputError(f"{self.store.runs}: cannot be written: {error.strerror}") from None

    # ----------------------------------------------------------------------------------- watching

    def _watch(self) -> None:
        for name, watch in list(self.watches.items()):
            if self.workers.ended(name):
                watch.look(self.store)
                del self.watches[name]
                self._judge(watch.record, self.workers.loss_of(name))
                continue
            if not (self.store.runs / name / "process").exists():
                watch.alive = time.monotonic()  # it waits for a place in the cluster
                continue
            watch.look(self.store)
            if watch.glance is not None and watch.glance.hopeless:
                self._end(watch)
                self._diverged(watch.record, watch.glance)
            elif watch.silence() > self._patience(watch):
                self._hung(watch)

    def _patience(self, watch: _Watch) -> float:
        if self.wishes.patience is not None:
            return self.wishes.patience
        if watch.glance is None:
            return FIRST_ROW
        gaps = [each.longest_gap for each in self.watches.values()]
        return max(LEAST_PATIENCE, GAPS * max(gaps)) if watch.longest_gap else FIRST_ROW

    def _end(self, watch: _Watch) -> None:
        name = watch.record.pilot.name
        self.workers.end([name])
        del self.watches[name]

    def _hung(self, watch: _Watch) -> None:
        silence, record = watch.silence(), watch.record
        self._end(watch)
        with contextlib.suppress(InputError):
            seen = self._glance(record)
            if seen is not None and self._complete(seen, record, None):
                self._finished(record, seen)
                return
        record.hangs += 1
        where = f"after step {watch.glance.step:.0f}" if watch.glance else "before its first row"
        self._failed(record, f"hung {where}: no new row for {silence:.0f} s, ended")

    # ------------------------------------------------------------------------------------ judging

    def _judge(self, record: Record, lost: str | None = None, *, old: bool = False) -> None:
        """Say how an ended run ended, and do what follows; `old`: under an earlier driver."""
        folder = self.store.runs / record.pilot.name
        code, said = _launch.exit_code(folder), _launch.last_words(folder)
        try:
            seen = self._glance(record)
            complete = seen is not None and self._complete(seen, record, code)
        except InputError as error:
            if code == 0 or record.failures:
                self._corrupt(record, error)
                return
            seen, complete = None, False
        if seen is not None and (seen.diverged or self._says_diverged(record)):
            self._diverged(record, seen)
        elif complete and seen is not None:
            self._finished(record, seen)
        elif _NO_SPACE.search(said):
            self.again.append(record)
            if old:
                return  # there may be space by now
            raise InputError(f"{record.pilot.name}: the disk is full ({said[-120:]})")
        elif _SAID_DIVERGED.search(said):
            self._diverged(record, seen)
        else:
            self._failed(record, _how_it_ended(code, seen, record.pilot, said, lost))

    def _glance(self, record: Record) -> _store.Glance | None:
        path = self.store.log_of(record.pilot.name)
        return None if path is None else _store.glance(path)

    @staticmethod
    def _complete(seen: _store.Glance, record: Record, code: int | None) -> bool:
        """Whether a log goes to its end; where the training says so, to its last row before it."""
        reach = seen.step + (max(seen.gap, 1.0) if code == 0 else 1.0)
        return reach >= record.pilot.steps

    def _says_diverged(self, record: Record) -> bool:
        with contextlib.suppress(InputError):
            return self.store.work_run(record).metadata.get("status") == "diverged"
        return False

    def _finished(self, record: Record, seen: _store.Glance) -> None:
        try:
            run = self.store.work_run(record)
        except InputError as error:
            self._corrupt(record, error)
            return
        record.steps = record.pilot.steps - self._begin(record)
        self.store.publish(record, FINISHED, run)
        self.due = True
        self.screen.say(
            f"{record.pilot.name}: finished, loss {seen.loss:.4g} at step {seen.step:.0f}"
        )
        for caveat in run.caveats:
            self.screen.say(f"note: {caveat}")

    def _diverged(self, record: Record, seen: _store.Glance | None) -> None:
        try:
            run = self.store.work_run(record)
        except InputError:
            run = None
        step = 0 if seen is None else seen.step
        record.steps = max(round(step) - self._begin(record), 0)
        self.store.publish(record, DIVERGED, run)
        self.due = True
        self.screen.say(
            f"{record.pilot.name}: diverged, ended after step {step:.0f} and kept; peak LR"
            f" {record.pilot.schedule.peak:.3g} is too high"
        )

    def _corrupt(self, record: Record, error: InputError) -> None:
        moved = self.store.set_aside(record)
        self._failed(record, f"its log cannot be read ({error}), kept as {moved}")

    def _failed(self, record: Record, what: str) -> None:
        record.failures.append(what)
        hung_out = record.hangs >= HANGS
        if len(record.failures) - min(record.hangs, 1) <= self.wishes.retries and not hung_out:
            self.again.append(record)
            self.store.save()
            self.screen.say(f"{record.pilot.name}: {what}; started again")
            return
        record.steps = 0
        self.store.publish(record, SET_ASIDE, None)
        self.due = True
        self.screen.say(
            f"{record.pilot.name}: {what}; set aside after {len(record.failures)} failures, the"
            " sweep goes on"
        )
        if len(self.store.of_status(SET_ASIDE)) >= HOPELESS and not (
            self.store.of_status(FINISHED) or self.store.of_status(DIVERGED)
        ):
            raise InputError(
                f"the first {HOPELESS} pilots all failed, the last one: {what}; mend the training"
                " and start again"
            )

    def _begin(self, record: Record) -> int:
        return _launch.begin_of(self.store.runs / record.pilot.name)

    # ----------------------------------------------------------------------------------- recovery

    def _recover(self) -> None:
        """Take up what an earlier driver left: check its logs, adopt or judge what it started."""
        for record in self.store.records.values():
            if record.status == RUNNING:
                self._take_up(record)
            elif record.status != SET_ASIDE:
                self._check(record)
        for record in self.store.of_status(SET_ASIDE):
            left = (
                self.wishes.budget
                - self._paid()
                - sum(self._cost(each.pilot) for each in self.store.of_status(RUNNING))
            )
            if self._cost(record.pilot) <= left:  # the training may have been mended meanwhile
                record.status, record.failures, record.hangs = RUNNING, [], 0
                self.again.append(record)
        if self.store.records:
            kept = sum(record.status != RUNNING for record in self.store.records.values())
            taken_up = len(self.again) + len(self.watches)
            self.screen.say(f"goes on: {kept} ended runs kept, {taken_up} taken up")

    def _take_up(self, record: Record) -> None:
        name = record.pilot.name
        folder = self.store.runs / name
        if not (folder / _launch.OUTPUT).exists():  # the driver was killed before it started it
            self.again.append(record)
        elif not _launch.has_ended(folder) and self.workers.adopt(name):
            self.watches[name] = _Watch(record)
            self.screen.say(f"{name}: still running, watched again")
        elif _launch.exit_code(folder) is not None or self._is_whole(record):
            self._judge(record, old=True)
        else:  # taken away with the driver, or with the machine: no fault of its own
            self.again.append(record)
            self.screen.say(f"{name}: was cut off, started again")

    def _is_whole(self, record: Record) -> bool:
        with contextlib.suppress(InputError):
            seen = self._glance(record)
            return seen is not None and (seen.hopeless or self._complete(seen, record, None))
        return False

    def _check(self, record: Record) -> None:
        """A log that cannot be read any more: put back from the run's folder, or made again."""
        try:
            self.store.read(record)
            return
        except InputError as error:
            what = str(error)
        try:
            run = self.store.work_run(record)
        except InputError:
            moved = self.store.set_aside(record)
            self.again.append(record)
            self.screen.say(
                f"{record.pilot.name}: its log cannot be read ({what}), kept as {moved}; run again"
            )
            return
        self.store.publish(record, record.status, run)
        self.screen.say(f"{record.pilot.name}: its log cannot be read ({what}); restored")

    # ------------------------------------------------------------------------------------ showing

    def _view(self) -> View:
        lines = []
        for watch in self.watches.values():
            seen = watch.glance
            lines.append(
                Line(
                    watch.record.pilot,
                    seen.step if seen else None,
                    seen.loss if seen else None,
                    self._begin(watch.record),
                    watch.seconds_left(),
                )
            )
        ended = sum(record.status != RUNNING for record in self.store.records.values())
        paid, thinking = self._paid(), self.thought is not None
        return View(
            tuple(lines),
            ended,
            paid,
            self.wishes.budget,
            self._horizon,
            self._half(),
            self.outlook,
            thinking,
        )


def _how_it_ended(
    code: int | None, seen: _store.Glance | None, pilot: Pilot, said: str, lost: str | None
) -> str:
    """One clause: what became of a training that did not finish."""
    where = f"after step {seen.step:.0f} of {pilot.steps}" if seen else "before its first row"
    words = f" ({said})" if said else ""
    if lost is not None:
        return f"lost {where}: {lost}"
    if code is None:
        return f"killed {where}"
    if code > 128:
        try:
            name = signal.Signals(code - 128).name
        except ValueError:
            name = f"signal {code - 128}"
        return f"killed by {name} {where}{words}"
    if code == 0 and seen is None:
        return f"exit 0, but no log at {{out}}, {{out}}.csv or {{out}}.jsonl{words}"
    if code == 0:
        return f"exit 0, but its log ends {where}{words}"
    return f"exit {code} {where}{words}"


@contextlib.contextmanager
def _ended_by_signals() -> Iterator[None]:
    """A polite kill and a closed terminal end the sweep as Ctrl-C does."""
    if threading.current_thread() is not threading.main_thread():
        yield
        return

    def interrupt(number: int, frame: object) -> None:
        raise KeyboardInterrupt

    previous = [(s, signal.signal(s, interrupt)) for s in (signal.SIGTERM, signal.SIGHUP)]
    try:
        yield
    finally:
        for number, handler in previous:
            signal.signal(number, handler)
