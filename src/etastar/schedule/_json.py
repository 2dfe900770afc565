"""Schedules as JSON, and as files of it."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from etastar._checks import shown
from etastar._errors import InputError
from etastar._files import write_text

from ._join import Joined, join
from ._schedule import Schedule
from ._spec import from_keys, keys_of

FORMAT = "etastar.schedule"
VERSION = 1


def to_json(schedule: Schedule) -> str:
    """One JSON object; Python writes floats with the digits that bring them back exactly."""
    return json.dumps({"format": FORMAT, "version": VERSION, **_encoded(schedule)})


def _encoded(schedule: Schedule) -> dict[str, Any]:
    shape = schedule.shape
    if not isinstance(shape, Joined):
        return {"kind": shape.name, **keys_of(schedule)}
    pieces = [{"until": until, "schedule": _encoded(piece)} for piece, until in shape.pieces]
    return {"kind": shape.name, "pieces": pieces}


def from_json(text: str) -> Schedule:
    """The schedule that `to_json` wrote."""
    try:
        document = json.loads(text, object_pairs_hook=_without_repeats)
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise InputError(f"not a JSON text: {error}") from None
    except RecursionError:
        raise InputError("not a schedule: the JSON is nested too deeply") from None
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"not a schedule: the JSON needs an object with format {FORMAT!r}")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise InputError(
            f"version {shown(version)} of the schedule format is unknown, this release reads "
            f"version {VERSION}: update etastar or save the schedule again"
        )
    rest = {key: value for key, value in document.items() if key not in ("format", "version")}
    return _decoded(rest)


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InputError(f"key {repeated!r} is given twice in one JSON object: keep one")
    return keys


def _required(document: Any, key: str) -> Any:
    if not isinstance(document, dict):
        raise InputError(f"a JSON object with {key!r} is expected, got {shown(document)}")
    if key not in document:
        raise InputError(f"key {key!r} is missing from the JSON: add it")
    return document[key]


def _decoded(document: Any) -> Schedule:
    kind = _required(document, "kind")
    if kind == Joined.name:
        pieces = _required(document, "pieces")
        if not isinstance(pieces, list):
            raise InputError(f"pieces must be a list, got {shown(pieces)}")
        return join((_decoded(_required(p, "schedule")), _required(p, "until")) for p in pieces)
    return from_keys(kind, {key: value for key, value in document.items() if key != "kind"})


def save(schedule: Schedule, path: str | os.PathLike[str]) -> None:
    """Write the JSON to a file."""
    write_text(path, to_json(schedule) + "\n")


def load(path: str | os.PathLike[str]) -> Schedule:
    """Read the JSON of a file; errors name it."""
    try:
        text = Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a JSON text file") from None
    try:
        return from_json(text)
    except InputError as error:
        raise InputError(f"{path}: {error}") from None
