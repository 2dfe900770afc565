"""One training as processes: its command, where its files lie, how it is started and ended."""

from __future__ import annotations

import contextlib
import difflib
import fcntl
import inspect
import os
import re
import shutil
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etastar._errors import InputError
from etastar._files import write_text
from etastar.schedule import Schedule

from ._types import Pilot

PLACEHOLDERS = (
    "schedule",
    "spec",
    "steps",
    "seed",
    "out",
    "name",
    "resume",
    "branch_step",
    "checkpoints",
)
"""What stands in braces in a command; docs/pilots.md says what each becomes."""

OUTPUT = "output.txt"
"""What a training prints. Whoever holds a lock on this file is the training: see `start`."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")
_CHECKPOINT = re.compile(r"(?:(?:step|checkpoint|ckpt|iter|iteration)\D?0*|^0*)(\d+)$", re.I)

# The training runs below this shell, which notes its own process and the training's exit code in
# files: a driver that was killed finds both when it starts again. The shell outlives the signals
# that end the training, so that the code is that of the training's own end. Where $2 is set, all
# are killed as soon as the other end of stdin closes, which is when the starter dies.
_SHELL = r"""
folder=$1; tied=$2; shift 2
trap : HUP INT TERM
echo "$$ $(cut -d' ' -f22 "/proc/$$/stat" 2>/dev/null)" >"$folder/process"
if [ -n "$tied" ]; then
  exec 3<&0
  ( read -r _ <&3; kill -s KILL -- "-$$" ) >/dev/null 2>&1 &
  exec 3<&-
fi
"$@" </dev/null
code=$?
echo "$code" >"$folder/exit.new" && mv "$folder/exit.new" "$folder/exit"
if [ -n "$tied" ]; then kill "$!" 2>/dev/null; fi
"""


@dataclass(frozen=True)
class Command:
    """The user's training, as words with placeholders such as `{schedule}`.

    Raises: InputError for no words, a program that is not found, a placeholder that is misspelt, or
    none for the schedule or for the log.

    >>> command = Command(("true", "--lr", "{schedule}", "--log", "{out}.csv"))
    >>> command.branches
    False
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.words:
            raise InputError(
                "no training command: end with -- COMMAND, such as"
                " -- python train.py --schedule {schedule} --seed {seed} --log {out}.csv"
            )
        if shutil.which(self.words[0]) is None:
            raise InputError(
                f"command {self.words[0]!r} is not found; give the program and its arguments as"
                " words of their own, or sh -c '...' for a line of shell"
            )
        used = {name for word in self.words for name in _PLACEHOLDER.findall(word)}
        for name in sorted(used.difference(PLACEHOLDERS)):
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1, cutoff=0.6)
            if near:
                raise InputError(f"placeholder {{{name}}} is unknown; did you mean {{{near[0]}}}?")
        if not used & {"schedule", "spec"}:
            raise InputError(
                "the command names neither {schedule} (path of a schedule.json) nor {spec}: the"
                " training must take the schedule that it is to run"
            )
        if "out" not in used:
            raise InputError("the command does not name {out}, where it is to write its log")

    @property
    def branches(self) -> bool:
        """Whether a run can start from the checkpoint of another."""
        return any("{resume}" in word for word in self.words)


def command_of(train: Callable[..., object] | Sequence[str]) -> Command:
    """The command of a training given as words, or as a function to call in a new process.

    Raises: InputError for a function that a new process cannot find by name, or with a parameter
    that is not one of `PLACEHOLDERS`.
    """
    if not callable(train):
        return Command((train,) if isinstance(train, str) else tuple(train))
    name, module = getattr(train, "__qualname__", ""), getattr(train, "__module__", None)
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if not name.isidentifier() or (module == "__main__" and file is None) or module is None:
        raise InputError(
            f"{name or train!r}: pilots run in processes of their own, which find the training by"
            " its name; define it with def at the top level of a file"
        )
    where = str(Path(file).resolve()) if module == "__main__" and file else module
    parameters = inspect.signature(train).parameters.values()
    wanted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for parameter in parameters:
        known = parameter.name in PLACEHOLDERS and parameter.kind != parameter.POSITIONAL_ONLY
        if not known and parameter.default is parameter.empty:
            raise InputError(
                f"{name}: parameter {parameter.name!r} is not one that a pilot has; these are"
                f" {', '.join(PLACEHOLDERS)}"
            )
    words = [f"{key}={{{key}}}" for key in wanted if key in PLACEHOLDERS]
    return Command((sys.executable, "-m", "etastar.pilot._call", where, name, *words))


