"""A schedule as a plain document, nested dictionaries, and the JSON text of it.

A document is {"kind": name, key: value, ...}, or of joined schedules {"kind": "join", "pieces":
[{"until": step, "schedule": document}, ...]}. Nothing here knows which names and keys there are.
"""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

from etastar._checks import shown
from etastar._errors import InputError

FORMAT = "etastar.schedule"
VERSION = 1


def document_text(document: dict[str, Any]) -> str:
    """One JSON object; Python writes floats with the digits that bring them back exactly.

    >>> document_text({"kind": "constant", "peak": 0.1})
    '{"format": "etastar.schedule", "version": 1, "kind": "constant", "peak": 0.1}'
    """
    return json.dumps({"format": FORMAT, "version": VERSION, **document})


def read_document(text: str) -> dict[str, Any]:
    """The document that `document_text` wrote, of this format and version.

    >>> read_document(document_text({"kind": "constant", "peak": 0.1}))
    {'kind': 'constant', 'peak': 0.1}
    """
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
    return {key: value for key, value in document.items() if key not in ("format", "version")}


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        names = [name for name, _ in pairs]
        repeated = next(name for name in names if names.count(name) > 1)
        raise InputError(f"key {repeated!r} is given twice in one JSON object: keep one")
    return keys


def required(document: Any, key: str) -> Any:
    """The value of a key that a document must have.

    >>> required({"kind": "linear"}, "kind")
    'linear'
    """
    if not isinstance(document, dict):
        raise InputError(f"a JSON object with {key!r} is expected, got {shown(document)}")
    if key not in document:
        raise InputError(f"key {key!r} is missing from the JSON: add it")
    return document[key]


def file_text(path: str | os.PathLike[str]) -> str:
    """The text of a JSON file; errors name it."""
    try:
        return Path(path).read_text(encoding="utf-8")
    except OSError as error:
        raise InputError(f"{path}: cannot be read: {error.strerror}") from None
    except UnicodeDecodeError:
        raise InputError(f"{path}: is not a JSON text file") from None
