"""Spec strings, `name:key=value,...`: to and from schedules."""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etastar._checks import shown
from etastar._errors import InputError, known_names

from ._join import Joined, join
from ._schedule import Schedule
from ._shapes import SHAPES, Shape, Table
from ._table import read_knots

COMMON_KEYS = ("peak", "horizon", "warmup", "final")
THEN = " then "


def own_keys(kind: type[Shape] | Shape) -> list[dataclasses.Field[Any]]:
    """The keys that a shape has beside the common ones."""
    return list(dataclasses.fields(kind))  # type: ignore[arg-type]


def make_schedule(name: str, **keys: Any) -> Schedule:
    """A schedule from a shape's name and the keys of its spec string as arguments.

    Raises: InputError for an unknown name or key, a missing key, or a value out of range.

    >>> from etastar.schedule import make_schedule
    >>> make_schedule("wsd", peak=1e-3, horizon=1000, cooldown=0.2).spec
    'wsd:peak=0.001,horizon=1000,cooldown=0.2,decay=linear'
    """
    return from_keys(name, keys)


def from_keys(
    name: object, keys: Mapping[str, Any], *, horizon: Any = None, peak: Any = None
) -> Schedule:
    """`make_schedule`, with a horizon and a peak for where the keys leave them out."""
    if not isinstance(name, str) or name not in SHAPES:
        raise InputError(
            f"unknown schedule {shown(name)}: {known_names(name, [*SHAPES, Joined.name])}"
        )
    kind = SHAPES[name]
    own = [key.name for key in own_keys(kind)]
    known = [*COMMON_KEYS, *own]
    for key in keys:
        if key not in known:
            raise InputError(f"unknown key {key!r} for {name}: {known_names(key, known)}")
    for key in own_keys(kind):
        if key.name not in keys and key.default is dataclasses.MISSING:
            raise InputError(f"{name} needs {key.name}, which is missing: add it")
    shape = kind(**{key: keys[key] for key in own if key in keys})
    common = {key: keys[key] for key in COMMON_KEYS if key in keys}
    common.setdefault("horizon", shape.own_horizon if horizon is None else horizon)
    common.setdefault("peak", peak if shape.own_peak is None else shape.own_peak)
    for key in ("peak", "horizon"):
        if common[key] is None:
            raise InputError(f"{name} needs {key}, which is missing: add it")
    return Schedule(shape, **common)


def parse_schedule(
    spec: str,
    *,
    folder: str | Path | None = None,
    horizon: float | None = None,
    peak: float | None = None,
) -> Schedule:
    """Read a spec string `name:key=value,...`.

    Names and their own keys: `constant`, `linear`, `cosine`, `polynomial` (power), `power` (chi),
    `inverse_sqrt`, `exponential`, `wsd` (cooldown: steps, or a fraction of the horizon below 1;
    decay: linear, sqrt, cosine or exponential), `step` (at, factor), `table` (file: a CSV file with
    columns step and lr; or knots: step:lr/step:lr/...). Common keys: peak, horizon, warmup (steps,
    default 0), final (rate at the end over peak, 0 to 1, default 0). `join:SPEC then SPEC` puts
    schedules one after another, each with an optional key until (step of the whole where it ends).

    With x = (t - warmup)/(horizon - warmup), f = final, t' = t (t + 1 without warmup):

        linear       peak (f + (1 - f)(1 - x))
        cosine       peak (f + (1 - f)(1 + cos(pi x))/2)
        polynomial   peak (f + (1 - f)(1 - x)^power)
        exponential  peak f^x
        power        peak max(f, (t'/max(warmup, 1))^-chi); inverse_sqrt has chi = 1/2
        wsd          peak, then the fall named by decay over the last `cooldown` steps
        step         peak before step at, peak * factor from it on

    `horizon` and `peak` stand in for keys that the spec leaves out (a table brings its own peak);
    `folder` is where a relative `file` is looked for.

    Raises: InputError naming the key that is unknown, missing, not finite, out of range or at odds
    with another.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("cosine:peak=3e-4,horizon=24000,warmup=2160,final=0.1")(2160)
    0.0003
    >>> parse_schedule("cosine:final=0.1", horizon=1000, peak=1e-3).spec
    'cosine:peak=0.001,horizon=1000,final=0.1'
    """
    if not isinstance(spec, str):
        raise InputError(f"a schedule's spec must be text, got {shown(spec)}")
    try:
        name, _, rest = spec.strip().partition(":")
        if name.strip() == Joined.name:
            return _parse_join(rest, folder, peak)
        keys = _parse_keys(rest)
        if "file" in keys and name.strip() == Table.name:
            keys = _with_file(keys, Path(folder or "."))
        return from_keys(name.strip(), keys, horizon=horizon, peak=peak)
    except InputError as error:
        where = f" (in schedule {shown(spec)})"
        raise InputError(
            str(error) if "(in schedule " in str(error) else f"{error}{where}"
        ) from None


