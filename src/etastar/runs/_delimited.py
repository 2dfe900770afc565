"""Logs with a header line and a row a line, separated by commas, tabs, semicolons or blanks."""

from __future__ import annotations

import csv
import io
import re
from pathlib import Path

import numpy as np
import polars as pl

from etastar._errors import InputError

from ._file_text import read_text
from ._log_table import LogTable, Reader

MOST_COLUMNS = 20_000
"""A table with more is no log, and would take minutes to say so."""
# Separators inside a list of numbers, or inside a printed tensor, separate no cells.
GROUPED = re.compile(r"\[[-+\d.eE,;\s]*\]|tensor\([^()\n]*\)")
BLANKS = " "
"""Stands for any number of blanks and tabs between two cells."""


class Delimited(Reader):
    """CSV, TSV and tables with blanks between the columns: a header line, then one row a line.

    Blank lines and lines that start with `#` are skipped. A header that is written again, as by a
    run that was resumed, holds for the rows below it.
    """

    suffixes = (".csv", ".tsv")

    def read(self, path: Path) -> LogTable:
        return read_delimited(path, read_text(path), name=path.stem)


def read_delimited(path: Path, text: str, name: str) -> LogTable:
    """The columns of a delimited text, all still strings.

    Raises:
        InputError: no rows, no header, or a row before the last whose field count is not the
            header's.
    """
    if "[" in text or "tensor(" in text:
        text = GROUPED.sub(lambda found: re.sub(r"[,;\s]+", "|", found[0]), text)
    rows, line = _rows(path, text)
    header = _cells(rows, 0)
    rows, line = rows.slice(1), line[1:]
    parts = _sections(rows, header)
    if not parts:
        raise InputError(f"{path}: a header and no rows; remove the file or log to it")
    frames, duplicates, cut = [], set(), ""
    for cells, places in parts:
        part = rows.gather(places) if len(places) < len(rows) else rows
        counts = part.list.len().to_numpy()
        ragged = np.flatnonzero(counts != len(cells))
        if len(ragged):
            row = int(ragged[0])
            if places[row] < len(rows) - 1 or len(rows) == 1:
                raise InputError(
                    f"{path}:{line[places[row]]}: {counts[row]} fields where the header has"
                    f" {len(cells)}; correct the line (a decimal comma also splits a number in two)"
                )
            cut = f"cut mid-line ({counts[row]} of {len(cells)} fields)"
        unique, repeated = _unique(cells)
        duplicates |= repeated
        columns = [part.list.get(i, null_on_oob=True).alias(n) for i, n in enumerate(unique)]
        frames.append(pl.DataFrame(columns))
    table = LogTable(
        path,
        name,
        frames[0] if len(frames) == 1 else pl.concat(frames, how="diagonal"),
        np.concatenate([line[places] for _, places in parts]),
        unterminated=not text.endswith("\n"),
        duplicates=tuple(duplicates),
    )
    return table.without_last(cut) if cut else table


def _rows(path: Path, text: str) -> tuple[pl.Series, np.ndarray]:
    """The header and the rows as lists of cells, and the line that each starts on."""
    lines = pl.Series(text.split("\n"), dtype=pl.String)
    bare = lines.str.strip_chars()
    comment = bare.str.starts_with("#")
    filled = ((bare.str.len_bytes() > 0) & ~comment).arg_true()
    if len(filled) == 0:
        raise InputError(f"{path}: comments and no rows; remove the file or log to it")
    top = int(filled[0])
    header = str(bare[top])
    separator = _separator(header)
    if header.count(separator) >= MOST_COLUMNS:
        raise InputError(
            f"{path}: {header.count(separator) + 1} columns, where a log has fewer than"
            f" {MOST_COLUMNS}; give a log with a row a step"
        )
    if '"' in text:
        # What a comment above the table quotes is no part of it.
        rows, line = _quoted(path, [""] * top + lines.slice(top).to_list(), separator)
    else:
        line = filled.to_numpy().astype(np.int64) + 1
        if separator == BLANKS:
            rows = bare.gather(filled).str.replace_all(r"\s+", BLANKS).str.split(BLANKS)
        else:
            rows = lines.gather(filled).str.split(separator)
    if separator == BLANKS and len(rows) > 1:
        counts = rows.list.len()
        if (counts.slice(1) == counts[0] + 1).all():  # a printed frame, with an unnamed index
            rows = pl.concat([pl.Series([["", *_cells(rows, 0)]]), rows.slice(1)])
    if _all_numbers(_cells(rows, 0)):
        above = str(bare[top - 1]).removeprefix("#").strip() if top else ""
        names = re.split(r"\s+" if separator == BLANKS else separator, above)
        if len(names) != len(rows[0]) or _all_numbers(names):
            raise InputError(
                f"{path}:{line[0]}: the first line holds numbers; put a header such as step,lr,loss"
                " above it"
            )
        # The header is a comment, as NumPy writes it.
        return pl.concat([pl.Series([names]), rows]), np.r_[top, line]
    return rows, line


def _cells(rows: pl.Series, row: int) -> list[str]:
    return [cell.strip() for cell in rows[row]]


def _sections(rows: pl.Series, header: list[str]) -> list[tuple[list[str], np.ndarray]]:
    """Each header with the places of its rows; one for all where no later header differs."""
    first = rows.list.first().str.strip_chars()
    again = (first == header[0]).arg_true().to_list() if header[0] else []
    # A name of a run may be that of its column: two names in common make a header.
    alike = min(2, len(set(header)))
    again = [row for row in again if len(set(_cells(rows, row)) & set(header)) >= alike]
    headers = [_cells(rows, row) for row in again]
    if all(cells == header for cells in headers):
        kept = np.setdiff1d(np.arange(len(rows)), again, assume_unique=True)
        return [(header, kept)] if len(kept) else []
    starts, ends = [-1, *again], [*again, len(rows)]
    parts = zip([header, *headers], starts, ends, strict=True)
    return [(cells, np.arange(low + 1, high)) for cells, low, high in parts if high > low + 1]


def _separator(header: str) -> str:
    """The separator that the header line uses most; blanks where it has none of these."""
    most = max(",\t;", key=header.count)
    return most if most in header or len(header.split()) == 1 else BLANKS


def _quoted(path: Path, lines: list[str], separator: str) -> tuple[pl.Series, np.ndarray]:
    """Rows of a text with quotes, less comments, and the line each starts on."""
    reader = csv.reader(
        io.StringIO("\n".join(lines)), delimiter=separator, skipinitialspace=separator == BLANKS
    )
    rows, line, start = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row) and not row[0].lstrip().startswith("#"):
                rows.append(row)
                line.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}:{start}: {error}; correct the quotes") from None
    if not rows:
        raise InputError(f"{path}: the file is empty; remove it or log to it")
    return pl.Series(rows, dtype=pl.List(pl.String)), np.array(line, dtype=np.int64)


def _all_numbers(cells: list[str]) -> bool:
    try:
        return bool([float(cell) for cell in cells])
    except ValueError:
        return False


def _unique(header: list[str]) -> tuple[list[str], set[str]]:
    """Distinct column names, and those that the header repeats."""
    seen: dict[str, int] = {}
    unique = []
    for name in header:
        seen[name] = seen.get(name, 0) + 1
        # No column can be asked for by a name with a newline in it.
        unique.append(name if seen[name] == 1 else f"{name}\n{seen[name]}")
    return unique, {name for name, count in seen.items() if count > 1}
