"""One training run: what was measured, and the schedule it was trained with."""

from __future__ import annotations

import os
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etastar._checks import shown
from etastar._errors import InputError, legible
from etastar.schedule import Schedule

RISE = 3.0
"""A row is bad where its loss stands above this multiple of the run's own minimum so far ..."""
BACK = 1.05
"""... and undone where a later loss is at most this multiple of that minimum."""


def risen(loss: np.ndarray) -> bool:
    """Whether a loss, in the order it was logged, rises beyond recovery.

    A row is bad when it is infinite, NaN at the end, or above `RISE` times the smallest loss before
    it. One bad row that the next row undoes is a spike, and so are several after which the loss
    comes back to `BACK` times the smallest before them. Any other bad rows are a divergence. A NaN
    that was not measured (see `measured`) is no row.
    """
    loss = loss[measured(loss)]
    if len(loss) == 0:
        return False
    finite = np.where(np.isfinite(loss), loss, np.inf)
    best = np.minimum.accumulate(finite)
    bad = ~np.isfinite(loss) | (finite > RISE * best)
    if bad[-1]:
        return True
    pairs = np.flatnonzero(bad[:-1] & bad[1:])
    lowest_from = np.minimum.accumulate(finite[::-1])[::-1]
    return bool(np.any(lowest_from[pairs + 1] > BACK * best[pairs]))


def measured(loss: np.ndarray) -> np.ndarray:
    """The rows that are not a NaN that stands for "not measured".

    Such are a NaN between finite losses, and NaNs at the end where the log skips as many rows
    between two losses at least twice before.
    """
    absent = np.isnan(loss)
    there = np.flatnonzero(np.isfinite(loss))
    if not absent.any() or len(there) == 0:
        return np.ones(len(loss), dtype=bool)
    skipped = np.diff(there) - 1
    skipped = skipped[skipped > 0]
    trailing = len(loss) - 1 - there[-1]
    if len(skipped) < 2 or trailing > skipped.max():
        absent[there[-1] :] = False
    return ~absent


def _frozen(values: object, name: str, field_name: str) -> np.ndarray:
    try:
        array = np.array(values, dtype=np.float64)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"run {name}: {field_name} must be numbers; pass a float array") from None
    if array.ndim != 1:
        raise InputError(
            f"run {name}: {field_name} has shape {array.shape}; pass a one-dimensional array"
        )
    array.flags.writeable = False
    return array


