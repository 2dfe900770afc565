"""nanochat: options of its scripts/base_train.py."""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import final

from etastar.schedule import Constant, GroupSchedules, Linear, Schedule

from ._named import NamedShapes, end_ratio, falling_updates, multiples, warmup_ahead
from ._text import bash_array

OPTIONS = MappingProxyType(
    {
        "embedding": "--embedding-lr",
        "embeddings": "--embedding-lr",
        "head": "--unembedding-lr",
        "unembedding": "--unembedding-lr",
        "scalars": "--scalar-lr",
    }
)
"""Its option for the LR of a parameter group of this name."""


@final
class NanoChat(NamedShapes):
    """A trapezoid: warmup, the peak held, and a straight fall."""

    name = "nanochat"
    shapes = (Constant, Linear)
    decays = MappingProxyType({"linear": "linear"})

    def notes(self, schedule: Schedule) -> list[str]:
        return [
            *super().notes(schedule),
            "the peak goes to --matrix-lr; of the embeddings, the unembedding and the scalars, LRs "
            "that are not named here keep nanochat's own values: scale them alike if your pilots "
            "did. nanochat scales all of them by sqrt(batch tokens / 2^19) in the run, and those "
            "of the embeddings and the unembedding by sqrt(768 / width), and did so in pilots made "
            "with it",
            *warmup_ahead(self.name, schedule),
        ]

    def carried(self, groups: GroupSchedules) -> set[str]:
        return multiples(groups).keys() & OPTIONS.keys()

    def text(
        self, schedule: Schedule, remarks: Sequence[str], groups: GroupSchedules | None = None
    ) -> str:
        ratios = {} if groups is None else multiples(groups)
        options = {
            "--matrix-lr": schedule.peak,
            **{
                OPTIONS[name]: ratio * schedule.peak
                for name, ratio in ratios.items()
                if name in OPTIONS
            },
            "--num-iterations": schedule.horizon,
            "--warmup-steps": schedule.warmup,
            "--warmdown-ratio": falling_updates(schedule) / schedule.horizon,
            "--final-lr-frac": end_ratio(schedule),
        }
        return bash_array(options, remarks)
