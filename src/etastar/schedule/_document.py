"""A schedule as a plain document, nested dictionaries, and the JSON text of it.

A document is {"kind": name, key: value, ...}, or of joined schedules {"kind": "join", "pieces":
[{"until": step, "schedule": document}, ...]}. Nothing here knows which names and keys there are.
"""

from __future__ import annotations

import json
from typing import Any

from etastar._checks import shown
from etastar._errors import InputError
from etastar._json import json_value

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
    document = json_value(text)
    if not isinstance(document, dict) or document.get("format") != FORMAT:
        raise InputError(f"not a schedule: the JSON needs an object with format {FORMAT!r}")
    version = document.get("version")
    if version != VERSION or isinstance(version, bool):
        raise InputError(
            f"version {shown(version)} of the schedule format is unknown, this release reads "
            f"version {VERSION}: update etastar or save the schedule again"
        )
    return {key: value for key, value in document.items() if key not in ("format", "version")}


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
