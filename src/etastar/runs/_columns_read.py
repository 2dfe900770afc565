"""Which columns of the logs were read, said once where they are the same in all."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from ._run import Run


@dataclass(frozen=True)
class ColumnsRead:
    """The columns of step, loss and LR that were read from some logs.

    Attributes:
        runs: names of the runs.
        step: the column; None where a row is a whole run, as in the summary of a sweep.
        loss: the column.
        lr: the column; None where the schedule is declared and no LR is logged.
    """

    runs: tuple[str, ...]
    step: str | None
    loss: str
    lr: str | None

    def to_dict(self) -> dict[str, Any]:
        """As `--json` has it: `runs [..]`, `step`, `loss`, `lr`.

        >>> ColumnsRead(("a",), "step", "val_loss", None).to_dict()
        {'runs': ['a'], 'step': 'step', 'loss': 'val_loss', 'lr': None}
        """
        return {"runs": list(self.runs), "step": self.step, "loss": self.loss, "lr": self.lr}


def columns_read(runs: Sequence[Run]) -> tuple[ColumnsRead, ...]:
    """The columns that were read, one item for all logs in which they are the same.

    Arguments:
        runs: from `read_runs`; of other runs nothing is known.

    Returns: a `ColumnsRead` for each choice of columns, in the order of the runs.

    >>> from etastar.runs import read_runs
    >>> found = columns_read(read_runs("examples/gpt/pilots"))
    >>> [(each.step, each.loss) for each in found]
    [('step', 'loss')]
    """
    names: dict[tuple[Any, ...], list[str]] = {}
    for run in runs:
        known = run.metadata
        if "loss_column" in known:
            key = tuple(known.get(f"{what}_column") for what in ("step", "loss", "lr"))
            names.setdefault(key, []).append(run.name)
    return tuple(ColumnsRead(tuple(those), *key) for key, those in names.items())


def columns_lines(runs: Sequence[Run]) -> list[str]:
    """The same in words, a line for each choice of columns.

    >>> from etastar.runs import read_runs
    >>> columns_lines(read_runs("examples/gpt/pilots"))
    ['read: loss from loss, step from step, LR from lr']
    """
    found = columns_read(runs)
    return [f"read{_of(each) if len(found) > 1 else ''}: {_words(each)}" for each in found]


def _words(read: ColumnsRead) -> str:
    parts = [f"loss from {read.loss}"]
    parts += [f"step from {read.step}"] if read.step is not None else []
    parts += ["LR as declared" if read.lr is None else f"LR from {read.lr}"]
    return ", ".join(parts)


def _of(read: ColumnsRead) -> str:
    """The first runs by name, and the number of the others."""
    more = len(read.runs) - 3
    names = ", ".join(read.runs[:3])
    return f" of {names}" + (f" and {more} more" if more > 0 else "")
