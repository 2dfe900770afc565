"""Pilots as processes of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path

from . import _process
from ._job import Job, prepare
from ._slurm_job import Attempt


class LocalWorkers:
    """At most `jobs` processes at a time. They outlive a driver that is killed."""

    def __init__(self, runs: Path, jobs: int) -> None:
        self.runs, self.jobs = runs, jobs
        self.started: dict[str, subprocess.Popen[bytes] | None] = {}

    def free(self) -> int:
        return self.jobs - len(self.started)

    def start(self, job: Job) -> None:
        Attempt.forget(self.runs / job.pilot.name)
        words = prepare(job, self.runs)
        self.started[job.pilot.name] = _process.start(self.runs / job.pilot.name, words)

    def adopt(self, name: str) -> bool:
        if _process.has_ended(self.runs / name):
            return False
        self.started[name] = None
        return True

    def waits(self, name: str) -> bool:
        return not _process.has_begun(self.runs / name)

    def ended(self, name: str) -> bool:
        folder, process = self.runs / name, self.started[name]
        if process is not None:
            process.poll()  # lets the system forget a child that has ended
        if not _process.has_ended(folder):
            return False
        _process.end(folder)
        if process is not None:
            process.wait()
        del self.started[name]
        return True

    def taken_by(self, name: str) -> str | None:
        return None

    def end(self, names: list[str]) -> None:
        for name in names:
            _process.signal_group(self.runs / name)  # all at once, then wait for each
        for name in names:
            _process.end(self.runs / name)
            process = self.started.pop(name, None)
            if process is not None:
                process.wait()

    def close(self) -> None:
        pass
