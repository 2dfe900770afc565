"""JSON text that any program reads: every number finite, every key text; and JSON of others."""

from __future__ import annotations

import json
import math
import re
from collections import Counter
from collections.abc import Mapping
from typing import Any

import numpy as np

from etastar._errors import InputError, legible

_STEERING = re.compile("[\x7f-\x9f\ud800-\udfff]")
"""Half characters, which UTF-8 cannot hold, and what steers a terminal, as far as JSON leaves it
as it is."""


def plain(value: Any) -> Any:
    """Values as JSON knows them: NumPy unwrapped, keys as text, None for what is not finite.

    >>> plain({1: [float("nan"), np.float64(2.0)], "n": np.int64(3)})
    {'1': [None, 2.0], 'n': 3}
    """
    if isinstance(value, Mapping):
        return {str(key): plain(item) for key, item in value.items()}
    if isinstance(value, np.ndarray):
        return plain(value.tolist())
    if isinstance(value, list | tuple):
        return [plain(item) for item in value]
    if isinstance(value, np.generic):
        return plain(value.item())
    if isinstance(value, float) and not math.isfinite(value):
        return None
    return value


def json_text(document: Any, *, indent: int | None = None) -> str:
    r"""JSON text in which every number is finite, and every character can be written and shown.

    >>> json_text({"loss": float("inf")}), json_text(b"r\xe9sum".decode(errors="surrogateescape"))
    ('{"loss": null}', '"r\\\\xe9sum"')
    """
    text = json.dumps(plain(document), allow_nan=False, ensure_ascii=False, indent=indent)
    return _STEERING.sub(_escaped, text)


def _escaped(found: re.Match[str]) -> str:
    character = found[0]
    # An escape of JSON for half a character is one that most readers refuse.
    half = character >= "\ud800"
    return legible(character).replace("\\", "\\\\") if half else f"\\u{ord(character):04x}"


def json_value(text: str) -> Any:
    """The value of a JSON text that somebody else may have written.

    Raises:
        InputError: it is not JSON, is nested too deeply or repeats a key in one object. An integer
            of more digits than Python reads (4300) is refused too.

    >>> json_value('{"steps": [1, 2]}')
    {'steps': [1, 2]}
    """
    try:
        return json.loads(text, object_pairs_hook=_without_repeats)
    except RecursionError:
        raise InputError("a JSON text that cannot be read: it is nested too deeply") from None
    except (json.JSONDecodeError, UnicodeDecodeError, TypeError) as error:
        raise InputError(f"not a JSON text: {error}") from None
    except InputError:
        raise
    except ValueError:  # from `int`, whose message is advice for programs
        raise InputError(
            "a JSON text that cannot be read: an integer has thousands of digits"
        ) from None


def _without_repeats(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    keys = dict(pairs)
    if len(keys) < len(pairs):
        repeated = Counter(name for name, _ in pairs).most_common(1)[0][0]
        raise InputError(f"key {repeated!r} is given twice in one JSON object: keep one")
    return keys
