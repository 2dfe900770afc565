"""Comma-, tab- and semicolon-separated logs with a header line."""

from __future__ import annotations

import csv
import io
from pathlib import Path

import numpy as np
import polars as pl

from etastar._errors import InputError

from ._file_text import read_text
from ._log_table import LogTable, Reader


class Delimited(Reader):
    """CSV and TSV: one header line, then one row a line; blank lines are skipped."""

    suffixes = (".csv", ".tsv")

    def read(self, path: Path) -> LogTable:
        return read_delimited(path, read_text(path), name=path.stem)


def read_delimited(path: Path, text: str, name: str) -> LogTable:
    """The columns of a delimited text, all still strings.

    Raises:
        InputError: no rows, no header, or a row before the last whose field count is not the
            header's.
    """
    if '"' in text:
        rows, line = _quoted(path, text)
        header, counts = rows[0], np.array([len(row) for row in rows[1:]])
        columns = None
    else:
        lines = pl.Series(text.split("\n"), dtype=pl.String)
        filled = (lines.str.strip_chars().str.len_bytes() > 0).arg_true()
        body = lines.gather(filled)
        separator = _separator(str(body[0]))
        header = str(body[0]).split(separator)
        body = body.slice(1)
        counts = body.str.count_matches(separator, literal=True).to_numpy() + 1
        columns = body.str.split_exact(separator, max(len(header) - 1, 1)).struct.unnest()
        rows, line = [], filled.to_numpy().astype(np.int64) + 1
    header = [cell.strip() for cell in header]
    _check_header(path, header, int(line[0]))
    ragged = np.flatnonzero(counts != len(header))
    if len(ragged) and (ragged[0] < len(counts) - 1 or len(counts) == 1):
        raise InputError(
            f"{path}:{line[1 + ragged[0]]}: {counts[ragged[0]]} fields where the header has"
            f" {len(header)}; correct the line (a decimal comma also splits a number in two)"
        )
    if len(counts) == 0:
        raise InputError(f"{path}: a header and no rows; remove the file or log to it")
    if columns is None:
        width = len(header)
        columns = pl.DataFrame(
            [
                pl.Series(f"{i}", [r[i] if i < len(r) else "" for r in rows[1:]])
                for i in range(width)
            ]
        )
    unique, duplicates = _unique(header)
    frame = columns.select(columns.columns[: len(header)])
    frame.columns = unique
    table = LogTable(
        path, name, frame, line[1:], unterminated=not text.endswith("\n"), duplicates=duplicates
    )
    if len(ragged):
        return table.without_last(f"cut mid-line ({counts[-1]} of {len(header)} fields)")
    return table


def _separator(header: str) -> str:
    """The separator that the header line uses most; a comma where it uses none."""
    return max(",\t;", key=header.count)


def _quoted(path: Path, text: str) -> tuple[list[list[str]], np.ndarray]:
    """Rows of a text with quotes, and the line each starts on."""
    first = text.lstrip("\n").split("\n", 1)[0]
    reader = csv.reader(io.StringIO(text), delimiter=_separator(first))
    rows, line, start = [], [], 1
    try:
        for row in reader:
            if any(cell.strip() for cell in row):
                rows.append(row)
                line.append(start)
            start = reader.line_num + 1
    except csv.Error as error:
        raise InputError(f"{path}:{start}: {error}; correct the quotes") from None
    if not rows:
        raise InputError(f"{path}: the file is empty; remove it or log to it")
    return rows, np.array(line, dtype=np.int64)


def _check_header(path: Path, header: list[str], line: int) -> None:
    def number(cell: str) -> bool:
        try:
            float(cell)
        except ValueError:
            return False
        return True

    if header and all(number(cell) for cell in header):
        raise InputError(
            f"{path}:{line}: the first line holds numbers; put a header such as step,lr,loss above"
            " it"
        )


def _unique(header: list[str]) -> tuple[list[str], tuple[str, ...]]:
    """Distinct column names, and those that the header repeats."""
    seen: dict[str, int] = {}
    unique = []
    for name in header:
        seen[name] = seen.get(name, 0) + 1
        # No column can be asked for by a name with a newline in it.
        unique.append(name if seen[name] == 1 else f"{name}\n{seen[name]}")
    return unique, tuple(name for name, count in seen.items() if count > 1)
