"""What is known of a pilot that was started."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path
from typing import Any

from etastar._checks import HORIZON_LIMIT, shown
from etastar.schedule import Schedule

from ._proposal import Pilot


class PilotStatus(StrEnum):
    """Where a pilot stands; the words are those of `pilots.json` and `runs.csv`."""

    RUNNING = "running"
    """Started, and not ended for good: it runs, or is to be started again."""
    FINISHED = "finished"
    """Its log reaches the last update."""
    DIVERGED = "diverged"
    """Its loss rose beyond recovery; its log is kept."""
    SET_ASIDE = "set aside"
    """It failed too often; it has no log."""


@dataclass
class PilotRecord:
    """What is known of a pilot that was started.

    Attributes:
        pilot: what was to be run.
        status: where it stands.
        log: name of its log in the folder of pilots, None without one.
        failures: what went wrong, one line for each attempt that failed.
        hangs: how many of these attempts hung.
        steps: updates paid for.
        batch_size: examples (or sequences, or tokens) an update, where the log tells it.
        momentum: heavy-ball coefficient or Adam's first beta, where the log tells it.
    """

    pilot: Pilot
    status: PilotStatus = PilotStatus.RUNNING
    log: str | None = None
    failures: list[str] = field(default_factory=list)
    hangs: int = 0
    steps: int = 0
    batch_size: float | None = None
    momentum: float | None = None

    @property
    def ended(self) -> bool:
        """Whether it is over, however it went."""
        return self.status != PilotStatus.RUNNING

    def document(self) -> dict[str, Any]:
        """The record as JSON, in `pilots.json`."""
        pilot = self.pilot
        return {
            "name": pilot.name,
            "schedule": json.loads(pilot.schedule.to_json()),
            "seed": pilot.seed,
            "parent": pilot.parent,
            "branch_step": pilot.branch_step,
            "status": self.status.value,
            "log": self.log,
            "failures": self.failures,
            "hangs": self.hangs,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "momentum": self.momentum,
        }

    @classmethod
    def from_document(cls, document: Mapping[str, Any]) -> PilotRecord:
        """The record that `document` has written.

        Raises: ValueError where it is something else, naming the key.
        """
        if not isinstance(document, Mapping) or set(document) != {*_CHECKS, "schedule", "status"}:
            raise ValueError(f"a pilot has other keys than it was given: {shown(document)}")
        for key, is_right in _CHECKS.items():
            if not is_right(document[key]):
                raise ValueError(f"{key} of a pilot is {shown(document[key])}")
        rest = dict(document)
        schedule = Schedule.from_json(json.dumps(rest.pop("schedule")))
        status = PilotStatus(rest.pop("status"))
        keys = ("name", "seed", "parent", "branch_step")
        pilot = Pilot(schedule=schedule, **{key: rest.pop(key) for key in keys})
        return cls(pilot, status, **rest)


def _is_count(value: Any) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < HORIZON_LIMIT


def _is_name(value: Any) -> bool:
    """A name is also that of a file: it must not lead to another folder."""
    if not isinstance(value, str) or value in ("", "..") or "\0" in value:
        return False
    return Path(value).name == value


def _is_log(value: Any) -> bool:
    return value is None or (isinstance(value, str) and all(map(_is_name, value.split("/"))))


def _is_positive(value: Any) -> bool:
    number = isinstance(value, int | float) and not isinstance(value, bool)
    return value is None or (number and 0 < value < math.inf)


_CHECKS: dict[str, Callable[[Any], bool]] = {
    "name": _is_name,
    "seed": lambda value: isinstance(value, int) and not isinstance(value, bool),
    "parent": lambda value: value is None or _is_name(value),
    "branch_step": _is_count,
    "log": _is_log,
    "failures": lambda value: isinstance(value, list) and all(isinstance(x, str) for x in value),
    "hangs": _is_count,
    "steps": _is_count,
    "batch_size": _is_positive,
    "momentum": lambda value: value == 0 or (_is_positive(value) and (value or 0) < 1),
}
"""The keys of a record in the state file, beside its schedule and status, and what is right."""
