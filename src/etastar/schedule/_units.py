"""What counts of a training are given in: updates, samples, tokens or passes over the data."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from etastar._checks import above, one_of, real
from etastar._errors import InputError

UNITS = ("steps", "samples", "tokens", "epochs")
"""The units in which a schedule can count: the values of `unit`."""

KEYS = ("unit", "batch_size", "epoch_size", "sequence_length")
COUNTS = ("horizon", "warmup", "cooldown", "at", "until")
"""Keys of a schedule that count updates; so do the steps of its knots."""


@dataclass(frozen=True)
class Unit:
    """The unit that horizons, warmups and steps are given in.

    Formula: an update is 1 step; `batch_size` samples; `batch_size * sequence_length` tokens; or
    `batch_size / epoch_size` epochs. Samples are what the batch size counts, such as examples or
    sequences. A batch size may also count tokens: then there is no `sequence_length`, and samples
    are tokens.

    Attributes:
        name: steps (updates), samples, tokens or epochs.
        batch_size: samples of an update; only steps do without.
        epoch_size: samples of a pass over the data; only epochs need it.
        sequence_length: tokens of a sample; None where batch sizes count tokens.

    Raises: InputError for another name, a size that is not positive, or one that is missing.

    >>> from etastar.schedule import Unit
    >>> Unit("tokens", batch_size=524_288).updates(20e9)
    38146.97265625
    >>> Unit("epochs", batch_size=100, epoch_size=50_000).whole("horizon", 3)
    1500
    """

    name: str = "steps"
    batch_size: float | None = None
    epoch_size: float | None = None
    sequence_length: float | None = None

    def __post_init__(self) -> None:
        one_of("unit", self.name, UNITS)
        for key in KEYS[1:]:
            size = getattr(self, key)
            if size is not None:
                object.__setattr__(self, key, above(key, size, 0.0))
        for key, needed in (("batch_size", "steps"), ("epoch_size", None)):
            unneeded = self.name == needed if needed else self.name != "epochs"
            if getattr(self, key) is None and not unneeded:
                what = "an update takes" if key == "batch_size" else "an epoch has"
                raise InputError(
                    f"{key} is missing: unit {self.name} needs it, the samples or tokens that"
                    f" {what}"
                )

    @property
    def update(self) -> float:
        """How many of the unit an update is."""
        if self.name == "steps":
            return 1.0
        size = float(self.batch_size or 1.0)
        if self.name == "epochs":
            return size / float(self.epoch_size or 1.0)
        return size * float(self.sequence_length or 1.0) if self.name == "tokens" else size

    def updates(self, count: Any) -> Any:
        """Updates that a count stands for, a number or an array; not rounded."""
        return count / self.update

    def whole(self, name: str, count: Any, *, within: bool = True) -> Any:
        """The whole updates of a count: those that fit `within` it, else the nearest number.

        Steps come back as they are, for the check that knows what they are for.
        """
        if self.name == "steps":
            return count
        updates = self.updates(real(name, count))
        return math.floor(updates + 1e-9 * max(updates, 1.0)) if within else round(updates)


def unit_of(
    keys: Mapping[str, Any], default: Mapping[str, Any] | None = None
) -> tuple[dict[str, Any], Unit]:
    """The keys of a schedule without those of its unit, and the unit.

    `default` stands in for what the keys do not say.

    Raises: InputError as `Unit`, and for a size without a unit.

    >>> unit_of({"peak": 1.0, "unit": "tokens", "batch_size": 64})
    ({'peak': 1.0}, Unit(name='tokens', batch_size=64.0, epoch_size=None, sequence_length=None))
    """
    rest = {key: value for key, value in keys.items() if key not in KEYS}
    told = {**(default or {}), **{key: keys[key] for key in KEYS if key in keys}}
    unit = Unit(told.pop("unit", "steps"), **told)
    if unit.name == "steps" and "unit" not in keys:
        for key in KEYS[1:]:
            if key in keys:
                raise InputError(f"{key} says nothing without a unit: add unit=tokens, or drop it")
    return rest, unit


def in_updates(keys: Mapping[str, Any], unit: Unit) -> dict[str, Any]:
    """The keys of a schedule with what they count in updates; a cooldown below 1 stays a part.

    >>> keys = {"peak": 1.0, "horizon": 1e6, "warmup": 1e4, "cooldown": 0.2}
    >>> in_updates(keys, Unit("tokens", 1000))
    {'peak': 1.0, 'horizon': 1000, 'warmup': 10, 'cooldown': 0.2}
    """
    if unit.name == "steps":
        return dict(keys)
    counted = dict(keys)
    for key in COUNTS:
        value = keys.get(key)
        if value is None or (key == "cooldown" and real(key, value) < 1.0):
            continue
        counted[key] = unit.whole(key, value, within=key == "horizon")
        if key == "cooldown":
            counted[key] = max(counted[key], 1)
    if "knots" in keys:
        counted["knots"] = tuple((unit.updates(real("step", at)), lr) for at, lr in keys["knots"])
    return counted
