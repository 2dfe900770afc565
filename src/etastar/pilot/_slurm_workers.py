"""Pilots as jobs of Slurm, one job a pilot."""

from __future__ import annotations

import os
import time
from dataclasses import dataclass
from pathlib import Path

from etastar._errors import InputError

from . import _process
from ._config import SweepConfig
from ._job import Job
from ._slurm_cluster import ENDED, WAITING, SubmitLaterError, cluster_of
from ._slurm_job import DRIVER, Attempt, run_job

MOST = 8
"""Pilots that are under way at a time, in the queue or on a node, unless the user says."""

RETRY = 60.0
"""Seconds until a job that Slurm did not take for the moment is submitted again."""

PATIENCE = 120.0
"""Seconds that a cancelled job may take to end: Slurm waits half a minute before it kills one."""


@dataclass
class _Submitted:
    """A run under way.

    Attributes:
        attempt: with the number of its job, once that is known.
        job: what to submit, None of a run that was adopted.
        next_try: when to submit what Slurm did not take, by the clock of this process.
        ended_at: when its job was first seen to be over.
    """

    attempt: Attempt
    job: Job | None
    next_try: float = 0.0
    ended_at: float | None = None


class SlurmWorkers:
    """One job a pilot, with its CPUs, GPUs and time limit. Jobs outlive a driver that is killed.

    The folder `runs` must be seen from every node. A job that Slurm sends back to the queue, as
    where its node fails, keeps its number and starts the training again there.

    Raises: InputError where submitit or Slurm is missing.
    """

    def __init__(self, runs: Path, config: SweepConfig) -> None:
        self._runs, self._jobs = runs, config.jobs or MOST
        self._cluster = cluster_of(config, runs / ".slurm")
        self._under_way: dict[str, _Submitted] = {}
        self._taken: dict[str, str] = {}

    def free(self) -> int:
        return self._jobs - len(self._under_way)

    def start(self, job: Job) -> None:
        folder = self._runs / job.pilot.name
        folder.mkdir(parents=True, exist_ok=True)
        attempt = Attempt.new()
        attempt.note(folder)
        for name in ("exit", "process"):
            (folder / name).unlink(missing_ok=True)
        self._under_way[job.pilot.name] = _Submitted(attempt, job)
        self._submit(job.pilot.name)

    def _submit(self, name: str) -> None:
        run, folder = self._under_way[name], self._runs / name
        work = (run.job, str(self._runs), os.getcwd(), run.attempt.token)
        try:
            number = self._cluster.submit(name, run_job, *work)
        except SubmitLaterError:
            run.next_try = time.monotonic() + RETRY
            return
        except InputError:
            del self._under_way[name]
            raise
        run.attempt = Attempt(run.attempt.token, number)
        run.attempt.note(folder)

    def adopt(self, name: str) -> bool:
        folder = self._runs / name
        attempt = Attempt.noted(folder)
        if attempt is None:
            return False
        if attempt.number is None:  # the driver was killed before it knew the number
            holder = attempt.claim(folder, DRIVER)
            if holder == DRIVER:
                return False
            attempt = Attempt(attempt.token, holder)
            attempt.note(folder)
        if self._state(attempt, folder, 0.0) in ENDED:
            return False
        self._under_way[name] = _Submitted(attempt, None)
        return True

    def waits(self, name: str) -> bool:
        run, folder = self._under_way[name], self._runs / name
        if run.attempt.number is None or not _process.has_begun(folder):
            return True
        return self._state(run.attempt, folder, self._cluster.usual) in WAITING

    def ended(self, name: str) -> bool:
        run, folder = self._under_way[name], self._runs / name
        if run.attempt.number is None:
            if time.monotonic() > run.next_try:
                self._submit(name)
            return False
        code = _process.exit_code(folder)
        ends = code is not None and not self.waits(name)
        state = self._state(
            run.attempt, folder, self._cluster.soon if ends else self._cluster.usual
        )
        if state not in ENDED:
            return False
        by_itself = state in ("COMPLETED", "FAILED", "GONE")
        if code is None and by_itself:  # its last files are on their way
            run.ended_at = run.ended_at or time.monotonic()
            os.listdir(folder)
            if time.monotonic() < run.ended_at + self._cluster.late:
                return False
        if not by_itself or (state != "COMPLETED" and code is None):
            self._taken[name] = self._reason(run.attempt, state)
        del self._under_way[name]
        return True

    def taken_by(self, name: str) -> str | None:
        return self._taken.pop(name, None)

    def end(self, names: list[str]) -> None:
        runs = {name: run for name in names if (run := self._under_way.get(name)) is not None}
        for name, run in runs.items():
            run.attempt.claim(self._runs / name, DRIVER)  # what has not begun never will
            if run.attempt.number is not None:
                self._cluster.cancel(run.attempt.number, self._runs / name)
        deadline, left = time.monotonic() + PATIENCE, list(runs)
        while left and time.monotonic() < deadline:
            left = [name for name in left if not self._is_over(runs[name], self._runs / name)]
            time.sleep(0.05)
        for name in names:
            self._under_way.pop(name, None)
            self._taken.pop(name, None)
        if left:
            numbers = " ".join(str(runs[name].attempt.number) for name in left)
            raise InputError(
                f"{', '.join(left)}: the jobs do not end; end them (scancel {numbers}) and start"
                " the same command again"
            )

    def close(self) -> None:
        pass

    def _is_over(self, run: _Submitted, folder: Path) -> bool:
        if run.attempt.number is None:
            return True
        return self._state(run.attempt, folder, self._cluster.soon) in ENDED

    def _state(self, attempt: Attempt, folder: Path, age: float) -> str:
        assert attempt.number is not None
        return self._cluster.state(attempt.number, folder, age)

    def _reason(self, attempt: Attempt, state: str) -> str:
        words = f"Slurm job {attempt.number}: {ENDED[state]}"
        if state != "FAILED":
            return words
        printed = self._runs / ".slurm" / f"{attempt.number}_0_log.out"
        said = _process.last_words_of(printed)
        return f"{words} before the training began ({said or f'see {printed}'})"
