"""How each framework writes a schedule down: code, command-line options, YAML or CSV.

Option names and conventions are those of the frameworks' own documentation and source; docs/guides/
export.md lists them with their places.
"""

from __future__ import annotations

import textwrap
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import Any, ClassVar

import numpy as np

from etastar._errors import InputError, known_names
from etastar.schedule import Schedule

CSV_LIMIT = 10**7
"""Most rows of a CSV, about 300 MB of text."""

POWERS = (0.5, 1.5, 2.0, 3.0, 4.0, 6.0)
COOLDOWNS = tuple(range(5, 100, 5))
"""Cooldowns that are tried, in percent of the horizon."""


class Target(ABC):
    """A framework, and what it can be told of a schedule."""

    name: ClassVar[str]

    def takes(self, schedule: Schedule) -> bool:
        """Whether the framework can follow this very schedule."""
        return True

    def shapes(self, warmup: int, horizon: int, final: float) -> Iterator[tuple[str, dict]]:
        """The standard shapes it has, as names and keys of `make_schedule` without the peak."""
        return iter(())

    def notes(self, schedule: Schedule) -> list[str]:
        """Where the framework's steps are not those of the schedule, for the user to know."""
        return []

    @abstractmethod
    def text(self, schedule: Schedule, remarks: list[str]) -> str:
        """The configuration, with the remarks as its comments."""


class _Python(Target):
    """Code: it follows any schedule, to the last bit in PyTorch."""

    code: ClassVar[str]

    def text(self, schedule: Schedule, remarks: list[str]) -> str:
        spec, width = schedule.spec, 92
        parts = (spec[start : start + width] for start in range(0, len(spec), width))
        lines = "\n".join(f'    "{part}"' for part in parts)
        body = self.code.format(spec=lines, horizon=schedule.horizon, peak=schedule.peak)
        return _comments(remarks) + body


class Torch(_Python):
    name = "torch"
    code = """\
from etastar.integrations.torch import ScheduledLR
from etastar.schedule import parse_schedule

HORIZON = {horizon}
SCHEDULE = parse_schedule(
{spec}
)


def scheduler_for(optimizer):
    \"\"\"Call step() of what it returns after every optimizer.step().\"\"\"
    return ScheduledLR(optimizer, SCHEDULE)
"""


class Optax(_Python):
    name = "optax"
    code = """\
from etastar.integrations.optax import schedule

HORIZON = {horizon}
# Give it to any optimiser, such as optax.adamw(learning_rate).
learning_rate = schedule(
{spec}
)
"""


class Transformers(_Python):
    name = "transformers"
    code = """\
from etastar.integrations.transformers import ScheduledLR
from etastar.schedule import parse_schedule

SCHEDULE = parse_schedule(
{spec}
)
# TrainingArguments(..., **ARGUMENTS)
ARGUMENTS = {{"max_steps": {horizon}, "learning_rate": {peak}}}


def optimizers_for(optimizer):
    \"\"\"Trainer(..., optimizers=optimizers_for(optimizer))\"\"\"
    return optimizer, ScheduledLR(optimizer, SCHEDULE)
"""


class Csv(Target):
    """The rate of every update and the end value, which `table:file=` reads back exactly."""

    name = "csv"

    def text(self, schedule: Schedule, remarks: list[str]) -> str:
        if schedule.horizon >= CSV_LIMIT:
            raise InputError(
                f"a row for each of {schedule.horizon} updates is too long a file, {CSV_LIMIT} are "
                "the most: export to torch or optax instead"
            )
        steps = np.arange(schedule.horizon + 1)
        rows = (f"{step},{rate!r}" for step, rate in enumerate(schedule(steps).tolist()))
        return "step,lr\n" + "\n".join(rows) + "\n"


class _Configured(Target):
    """A framework that names its schedules: which shapes, and which decays of WSD."""

    named: ClassVar[tuple[str, ...]]
    decays: ClassVar[dict[str, str]]

    def takes(self, schedule: Schedule) -> bool:
        shape = schedule.shape
        if shape.name == "wsd":
            return shape.decay in self.decays  # type: ignore[attr-defined]
        return shape.name in self.named

    def shapes(self, warmup: int, horizon: int, final: float) -> Iterator[tuple[str, dict]]:
        finals = {0.0, final}
        for name in self.named:
            if name == "inverse_sqrt":
                if warmup:
                    yield name, {}
            elif name == "constant":
                yield name, {}
            else:
                for ratio in finals:
                    for power in POWERS if name == "polynomial" else (None,):
                        own = {} if power is None else {"power": power}
                        yield name, {"final": ratio, **own}
        for percent in COOLDOWNS:
            cooldown = round(percent * horizon / 100)
            for decay in self.decays if 1 <= cooldown <= horizon - warmup else ():
                for ratio in finals:
                    yield "wsd", {"cooldown": cooldown, "decay": decay, "final": ratio}

    def notes(self, schedule: Schedule) -> list[str]:
        steps = _cooldown(schedule)
        if steps is None or steps == round(steps):
            return []
        return [f"the cooldown of {steps:.6g} updates is rounded to {_whole(steps)}"]


