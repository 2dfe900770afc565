"""Slurm as pilots see it: submit a job, ask its state, cancel it."""

from __future__ import annotations

import contextlib
import io
import logging
import os
import re
import shutil
import signal
import subprocess
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Protocol

from etastar._errors import InputError

from . import _process
from ._config import SweepConfig

ENDED = {
    "BOOT_FAIL": "its node did not start",
    "CANCELLED": "it was cancelled",
    "COMPLETED": "it ended",
    "DEADLINE": "its deadline passed",
    "FAILED": "it failed",
    "GONE": "Slurm no longer knows it",
    "NODE_FAIL": "its node failed",
    "OUT_OF_MEMORY": "it ran out of memory (more of it: --slurm-option mem=32G)",
    "PREEMPTED": "it was ended for a job of more importance",
    "REVOKED": "it was revoked",
    "TIMEOUT": "it reached its time limit (more of it: --slurm-option time=HH:MM:SS)",
}
"""The states of a job that is over, and what each means. All but GONE are Slurm's."""

WAITING = {"CONFIGURING", "PENDING", "REQUEUED", "REQUEUE_HOLD", "SPECIAL_EXIT", "SUSPENDED"}
"""The states of a job that has no node, or may not use it."""

_MAY_COME_BACK = {"NODE_FAIL", "PREEMPTED"}
_MISSES = 3
"""So many looks in a row without a trace of a job: it is gone. Its entry may come late."""

_LATER = re.compile(
    r"timed out|unable to contact|temporarily|try again|connection refused"
    r"|SubmitJobsPerUser|MaxSubmitJob|job submit limit",
    re.I,
)


class SubmitLaterError(Exception):
    """The cluster takes no job for the moment."""


class Cluster(Protocol):
    """Where jobs go.

    Attributes:
        usual: seconds between two looks at the states of jobs.
        soon: the same while a job is about to end.
        late: seconds that a file written on a node may take to be seen here, and for which a job
            may look as if it were over before it is queued again.
    """

    usual: float
    soon: float
    late: float

    def submit(self, name: str, work: Callable[..., None], *arguments: Any) -> str:
        """Submit a job of a name; its number. Raises: InputError, SubmitLaterError."""
        ...

    def state(self, number: str, folder: Path, age: float) -> str:
        """The state of a job that works in a folder, at most `age` seconds old."""
        ...

    def cancel(self, number: str, folder: Path) -> None:
        """Ask for the end of a job, whether it has begun or not."""
        ...


def cluster_of(config: SweepConfig, files: Path) -> Cluster:
    """The cluster that a configuration names; `files` is the folder of what submitit writes.

    Raises: InputError where submitit or Slurm is missing.
    """
    assert config.slurm is not None
    try:
        import submitit
    except ModuleNotFoundError:
        raise InputError("--slurm needs submitit: pip install 'etastar[slurm]'") from None
    # It would write to stdout, where --json has one object.
    logging.getLogger("submitit").setLevel(logging.CRITICAL + 1)
    if config.slurm == "local":
        return ClusterOfThisMachine(submitit, files, int(config.gpus))
    for command in ("sbatch", "squeue", "scancel", "srun"):
        if shutil.which(command) is None:
            raise InputError(
                f"--slurm {config.slurm}: no {command} on this machine; start it where jobs are"
                " submitted, or try it here with --slurm local"
            )
    return SlurmCluster(submitit, files, config)


class SlurmCluster:
    """A cluster whose commands (sbatch, squeue, sacct, scancel) are on this machine."""

    usual, soon, late = 20.0, 3.0, 60.0

    def __init__(self, submitit: Any, files: Path, config: SweepConfig) -> None:
        self._submitit, self._partition = submitit, config.slurm
        self._executor = submitit.SlurmExecutor(folder=files)
        self._options: dict[str, Any] = {"requeue": True, "cpus_per_task": max(int(config.cpus), 1)}
        if config.gpus:
            self._options["gpus_per_node"] = int(config.gpus)
        if config.slurm != "auto":
            self._options["partition"] = config.slurm
        # submitit would have a signal sent that ends processes; this one does nothing to them.
        self._options |= {"signal": "CONT@60", **slurm_options(config.slurm_options)}
        self._states: dict[str, str] = {}
        self._misses: dict[str, int] = {}
        self._doubtful: dict[str, float] = {}
        self._looked = -1e9

    def submit(self, name: str, work: Callable[..., None], *arguments: Any) -> str:
        self._executor.update_parameters(
            job_name=f"pilot-{name}",
            time=None,  # that of the partition, unless the options say another
            wckey=None,
            use_srun=False,  # one process, which may start others on further nodes by srun
            stderr_to_stdout=True,
            additional_parameters=self._options,
        )
        errors = self._submitit.core.utils
        try:
            with self._clean(), contextlib.redirect_stderr(io.StringIO()):
                number = self._executor.submit(work, *arguments).job_id
        except (errors.FailedJobError, errors.FailedSubmissionError, OSError) as error:
            said = [line for line in str(error).splitlines() if line.strip()]
            last = said[-1].strip() if said else type(error).__name__
            if _LATER.search(str(error)):
                raise SubmitLaterError(last) from None
            raise InputError(
                f"--slurm {self._partition}: sbatch refuses the job ({last}); sinfo lists the"
                " partitions, and --slurm-option KEY=VALUE is passed to sbatch"
            ) from None
        self._states[number] = "PENDING"
        return number

    def state(self, number: str, folder: Path, age: float) -> str:
        self._states.setdefault(number, "UNKNOWN")
        if time.monotonic() - self._looked > age:
            self._look()
        return self._states[number]

    def cancel(self, number: str, folder: Path) -> None:
        subprocess.run(["scancel", number], capture_output=True, check=False)

    def _clean(self) -> contextlib.AbstractContextManager[Any]:
        """Without the variables of the job that the driver itself may run in."""
        inside = "SLURM_JOB_ID" in os.environ
        return self._submitit.helpers.clean_env() if inside else contextlib.nullcontext()

    def _look(self) -> None:
        """Ask for all jobs that are not over: the queue first, and accounting for the others."""
        now = self._looked = time.monotonic()
        asked = [number for number, state in self._states.items() if state not in ENDED]
        queued = _queued(asked)
        if queued is None:
            return  # Slurm does not answer: nothing is known but what was
        past = self._accounted([number for number in asked if number not in queued])
        for number in asked:
            found = queued.get(number) or past.get(number, "UNKNOWN")
            known = number in queued or found in ENDED
            self._misses[number] = 0 if known else self._misses.get(number, 0) + 1
            if self._misses[number] >= _MISSES:
                found = "GONE"
            if found not in _MAY_COME_BACK:
                self._doubtful.pop(number, None)
            elif now < self._doubtful.setdefault(number, now) + self.late:
                continue
            self._states[number] = found

    def _accounted(self, numbers: list[str]) -> dict[str, str]:
        """The states of past jobs as accounting has them; nothing where a cluster keeps none."""
        if not numbers or shutil.which("sacct") is None:
            return {}
        watcher = self._submitit.SlurmJob.watcher.__class__()
        for number in numbers:
            watcher.register_job(number)
        watcher.update()
        return {number: _word(watcher.get_state(number, mode="cache")) for number in numbers}


