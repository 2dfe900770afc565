"""A log file as columns, before any is chosen; and what every reader of a format provides."""

from __future__ import annotations

import abc
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import ClassVar

import numpy as np
import polars as pl

from etastar._errors import InputError, option

MISSING = ("", "none", "null", "na", "n/a", "<na>", "-")


@dataclass(frozen=True)
class LogTable:
    """What a reader found: columns as the file spells them, and where each row stands.

    `averaged` names columns that hold means since the row before. `place` turns a row's `line` into
    the words that name it in messages. `unterminated` says that a text file does not end in a
    newline, as when the process writing it was killed. `headers` are the lines by which a log
    declares its own run, each with its number; see `etastar.runs._declarations`. `paths` holds the
    file of each row where a table is joined from several.
    """

    path: Path
    name: str
    frame: pl.DataFrame
    line: np.ndarray
    place: str = "{path}:{line}"
    unterminated: bool = False
    duplicates: tuple[str, ...] = ()
    averaged: tuple[str, ...] = ()
    caveats: tuple[str, ...] = ()
    metadata: Mapping[str, object] = field(default_factory=dict)
    headers: tuple[tuple[int, Mapping[str, object]], ...] = ()
    paths: tuple[Path, ...] | None = None

    def where(self, row: int) -> str:
        """The place of one row, such as `log.csv:12`."""
        path = self.path if self.paths is None else self.paths[row]
        return self.place.format(path=path, line=int(self.line[row]))

    def only(self, rows: np.ndarray) -> LogTable:
        """The table of some rows, in the order given."""
        last = len(rows) > 0 and int(rows[-1]) == self.frame.height - 1
        return replace(
            self,
            frame=self.frame[rows],
            line=self.line[rows],
            paths=None if self.paths is None else tuple(self.paths[int(row)] for row in rows),
            unterminated=self.unterminated and last,
        )

    def without_last(self, why: str) -> LogTable:
        """The table less its last row, with the caveat that says why."""
        caveat = f"{self.where(-1)}: {why}; the line is left out"
        less = self.only(np.arange(self.frame.height - 1))
        return replace(less, caveats=(*self.caveats, caveat))


class Reader(abc.ABC):
    """One log format, listed in `READERS` of `_formats.py`.

    Attributes:
        suffixes: how the names of its logs end, in lower case, such as `.csv`; empty for a format
            that goes by the whole name of the file, which `accepts` then says.
    """

    suffixes: ClassVar[tuple[str, ...]] = ()

    def accepts(self, path: Path) -> bool:
        """Whether the name of the file says that it has this format."""
        return path.suffix.lower() in self.suffixes

    @abc.abstractmethod
    def read(self, path: Path) -> LogTable:
        """The columns of the file.

        The reader of a text format starts from `read_text` in `_file_text.py`, and leaves out a
        last line that was cut, as when the training was killed (`LogTable.without_last`).

        Raises:
            InputError: the file is not what its name says.
        """


def table_of_records(records: Sequence[Mapping[str, object]]) -> pl.DataFrame:
    """Records with differing keys as columns; a key that a record lacks is null."""
    columns: dict[str, pl.Series] = {}
    for key in dict.fromkeys(key for record in records for key in record):
        name = _whole_characters(key)
        columns.setdefault(name, _series(name, [record.get(key) for record in records]))
    return pl.DataFrame(list(columns.values()))


def _series(name: str, values: list[object]) -> pl.Series:
    if any(isinstance(value, list) for value in values):
        lists = [None if v is None else v if isinstance(v, list) else [v] for v in values]
        if all(_is_number(part) for value in lists if value for part in value):
            rows = [None if v is None else [_float(part) for part in v] for v in lists]
            return pl.Series(name, rows, dtype=pl.List(pl.Float64))
    if any(isinstance(value, bool | list | dict | bytes) for value in values):
        # Kept as a column, so that messages list it, but of no use as numbers.
        return pl.Series(name, [value is not None for value in values], dtype=pl.Boolean)
    if any(isinstance(value, str) for value in values):
        texts = [None if value is None else _whole_characters(str(value)) for value in values]
        return pl.Series(name, texts, dtype=pl.String)
    return pl.Series(name, [None if v is None else _float(v) for v in values], dtype=pl.Float64)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _whole_characters(text: str) -> str:
    """Text as UTF-8 can hold it: an escape of JSON may stand for half of a character."""
    return text.encode("utf-8", "backslashreplace").decode("utf-8")


def _float(value: object) -> float:
    try:
        return float(value)  # type: ignore[arg-type]
    except OverflowError:
        return float("inf")


# A number, or several, as Python prints them: [0.1], [0.1|0.2], tensor(0.1), np.float64(0.1).
NUMBER = r"[-+]?(?:\d+\.?\d*|\.\d+)(?:[eE][-+]?\d+)?|[-+]?\b(?:nan|inf)\b"
WRAPPED = rf"^(?:[A-Za-z_][\w.]*\()?\[*(?:(?:{NUMBER})[|,\s]*)+\]*(?:[|,]\s*[a-z_]+=[^()]*)?\)?$"


def as_numbers(series: pl.Series) -> tuple[np.ndarray, np.ndarray]:
    """Values of a column (NaN where a cell is missing or no number), and which cells are there."""
    if series.dtype != pl.String:
        if series.dtype != pl.Null and not series.dtype.is_numeric():
            return np.full(len(series), np.nan), np.zeros(len(series), dtype=bool)
        values = series.cast(pl.Float64)
        return values.fill_null(np.nan).to_numpy(), values.is_not_null().to_numpy()
    text = series.str.strip_chars()
    values = text.cast(pl.Float64, strict=False)
    return values.fill_null(np.nan).to_numpy(), values.is_not_null().to_numpy()


