"""The keys of a schedule: what a shape and the common ones are made from, and written as."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from typing import Any

from etastar._checks import shown
from etastar._errors import InputError, known_names

from ._joined import Joined, Piece
from ._shape import Frame, Shape
from ._shapes import SHAPES


def _own_keys(kind: type[Shape] | Shape) -> list[dataclasses.Field[Any]]:
    """The keys that a shape has beside the common ones: every shape is a dataclass of them."""
    return list(dataclasses.fields(kind))  # type: ignore[arg-type]


def shape_of(
    name: object, keys: Mapping[str, Any], *, horizon: Any = None, peak: Any = None
) -> tuple[Shape, dict[str, Any]]:
    """The shape of this name, and those of the keys that are common to all shapes.

    `horizon` and `peak` stand in for keys that are left out; the peak of a shape that brings its
    own comes first.

    >>> shape_of("polynomial", {"power": 2, "peak": 0.1}, horizon=100)
    (Polynomial(power=2.0), {'peak': 0.1, 'horizon': 100})
    """
    if not isinstance(name, str) or name not in SHAPES:
        raise InputError(
            f"unknown schedule {shown(name)}: {known_names(name, [*SHAPES, Joined.name])}"
        )
    kind = SHAPES[name]
    own = [key.name for key in _own_keys(kind)]
    known = [*Frame._fields, *own]
    for key in keys:
        if key not in known:
            raise InputError(f"unknown key {key!r} for {name}: {known_names(key, known)}")
    for key in _own_keys(kind):
        if key.name not in keys and key.default is dataclasses.MISSING:
            raise InputError(f"{name} needs {key.name}, which is missing: add it")
    shape = kind(**{key: keys[key] for key in own if key in keys})
    common = {key: keys[key] for key in Frame._fields if key in keys}
    common.setdefault("peak", peak if shape.own_peak is None else shape.own_peak)
    common.setdefault("horizon", shape.own_horizon if horizon is None else horizon)
    for key in ("peak", "horizon"):
        if common[key] is None:
            raise InputError(f"{name} needs {key}, which is missing: add it")
    return shape, common


def document_of(schedule: Piece) -> dict[str, Any]:
    """A schedule as a plain document (see `_document`), which `shape_of` and `join` read back.

    Keys at their defaults, and those that the shape tells by itself, are left out.

    >>> from etastar.schedule import parse_schedule
    >>> document_of(parse_schedule("linear:peak=0.1,horizon=100,final=0"))
    {'kind': 'linear', 'peak': 0.1, 'horizon': 100}
    """
    shape = schedule.shape
    keys: dict[str, Any] = {"kind": shape.name}
    if isinstance(shape, Joined):
        pieces = shape.pieces
        return keys | {
            "pieces": [{"until": until, "schedule": document_of(piece)} for piece, until in pieces]
        }
    if shape.own_peak is None:
        keys["peak"] = schedule.peak
    keys["horizon"] = schedule.horizon
    if schedule.warmup:
        keys["warmup"] = schedule.warmup
    keys.update((key.name, getattr(shape, key.name)) for key in _own_keys(shape))
    if shape.takes_final and schedule.final:
        keys["final"] = schedule.final
    return keys