@dataclass(frozen=True, eq=False)
class Run:
    """A training log: losses at steps, and the schedule that produced them.

    A loss at step s is the loss after the s updates t = 0..s-1, whose learning rates are
    `schedule(t)`. Arrays are copied and made read-only; two runs are equal only if they are one
    object.

    Arguments:
        name: what the run is called in tables and messages; control characters and bytes that are
            not UTF-8 become escapes.
        step: shape (n,), strictly increasing updates done when each loss was measured, >= 0.
        loss: shape (n,), losses in nats (or the user's own unit), finite and > 0.
        schedule: the learning rate of every update, in the user's own unit.
        batch_size: examples (or sequences, or tokens) an update; None if unknown.
        momentum: heavy-ball coefficient or Adam's first beta, in [0, 1); None if unknown.
        metadata: anything else; `read_runs` puts `file`, `loss_column` and the other columns of
            `runs.csv` here, and `diverged`; where the log ends with losses that are not finite,
            `not_finite` holds the steps of the first and the last of these; where a training loss
            was taken, `passed_over` names the column that may be the validation loss.
        caveats: one line each: what was left out or doubted on reading.

    Raises:
        InputError: for empty arrays, shapes that differ, steps that do not increase, losses that
            are not finite and positive, a batch size <= 0, or a momentum outside [0, 1).

    >>> from etastar.schedule import parse_schedule
    >>> run = Run("pilot", [100, 200], [4.0, 3.5], parse_schedule("constant:peak=1e-3,horizon=200"))
    >>> run.final_loss, run.final_step, run.diverged
    (3.5, 200.0, False)
    """

    name: str
    step: np.ndarray
    loss: np.ndarray
    schedule: Schedule
    batch_size: float | None = None
    momentum: float | None = None
    metadata: Mapping[str, object] = field(default_factory=dict)
    caveats: tuple[str, ...] = ()

    def __post_init__(self) -> None:
        step = _frozen(self.step, self.name, "step")
        loss = _frozen(self.loss, self.name, "loss")
        problem = _problem(step, loss, self.batch_size, self.momentum)
        if problem:
            raise InputError(f"run {self.name}: {problem}")
        # Names of files and text from logs end up in terminals and pages.
        object.__setattr__(self, "name", legible(str(self.name)))
        object.__setattr__(self, "caveats", tuple(map(legible, self.caveats)))
        object.__setattr__(self, "step", step)
        object.__setattr__(self, "loss", loss)
        object.__setattr__(self, "metadata", dict(self.metadata))

    @property
    def final_loss(self) -> float:
        """Loss at the last step of the log.

        >>> from etastar.schedule import parse_schedule
        >>> Run("a", [1, 2], [4.0, 3.5], parse_schedule("constant:peak=1,horizon=2")).final_loss
        3.5
        """
        return float(self.loss[-1])

    @property
    def final_step(self) -> float:
        """Last step of the log, in updates; the horizon of the schedule may lie beyond it.

        >>> from etastar.schedule import parse_schedule
        >>> Run("a", [1, 2], [4.0, 3.5], parse_schedule("constant:peak=1,horizon=9")).final_step
        2.0
        """
        return float(self.step[-1])

    @property
    def warmup(self) -> int:
        """Updates of the warmup; of a schedule made from logged LRs its first rising part.

        >>> from etastar.schedule import table
        >>> Run("a", [50, 90], [4.0, 3.5], table([0, 20, 100], [0.0, 0.1, 0.0])).warmup
        20
        """
        return self.schedule.rise

    @property
    def sequence_length(self) -> float | None:
        """Tokens of a sample, where the log says so; None too where batch sizes count tokens.

        >>> from etastar.schedule import parse_schedule
        >>> constant = parse_schedule("constant:peak=1,horizon=9")
        >>> Run("a", [1, 9], [4, 3], constant, 8, metadata={"sequence_length": 256}).sequence_length
        256.0
        """
        length = self.metadata.get("sequence_length")
        return float(length) if isinstance(length, int | float) and length > 0 else None

    @property
    def groups(self) -> dict[str, float]:
        """The peak LR of each parameter group over that of `schedule`, whose group comes first.

        Empty where the log has one LR. Else `metadata["lr_groups"]`, as `read_runs` finds it in the
        columns of a log or a `RunLog` writes it; what is no such mapping is not taken.

        >>> from etastar.schedule import parse_schedule
        >>> constant = parse_schedule("constant:peak=0.02,horizon=9")
        >>> ratios = {"muon": 1.0, "adamw": 0.15}
        >>> Run("a", [1, 9], [4, 3], constant, metadata={"lr_groups": ratios}).groups
        {'muon': 1.0, 'adamw': 0.15}
        """
        found = self.metadata.get("lr_groups")
        if not isinstance(found, Mapping) or next(iter(found.values()), None) != 1.0:
            return {}
        return {
            legible(str(name)): float(ratio)
            for name, ratio in found.items()
            if isinstance(ratio, int | float) and 0 < ratio < np.inf
        }

    @property
    def diverged(self) -> bool:
        """Whether the run blew up, so that fits must leave it out.

        True where the log turned NaN or infinite to its end, or where the loss stood above three
        times its own smallest value so far, at two successive rows or at the last one. Rows that
        the next one undoes, or after which the loss comes back to within 5% of that smallest value,
        are a spike. `read_runs` keeps such a run, with a caveat, and records
        `metadata["diverged"]`, because the rows that were not finite are no longer in `loss`.

        >>> from etastar.schedule import parse_schedule
        >>> constant = parse_schedule("constant:peak=1,horizon=4")
        >>> Run("a", [1, 2, 3, 4], [4.0, 2.0, 7.0, 9.0], constant).diverged
        True
        """
        return bool(self.metadata.get("diverged", False)) or risen(self.loss)


def as_runs(given: object, name: str = "runs") -> list[Run]:
    """The runs that were given to a function, after a check that they are a list of `Run`.

    Arguments:
        given: the list.
        name: of the argument, for the error.

    Raises: InputError for anything else, such as the path of the logs.

    >>> try:
    ...     as_runs("pilots")
    ... except InputError as error:
    ...     print(error)
    runs is 'pilots': give a list of Run, such as read_runs('pilots')
    """
    is_path = isinstance(given, str | os.PathLike)
    found: list[Any] = list(given) if isinstance(given, Iterable) and not is_path else [given]
    if all(isinstance(each, Run) for each in found) and not isinstance(given, Run):
        return found
    example = f", such as read_runs({shown(os.fspath(given))})" if is_path else ""
    raise InputError(f"{name} is {shown(given)}: give a list of Run{example}")


def _problem(
    step: np.ndarray, loss: np.ndarray, batch_size: float | None, momentum: float | None
) -> str | None:
    """What is wrong with the fields of a run, or None."""
    if len(step) == 0 or step.shape != loss.shape:
        return f"{len(step)} steps and {len(loss)} losses; pass as many of each, at least one"
    if not np.all(np.isfinite(step)) or step[0] < 0 or np.any(np.diff(step) <= 0):
        return "steps must be finite, >= 0 and strictly increasing; sort them, keep one row a step"
    if not np.all(np.isfinite(loss)) or np.any(loss <= 0):
        return "losses must be finite and positive; leave the other rows out"
    if batch_size is not None and not 0 < batch_size < np.inf:
        return f"batch_size={batch_size} must be positive"
    if momentum is not None and not 0 <= momentum < 1:
        return f"momentum={momentum} must lie in [0, 1)"
    return None
