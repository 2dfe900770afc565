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
    InverseSqrt,
    Linear,
    Schedule,
    Shape,
    WarmupStableDecay,
)

from ._named import NamedShapes, end_ratio, falling_updates
from ._text import bash_array


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

    def text(self, schedule: Schedule, remarks: Sequence[str]) -> str:
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
