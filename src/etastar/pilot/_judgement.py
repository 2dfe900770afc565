"""What is decided about runs, from plain values: how one ended, what follows, when to stop.

Nothing here looks at a process, a file or a clock.
"""

from __future__ import annotations

import re
import signal
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from enum import Enum, auto

from etastar.runs import LogStatus, Run

from ._outlook import Outlook
from ._record import PilotStatus

FIRST_ROWS = 1800.0
"""Seconds of silence that a run may take to its second row: a start may compile for long."""

GAPS, LEAST_PATIENCE = 20.0, 300.0
"""Later, a run may be silent for so many times the longest gap between rows, at least so many
seconds."""

MOST_HANGS = 2
"""A pilot that hangs this often is set aside, however many failures are allowed: each costs the
whole patience."""

ENOUGH_ALIKE = 2
"""So many failures alike before any run had a row: no further start is worth its time."""

ENOUGH_FAILED = 3
"""So many pilots set aside, and none that ended well: the command itself is at fault."""

_DISK_FULL = re.compile(r"No space left on device|Disk quota exceeded|\bErrno 28\b")
_SAID_DIVERGED = re.compile(r"loss\W{0,4}(?:is )?(?:nan|inf)\b|\bdiverged\b", re.I)


# ----------------------------------------------------------------------------------- how it ended


@dataclass(frozen=True)
class Ending:
    """What is left of a training whose processes have ended.

    Attributes:
        exit_code: that of the training, 128 + n after signal n; None where it left none.
        log: what its log says; None where there is no log, or none that can be read.
        run: the whole log with its schedule; None where it cannot be read.
        unreadable: why the log cannot be read; empty where it can, and where there is none.
        printed: the last lines that it printed.
        taken_by: what took it away, where it did not end by itself: a node that died.
    """

    exit_code: int | None = None
    log: LogStatus | None = None
    run: Run | None = None
    unreadable: str = ""
    printed: str = ""
    taken_by: str | None = None


class Verdict(Enum):
    """How a run ended."""

    FINISHED = auto()
    """Its log reaches its last update."""
    DIVERGED = auto()
    """Its loss rose beyond recovery, or the training says so."""
    UNREADABLE = auto()
    """It wrote a log that cannot be read."""
    DISK_FULL = auto()
    """There was no space for what it wrote: no fault of its own."""
    FAILED = auto()
    """Anything else that leaves its log short of the last update."""


def verdict_of(ending: Ending, steps: int, *, failed_before: bool) -> Verdict:
    """How a run of `steps` updates ended.

    The log counts for more than the exit code: a training that fails in its cleanup has finished,
    and one that exits with 0 before its last update has not. `failed_before` says whether an
    earlier attempt failed: a log that cannot be read is then no half-written one of a training that
    was killed early, which the next attempt would overwrite, but is to be kept and moved away.
    """
    log = ending.log
    if log is None and ending.unreadable and (ending.exit_code == 0 or failed_before):
        return Verdict.UNREADABLE
    if log is not None and (log.diverged or _declares_divergence(ending.run)):
        return Verdict.DIVERGED
    if log is not None and is_complete(log, steps, ending.exit_code):
        return Verdict.UNREADABLE if ending.run is None else Verdict.FINISHED
    if is_disk_full(ending.printed):
        return Verdict.DISK_FULL
    if _SAID_DIVERGED.search(ending.printed):
        return Verdict.DIVERGED
    return Verdict.FAILED


def verdict_of_hung(ending: Ending, steps: int) -> Verdict:
    """How a run of `steps` updates ended that was ended because it hung.

    Some trainings write their last row and then wait for ever, as for their data loaders.
    """
    if ending.log is None or not is_complete(ending.log, steps, None):
        return Verdict.FAILED
    return Verdict.UNREADABLE if ending.run is None else Verdict.FINISHED


def is_complete(log: LogStatus, steps: int, exit_code: int | None) -> bool:
    """Whether a log reaches the last of `steps` updates.

    Its last row may be one update short, as rows count from 0 or from 1. A training that exits with
    0 says itself that it is done: its last row may then be as far from the end as its rows are from
    each other.
    """
    missing = max(log.gap, 1.0) if exit_code == 0 else 1.0
    return log.step + missing >= steps