def _parse_join(text: str, folder: str | Path | None, peak: float | None) -> Schedule:
    pieces, start = [], 0
    for part in text.split(THEN):
        items = part.split(",")
        ends = [item for item in items if item.partition("=")[0].strip() == "until"]
        spec = ",".join(item for item in items if item not in ends)
        piece = parse_schedule(spec, folder=folder, peak=peak)
        keys = _parse_keys(",".join(ends))
        pieces.append((piece, keys.get("until", start + piece.horizon)))
        start = pieces[-1][1]
        if not isinstance(start, (int, float)):
            raise InputError(f"until must be a number of steps, got {shown(start)}")
    return join(pieces)


def _parse_keys(text: str) -> dict[str, Any]:
    keys: dict[str, Any] = {}
    for item in text.split(",") if text.strip() else []:
        key, equals, value = (part.strip() for part in item.partition("="))
        if not (key and equals and value):
            raise InputError(f"cannot read {item.strip()!r}: write key=value, parted by commas")
        if key in keys:
            raise InputError(f"key {key!r} is given twice: keep one")
        keys[key] = _parse_value(key, value)
    return keys


def _parse_value(key: str, text: str) -> Any:
    if key == "knots":
        return tuple(tuple(map(_number, knot.split(":"))) for knot in text.split("/"))
    return text if key in ("file", "decay") else _number(text)


def _number(text: str) -> Any:
    """The number a text stands for; other text as it is, for the check that names its key."""
    try:
        return float(text)
    except ValueError:
        return text


def _with_file(keys: dict[str, Any], folder: Path) -> dict[str, Any]:
    if "knots" in keys:
        raise InputError("file and knots are both given: keep one")
    path = folder / keys["file"]
    rest = {key: value for key, value in keys.items() if key != "file"}
    knots = read_knots(path)
    try:
        return {**rest, "knots": Table(knots).knots}
    except InputError as error:
        raise InputError(f"{path}: {error}") from None


def format_schedule(schedule: Schedule) -> str:
    """The spec string of a schedule, its numbers with as many digits as they need to come back."""
    shape = schedule.shape
    if isinstance(shape, Joined):
        parts = (f"{format_schedule(piece)},until={until}" for piece, until in shape.pieces)
        return f"{Joined.name}:{THEN.join(parts)}"
    keys = [f"{key}={_format_value(value)}" for key, value in keys_of(schedule).items()]
    return f"{shape.name}:{','.join(keys)}"


def keys_of(schedule: Schedule) -> dict[str, Any]:
    """The keys that make a schedule, without those at their defaults or told by the shape."""
    shape = schedule.shape
    keys: dict[str, Any] = {}
    if shape.own_peak is None:
        keys["peak"] = schedule.peak
    keys["horizon"] = schedule.horizon
    if schedule.warmup:
        keys["warmup"] = schedule.warmup
    keys.update((key.name, getattr(shape, key.name)) for key in own_keys(shape))
    if shape.takes_final and schedule.final:
        keys["final"] = schedule.final
    return keys


def _format_value(value: Any) -> str:
    if isinstance(value, tuple):
        return "/".join(f"{_format_value(step)}:{rate!r}" for step, rate in value)
    # A step count reads better as 8000 than as 8000.0; both are the same float.
    if isinstance(value, float) and value.is_integer() and 1.0 < value < 1e15:
        return str(int(value))
    return value if isinstance(value, str) else repr(value)
