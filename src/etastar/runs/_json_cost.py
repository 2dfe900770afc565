"""What JSON lines would cost to read: records that share few keys make a mostly empty table."""

from __future__ import annotations

import json

import polars as pl

from etastar._errors import InputError

MOST_BRACKETS = 16
"""Opening brackets of a line up to which polars takes it: its time goes with the cube of how deeply
lists and objects lie in one another."""

MOST_CELLS = 10**7
"""Cells of a table, rows times columns, that are always read."""

SAMPLE = 200


def is_cheap(lines: pl.Series, rows: int) -> bool:
    """Whether polars reads all lines at once in time and memory that go with their size.

    Few lines are sampled, the longest among them: a log has the same keys all along.

    Arguments:
        lines: the lines of a text.
        rows: how many of them are records.
    """
    if len(lines) == 0:
        return True
    if (lines.str.count_matches(r"[\[{]").max() or 0) > MOST_BRACKETS:  # type: ignore[operator]
        return False
    if (lines.str.count_matches('":', literal=True).sum() or 0) * rows <= MOST_CELLS:
        return True
    sampled = lines.gather_every(max(len(lines) // SAMPLE, 1)).to_list()
    first, second = _keys(sampled[::2]), _keys(sampled[1::2])
    longest = lines.gather(lines.str.len_bytes().arg_sort(descending=True).head(SAMPLE)).to_list()
    # Keys that half of the sample adds to those of the other: so does every such part of the lines.
    added = len(second - first) * len(lines) / len(sampled)
    columns = len(first | second | _keys(longest)) + int(added)
    return has_room(columns, rows, int(lines.str.len_bytes().sum()))


def _keys(lines: list[str]) -> set[str]:
    """The keys of the objects among some lines."""
    keys: set[str] = set()
    for line in lines:
        try:
            keys.update(json.loads(line))
        except (ValueError, TypeError, RecursionError):
            continue
    return keys


def has_room(columns: int, rows: int, size: int) -> bool:
    """Whether a table of so many cells is in proportion to the text of `size` bytes it is from."""
    return columns * rows <= max(MOST_CELLS, size)


def check_room(columns: int, rows: int, size: int) -> None:
    """Refuse a table that is far larger than its text.

    Raises: InputError, without the name of the file.
    """
    if not has_room(columns, rows, size):
        raise InputError(
            f"{columns} different keys in {rows} lines; give every line the same keys, such as step"
            " and loss"
        )
