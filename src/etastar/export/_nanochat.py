"""nanochat: options of its scripts/base_train.py."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import final

from etastar.schedule import Constant, Linear, Schedule

from ._named import NamedShapes, end_ratio, falling_updates, warmup_ahead
from ._text import bash_array


@final
class NanoChat(NamedShapes):
    """A trapezoid: warmup, the peak held, and a straight fall."""

    name = "nanochat"
    shapes = (Constant, Linear)
    decays = MappingProxyType({"linear": "linear"})

    def notes(self, schedule: Schedule) -> list[str]:
        return [
            *super().notes(schedule),
            "the peak goes to --matrix-lr; the LRs of the embeddings, the unembedding and the "
            "scalars keep their own values: scale them alike if your pilots did. nanochat scales "
            "all of them by sqrt(batch tokens / 2^19) in the run, and did so in pilots made with "
            "it",
            *warmup_ahead(self.name, schedule),
        ]

    def text(self, schedule: Schedule, remarks: Sequence[str]) -> str:
        options = {
            "--matrix-lr": schedule.peak,
            "--num-iterations": schedule.horizon,
            "--warmup-steps": schedule.warmup,
            "--warmdown-ratio": falling_updates(schedule) / schedule.horizon,
            "--final-lr-frac": end_ratio(schedule),
        }
        return bash_array(options, remarks)
