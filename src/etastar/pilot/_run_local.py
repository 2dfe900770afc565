"""Pilots as processes of this machine."""

from __future__ import annotations

import subprocess
from pathlib import Path
from typing import Protocol

from . import _launch
from ._launch import Job


class Workers(Protocol):
    """What runs pilots. The files of a run lie in the folder `runs`/name, see `_launch`."""

    def free(self) -> int:
        """How many runs may start now."""
        ...

    def start(self, job: Job) -> None:
        """Start a run."""
        ...

    def adopt(self, name: str) -> bool:
        """Watch a run that an earlier driver started as one's own; whether that can be done."""
        ...

    def ended(self, name: str) -> bool:
        """Whether a run that was started has ended; its files are then in its folder."""
        ...

    def loss_of(self, name: str) -> str | None:
        """What took an ended run away, where the training itself did not end it."""
        ...

    def end(self, names: list[str]) -> None:
        """End runs, and wait until they have."""
        ...

    def close(self) -> None:
        """Let go of what is not a run."""
        ...


class LocalWorkers:
    """At most `jobs` processes at a time. They outlive a driver that is killed."""

    def __init__(self, runs: Path, jobs: int) -> None:
        self.runs, self.jobs = runs, jobs
        self.started: dict[str, subprocess.Popen[bytes] | None] = {}

    def free(self) -> int:
        return self.jobs - len(self.started)

    def start(self, job: Job) -> None:
        words = _launch.prepare(job, self.runs)
        self.started[job.pilot.name] = _launch.start(self.runs / job.pilot.name, words)

    def adopt(self, name: str) -> bool:
        self.started[name] = None
        return True

    def ended(self, name: str) -> bool:
        folder, process = self.runs / name, self.started[name]
        if process is not None:
            process.poll()  # lets the system forget a child that has ended
        if not _launch.has_ended(folder):
            return False
        _launch.end(folder)
        if process is not None:
            process.wait()
        del self.started[name]
        return True

    def loss_of(self, name: str) -> str | None:
        return None

    def end(self, names: list[str]) -> None:
        for name in names:
            _launch.signal_group(self.runs / name)  # all at once, then wait for each
        for name in names:
            _launch.end(self.runs / name)
            process = self.started.pop(name, None)
            if process is not None:
                process.wait()

    def close(self) -> None:
        pass
