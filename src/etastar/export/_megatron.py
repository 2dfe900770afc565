"""Megatron-LM: options of its command line.

Names and conventions are those of megatron/core/optimizer_param_scheduler.py and
megatron/training/config.
"""

from __future__ import annotations

from collections.abc import Sequence
from types import MappingProxyType
from typing import final

from etastar.schedule import (
    Constant,
    Cosine,
    GroupSchedules,
    InverseSqrt,
    Linear,
    Schedule,
    Shape,
    WarmupStableDecay,
)

from ._named import NamedShapes, end_ratio, falling_updates, multiples
from ._text import bash_array

LAYERS = (("embedding", "embeddings"), ("head", "unembedding"))
"""Names of the input layer's group, and of the output layer's."""


@final
class Megatron(NamedShapes):
    """Options `--lr...`. Its `exponential` WSD is not listed: it is another curve than final^x."""

    name = "megatron"
    shapes = (Constant, Linear, Cosine, InverseSqrt)
    decays = MappingProxyType({"linear": "linear", "sqrt": "minus_sqrt", "cosine": "cosine"})

    def takes(self, schedule: Schedule) -> bool:
        # Without warmup Megatron's inverse square root starts at update 1, not at t + 1.
        shifted = isinstance(schedule.shape, InverseSqrt) and schedule.warmup == 0
        return super().takes(schedule) and not shifted and schedule.warmup < schedule.horizon

    def carried(self, groups: GroupSchedules) -> set[str]:
        """Input and output layer, which share one LR in Megatron."""
        ratios = multiples(groups)
        found = [next((name for name in names if name in ratios), None) for names in LAYERS]
        names = {name for name in found if name is not None}
        return names if len({ratios[name] for name in names}) == 1 < len(names) else set()

    def text(
        self, schedule: Schedule, remarks: Sequence[str], groups: GroupSchedules | None = None
    ) -> str:
        shape = schedule.shape
        options: dict[str, object] = {
            "--lr": schedule.peak,
            "--min-lr": end_ratio(schedule) * schedule.peak,
            "--train-iters": schedule.horizon,
            "--lr-decay-iters": schedule.horizon,
            "--lr-warmup-iters": schedule.warmup,
            "--lr-decay-style": _style(shape),
        }
        if isinstance(shape, WarmupStableDecay):
            options["--lr-wsd-decay-iters"] = falling_updates(schedule)
            options["--lr-wsd-decay-style"] = self.decays[shape.decay]
        for name in sorted(set() if groups is None else self.carried(groups))[:1]:
            peak = groups.ratios[name] * schedule.peak if groups else 0.0
            options["--decoupled-lr"] = peak
            options["--decoupled-min-lr"] = end_ratio(schedule) * peak
        return bash_array(options, remarks)


def _style(shape: Shape) -> str:
    match shape:
        case WarmupStableDecay():
            return "WSD"
        case InverseSqrt():
            return "inverse-square-root"
        case Linear():
            return "linear"
        case Cosine():
            return "cosine"
    return "constant"
