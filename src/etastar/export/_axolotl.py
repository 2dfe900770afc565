"""axolotl: keys of its YAML.

Names and conventions are those of src/axolotl/utils/schemas/training.py and
src/axolotl/core/builders/base.py. The schedulers are those of Transformers, and a cosine of its
own.
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
    Polynomial,
    Schedule,
    WarmupStableDecay,
)

from ._named import NamedShapes, falling_updates
from ._text import comments


@final
class Axolotl(NamedShapes):
    """The scheduler's name in axolotl's YAML, with its arguments."""

    name = "axolotl"
    shapes = (Constant, Linear, Cosine, Polynomial, InverseSqrt)
    decays = MappingProxyType({"linear": "linear", "sqrt": "1-sqrt", "cosine": "cosine"})

    def takes(self, schedule: Schedule) -> bool:
        shape, floor = schedule.shape, schedule.final
        floored = isinstance(shape, InverseSqrt) and floor > 0.0
        flat = isinstance(shape, Linear | Polynomial) and floor == 1.0  # its polynomial must fall
        # It makes a warmup of 1 one of 2.
        return super().takes(schedule) and not floored and not flat and schedule.warmup != 1

    def notes(self, schedule: Schedule) -> list[str]:
        lines = super().notes(schedule)
        held = isinstance(schedule.shape, WarmupStableDecay)
        if held and schedule.warmup and schedule.final:
            lines.append(
                f"the warmup of warmup_stable_decay starts at {schedule.final:g} of the peak, "
                "not at 0"
            )
        return lines

    def text(
        self, schedule: Schedule, remarks: Sequence[str], groups: GroupSchedules | None = None
    ) -> str:
        keys = {
            "learning_rate": schedule.peak,
            "max_steps": schedule.horizon,
            "warmup_steps": schedule.warmup,
            **self._scheduler(schedule),
        }
        return comments(remarks) + _yaml(keys)

    def _scheduler(self, schedule: Schedule) -> dict[str, object]:
        """The keys that name the scheduler and hold its own arguments."""
        end = schedule.final * schedule.peak
        match schedule.shape:
            case Cosine() if end:
                return {"lr_scheduler": "cosine", "cosine_min_lr_ratio": schedule.final}
            case Cosine():
                return {"lr_scheduler": "cosine"}
            case Linear() if end:
                return _with_arguments("polynomial", power=1.0, lr_end=end)
            case Linear():
                return {"lr_scheduler": "linear"}
            case Polynomial(power=power):
                return _with_arguments("polynomial", power=power, lr_end=end)
            case InverseSqrt():
                # Its timescale is the warmup, or 10,000 where there is none.
                return _with_arguments("inverse_sqrt", timescale=max(schedule.warmup, 1))
            case WarmupStableDecay(decay=decay):
                return _with_arguments(
                    "warmup_stable_decay",
                    num_decay_steps=falling_updates(schedule),
                    decay_type=self.decays[decay],
                    min_lr_ratio=schedule.final,
                )
        return {"lr_scheduler": "constant_with_warmup"}


def _with_arguments(name: str, **arguments: object) -> dict[str, object]:
    return {"lr_scheduler": name, "lr_scheduler_kwargs": arguments}


def _yaml(keys: dict[str, object], indent: str = "") -> str:
    """Keys and values as lines of YAML 1.1, in which 1e-05 without a point would be text."""
    lines = ""
    for key, value in keys.items():
        if isinstance(value, dict):
            lines += f"{indent}{key}:\n{_yaml(value, indent + '  ')}"
            continue
        text = str(value)
        if isinstance(value, float) and "e" in text and "." not in text:
            text = text.replace("e", ".0e")
        lines += f"{indent}{key}: {text}\n"
    return lines
