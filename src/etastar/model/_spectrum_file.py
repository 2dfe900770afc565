"""A file with the eigenvalues of a spectrum and the target's power on each."""

from __future__ import annotations

import math
import re
from pathlib import Path

from etastar._checks import shown
from etastar._errors import InputError
from etastar._files import utf8_text

from ._spectrum import Spectrum

COLUMNS = ("eigenvalue", "target")


def read_spectrum(path: str | Path) -> Spectrum:
    r"""Read a table with the columns eigenvalue and target, one mode a line.

    Commas, semicolons, tabs or blanks stand between the columns. With a header line the columns may
    stand in any order beside others; without one the first is the eigenvalue and the second the
    target. Blank lines and lines that start with `#` are skipped.

    Arguments:
        path: the file. Eigenvalues lambda_k are above 0; targets, lambda_k (w*_k)^2, at least 0.

    Returns: a `Spectrum`, its modes in the order of the file.
    Raises: InputError that names the file and the line: a column is missing, a value is no number
    or out of range, or the file holds no mode.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "spectrum.csv"
    >>> _ = path.write_text("eigenvalue,target\n1,0.5\n0.25,0.125\n")
    >>> read_spectrum(path).eigenvalue
    array([1.  , 0.25])
    """
    path = Path(path)
    places: tuple[int, ...] | None = None
    modes = []
    for number, line in enumerate(utf8_text(path).splitlines(), start=1):
        cells = _cells(line)
        if not cells:
            continue
        if places is None:
            places = _places(cells, f"{path}:{number}")
            if not _is_number(cells[0]):
                continue
        modes.append(_mode(cells, places, f"{path}:{number}"))
    if not modes:
        raise InputError(
            f"{path}: holds no mode; give a line for each, with its eigenvalue and target"
        )
    eigenvalue, target = zip(*modes, strict=True)
    return Spectrum(list(eigenvalue), list(target))


def _cells(line: str) -> list[str]:
    line = line.strip()
    if not line or line.startswith("#"):
        return []
    for separator in ",;\t":
        if separator in line:
            return [cell.strip().strip('"') for cell in line.split(separator)]
    return re.split(r"\s+", line)


def _is_number(text: str) -> bool:
    try:
        float(text)
    except ValueError:
        return False
    return True


def _places(cells: list[str], where: str) -> tuple[int, ...]:
    """Where the two columns stand, by the first line."""
    if _is_number(cells[0]):
        return 0, 1
    names = [cell.lower() for cell in cells]
    for column in COLUMNS:
        if column not in names:
            raise InputError(
                f"{where}: no column {column!r} in {shown(cells)}: a spectrum has the columns"
                " eigenvalue and target, or two numbers a line without a header"
            )
    return tuple(names.index(column) for column in COLUMNS)


def _mode(cells: list[str], places: tuple[int, ...], where: str) -> tuple[float, float]:
    values = []
    for place, column in zip(places, COLUMNS, strict=True):
        if place >= len(cells):
            raise InputError(f"{where}: the line ends before the column {column!r}")
        try:
            value = float(cells[place])
        except ValueError:
            raise InputError(f"{where}: {column} is not a number: {shown(cells[place])}") from None
        least = "above 0" if column == "eigenvalue" else "at least 0"
        if not math.isfinite(value) or value < 0 or (value == 0 and column == "eigenvalue"):
            raise InputError(
                f"{where}: {column} must be {least} and finite, got {cells[place]}; leave out modes"
                " that are rounding errors"
            )
        values.append(value)
    return values[0], values[1]
