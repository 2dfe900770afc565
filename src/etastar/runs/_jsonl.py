"""JSON lines: one object a line."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path

import numpy as np
import polars as pl

from etastar._errors import InputError

from ._file_text import read_text
from ._json_cost import check_room, is_cheap
from ._log_table import LogTable, Reader, table_of_records
from ._nested import DEEPEST, flattened, short_name

KEY = "etastar_run"
HEADER = f'"{KEY}"'


class JsonLines(Reader):
    """JSONL: objects whose keys may differ from line to line; `NaN`, `Infinity` are understood.

    The values of an object inside an object become columns of their own, such as `val.loss`.
    An object with the key `etastar_run` declares the run and is no row.
    """

    suffixes = (".jsonl", ".ndjson")

    def read(self, path: Path) -> LogTable:
        return read_json_lines(path, read_text(path), name=path.stem)


def read_json_lines(path: Path, text: str, name: str) -> LogTable:
    """The keys of the objects as columns.

    Raises:
        InputError: a line before the last that is not a JSON object.
    """
    lines = pl.Series(text.split("\n"), dtype=pl.String)
    filled = (lines.str.strip_chars().str.len_bytes() > 0).arg_true()
    line = filled.to_numpy().astype(np.int64) + 1
    headers = _headers(lines) if HEADER in text else {}
    if headers:
        if headers.keys() >= set(line):
            raise InputError(
                f"{path}: declares a run and has no rows; remove the file or log to it"
            )
        lines[[number - 1 for number in headers]] = ""
        line = line[~np.isin(line, list(headers))]
        text = "\n".join(lines.to_list())
    frame = _at_once(text, len(line)) if is_cheap(lines, len(line)) else None
    if frame is not None:
        return LogTable(path, name, frame, line, headers=tuple(headers.items()))
    table = _line_by_line(path, name, lines.gather(line - 1).to_list(), line)
    return replace(table, headers=tuple(headers.items()))


def _headers(lines: pl.Series) -> dict[int, Mapping[str, object]]:
    """The lines that declare the run, by their number."""
    near = lines.str.contains(HEADER, literal=True).arg_true().to_list()
    found = {place + 1: _object(lines[place]) for place in near}
    return {number: record for number, record in found.items() if record and KEY in record}


def _at_once(text: str, rows: int) -> pl.DataFrame | None:
    """All lines in one call; None where one needs the patient way (NaN, a cut line, an error)."""
    try:
        frame = pl.read_ndjson(io.BytesIO(text.encode()), infer_schema_length=None)
    except (pl.exceptions.PolarsError, pl.exceptions.PanicException):
        return None
    return _unnested(frame) if frame.height == rows and frame.width > 0 else None


def _unnested(frame: pl.DataFrame) -> pl.DataFrame | None:
    """The frame with the fields of objects as columns; None where that takes the patient way."""
    for _ in range(DEEPEST):
        nested = [name for name, kind in frame.schema.items() if isinstance(kind, pl.Struct)]
        if not nested:
            break
        columns = []
        for name in frame.columns:
            kind = frame.schema[name]
            if not isinstance(kind, pl.Struct):
                columns.append(frame[name])
                continue
            if "_type" in {field.name for field in kind.fields}:
                return None
            fields = frame[name].struct.unnest()
            columns += [fields[inner].alias(f"{name}.{inner}") for inner in fields.columns]
        if len({column.name for column in columns}) < len(columns):
            return None
        frame = pl.DataFrame(columns)
    else:
        return None
    short = {name: short_name(name) for name in frame.columns}
    if len(set(short.values())) < len(short):
        return None
    return frame.rename(short)


def _line_by_line(path: Path, name: str, lines: list[str], line: np.ndarray) -> LogTable:
    records: list[Mapping[str, object]] = []
    size = sum(map(len, lines))
    for number, text in zip(line, lines, strict=True):
        record = _object(text)
        if record is None:
            if len(records) == len(lines) - 1 and records:
                break
            raise InputError(f"{path}:{number}: not a JSON object; correct or remove the line")
        records.append(flattened(record))
    try:
        check_room(len({key for each in records for key in each}), len(records), size)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
    if len(records) == len(lines):
        return LogTable(path, name, table_of_records(records), line)
    table = LogTable(path, name, table_of_records([*records, {}]), line)
    return table.without_last("cut mid-line (not a whole JSON object)")


def _object(text: str) -> Mapping[str, object] | None:
    try:
        record = json.loads(text)
    except (ValueError, RecursionError):
        return None
    return record if isinstance(record, dict) else None