def _comments(remarks: list[str], indent: str = "") -> str:
    lines = (line for text in remarks for line in textwrap.wrap(text, 96 - len(indent)))
    return "".join(f"{indent}# {line}\n" for line in lines)


def _arguments(pairs: list[tuple[str, object]], remarks: list[str]) -> str:
    """Options as a Bash array, in which comments may stand: COMMAND "${ETASTAR_ARGS[@]}"."""
    options = "".join(f"  {name} {value}\n" for name, value in pairs)
    return f"ETASTAR_ARGS=(\n{_comments(remarks, '  ')}{options})\n"


def _cooldown(schedule: Schedule) -> float | None:
    """Updates of the cooldown of a WSD, None for another shape."""
    if schedule.shape.name != "wsd":
        return None
    return schedule.horizon - schedule.shape.cooldown_start(schedule.horizon)  # type: ignore[attr-defined]


def _whole(steps: float) -> int:
    return max(round(steps), 1)


def _fall(schedule: Schedule) -> int:
    """Updates over which the rate falls, 0 for a constant."""
    cooldown = _cooldown(schedule)
    if cooldown is not None:
        return _whole(cooldown)
    return 0 if schedule.shape.name == "constant" else schedule.horizon - schedule.warmup


def _end(schedule: Schedule) -> float:
    return 0.0 if schedule.shape.name == "constant" else schedule.final


class TorchTitan(_Configured):
    """`lr_scheduler` of torchtitan's job configuration."""

    name = "torchtitan"
    named = ("constant", "linear", "cosine")
    decays: ClassVar[dict[str, str]] = {"linear": "linear", "sqrt": "sqrt", "cosine": "cosine"}

    def notes(self, schedule: Schedule) -> list[str]:
        lines = super().notes(schedule)
        if schedule.warmup:
            lines.append(
                "torchtitan's warmup is one update ahead: (t + 1)/warmup of the peak at update t, "
                "here t/warmup; from there on both are the same"
            )
        return lines

    def text(self, schedule: Schedule, remarks: list[str]) -> str:
        shape = schedule.shape
        decay = shape.decay if shape.name == "wsd" else shape.name  # type: ignore[attr-defined]
        # torchtitan rounds ratio * steps, so a ratio in full digits gives the steps back.
        ratio = _fall(schedule) / schedule.horizon
        pairs: list[tuple[str, object]] = [
            ("--optimizer.lr", schedule.peak),
            ("--training.steps", schedule.horizon),
            ("--lr_scheduler.warmup_steps", schedule.warmup),
            ("--lr_scheduler.decay_ratio", ratio),
            ("--lr_scheduler.decay_type", self.decays.get(decay, "linear")),
            ("--lr_scheduler.min_lr_factor", _end(schedule)),
        ]
        return _arguments(pairs, remarks)


class Megatron(_Configured):
    """Options of Megatron-LM; its `exponential` WSD is another curve than final^x."""

    name = "megatron"
    named = ("constant", "linear", "cosine", "inverse_sqrt")
    decays: ClassVar[dict[str, str]] = {
        "linear": "linear",
        "sqrt": "minus_sqrt",
        "cosine": "cosine",
    }
    styles: ClassVar[dict[str, str]] = {"inverse_sqrt": "inverse-square-root", "wsd": "WSD"}

    def takes(self, schedule: Schedule) -> bool:
        # Without warmup Megatron's inverse square root starts at update 1, not at t + 1.
        unwarmed = schedule.shape.name == "inverse_sqrt" and schedule.warmup == 0
        return super().takes(schedule) and not unwarmed and schedule.warmup < schedule.horizon

    def text(self, schedule: Schedule, remarks: list[str]) -> str:
        name = schedule.shape.name
        pairs: list[tuple[str, object]] = [
            ("--lr", schedule.peak),
            ("--min-lr", _end(schedule) * schedule.peak),
            ("--train-iters", schedule.horizon),
            ("--lr-decay-iters", schedule.horizon),
            ("--lr-warmup-iters", schedule.warmup),
            ("--lr-decay-style", self.styles.get(name, name)),
        ]
        if name == "wsd":
            decay = self.decays[schedule.shape.decay]  # type: ignore[attr-defined]
            pairs += [
                ("--lr-wsd-decay-iters", _fall(schedule)),
                ("--lr-wsd-decay-style", decay),
            ]
        return _arguments(pairs, remarks)


