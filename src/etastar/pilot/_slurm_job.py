"""A pilot as a job of Slurm: what is noted of it, and what it does on its node.

A driver that is killed while it submits a job does not learn the job's number. So each attempt has
a token, and the first to make the file `claim-TOKEN` has it: the job as it begins, or the driver
that gives the attempt up. A job that comes second does nothing.
"""

from __future__ import annotations

import contextlib
import json
import os
import secrets
import signal
import sys
from dataclasses import dataclass
from pathlib import Path

from etastar._files import write_text
from etastar._json import json_value

from . import _process
from ._job import Job
from ._task import train_until_its_end

NOTE = "slurm.json"
"""Name of the file, in the folder of a run, that says which job is to run it."""

DRIVER = "driver"
"""Who holds the claim of an attempt that was given up before it began."""

WAIT_FOR_LOCK = 300.0
"""Seconds to wait until the locks of a node that has died are gone, as NFS frees them."""


@dataclass(frozen=True)
class Attempt:
    """One attempt to run a pilot.

    Attributes:
        token: what tells it from other attempts.
        number: of its job, None before that is known.
    """

    token: str
    number: str | None = None

    @classmethod
    def new(cls) -> Attempt:
        """An attempt that no job has been submitted for."""
        return cls(secrets.token_hex(8))

    @classmethod
    def noted(cls, folder: Path) -> Attempt | None:
        """The last attempt of the run in a folder, None where there is none."""
        try:
            document = json_value((folder / NOTE).read_text(encoding="utf-8"))
            token, number = document["token"], document["job"]
        except (OSError, ValueError, KeyError, TypeError):
            return None
        right = isinstance(token, str) and token.isalnum() and isinstance(number, str | None)
        return cls(token, number) if right else None

    @staticmethod
    def forget(folder: Path) -> None:
        """Let no job begin in a folder that waits in the queue: the run takes place elsewhere."""
        (folder / NOTE).unlink(missing_ok=True)

    def note(self, folder: Path) -> None:
        """Make it the one attempt that may run in a folder. Raises: InputError."""
        write_text(folder / NOTE, json.dumps({"token": self.token, "job": self.number}) + "\n")

    def claim(self, folder: Path, holder: str) -> str:
        """Make `holder` the owner unless there is one; who is the owner.

        A hard link is made at once or not at all, also on network file systems.

        Raises: OSError.
        """
        path = folder / f"claim-{self.token}"
        own = folder / f".{path.name}.{secrets.token_hex(4)}"
        own.write_text(holder, encoding="utf-8")
        try:
            os.link(own, path)
        except FileExistsError:
            return path.read_text(encoding="utf-8")
        finally:
            own.unlink()
        return holder


def run_job(job: Job, runs: str, cwd: str, token: str) -> None:
    """What a job does: one training, ended with the job, unless the attempt was given up.

    A job that Slurm has sent back to the queue comes by here again.
    """
    import submitit

    folder = Path(runs) / job.pilot.name
    number = submitit.JobEnvironment().job_id
    last = Attempt.noted(folder)
    if last is None or last.token != token or last.claim(folder, number) != number:
        print(f"the attempt of {job.pilot.name} that this job was for has been given up")
        return
    last = Attempt.noted(folder)
    if last is None or last.token != token:
        return
    # Slurm sends signals to the processes of a job, or to the first alone: the training gets them.
    with contextlib.suppress(ValueError):  # not in the main thread
        signal.signal(signal.SIGTERM, lambda *_: _process.signal_group(folder))
        signal.signal(signal.SIGUSR2, signal.SIG_IGN)
    train_until_its_end(job, Path(runs), cwd, wait=WAIT_FOR_LOCK, beat=lambda: None)
    if _process.exit_code(folder) != 0:
        sys.exit(1)  # so that Slurm's own tools show that it failed