def is_over(log: LogStatus, steps: int) -> bool:
    """Whether nothing that a training still does can change how its run is judged."""
    return log.hopeless or is_complete(log, steps, None)


def is_disk_full(printed: str) -> bool:
    """Whether what was printed tells of a full disk."""
    return _DISK_FULL.search(printed) is not None


def _declares_divergence(run: Run | None) -> bool:
    return run is not None and run.metadata.get("status") == "diverged"


def failure_text(ending: Ending, steps: int) -> str:
    """One clause that says what became of a training that did not finish.

    >>> failure_text(Ending(exit_code=1, printed="RuntimeError: fire"), 200)
    'exit 1 before its first row (RuntimeError: fire)'
    """
    code, log = ending.exit_code, ending.log
    where = f"after step {log.step:.0f} of {steps}" if log else "before its first row"
    words = f" ({ending.printed})" if ending.printed else ""
    if ending.taken_by is not None:
        return f"lost {where}: {ending.taken_by}"
    if code is None:
        return f"killed {where}"
    if code > 128:
        try:
            name = signal.Signals(code - 128).name
        except ValueError:
            name = f"signal {code - 128}"
        return f"killed by {name} {where}{words}"
    if code == 0 and log is None:
        return f"exit 0, but no log at {{out}}, {{out}}.csv or {{out}}.jsonl{words}"
    if code == 0:
        return f"exit 0, but its log ends {where}{words}"
    return f"exit {code} {where}{words}"


# ----------------------------------------------------------------------------------- what follows


def is_tried_again(failures: int, hangs: int, retries: int) -> bool:
    """Whether a pilot is started again after `failures` failed attempts, `hangs` of which hung.

    The first hang is not counted among the failures: it takes one more start to tell a training
    that hangs from a machine that did.
    """
    return hangs < MOST_HANGS and failures - min(hangs, 1) <= retries


def is_command_at_fault(statuses: Collection[PilotStatus]) -> bool:
    """Whether pilots so far say that the training itself does not work."""
    worked = PilotStatus.FINISHED in statuses or PilotStatus.DIVERGED in statuses
    failed = sum(status == PilotStatus.SET_ASIDE for status in statuses)
    return not worked and failed >= ENOUGH_FAILED


def is_broken_from_the_start(early: Sequence[str]) -> bool:
    """Whether trainings that failed before their first row say that no training can work.

    Two failures in the same words, but for numbers and the names of files, do.

    Arguments:
        early: what failed, in order, while no run of the sweep had a row yet.

    >>> is_broken_from_the_start(["exit 1 (No module named x)", "exit 1 (No module named x)"])
    True
    """
    return len(early) >= ENOUGH_ALIKE and len({_plain(what) for what in early[-2:]}) == 1


def _plain(what: str) -> str:
    return re.sub(r"\S*[\d/]\S*", "", what)


def is_own_early_failure(ending: Ending) -> bool:
    """Whether a training ended by itself before its first row: nobody killed it or its machine."""
    by_itself = ending.exit_code is not None and ending.exit_code <= 128
    return by_itself and ending.taken_by is None and ending.log is None


def paid_steps(reached: float, begin: int) -> int:
    """Updates that a run has made which reached an update and began at another."""
    return max(round(reached) - begin, 0)


# --------------------------------------------------------------------------------- how long to wait


def patience_for(
    asked: float | None, has_row: bool, own_gap: float, gaps: Collection[float]
) -> float:
    """Seconds of silence after which a run counts as hung.

    Arguments:
        asked: what the user asked for, which then holds throughout.
        has_row: whether the run has shown a row.
        own_gap: its longest gap between two rows in seconds, 0 before the second row.
        gaps: those of all runs under way: they share the machine, and slow down together.
    """
    if asked is not None:
        return asked
    if not has_row or own_gap == 0:
        return FIRST_ROWS
    return max(LEAST_PATIENCE, GAPS * max(gaps))


def half_interval(outlook: Outlook | None, width: float | None) -> float | None:
    """Half the 90% interval of the loss at the horizon; None where nothing is known.

    The larger of two answers: the fitted law's, which knows only what its runs have shown, and the
    designer's `width`, a part of the loss, which also counts what they have not.
    """
    if outlook is None:
        return None
    return max((outlook.high - outlook.low) / 2, (width or 0.0) * outlook.loss)
