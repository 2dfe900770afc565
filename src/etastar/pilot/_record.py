"""What is known of a pilot that was started."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any

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

        Raises: ValueError, KeyError or TypeError where it is something else.
        """
        rest = dict(document)
        schedule = Schedule.from_json(json.dumps(rest.pop("schedule")))
        status = PilotStatus(rest.pop("status"))
        keys = ("name", "seed", "parent", "branch_step")
        pilot = Pilot(schedule=schedule, **{key: rest.pop(key) for key in keys})
        return cls(pilot, status, **rest)
