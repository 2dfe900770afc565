"""torchtitan: options of its job configuration.

Names and conventions are those of torchtitan/components/optimizer/lr_scheduler.py.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import final

from etastar.schedule import (
    Constant,
    Cosine,
    GroupSchedules,
    Linear,
    Schedule,
    WarmupStableDecay,
)

from ._named import NamedShapes, end_ratio, falling_updates, warmup_ahead
from ._text import bash_array


@final
class TorchTitan(NamedShapes):
    """The group `lr_scheduler` of torchtitan's configuration: a fall in the last part of a run."""

    name = "torchtitan"
    shapes = (Constant, Linear, Cosine)
    decays = MappingProxyType({"linear": "linear", "sqrt": "sqrt", "cosine": "cosine"})

    def notes(self, schedule: Schedule) -> list[str]:
        return [*super().notes(schedule), *warmup_ahead(self.name, schedule)]

    def text(
        self, schedule: Schedule, remarks: Sequence[str], groups: GroupSchedules | None = None
    ) -> str:
        match schedule.shape:
            case WarmupStableDecay(decay=decay):
                decay_type = self.decays[decay]
            case Cosine():
                decay_type = "cosine"
            case _:
                decay_type = "linear"
        options = {
            "--optimizer.lr": schedule.peak,
            "--training.steps": schedule.horizon,
            "--lr_scheduler.warmup_steps": schedule.warmup,
            # torchtitan rounds ratio * steps, so a ratio in full digits gives the steps back.
            "--lr_scheduler.decay_ratio": falling_updates(schedule) / schedule.horizon,
            "--lr_scheduler.decay_type": decay_type,
            "--lr_scheduler.min_lr_factor": end_ratio(schedule),
        }
        return bash_array(options, remarks)