def _odd(series: pl.Series, there: np.ndarray) -> np.ndarray:
    """The cells with something in them that is no number."""
    if series.dtype != pl.String or there.all():
        return np.zeros(len(series), dtype=bool)
    text = series.str.strip_chars().str.to_lowercase()
    return (text.is_not_null() & ~text.is_in(MISSING)).fill_null(False).to_numpy() & ~there


def _lists(series: pl.Series) -> pl.Series:
    """Lists of numbers, of a column that holds lists or prints them; null where a cell is none."""
    if series.dtype != pl.String:
        return series.cast(pl.List(pl.Float64))
    text = series.str.strip_chars()
    text = pl.select(pl.when(text.str.contains(WRAPPED)).then(text)).to_series()
    inner = text.str.replace(r"^[A-Za-z_][\w.]*\(", "").str.replace(r"[|,]\s*[a-z_]+=.*$", "")
    return inner.str.extract_all(NUMBER).cast(pl.List(pl.Float64))


def lists_in(table: LogTable, column: str) -> pl.Series | None:
    """Lists of numbers, where the cells of a column hold or print such; else None."""
    series = table.frame[column]
    if series.dtype == pl.String:
        return _lists(series) if _printed(series).any() else None
    if isinstance(series.dtype, pl.List) and series.dtype.inner.is_numeric():
        return _lists(series)
    return None


def _printed(series: pl.Series) -> pl.Series:
    """The cells of text that something in brackets stands in."""
    return series.str.contains(r"[\[(]").fill_null(False)


def _unwrapped(table: LogTable, column: str, several: bool) -> LogTable:
    """The table with the numbers of a column out of the lists that hold one each.

    With `several`, the first number of a longer list is taken, with a caveat where they differ.
    """
    series, lists = table.frame[column], lists_in(table, column)
    if lists is None:
        return table
    longest = lists.list.len().max() or 0
    if longest > 1 and not several:  # type: ignore[operator]
        return table
    first = lists.list.first()
    if series.dtype == pl.String:
        plain = ~_printed(series) | lists.is_null()
        values = pl.select(pl.when(plain).then(series).otherwise(first.cast(pl.String))).to_series()
    else:
        values = first
    caveats = table.caveats
    if longest > 1 and (lists.list.min() != lists.list.max()).any():  # type: ignore[operator]
        caveats = (
            *caveats,
            f"{table.path}: {column} holds up to {longest} values a row; the first is taken",
        )
    return replace(table, frame=table.frame.with_columns(values.alias(column)), caveats=caveats)


def _not_a_number(table: LogTable, column: str, row: int) -> InputError:
    cell = str(table.frame[column][row]).strip()
    if cell.replace(",", "").replace(".", "").lstrip("+-").isdigit() and "," in cell:
        fix = "write numbers with a decimal point and no commas"
    else:
        fix = "correct or remove the line"
    return InputError(f"{table.where(row)}: {column} is {cell[:40]!r}, not a number; {fix}")


def _cut(table: LogTable, columns: Sequence[str]) -> str | None:
    """Why the last line looks cut in the middle of a number, or None.

    A cut number still parses (3.1520 becomes 3.1), so its length is compared with that of all
    others.
    """
    if not table.unterminated or table.frame.height < 3:
        return None
    last = table.frame.columns[-1]
    if last not in columns:
        return None
    lengths = table.frame[last].str.len_chars().fill_null(0)
    if lengths[-1] < lengths.head(len(lengths) - 1).min():  # type: ignore[operator]
        return f"the file does not end in a newline and its last {last} is shorter than all others"
    return None


def numbers(
    table: LogTable, columns: Sequence[str], several: Sequence[str] = ()
) -> tuple[LogTable, dict[str, tuple[np.ndarray, np.ndarray]]]:
    """Chosen columns as float64, each with the mask of rows that hold a value.

    Numbers that stand in a list of one, such as [0.001], are taken out of it; of longer lists in
    the columns named by `several`, the first number. Only the last line may fail to parse: it is
    then left out as cut by a killed process.

    Raises:
        InputError: a column that does not hold numbers, or a cell that is none, with its line.
    """
    for column in columns:
        table = _unwrapped(table, column, column in several)
        dtype = table.frame.schema[column]
        if dtype != pl.String and dtype != pl.Null and not dtype.is_numeric():
            raise InputError(
                f"{table.path}: column {column} does not hold numbers; name another with"
                f" {option('step')} {option('loss')} or {option('lr')}"
            )
    why = _cut(table, columns)
    if why:
        table = table.without_last(why)
    parsed = {column: as_numbers(table.frame[column]) for column in columns}
    odd = {
        column: np.flatnonzero(_odd(table.frame[column], parsed[column][1])) for column in columns
    }
    odd = {column: rows for column, rows in odd.items() if len(rows)}
    if not odd:
        return table, parsed
    column, row = min(((c, int(rows[0])) for c, rows in odd.items()), key=lambda pair: pair[1])
    problem = _not_a_number(table, column, row)
    if row < table.frame.height - 1 or row == 0 or "comma" in str(problem):
        raise problem
    cell = str(table.frame[column][row])[:40]
    return numbers(table.without_last(f"cut mid-line ({column} is {cell!r})"), columns, several)