class ClusterOfThisMachine:
    """submitit's local executor: jobs are processes of this machine, for a try without Slurm."""

    usual, soon, late = 0.0, 0.0, 0.0

    def __init__(self, submitit: Any, files: Path, gpus: int) -> None:
        self._executor = submitit.LocalExecutor(folder=files)
        self._executor.update_parameters(timeout_min=525_600, gpus_per_node=gpus)
        self._jobs: dict[str, Any] = {}
        self._errors = files / "submitit.err"

    def submit(self, name: str, work: Callable[..., None], *arguments: Any) -> str:
        # Its process shares the terminal, and would print a traceback there at every Ctrl-C.
        with _stderr_in(self._errors):
            job = self._executor.submit(work, *arguments)
        self._jobs[job.job_id] = job
        return job.job_id

    def state(self, number: str, folder: Path, age: float) -> str:
        job = self._jobs.get(number)
        runs = not job.done() if job is not None else _is_job(number)
        return "RUNNING" if runs or not _process.has_ended(folder) else "COMPLETED"

    def cancel(self, number: str, folder: Path) -> None:
        _process.end(folder)
        if _is_job(number):
            with contextlib.suppress(ProcessLookupError, PermissionError):
                os.kill(int(number), signal.SIGINT)  # submitit's process ends its child


@contextlib.contextmanager
def _stderr_in(file: Path) -> Iterator[None]:
    """Let processes that are started inside write their stderr to a file."""
    file.parent.mkdir(parents=True, exist_ok=True)
    kept = os.dup(2)
    try:
        with file.open("ab") as target:
            os.dup2(target.fileno(), 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(kept)


def slurm_options(words: tuple[str, ...]) -> dict[str, Any]:
    """Options of sbatch from `key=value`, or `key` for one without a value.

    Raises: InputError for what is no option, or one that the driver sets itself.

    >>> slurm_options(("time=2:00:00", "cpus-per-task=8", "exclusive"))
    {'time': '2:00:00', 'cpus_per_task': '8', 'exclusive': True}
    """
    options: dict[str, Any] = {}
    for word in words:
        key, equals, value = word.removeprefix("--").partition("=")
        if not re.fullmatch(r"[a-z][a-z0-9-]*", key.replace("_", "-")) or not value.isprintable():
            raise InputError(
                f"--slurm-option {word!r} must be an option of sbatch as KEY=VALUE, such as"
                " time=2:00:00 or account=physics"
            )
        key = key.replace("-", "_")
        if key in _OURS or (equals and not value):
            why = "is set by etastar itself" if key in _OURS else "has no value"
            raise InputError(f"--slurm-option {word}: {key} {why}; leave it out")
        options[key] = value if equals else True
    return options


_OURS = {"array", "error", "job_name", "open_mode", "output", "parsable", "test_only", "wait"}


def _queued(numbers: list[str]) -> dict[str, str] | None:
    """The states of jobs that the queue has, None where it cannot be asked."""
    if not numbers:
        return {}
    words = [
        "squeue",
        "--noheader",
        "--states=all",
        "--format=%i %T",
        f"--jobs={','.join(numbers)}",
    ]
    try:
        asked = subprocess.run(words, capture_output=True, text=True, timeout=60, check=False)
    except (OSError, subprocess.TimeoutExpired):
        return None
    if asked.returncode and "Invalid job id" not in asked.stderr:
        return None
    lines = [line.split() for line in asked.stdout.splitlines()]
    return {line[0]: _word(line[1]) for line in lines if len(line) == 2 and line[0] in numbers}


def _word(state: str) -> str:
    """A state without what follows it, as in `CANCELLED by 1000` or `CANCELLED+`."""
    return state.upper().split(" ")[0].rstrip("+")


def _is_job(number: str) -> bool:
    """Whether a job of submitit's local executor lives: its number is that of its process."""
    try:
        return b"submitit" in Path(f"/proc/{number}/cmdline").read_bytes()
    except OSError:
        pass
    if Path("/proc/self/cmdline").exists():
        return False
    try:
        os.kill(int(number), 0)
    except (OSError, ValueError):
        return False
    return True
