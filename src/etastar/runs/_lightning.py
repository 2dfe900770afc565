"""Lightning's `CSVLogger`: `metrics.csv` in one folder a run, or several where it was resumed."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from etastar._errors import InputError

from ._columns import STEP, ordinary
from ._delimited import read_delimited
from ._file_text import read_text, run_folder_name
from ._joined_tables import joined
from ._log_table import LogTable, Reader, as_numbers

RATE = re.compile(r"lr[-/]", re.IGNORECASE)
MOMENTUM = re.compile(r"-(momentum|weight_decay)$")
"""Ends of columns of LearningRateMonitor that are no learning rates."""
VERSION = re.compile(r"version_(\d+)")


class Lightning(Reader):
    """`version_0/metrics.csv`: a `step` column and sparse ones, named by the user's `self.log`
    calls.

    Training, validation and learning rate (`lr-AdamW`, from LearningRateMonitor) stand on rows of
    their own; nulls are dropped column by column, as for every format. The folder gives the run its
    name.
    """

    def accepts(self, path: Path) -> bool:
        return path.name == "metrics.csv"

    def read(self, path: Path) -> LogTable:
        return read_delimited(path, read_text(path), name=run_folder_name(path))


def of_monitor(table: LogTable) -> LogTable:
    """The table with learning rates alone under the names that LearningRateMonitor gives them.

    It names what it says of momentum and weight decay like the learning rate before them, in every
    format; one value of the momentum declares the run. Of parameter groups (`lr-AdamW/pg1`) with
    the same rates one column stays.
    """
    rates = [name for name in table.frame.columns if RATE.match(name)]
    others = [name for name in rates if MOMENTUM.search(name)]
    groups = [name for name in rates if name not in others]
    repeated = [name for name in groups[1:] if _same(table, groups[0], name)]
    frame = table.frame.drop(repeated).rename({name: f"of {name}" for name in others})
    momenta = np.unique(
        [
            value
            for name in others
            if name.endswith("-momentum")
            for values, there in [as_numbers(table.frame[name])[:2]]
            for value in values[there]
        ]
    )
    headers = table.headers
    if len(momenta) == 1 and 0 <= momenta[0] < 1 and len(headers) < 2:
        line, declared = headers[0] if headers else (int(table.line[0]), {"etastar_run": 1})
        headers = ((line, {"momentum": float(momenta[0]), **declared}),)
    return replace(table, frame=frame, headers=headers)


def _same(table: LogTable, one: str, other: str) -> bool:
    first, second = (as_numbers(table.frame[name])[0] for name in (one, other))
    return np.array_equal(first, second, equal_nan=True)


@dataclass(frozen=True)
class _Steps:
    """The steps of a log: the first, the last, and the most between two rows."""

    first: float
    last: float
    gap: float


def is_version(path: Path) -> bool:
    """Whether a log lies in a `version_N` folder, of which a resumed run writes several."""
    return path.name == "metrics.csv" and VERSION.fullmatch(path.parent.name) is not None


def version_number(path: Path) -> int:
    """The N of a log in `version_N`."""
    found = VERSION.fullmatch(path.parent.name)
    return int(found.group(1)) if found else -1


def resumed(paths: Sequence[Path]) -> list[list[Path]]:
    """The logs of the `version_N` folders of one place, those of one run together and in order.

    A log goes on from the latest earlier one in whose steps, or right after them, its own begin,
    where they begin too late for a fresh start: after more than the most between two of its rows.
    A log that another goes on from is no run of its own; two that go on from one are two runs (a
    second try, or two endings of one beginning).
    """
    order = sorted(paths, key=lambda path: int(VERSION.findall(path.parent.name)[0]))
    known: dict[Path, _Steps] = {}
    before: dict[Path, Path] = {}
    for path in order:
        steps = _steps(path)
        if steps is None:
            continue
        for earlier, done in reversed(known.items()):
            reach = done.last + max(steps.gap, done.gap)
            if steps.first > steps.gap and done.first < steps.first <= reach:
                before[path] = earlier
                break
        known[path] = steps
    chains = [[path] for path in order if path not in before.values()]
    for chain in chains:
        while chain[0] in before:
            chain.insert(0, before[chain[0]])
    return chains


def _steps(path: Path) -> _Steps | None:
    """The steps of a log; None where they cannot be told, as reading it will say."""
    try:
        table = Lightning().read(path)
    except InputError:
        return None
    name = next((column for column in table.frame.columns if ordinary(column) in STEP), None)
    if name is None:
        return None
    values, there = as_numbers(table.frame[name])[:2]
    steps = np.unique(values[there & np.isfinite(values)])
    if len(steps) < 2:
        return None
    return _Steps(float(steps[0]), float(steps[-1]), float(np.diff(steps).max()))


def read_resumed(chain: Sequence[Path]) -> LogTable:
    """A run that was resumed, from the logs of its starts in order."""
    tables = [Lightning().read(path) for path in chain]
    names = ", ".join(path.parent.name for path in chain[:-1])
    note = f"{chain[-1]}: goes on where {names} stopped; they are read as one run"
    whole = joined(tables)
    return replace(whole, caveats=(*whole.caveats, note))
