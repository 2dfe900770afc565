"""What declares a run: a row of the `runs.csv` beside its log, or a line in the log itself."""

from __future__ import annotations

import errno
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path
from typing import Any

import polars as pl

from etastar._checks import HORIZON_LIMIT, number_in, shown
from etastar._errors import InputError, known_names
from etastar._files import is_file, is_folder, place_of
from etastar.schedule import UNITS, Schedule, Unit, parse_schedule

from ._changes import schedule_with_changes
from ._columns import LOSS, RATE, STEP, ordinary
from ._delimited import read_delimited
from ._file_text import read_text
from ._formats import ENDS
from ._log_table import MISSING, LogTable
from ._tensorboard import has_events

FILE = "runs.csv"
BATCH = (
    "batch_size",
    "batch",
    "batch_sequences",
    "global_batch_size",
    "total_batch_size",
    "bs",
)
BATCH_OF_TOKENS = ("batch_tokens", "tokens_per_batch", "batch_size_tokens")
"""Names of a batch size that counts tokens, whatever the length of a sequence."""
UNIT_KEYS = ("unit", *(size.name for size in fields(Unit)[1:]))
IN_FOLDER = ("metrics.csv", "trainer_state.json", "trainer_log.jsonl", "metrics.json")
"""Names of logs by which trainers write one in the folder of a run, and a copy must keep them."""


@dataclass(frozen=True)
class Declaration:
    """What a run was: a row of `runs.csv`, or what the log itself says.

    `path` is the log that a row names, None where there is none. `unit` is that of the log's steps,
    of `horizon` and of a schedule that is a spec; a whole `Schedule` counts updates.
    """

    where: str
    run: str
    path: Path | None
    schedule: str | Schedule | None
    horizon: int | None
    batch_size: float | None
    momentum: float | None
    metadata: Mapping[str, object]
    folder: Path
    unit: str | None = None
    epoch_size: float | None = None
    sequence_length: float | None = None

    def parsed(self, horizon: float | None, **unit: Any) -> Schedule | None:
        """The declared schedule; `horizon` serves where neither spec nor row names one.

        `unit` and the sizes of one stand in for those that the row does not say.

        Raises:
            InputError: the spec is wrong; with the line of `runs.csv`.
        """
        if not isinstance(self.schedule, str):
            return self.schedule
        fallback = self.horizon if self.horizon is not None else horizon
        told = {key: value for key in UNIT_KEYS if (value := getattr(self, key)) is not None}
        try:
            return parse_schedule(
                self.schedule, folder=self.folder, horizon=fallback, **{**unit, **told}
            )
        except InputError as error:
            raise InputError(f"{self.where}: {error}") from None


def read_declarations(folder: Path) -> list[Declaration]:
    """The rows of the `runs.csv` of a folder; none where it has no such file.

    Raises:
        InputError: the file has no run column, names a run twice, or holds a number that is none.
    """
    path = folder / FILE
    if not is_file(path):
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
        key = place_of(row.path) if row.path else row.run
        if key in seen:
            raise InputError(
                f"{row.where}: run {row.run} is declared before ({seen[key]}); remove one"
            )
        seen[key] = row.where
    return rows


HEADER_VERSION = 1


def declared_in(table: LogTable) -> tuple[Declaration | None, list[str]]:
    """What a log itself declares, and caveats; None where it declares nothing.

    A log's line {"etastar_run": 1, "schedule": SPEC, "batch_size": ..., "momentum": ...,
    "optimizer": ..., ...} declares the run. A later one with `from_step` declares what holds from
    that update on, and undoes those of the same update or a later one; its schedule counts, like
    the first, from the start of the run. `batch_size` and `momentum` are numbers, or the spec of a
    schedule.

    Raises:
        InputError: a line of another version, or a value that is wrong; with its line.
    """
    if not table.headers:
        return None, []
    kept: list[tuple[str, int, Mapping[str, object]]] = []
    for line, header in table.headers:
        where = table.place.format(path=table.path, line=line)
        start = _checked_header(where, header)
        kept = [entry for entry in kept if entry[1] < start]
        kept.append((where, start, header))
    where, _, last = kept[-1]
    batch, batch_notes = _one_value(kept, "batch_size", "batch size", _number)
    momentum, momentum_notes = _one_value(kept, "momentum", "momentum", _momentum)
    schedules = [
        (at, start, header["schedule"]) for at, start, header in kept if header.get("schedule")
    ]
    told = {"etastar_run", "from_step", "schedule"}
    told |= {
        key for key, value in (("batch_size", batch), ("momentum", momentum)) if value is not None
    }
    metadata = {key: value for key, value in last.items() if key not in told and value is not None}
    declaration = Declaration(
        where=where,
        run=table.name,
        path=table.path,
        schedule=schedule_with_changes(schedules, table.path.parent),
        horizon=None,
        batch_size=batch,
        momentum=momentum,
        metadata=metadata,
        folder=table.path.parent,
        epoch_size=_size(where, "epoch_size", metadata),
        sequence_length=_size(where, "sequence_length", metadata),
    )
    return declaration, [*batch_notes, *momentum_notes]


def no_log(row: Declaration) -> str:
    """The caveat of a row that names no log."""
    return f"{row.where}: no log for run {row.run}; it is left out"


def declared_by_columns(table: LogTable) -> Declaration:
    """What the columns that are constant in a run's rows declare of it, as a row of `runs.csv`."""
    first = table.frame.row(0, named=True)
    constant = [
        name
        for name, count in table.frame.select(pl.all().n_unique()).row(0, named=True).items()
        if count == 1 and ordinary(name) not in (*STEP, *LOSS, *RATE)
    ]
    cells = {ordinary(name): str(first[name]) for name in constant if first[name] is not None}
    return _declared(table.where(0), table.name, table.path, cells, table.path.parent)


