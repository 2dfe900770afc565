"""The processes of one training: how they are started, watched and ended."""

from __future__ import annotations

import contextlib
import fcntl
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from etastar._errors import InputError

OUTPUT = "output.txt"
"""What a training prints. Whoever holds a lock on this file is the training: see `start`."""

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


class AlreadyRunning(Exception):
    """The training of this folder is running already."""


def start(
    folder: Path, words: Sequence[str], *, tied: bool = False, cwd: str | None = None
) -> subprocess.Popen[bytes]:
    """Start a training in a folder, at most once at a time.

    Its output file is locked, and the lock goes with the open file into the process: the system
    frees it when the last process of the training has ended, however it ends, and no other can be
    started meanwhile, whether the starter lives or not. `tied` ends the training with its starter;
    `cwd` is the folder that it works in.

    Raises: AlreadyRunning while a training of this folder runs; OSError where files cannot be
        written.
    """
    if exit_code(folder) is not None and is_held(folder):
        (folder / OUTPUT).unlink()  # it has ended, and left processes that it does not wait for
    with open(folder / OUTPUT, "ab") as output:
        try:
            fcntl.flock(output, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise AlreadyRunning(folder.name) from None
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


def has_begun(folder: Path) -> bool:
    """Whether a process of the training has begun; in a cluster it may wait for a place first."""
    return (folder / "process").exists()


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
    """The last lines that a training printed, separated by bars."""
    try:
        with open(folder / OUTPUT, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(kept[-lines:])[-400:]
