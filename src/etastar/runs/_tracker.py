"""What experiment trackers have in common: an address instead of a path, and many runs."""

from __future__ import annotations

import abc
import math
import re
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import ClassVar

import numpy as np

from etastar._errors import InputError, legible

from ._log_table import LogTable, table_of_records
from ._nested import flattened

BATCH = ("global_batch_size", "batch_size")
"""Keys of a run's configuration that give the batch size, the first that holds a number."""
ACCUMULATION = (
    "gradient_accumulation_steps",
    "grad_accum_steps",
    "accumulate_grad_batches",
    "grad_accum",
)
"""Keys of a configuration that say of how many batches an update is made."""
SPEC = re.compile(r"[a-z_]+:[a-z_]+=")
"""How the spec of a schedule begins."""

Header = tuple[tuple[int, Mapping[str, object]], ...]


class Tracker(abc.ABC):
    """A tool that keeps the runs of many trainings, listed in `TRACKERS` of `_formats.py`.

    Attributes:
        prefix: what the names of its sources start with, before a colon.
    """

    prefix: ClassVar[str]

    @abc.abstractmethod
    def tables(self, address: str) -> list[LogTable]:
        """One table a run, of those that the text after the prefix names.

        Raises:
            InputError: the address is not of the tool's form, nothing is there, the tool cannot be
                reached, or its library is not installed.
        """


def missing_library(source: object, extra: str) -> InputError:
    """The error of a source whose library is not installed."""
    return InputError(
        f"{source}: reading it needs a further library; pip install 'etastar[{extra}]'"
    )


def table_of_run(
    path: Path, name: str, records: Sequence[Mapping[str, object]], config: Mapping[str, object]
) -> LogTable:
    """The records that a tracker keeps of a run, and what its configuration declares.

    Raises:
        InputError: there are no records.
    """
    if not records:
        raise InputError(f"{path}: nothing is logged; leave the run out or log its loss")
    flat = [flattened(record) for record in records]
    return LogTable(
        path,
        name,
        table_of_records(flat),
        np.arange(len(flat)),
        place="{path} record {line}",
        metadata=plain(config),
        headers=declared_by(config),
        caveats=_of_a_device(path, config),
    )


def declared_by(config: Mapping[str, object]) -> Header:
    """What the configuration of a run declares of it: a schedule by its spec, a batch size."""
    declared: dict[str, object] = {}
    schedule = config.get("schedule")
    if isinstance(schedule, str) and SPEC.match(schedule):
        declared["schedule"] = schedule
    sizes = (_positive(config.get(key)) for key in BATCH)
    batch = next((size for size in sizes if size is not None), None)
    if batch is not None:
        declared["batch_size"] = batch
    return ((0, {"etastar_run": 1, **declared}),) if declared else ()


def _of_a_device(path: Path, config: Mapping[str, object]) -> tuple[str, ...]:
    """The caveat of a batch size that may be only a part of an update's."""
    if _positive(config.get(BATCH[0])) or not _positive(config.get(BATCH[1])):
        return ()
    for key in ACCUMULATION:
        if (parts := _positive(config.get(key))) and parts > 1:
            return (
                f"{path}: {BATCH[1]} {config[BATCH[1]]} is read as that of an update, but {key} is"
                f" {parts:g}; where an update takes more, log it as {BATCH[0]}",
            )
    return ()


def plain(config: Mapping[str, object]) -> dict[str, object]:
    """The settings that are numbers or texts, without those of the tool itself."""
    return {
        key: value
        for key, value in flattened(config).items()
        if isinstance(value, str | int | float) and not key.startswith("_")
    }


def distinct(names: Sequence[tuple[str, str]]) -> list[str]:
    """Names of runs, given as (name, identifier): with the identifier where two are alike.

    What a database holds may be no name of a file: a NUL, a character that steers a terminal.
    """
    names = [(legible(name), legible(identifier)) for name, identifier in names]
    told = [name for name, _ in names]
    return [
        name if name and told.count(name) == 1 else f"{name} {identifier}".strip()
        for name, identifier in names
    ]


def _positive(value: object) -> float | None:
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError, OverflowError):
        return None
    return number if 0 < number < math.inf else None