def completed(row: Declaration | None, own: Declaration | None) -> Declaration | None:
    """A row of `runs.csv`, and what the log itself declares where the row says nothing."""
    if row is None or own is None:
        return row or own
    return replace(
        row if row.schedule is not None else own,
        run=row.run,
        horizon=row.horizon,
        **{key: getattr(own if getattr(row, key) is None else row, key) for key in UNIT_KEYS},
        momentum=own.momentum if row.momentum is None else row.momentum,
        metadata={**own.metadata, **row.metadata},
    )


def _checked_header(where: str, header: Mapping[str, object]) -> int:
    """The update from which a line of declaration holds."""
    if header["etastar_run"] != HEADER_VERSION:
        raise InputError(
            f"{where}: etastar_run is {shown(header['etastar_run'])}, this release reads"
            f" {HEADER_VERSION}: update etastar"
        )
    start = header.get("from_step", 0)
    if not isinstance(start, int) or isinstance(start, bool) or not 0 <= start < HORIZON_LIMIT:
        raise InputError(
            f"{where}: from_step is {shown(start)}; give a whole number of updates from 0 to below"
            " 1e15"
        )
    return start


def _one_value(
    kept: Sequence[tuple[str, int, Mapping[str, object]]],
    key: str,
    noun: str,
    checked: Callable[..., float],
) -> tuple[float | None, list[str]]:
    """The one batch size or momentum of a run; None with a caveat where it varies."""
    values = []
    for where, _, header in kept:
        value = header.get(key)
        if isinstance(value, str) and ":" in value:
            return None, [f"{where}: the {noun} follows a schedule; a law holds for one {noun}"]
        if value is not None:
            values.append((where, checked(where, noun, str(value))))
    if not values:
        return None, []
    other = next((entry for entry in values if entry[1] != values[0][1]), None)
    if other is None:
        return values[0][1], []
    change = f"{other[0]}: the {noun} changes from {values[0][1]:g} to {other[1]:g}"
    return None, [f"{change}; a law holds for one {noun}"]


def _declaration(
    table: LogTable, columns: Mapping[str, str], row: int, folder: Path
) -> Declaration:
    cells: dict[str, str] = {}
    for key, name in columns.items():
        text = table.frame[name][row]
        if text is not None and text.strip().lower() not in MISSING:
            cells[key] = text.strip()
    where = table.where(row)
    run = cells.pop("run", "")
    if not run:
        raise InputError(f"{where}: no run is named; give the name of its log file")
    return _declared(where, run, _log_of(folder, run), cells, folder)


def _declared(
    where: str, run: str, path: Path | None, cells: dict[str, str], folder: Path
) -> Declaration:
    """A declaration from cells by the name of their column."""
    of_tokens = next((cells.pop(key) for key in BATCH_OF_TOKENS if key in cells), None)
    batch = of_tokens or next((cells.pop(key) for key in BATCH if key in cells), None)
    length = cells.pop("sequence_length", None)
    length = length if of_tokens is None else None
    momentum = cells.pop("momentum", None)
    horizon, epoch = cells.pop("horizon", None), cells.pop("epoch_size", None)
    unit = cells.pop("unit", None)
    if unit is not None and unit not in UNITS:
        raise InputError(f"{where}: unit is {shown(unit)}; {known_names(unit, UNITS)}")
    return Declaration(
        where=where,
        run=run,
        path=path,
        schedule=cells.pop("schedule", None),
        horizon=None if horizon is None else _horizon(where, horizon),
        batch_size=None if batch is None else _number(where, "batch size", batch),
        momentum=None if momentum is None else _momentum(where, "momentum", momentum),
        metadata={key: _plain(text) for key, text in cells.items()},
        folder=folder,
        unit=unit,
        epoch_size=None if epoch is None else _number(where, "epoch size", epoch),
        sequence_length=None if length is None else _number(where, "sequence length", length),
    )


def _number(where: str, noun: str, text: str) -> float:
    value = _float(text)
    if not 0 < value < math.inf:
        raise InputError(f"{where}: {noun} is {shown(text)}; give a number that is positive")
    return value


def _size(where: str, key: str, header: Mapping[str, object]) -> float | None:
    return _number(where, key.replace("_", " "), str(header[key])) if key in header else None


def _momentum(where: str, noun: str, text: str) -> float:
    value = _float(text)
    if not 0 <= value < 1:
        raise InputError(f"{where}: {noun} is {shown(text)}; give a number in [0, 1)")
    return value


def _horizon(where: str, text: str) -> int:
    value = _number(where, "horizon", text)
    if value != round(value) or value >= HORIZON_LIMIT:
        raise InputError(
            f"{where}: horizon is {shown(text)}; give a whole number of steps below 1e15"
        )
    return int(value)


def _float(text: str) -> float:
    """The number that a cell holds; NaN where it is none."""
    try:
        return number_in(text)
    except ValueError:
        return math.nan


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
    try:
        return _existing(folder / run)
    except ValueError:  # a name such as "/", or one with a NUL in it
        return None
    except OSError as error:
        if error.errno == errno.ENAMETOOLONG:
            return None
        raise InputError(
            f"{folder / run}: cannot be read ({error.strerror}); check its permissions"
        ) from None


def _existing(base: Path) -> Path | None:
    if is_file(base):
        return base
    for suffix in ENDS:
        path = base.with_name(base.name + suffix)
        if is_file(path):
            return path
    for name in IN_FOLDER:
        if is_file(base / name):
            return base / name
    return base if is_folder(base) and has_events(base) else None
