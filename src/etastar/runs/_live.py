"""Logs of trainings that may still be running: where one lies, and what it says so far."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np

from etastar._errors import InputError
from etastar._files import is_file, is_folder

from . import _logged_values
from ._columns import loss_column, step_column
from ._declarations import IN_FOLDER
from ._epochs import with_steps
from ._formats import ENDS, SUFFIXES, read_log_table
from ._log_table import numbers
from ._run import measured, risen
from ._sources import find_logs

RECENT_ROWS = 10
"""The usual distance between rows is taken from this many of the last ones."""


@dataclass(frozen=True)
class LogStatus:
    """What a log says so far.

    Attributes:
        step: updates done at the last row that holds a loss.
        loss: loss of that row, in the log's own unit; it may be NaN or infinite.
        gap: most updates between two of the last ten rows; of a log with one row, its step.
        diverged: whether the run has diverged if the log ends here, see `Run.diverged`.
        hopeless: whether it is not worth waiting for more rows: the last loss is not finite, or the
            last two losses are both above three times the lowest before them.
    """

    step: float
    loss: float
    gap: float
    diverged: bool
    hopeless: bool


def live_log(base: str | os.PathLike[str]) -> Path | None:
    """The log that a training has written to a path without suffix.

    That is a file of exactly this path, a file of this path with the suffix of a log (`.csv`,
    `.jsonl`, ...), or the log in a folder of this path.

    Arguments:
        base: the path that the training was given to write to.

    Returns: the path of the log, a file or a folder of event files; None where there is none yet.

    Raises: InputError where there are several logs, or the folder cannot be read.

    >>> import tempfile
    >>> base = Path(tempfile.mkdtemp()) / "log"
    >>> print(live_log(base))
    None
    >>> _ = base.with_name("log.csv").write_text("step,loss\\n0,4\\n")
    >>> live_log(base).name
    'log.csv'
    """
    base = Path(base)
    with _input_errors_only(base):
        found = [base] if is_file(base) else []
        named = (base.with_name(base.name + suffix) for suffix in SUFFIXES)
        found += [path for path in named if is_file(path)]
        if is_folder(base):
            with contextlib.suppress(InputError):  # a folder without a log in it yet
                found += [source.path for source in find_logs(base)]
    if len(found) > 1:
        names = ", ".join(path.relative_to(base.parent).as_posix() for path in found)
        raise InputError(f"{base.parent}: several logs ({names}); name that of the run")
    return found[0] if found else None


def log_status(
    path: str | os.PathLike[str],
    *,
    step: str | None = None,
    loss: str | None = None,
    pattern: Sequence[str] = (),
    steps_per_epoch: float | None = None,
) -> LogStatus:
    """What a log says so far, while the training may still be writing it.

    A last line that is cut is left out, and so are rows that a resumed run wrote again. Losses that
    are not finite count: they are how a divergence shows.

    Arguments:
        path: a log in any format of `read_runs`.
        step, loss: columns; guessed where None.
        pattern: regular expressions that find rows in other text.
        steps_per_epoch: updates in an epoch, for logs that count epochs and no steps.

    Returns: a `LogStatus`.

    Raises: InputError where the log cannot be read, or holds no row with a loss yet. No other error
        is raised, whatever the file holds and whenever it changes.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "log.csv"
    >>> _ = path.write_text("step,loss\\n0,4\\n50,3\\n100,2.5\\n15")
    >>> log_status(path)
    LogStatus(step=100.0, loss=2.5, gap=50.0, diverged=False, hopeless=False)
    """
    path = Path(path)
    with _input_errors_only(path):
        table = with_steps(read_log_table(path, pattern), steps_per_epoch)
    steps = step_column(table, step)
    losses, _ = loss_column(table, loss, steps)
    table, columns = numbers(table, list(dict.fromkeys((steps, losses))))
    _logged_values.check_steps(table, *columns[steps])
    logged, _ = _logged_values.losses(table, columns[steps][0], *columns[losses], losses)
    logged = logged.where(measured(logged.value))
    logged, _ = _logged_values.in_order(table, logged)
    if len(logged.step) == 0:
        raise InputError(f"{path}: no row with a loss yet")
    recent = logged.step[-RECENT_ROWS:]
    last = float(logged.value[-1])
    diverged = risen(logged.value)
    return LogStatus(
        step=float(logged.step[-1]),
        loss=last,
        gap=float(np.max(np.diff(recent)) if len(recent) > 1 else recent[0]),
        diverged=diverged,
        # One row above the limit may be a spike; after a second one a recovery is rare.
        hopeless=bool(not np.isfinite(last) or (diverged and risen(logged.value[:-1]))),
    )


def log_name(log: str | os.PathLike[str], run: str) -> str:
    """The name under which a copy of a log is found as the log of a run.

    Formats that go by the name of the file (`metrics.csv`, `trainer_state.json`) keep it, in a
    folder named after the run.

    Arguments:
        log: the log, as `live_log` finds it.
        run: name of the run in the `runs.csv` beside the copy.

    Returns: a path relative to the folder of that `runs.csv`.

    >>> log_name("out/log.jsonl", "pilot_3"), log_name("out/log/metrics.csv", "pilot_3")
    ('pilot_3.jsonl', 'pilot_3/metrics.csv')
    """
    log = Path(log)
    if is_folder(log):
        return run
    if log.name in IN_FOLDER:
        return f"{run}/{log.name}"
    return run + (log.suffix if log.suffix.lower() in ENDS else "")


@contextlib.contextmanager
def _input_errors_only(path: Path) -> Iterator[None]:
    """Errors of the file system as InputError: files come and go while a training writes them."""
    try:
        yield
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{path}: cannot be read ({reason})") from None
