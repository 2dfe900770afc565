"""The text of spec strings, `name:key=value,...`: to and from plain names, keys and values.

Nothing here knows which names and keys there are; documents are those of `_document`.
"""

from __future__ import annotations

from typing import Any

from etastar._checks import number_in
from etastar._errors import InputError

THEN = " then "


def spec_text(document: dict[str, Any]) -> str:
    """The spec string of a document, its numbers with as many digits as they need to come back.

    >>> spec_text({"kind": "cosine", "peak": 0.1, "horizon": 100})
    'cosine:peak=0.1,horizon=100'
    """
    kind = document["kind"]
    if "pieces" in document:
        pieces = document["pieces"]
        parts = (f"{spec_text(piece['schedule'])},until={piece['until']}" for piece in pieces)
        return f"{kind}:{THEN.join(parts)}"
    keys = (f"{key}={_value_text(value)}" for key, value in document.items() if key != "kind")
    return f"{kind}:{','.join(keys)}"


def _value_text(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(f"{_value_text(step)}:{rate!r}" for step, rate in value)
    # A step count reads better as 8000 than as 8000.0; both are the same float.
    if isinstance(value, float) and value.is_integer() and 1.0 < value < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else repr(value)


def split_join(text: str) -> list[tuple[str, dict[str, Any]]]:
    """The specs of joined pieces, and of each the key `until`, empty where it has none.

    >>> split_join("linear:peak=1,until=5 then constant:peak=1")
    [('linear:peak=1', {'until': 5.0}), ('constant:peak=1', {})]
    """
    pieces = []
    for part in text.split(THEN):
        items = part.split(",")
        ends = [item for item in items if item.partition("=")[0].strip() == "until"]
        spec = ",".join(item for item in items if item not in ends)
        pieces.append((spec, read_keys(",".join(ends))))
    return pieces


def read_keys(text: str) -> dict[str, Any]:
    """The keys of a spec and their values: numbers, or text for the check that names its key.

    >>> read_keys("peak=0.1, decay=sqrt,knots=0:1/9:2")
    {'peak': 0.1, 'decay': 'sqrt', 'knots': ((0.0, 1.0), (9.0, 2.0))}
    """
    keys: dict[str, Any] = {}
    for item in text.split(",") if text.strip() else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise InputError(f"cannot read {item.strip()!r}: write key=value, separated by commas")
        if key in keys:
            raise InputError(f"key {key!r} is given twice: keep one")
        keys[key] = _value_of(key, value)
    return keys


def _value_of(key: str, text: str) -> Any:
    if key == "knots":
        return tuple(tuple(map(_number, knot.split(":"))) for knot in text.split("/"))
    return text if key in ("file", "decay", "unit") else _number(text)


def _number(text: str) -> Any:
    try:
        return number_in(text)
    except ValueError:
        return text