@dataclass(frozen=True)
class Job:
    """A pilot as it is handed to a worker, also one on another machine.

    Attributes: `command` (its words), `pilot`, `checkpoints` (steps at which later pilots branch
    off this one, as far as they are known).
    """

    command: tuple[str, ...]
    pilot: Pilot
    checkpoints: tuple[int, ...] = ()


def prepare(job: Job, runs: Path) -> list[str]:
    """Make the folder `runs`/name of a pilot, and return its command with the placeholders filled.

    The folder gets `schedule.json`, and `begin` with the step that the run starts from: that of the
    parent's last checkpoint up to the branch, or 0 where there is none or the command takes none.
    """
    pilot = job.pilot
    folder = runs / pilot.name
    folder.mkdir(parents=True, exist_ok=True)
    pilot.schedule.save(folder / "schedule.json")
    found = None
    if pilot.parent is not None and any("{resume}" in word for word in job.command):
        found = find_checkpoint(runs / pilot.parent, pilot.branch_step)
    begin, checkpoint = found or (0, "")
    write_text(folder / "begin", str(begin))
    values = {
        "schedule": folder / "schedule.json",
        "steps": pilot.steps,
        "seed": pilot.seed,
        "out": folder / "log",
        "name": pilot.name,
        "resume": checkpoint,
        "branch_step": pilot.branch_step if checkpoint else 0,
        "checkpoints": ",".join(str(step) for step in job.checkpoints),
        "spec": pilot.schedule.spec,
    }
    known = {key: str(value) for key, value in values.items()}
    return [_PLACEHOLDER.sub(lambda m: known.get(m[1], m[0]), word) for word in job.command]


def begin_of(folder: Path) -> int:
    """The step that the run in a folder started from."""
    with contextlib.suppress(OSError, ValueError):
        return int((folder / "begin").read_text())
    return 0


def find_checkpoint(folder: Path, step: int) -> tuple[int, Path] | None:
    """The last checkpoint below a folder that was saved at or before a step, and its step.

    A checkpoint is a file or folder whose name ends in its step, alone or after `step`,
    `checkpoint`, `ckpt` or `iter`: `step_400.pt`, `checkpoint-400`, `epoch=1-step=400.ckpt`, `400`.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("step_200.pt", "step_400.pt", "step_600.pt", "v2.pt"):
    ...     (folder / name).touch()
    >>> found = find_checkpoint(folder, 500)
    >>> found[0], found[1].name
    (400, 'step_400.pt')
    """
    found: list[tuple[int, Path]] = []
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            match = _CHECKPOINT.search(name if name in folders else name.split(".")[0])
            if match and int(match[1]) <= step:
                found.append((int(match[1]), Path(place) / name))
        folders[:] = [name for name in folders if not _CHECKPOINT.search(name)]
    return max(found, key=lambda item: item[0], default=None)


# ------------------------------------------------------------------------------------- processes


class Busy(Exception):
    """The training of this folder is running already."""


