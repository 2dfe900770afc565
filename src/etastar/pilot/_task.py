"""A training as a task of a cluster: what is done on the node that it was given."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from pathlib import Path

from . import _process
from ._job import Job, prepare


def train_until_its_end(
    job: Job, runs: Path, cwd: str, *, wait: float, beat: Callable[[], object]
) -> None:
    """Start the training of a pilot in `runs`/name, and return when it has ended.

    It is ended with this process, however that ends.

    Arguments:
        job: the pilot.
        runs: holds the folders of all runs.
        cwd: folder that the training works in, where it exists on this node.
        wait: seconds to wait until an earlier training of this pilot is gone.
        beat: called several times a second.

    Raises: AlreadyRunning where the earlier training is still there.
    """
    folder = runs / job.pilot.name
    words = prepare(job, runs)
    process = _start_when_free(folder, words, cwd if Path(cwd).is_dir() else None, wait)
    try:
        while not _process.has_ended(folder):
            time.sleep(0.1)
            beat()
    finally:
        _process.end(folder)
        if process.stdin is not None:
            process.stdin.close()
        process.wait()


def _start_when_free(
    folder: Path, words: list[str], cwd: str | None, wait: float
) -> subprocess.Popen[bytes]:
    """Start, once the training of a task that has just died is gone."""
    deadline = time.monotonic() + wait
    while True:
        try:
            return _process.start(folder, words, tied=True, cwd=cwd)
        except _process.AlreadyRunning:
            if time.monotonic() > deadline:
                raise
            time.sleep(0.2)
