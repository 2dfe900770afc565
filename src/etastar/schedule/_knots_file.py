"""A file of knots: a CSV table with the columns step and lr."""

from __future__ import annotations

import csv
import io
from pathlib import Path

from etastar._checks import shown
from etastar._errors import InputError
from etastar._files import utf8_text

COLUMNS = ("step", "lr")


def read_knots(path: Path) -> tuple[tuple[float, float], ...]:
    """Read the columns step, lr of a CSV file; errors name the file and the line."""
    try:
        lines = io.StringIO(utf8_text(path), newline="")
        reader = csv.reader(lines)
        header = [name.strip() for name in next(reader, [])]
        for column in COLUMNS:
            if column not in header:
                raise InputError(
                    f"{path}:1: no column {column!r} in {shown(header)}: a file of knots has "
                    "a header with step and lr"
                )
        places = [header.index(column) for column in COLUMNS]
        return tuple(_knot(row, places, f"{path}:{reader.line_num}") for row in reader if any(row))
    except csv.Error as error:
        raise InputError(f"{path}: is not a CSV text file: {error}") from None


def _knot(row: list[str], places: list[int], where: str) -> tuple[float, float]:
    values = []
    for place, column in zip(places, COLUMNS, strict=True):
        if place >= len(row):
            raise InputError(f"{where}: the row ends before column {column!r}")
        try:
            values.append(float(row[place]))
        except ValueError:
            raise InputError(f"{where}: {column} is not a number: {shown(row[place])}") from None
    return values[0], values[1]