def start(
    folder: Path, words: Sequence[str], *, tied: bool = False, cwd: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a training in a folder, at most once at a time.

    Its output file is locked, and the lock goes with the open file into the process: the system
    frees it when the last process of the training has ended, however it ends, and no other can be
    started meanwhile, whether the starter lives or not. `tied` ends the training with its starter;
    `cwd` is the folder that it works in.

    Raises: Busy while a training of this folder runs; OSError where files cannot be written.
    """
    if exit_code(folder) is not None and is_held(folder):
        (folder / OUTPUT).unlink()  # it has ended, and left processes that it does not wait for
    with open(folder / OUTPUT, "ab") as output:
        try:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise Busy(folder.name) from None
        output.truncate(0)
        for name in ("exit", "process"):
            (folder / name).unlink(missing_ok=True)
        return subprocess.Popen(
            ["sh", "-c", _SHELL, "etastar", str(folder), "1" if tied else "", *words],
            stdin=subprocess.PIPE if tied else subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
            cwd=cwd,
        )


def is_held(folder: Path) -> bool:
    """Whether a process of the training in a folder lives."""
    try:
        with open(folder / OUTPUT, "rb") as output:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    except FileNotFoundError:
        pass
    return False


def has_ended(folder: Path) -> bool:
    """Whether the training in a folder has ended, or was never started."""
    return exit_code(folder) is not None or not is_held(folder)


def exit_code(folder: Path) -> int | None:
    """The exit code of the training, 128 + n after signal n; None where it left none."""
    with contextlib.suppress(OSError, ValueError):
        return int((folder / "exit").read_text())
    return None


def group_of(folder: Path) -> int | None:
    """The process group of the training in a folder, None where it is not sure to be its own.

    A group has the number of the process that began it. Where a process of that number lives, its
    start time is compared with the one noted: after a while the system gives the number away.
    """
    try:
        noted = (folder / "process").read_text().split()
        group = int(noted[0])
    except (OSError, ValueError, IndexError):
        return None
    try:
        stat = Path(f"/proc/{group}/stat").read_text()
    except OSError:
        return group
    return group if len(noted) == 2 and stat.rpartition(")")[2].split()[19] == noted[1] else None


def signal_group(folder: Path, number: int = signal.SIGTERM) -> bool:
    """Send a signal to all processes of the training in a folder; whether that could be done."""
    group = group_of(folder)
    if group is not None and is_held(folder):
        with contextlib.suppress(ProcessLookupError):
            os.killpg(group, number)
            return True
    return False


def end(folder: Path, grace: float = 10.0) -> None:
    """End the training in a folder: politely, and after `grace` seconds by force.

    Of one that has ended, what it left of its process group.

    Raises: InputError where it can neither be ended nor be found.
    """
    if exit_code(folder) is not None:
        signal_group(folder, signal.SIGKILL)
        return
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        deadline, sent = time.monotonic() + patience, False
        while is_held(folder) and (not sent or time.monotonic() < deadline):
            # A training that has just been started has not noted its process yet.
            sent = sent or signal_group(folder, number) or time.monotonic() > deadline
            time.sleep(0.02)
    if is_held(folder):
        raise InputError(
            f"{folder}: a process of this training lives on and cannot be found; end it by hand"
            f" (it holds {folder / OUTPUT} open)"
        )


def last_words(folder: Path, lines: int = 3) -> str:
    """The last lines that a training printed, parted by bars."""
    try:
        with open(folder / OUTPUT, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(kept[-lines:])[-400:]


def arguments_of(pairs: Sequence[str]) -> dict[str, Any]:
    """The arguments of a function from `key=text`, each as what it is.

    >>> arguments_of(["seed=3", "out=pilots/a/log", "resume="])["seed"]
    3
    """
    makers: dict[str, Callable[[str], Any]] = {
        "schedule": Schedule.load,
        "steps": int,
        "seed": int,
        "branch_step": int,
        "out": Path,
        "resume": lambda text: Path(text) if text else None,
        "checkpoints": lambda text: tuple(int(step) for step in text.split(",") if step),
    }
    parted = (pair.partition("=") for pair in pairs)
    return {key: makers.get(key, str)(text) for key, _, text in parted}
