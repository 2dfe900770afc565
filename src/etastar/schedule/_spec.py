"""Schedules by name: from a spec string, or from keys as arguments."""

from __future__ import annotations

from pathlib import Path
from typing import Any

from etastar._checks import shown
from etastar._errors import InputError

from ._joined import Joined
from ._knots_file import read_knots
from ._schedule import Schedule, from_keys, join
from ._shapes import Table
from ._spec_text import read_keys, split_join
from ._units import Unit, in_updates, unit_of


def make_schedule(name: str, **keys: Any) -> Schedule:
    """A schedule from a shape's name and the keys of its spec string as arguments.

    Raises: InputError for an unknown name or key, a missing key, or a value out of range.

    >>> from etastar.schedule import make_schedule
    >>> make_schedule("wsd", peak=1e-3, horizon=1000, cooldown=0.2).spec
    'wsd:peak=0.001,horizon=1000,cooldown=0.2,decay=linear'
    >>> make_schedule("linear", peak=0.1, horizon=1e6, unit="tokens", batch_size=1000).spec
    'linear:peak=0.1,horizon=1000'
    """
    rest, unit = unit_of(keys)
    return from_keys(name, in_updates(rest, unit))


def parse_schedule(
    spec: str,
    *,
    folder: str | Path | None = None,
    horizon: float | None = None,
    peak: float | None = None,
    unit: str = "steps",
    **sizes: float | None,
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

    Numbers may end in k, M, B or T. The keys unit (steps, samples, tokens or epochs), batch_size,
    epoch_size and sequence_length say what horizon, warmup, cooldown, at, until and knots count
    (see `Unit`). The schedule has updates: of the horizon as many as fit, else the nearest number.

    Arguments:
        spec: the text.
        folder: where a relative `file` is looked for; the current folder where None.
        horizon, peak, unit, sizes: stand in for keys that the spec leaves out (a table brings its
            own peak); sizes are batch_size, epoch_size and sequence_length.

    Returns: the `Schedule`; its `spec` gives an equal one back.
    Raises: InputError naming the key that is unknown, missing, not finite, out of range or at odds
    with another.

    >>> from etastar.schedule import parse_schedule
    >>> parse_schedule("cosine:final=0.1", horizon=1000, peak=1e-3).spec
    'cosine:peak=0.001,horizon=1000,final=0.1'
    >>> parse_schedule("cosine:peak=1e-3,horizon=20B,warmup=1B,unit=tokens,batch_size=0.5M").spec
    'cosine:peak=0.001,horizon=40000,warmup=2000'
    """
    if not isinstance(spec, str):
        raise InputError(f"a schedule's spec must be text, got {shown(spec)}")
    stand_ins = {"horizon": horizon, "peak": peak}
    default = {"unit": unit, **sizes}
    try:
        return _read(spec, Path(folder or "."), stand_ins, default)[0]
    except InputError as error:
        where = f" (in schedule {shown(spec)})"
        raise InputError(
            str(error) if "(in schedule " in str(error) else f"{error}{where}"
        ) from None


def _read(
    spec: str, folder: Path, stand_ins: dict[str, float | None], default: dict[str, Any]
) -> tuple[Schedule, Unit]:
    """The schedule of a spec, and the unit that it counts in."""
    name, _, rest = spec.strip().partition(":")
    name = name.strip()
    if name == Joined.name:
        joined = _read_join(rest, folder, {"peak": stand_ins["peak"]}, default)
        return joined, unit_of({}, default)[1]
    keys, unit = unit_of(read_keys(rest), default)
    if "file" in keys and name == Table.name:
        keys = _with_file(keys, folder)
    horizon = in_updates({"horizon": stand_ins.get("horizon")}, unit)["horizon"]
    return from_keys(name, in_updates(keys, unit), horizon=horizon, peak=stand_ins["peak"]), unit


def _read_join(
    text: str, folder: Path, stand_ins: dict[str, float | None], default: dict[str, Any]
) -> Schedule:
    pieces, start = [], 0
    for spec, keys in split_join(text):
        if spec.partition(":")[0].strip() == Joined.name:
            raise InputError("a join in a join: write join: once, before the first piece")
        piece, unit = _read(spec, folder, stand_ins, default)
        until = keys.get("until", None)
        if until is not None and not isinstance(until, (int, float)):
            raise InputError(f"until must be a number of steps, got {shown(until)}")
        start = start + piece.horizon if until is None else in_updates(keys, unit)["until"]
        pieces.append((piece, start))
    return join(pieces)


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