class NanoChat(_Configured):
    """Options of nanochat's scripts/base_train.py: a trapezoid."""

    name = "nanochat"
    named = ("constant", "linear")
    decays: ClassVar[dict[str, str]] = {"linear": "linear"}

    def notes(self, schedule: Schedule) -> list[str]:
        lines = super().notes(schedule)
        lines.append(
            "the peak goes to --matrix-lr; the LRs of the embeddings, the unembedding and the "
            "scalars keep their own values: scale them alike if your pilots did. nanochat scales "
            "all of them by sqrt(batch tokens / 2^19) in the run, and did so in pilots made with it"
        )
        if schedule.warmup:
            lines.append(
                "nanochat's warmup is one update ahead: (t + 1)/warmup of the peak at update t, "
                "here t/warmup; from there on both are the same"
            )
        return lines

    def text(self, schedule: Schedule, remarks: list[str]) -> str:
        pairs: list[tuple[str, object]] = [
            ("--matrix-lr", schedule.peak),
            ("--num-iterations", schedule.horizon),
            ("--warmup-steps", schedule.warmup),
            ("--warmdown-ratio", _fall(schedule) / schedule.horizon),
            ("--final-lr-frac", _end(schedule)),
        ]
        return _arguments(pairs, remarks)


class Axolotl(_Configured):
    """Keys of axolotl's YAML; its schedulers are those of Transformers, and a few of its own."""

    name = "axolotl"
    named = ("constant", "linear", "cosine", "polynomial", "inverse_sqrt")
    decays: ClassVar[dict[str, str]] = {"linear": "linear", "sqrt": "1-sqrt", "cosine": "cosine"}

    def takes(self, schedule: Schedule) -> bool:
        name, final = schedule.shape.name, schedule.final
        floored = name == "inverse_sqrt" and final > 0.0
        flat = name in ("linear", "polynomial") and final == 1.0  # its polynomial must fall
        return super().takes(schedule) and not floored and not flat and schedule.warmup != 1

    def notes(self, schedule: Schedule) -> list[str]:
        lines = super().notes(schedule)
        if schedule.shape.name == "wsd" and schedule.warmup and schedule.final:
            lines.append(
                f"the warmup of warmup_stable_decay starts at {schedule.final:g} of the peak, "
                "not at 0"
            )
        return lines

    def text(self, schedule: Schedule, remarks: list[str]) -> str:
        scheduler, keys, arguments = self._scheduler(schedule)
        lines = [
            f"learning_rate: {_yaml(schedule.peak)}",
            f"max_steps: {schedule.horizon}",
            f"warmup_steps: {schedule.warmup}",
            f"lr_scheduler: {scheduler}",
            *(f"{key}: {_yaml(value)}" for key, value in keys.items()),
        ]
        if arguments:
            lines.append("lr_scheduler_kwargs:")
            lines += [f"  {key}: {_yaml(value)}" for key, value in arguments.items()]
        return _comments(remarks) + "\n".join(lines) + "\n"

    def _scheduler(self, schedule: Schedule) -> tuple[str, dict[str, Any], dict[str, Any]]:
        """The scheduler's name, further keys of the YAML, and the scheduler's own arguments."""
        shape, end = schedule.shape, schedule.final * schedule.peak
        match shape.name:
            case "constant":
                return "constant_with_warmup", {}, {}
            case "cosine":
                return "cosine", {"cosine_min_lr_ratio": schedule.final} if end else {}, {}
            case "linear" if not end:
                return "linear", {}, {}
            case "linear":
                return "polynomial", {}, {"power": 1.0, "lr_end": end}
            case "polynomial":
                power = shape.power  # type: ignore[attr-defined]
                return "polynomial", {}, {"power": power, "lr_end": end}
            case "inverse_sqrt":
                # Its timescale is the warmup, or 10,000 where there is none.
                return "inverse_sqrt", {}, {"timescale": max(schedule.warmup, 1)}
        decay = self.decays[shape.decay]  # type: ignore[attr-defined]
        own = {"num_decay_steps": _fall(schedule), "decay_type": decay}
        return "warmup_stable_decay", {}, {**own, "min_lr_ratio": schedule.final}


def _yaml(value: object) -> str:
    """A value as YAML 1.1 reads it: 1e-05 without a point would be text."""
    text = str(value)
    if isinstance(value, float) and "e" in text and "." not in text:
        text = text.replace("e", ".0e")
    return text


TARGETS: dict[str, Target] = {
    target.name: target
    for target in (
        Torch(),
        Optax(),
        Transformers(),
        TorchTitan(),
        Megatron(),
        NanoChat(),
        Axolotl(),
        Csv(),
    )
}


def known_target(name: str) -> Target:
    """The framework of that name.

    Raises: InputError for a name that is not among them.
    """
    if name not in TARGETS:
        raise InputError(f"unknown framework {name!r}: {known_names(name, TARGETS)}")
    return TARGETS[name]
