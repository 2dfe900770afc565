"""The processes of one training: how they are started, watched and ended."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from collections.abc import Sequence
from pathlib import Path

from etastar._errors import InputError
from etastar._locks import lock

OUTPUT = "output.txt"
"""What a training prints. Whoever holds a lock on this file is the training: see `start`."""

# The training runs below this shell, which notes its own process and the training's exit code in
# files: a driver that was killed finds both when it starts again. The shell outlives the signals
# that end the training, so that the code is that of the training's own end. Where $2 is set, all
# are killed as soon as the other end of stdin closes, which is when the starter dies.
_SHELL = r"""
folder=$1; tied=$2; shift 2
trap : HUP INT TERM
echo "$$ $(cut -d' ' -f22 "/proc/$$/stat" 2>/dev/null || echo -) $(uname -n)" >"$folder/process"
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
    if has_ended(folder) and is_held(folder):
        (folder / OUTPUT).unlink()  # it has ended, and left processes that it does not wait for
    with open(folder / OUTPUT, "ab") as output:
        if not lock(output, folder / OUTPUT):
            raise AlreadyRunning(folder.name)
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


def still_runs(folder: Path) -> str:
    """What to tell of a training that nobody watches and that is to be started."""
    group = group_of(folder)
    by_hand = "" if group is None else f" (kill -- -{group})"
    return (
        f"{folder}: a training that was started here before still runs: wait for its end, end it"
        f"{by_hand}, or name another --out"
    )


def has_begun(folder: Path) -> bool:
    """Whether a process of the training has begun; in a cluster it may wait for a place first."""
    return (folder / "process").exists()


def is_held(folder: Path) -> bool:
    """Whether a process of the training in a folder lives."""
    try:
        with open(folder / OUTPUT, "r+b") as output:
            return not lock(output, folder / OUTPUT)
    except FileNotFoundError:
        return False


def has_ended(folder: Path) -> bool:
    """Whether the training in a folder has ended, or was never started.

    A service that it left, in a session of its own, may live on and hold its output open.
    """
    return exit_code(folder) is not None or not is_held(folder) or _is_gone(folder)


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
    noted = _noted(folder)
    if noted is None:
        return None
    group, begun, _ = noted
    stat = _stat(group)
    return group if stat is None or stat[19] == begun else None


def _noted(folder: Path) -> tuple[int, str, str] | None:
    """The process group of a training, the start time of its first process, and the machine."""
    try:
        group, begun, machine = (folder / "process").read_text().split()
        number = int(group)
    except (OSError, ValueError):
        return None
    # 0 and 1 stand for this process's own group and for every process.
    return (number, begun, machine) if 1 < number < 2**31 else None


def _stat(process: int | str) -> list[str] | None:
    """What Linux tells of a process, from its state on; None where there is none."""
    try:
        return Path(f"/proc/{process}/stat").read_text().rpartition(")")[2].split()
    except OSError:
        return None


def _is_gone(folder: Path) -> bool:
    """Whether no process of the training's group lives; False where that cannot be told here."""
    noted = _noted(folder)
    if noted is None or noted[2] != os.uname().nodename:
        return False
    group, begun, _ = noted
    leader = _stat(group)
    if leader is not None and leader[19] == begun and leader[0] not in "ZX":
        return False
    if not Path("/proc/self/stat").exists():
        with contextlib.suppress(PermissionError):
            try:
                os.killpg(group, 0)
            except ProcessLookupError:
                return True
        return False
    stats = (_stat(name) for name in os.listdir("/proc") if name.isdecimal())
    return not any(s is not None and s[2] == str(group) and s[0] not in "ZX" for s in stats)


def signal_group(folder: Path, number: int = signal.SIGTERM) -> bool:
    """Send a signal to all processes of the training in a folder; whether that could be done."""
    group = group_of(folder)
    if group is not None and is_held(folder):
        with contextlib.suppress(ProcessLookupError, PermissionError):
            os.killpg(group, number)
            return True
    return False


def end(folder: Path, grace: float = 10.0) -> None:
    """End the training in a folder: politely, and after `grace` seconds by force.

    Of one that has ended, what it left of its process group. What it started in a session of its
    own is a service that others may use, and lives on.

    Raises: InputError where it can neither be ended nor be found.
    """
    if exit_code(folder) is not None:
        signal_group(folder, signal.SIGKILL)
        return
    for number, patience in ((signal.SIGTERM, grace), (signal.SIGKILL, 5.0)):
        deadline, sent = time.monotonic() + patience, False
        while _lives(folder) and (not sent or time.monotonic() < deadline):
            # A training that has just been started has not noted its process yet.
            sent = sent or signal_group(folder, number) or time.monotonic() > deadline
            time.sleep(0.02)
    if _lives(folder):
        raise InputError(
            f"{folder}: a process of this training lives on and cannot be found; end it by hand"
            f" (it holds {folder / OUTPUT} open)"
        )


def _lives(folder: Path) -> bool:
    """Whether a process of the training's group may live."""
    return is_held(folder) and not _is_gone(folder)


def last_words(folder: Path) -> str:
    """The last lines that the training in a folder printed, separated by bars."""
    return last_words_of(folder / OUTPUT)


def last_words_of(path: Path, lines: int = 3) -> str:
    """The last lines of a file, separated by bars; empty where it cannot be read."""
    try:
        with open(path, "rb") as file:
            file.seek(max(0, os.fstat(file.fileno()).st_size - 8192))
            text = file.read().decode(errors="replace")
    except OSError:
        return ""
    kept = [line.strip() for line in text.splitlines() if line.strip()]
    return " | ".join(kept[-lines:])[-400:]
