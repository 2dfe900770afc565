"""`runs.csv` beside logs: the schedule of each run, and what else is known of it."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path

from etastar.runs._columns import ordinary
from etastar.runs._delimited import read_delimited
from etastar.runs._table import MISSING, Table
from etastar.runs._tensorboard import has_events
from etastar.runs._text import read_text
from etastar.schedule import InputError, Schedule, parse_schedule

FILE = "runs.csv"
BATCH = ("batch_size", "batch", "batch_sequences")
SUFFIXES = (".csv", ".tsv", ".jsonl", ".ndjson", ".parquet")
IN_FOLDER = ("metrics.csv", "trainer_state.json")


@dataclass(frozen=True)
class Declaration:
    """One row of `runs.csv`; `path` is the log that it names, None where there is none."""

    where: str
    run: str
    path: Path | None
    schedule: str | None
    horizon: int | None
    batch_size: float | None
    momentum: float | None
    metadata: Mapping[str, object]
    folder: Path

    def parsed(self, horizon: int | None) -> Schedule | None:
        """The declared schedule; `horizon` serves where neither spec nor row names one.

        Raises:
            InputError: the spec is wrong; with the line of `runs.csv`.
        """
        if self.schedule is None:
            return None
        fallback = self.horizon if self.horizon is not None else horizon
        try:
            return parse_schedule(self.schedule, folder=self.folder, horizon=fallback)
        except InputError as error:
            raise InputError(f"{self.where}: {error}") from None


def read_declarations(folder: Path) -> list[Declaration]:
    """The rows of the `runs.csv` of a folder; none where it has no such file.

    Raises:
        InputError: the file has no run column, names a run twice, or holds a number that is none.
    """
    path = folder / FILE
    if not path.is_file():
        return []
    table = read_delimited(path, read_text(path), name=path.stem)
    columns = {ordinary(name.split("\n")[0]): name for name in table.frame.columns}
    if "run" not in columns:
        raise InputError(
            f"{path}: no run column; found {', '.join(columns)}; add one with the name of each log"
            " file"
        )
    if table.duplicates:
        raise InputError(f"{path}: two columns named {table.duplicates[0]!r}; rename one of them")
    rows = [_declaration(table, columns, row, folder) for row in range(table.frame.height)]
    seen: dict[object, str] = {}
    for row in rows:
        key = row.path.resolve() if row.path else row.run
        if key in seen:
            raise InputError(
                f"{row.where}: run {row.run} is declared before ({seen[key]}); remove one"
            )
        seen[key] = row.where
    return rows


def _declaration(table: Table, columns: Mapping[str, str], row: int, folder: Path) -> Declaration:
    cells: dict[str, str] = {}
    for key, name in columns.items():
        text = table.frame[name][row]
        if text is not None and text.strip().lower() not in MISSING:
            cells[key] = text.strip()
    where = table.where(row)
    run = cells.pop("run", "")
    if not run:
        raise InputError(f"{where}: no run is named; give the name of its log file")
    batch = next((cells.pop(key) for key in BATCH if key in cells), None)
    momentum = cells.pop("momentum", None)
    horizon = cells.pop("horizon", None)
    return Declaration(
        where=where,
        run=run,
        path=_log_of(folder, run),
        schedule=cells.pop("schedule", None),
        horizon=None if horizon is None else _horizon(where, horizon),
        batch_size=None if batch is None else _number(where, "batch size", batch),
        momentum=None if momentum is None else _momentum(where, momentum),
        metadata={key: _plain(text) for key, text in cells.items()},
        folder=folder,
    )


def _number(where: str, noun: str, text: str) -> float:
    value = _plain(text)
    if not isinstance(value, int | float) or not 0 < value < math.inf:
        raise InputError(f"{where}: {noun} is {text!r}; give a number that is positive")
    return float(value)


def _momentum(where: str, text: str) -> float:
    value = _plain(text)
    if not isinstance(value, int | float) or not 0 <= value < 1:
        raise InputError(f"{where}: momentum is {text!r}; give a number in [0, 1)")
    return float(value)


def _horizon(where: str, text: str) -> int:
    value = _number(where, "horizon", text)
    if value != round(value):
        raise InputError(f"{where}: horizon is {text!r}; give a whole number of steps")
    return int(value)


def _plain(text: str) -> object:
    """A number where the cell is one, else its text."""
    for kind in (int, float):
        try:
            return kind(text)
        except ValueError:
            continue
    return text


def _log_of(folder: Path, run: str) -> Path | None:
    """The log that a run names: a path relative to the folder, with or without its suffix."""
    base = folder / run
    if base.is_file():
        return base
    for suffix in SUFFIXES:
        path = base.with_name(base.name + suffix)
        if path.is_file():
            return path
    for name in IN_FOLDER:
        if (base / name).is_file():
            return base / name
    return base if base.is_dir() and has_events(base) else None
