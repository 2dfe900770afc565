"""What follows when a run has ended: its place in the store, a line to the user, another start."""

from __future__ import annotations

import contextlib

from etastar._errors import InputError
from etastar.runs import LogStatus, Run

from ._job import begin_of
from ._judgement import (
    Ending,
    Verdict,
    failure_text,
    is_broken_from_the_start,
    is_command_at_fault,
    is_own_early_failure,
    is_tried_again,
    paid_steps,
    verdict_of,
    verdict_of_hung,
)
from ._queue import PilotQueue
from ._record import PilotRecord, PilotStatus
from ._screen import Screen
from ._store import PilotStore
from ._watch import RunWatch, ending_of, status_of


class Conclusion:
    """Carries out what `_judgement` decides about runs that have ended.

    Arguments:
        store: where their logs and what is known of them are kept.
        queue: gets the pilots that are to start again.
        screen: is told.
        retries: how often a pilot whose training failed is started again.
    """

    def __init__(self, store: PilotStore, queue: PilotQueue, screen: Screen, retries: int) -> None:
        self._store, self._queue, self._screen, self._retries = store, queue, screen, retries
        self._early: list[str] = []

    def ended(
        self, record: PilotRecord, taken_by: str | None = None, *, earlier: bool = False
    ) -> None:
        """A run has ended by itself; `earlier`: under an earlier driver.

        Raises: InputError for a full disk, and where the training itself does not work.
        """
        ending = ending_of(self._store, record, taken_by)
        verdict = verdict_of(ending, record.pilot.steps, failed_before=bool(record.failures))
        if verdict is Verdict.DISK_FULL:
            self._queue.again.append(record)
            if not earlier:  # of an earlier driver's run: there may be space meanwhile
                printed = ending.printed[-120:]
                raise InputError(f"{record.pilot.name}: the disk is full ({printed})")
            return
        self._conclude(record, ending, verdict, failure_text(ending, record.pilot.steps))

    def hung(self, watch: RunWatch, silence: float) -> None:
        """A run was ended because its log was silent for so many seconds.

        Raises: InputError for a full disk, and where the training itself does not work.
        """
        record, status = watch.record, watch.status
        ending = ending_of(self._store, record)
        verdict = verdict_of_hung(ending, record.pilot.steps)
        if verdict is Verdict.FAILED:
            record.hangs += 1
        where = f"after step {status.step:.0f}" if status else "before its first row"
        what = f"hung {where}: no new row for {silence:.0f} s, ended"
        self._conclude(record, ending, verdict, what)

    def hopeless(self, watch: RunWatch) -> None:
        """A run was ended because no later row could have undone its divergence.

        Raises: InputError for a full disk.
        """
        run = ending_of(self._store, watch.record).run
        self._diverged(watch.record, watch.status, run)

    def _conclude(
        self, record: PilotRecord, ending: Ending, verdict: Verdict, failure: str
    ) -> None:
        if verdict is Verdict.FINISHED:
            self._finished(record, ending)
        elif verdict is Verdict.DIVERGED:
            self._diverged(record, ending.log, ending.run)
        elif verdict is Verdict.UNREADABLE:
            moved = self._store.move_away(record)
            self._failed(record, f"its log cannot be read ({ending.unreadable}), kept as {moved}")
        else:
            self._check_early(record, ending, failure)
            self._failed(record, failure)

    def _check_early(self, record: PilotRecord, ending: Ending, failure: str) -> None:
        """Stop where trainings fail alike before any of the sweep has shown a row.

        Raises: InputError, once the next start finds the run as if it had not been tried.
        """
        if not is_own_early_failure(ending):
            return
        self._early.append(failure)
        works = any(map(self._has_row, self._store.records.values()))
        if works or not is_broken_from_the_start(self._early):
            return
        record.failures, record.hangs = [], 0
        moved = self._store.move_away(record)
        raise InputError(
            f"{record.pilot.name}: {failure}, as the start before it; the command does not work, so"
            f" no other pilot is tried; correct it and start again (what it printed is in {moved})"
        )

    def _diverged(self, record: PilotRecord, status: LogStatus | None, run: Run | None) -> None:
        step = 0.0 if status is None else status.step
        record.steps = paid_steps(step, self._begin(record))
        self._store.publish(record, PilotStatus.DIVERGED, run)
        self._screen.say(
            f"{record.pilot.name}: diverged, ended after step {step:.0f} and kept; peak LR"
            f" {record.pilot.schedule.peak:.3g} is too high"
        )

    def _finished(self, record: PilotRecord, ending: Ending) -> None:
        assert ending.log is not None
        assert ending.run is not None
        record.steps = paid_steps(record.pilot.steps, self._begin(record))
        self._store.publish(record, PilotStatus.FINISHED, ending.run)
        self._screen.say(
            f"{record.pilot.name}: finished, loss {ending.log.loss:.4g} at step"
            f" {ending.log.step:.0f}"
        )
        for caveat in ending.run.caveats:
            self._screen.say(f"note: {caveat}")

    def _failed(self, record: PilotRecord, what: str) -> None:
        name = record.pilot.name
        record.failures.append(what)
        if is_tried_again(len(record.failures), record.hangs, self._retries):
            self._queue.again.append(record)
            self._store.save()
            self._screen.say(f"{name}: {what}; started again")
            return
        record.steps = 0
        self._store.publish(record, PilotStatus.SET_ASIDE, None)
        self._screen.say(
            f"{name}: {what}; set aside after {len(record.failures)} failures, the sweep goes on"
        )
        statuses = [each.status for each in self._store.records.values()]
        if is_command_at_fault(statuses):
            failed = statuses.count(PilotStatus.SET_ASIDE)
            raise InputError(
                f"the first {failed} pilots all failed, the last one: {what}; fix the training"
                " and start again"
            )

    def _has_row(self, record: PilotRecord) -> bool:
        """Whether a run has come so far as to log a loss."""
        if record.log is not None:
            return True
        with contextlib.suppress(InputError):
            return status_of(self._store, record) is not None
        return False

    def _begin(self, record: PilotRecord) -> int:
        return begin_of(self._store.runs / record.pilot.name)
