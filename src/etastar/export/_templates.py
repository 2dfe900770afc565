"""Configurations with blanks, for a page on which the reader moves the schedule."""

from __future__ import annotations

from collections.abc import Iterator

from etastar.schedule import Schedule, parse_schedule

from ._code import PythonCode
from ._targets import TARGETS

_PEAK, _HORIZON, _WARMUP, _FINAL, _COOLDOWN = 0.0012345678, 1000003, 1009, 0.0123, 200017

KINDS = ("constant", "linear", "cosine", "wsd-linear", "wsd-sqrt", "wsd-cosine", "wsd-exponential")
"""Standard shapes that a page offers: of a WSD with the decay of its cooldown."""


def snippet_templates() -> dict[str, dict[str, str]]:
    """The text of every framework with blanks `{{name}}` in place of a schedule's own numbers.

    Blanks: `spec`, the spec as lines of Python strings; `horizon`, `peak`, `warmup`, `final`, the
    rate at the end over the peak; `floor`, the rate at the end; `falling`, the updates over which
    it falls, and `part`, these over the horizon.

    Returns: for each framework its texts. One that runs code has one, `any`, for all schedules. The
        others have one for each shape of `KINDS` that they can follow, with or without an end above
        zero and a warmup: "linear final warmup", "linear zero none", ... A csv, which is a table of
        all updates, is not among them.

    >>> templates = snippet_templates()
    >>> print(templates["megatron"]["cosine zero none"])
    ETASTAR_ARGS=(
      --lr {{peak}}
      --min-lr 0.0
      --train-iters {{horizon}}
      --lr-decay-iters {{horizon}}
      --lr-warmup-iters 0
      --lr-decay-style cosine
    )
    <BLANKLINE>
    """
    return {name: dict(_texts(name)) for name in TARGETS if name != "csv"}


def _texts(name: str) -> Iterator[tuple[str, str]]:
    target = TARGETS[name]
    if isinstance(target, PythonCode):
        schedule = _example("cosine", 0.0, 0)
        yield "any", _blank(target.code(schedule, "{{spec}}"), schedule)
        return
    for kind in KINDS:
        for final in (0.0, _FINAL):
            for warmup in (0, _WARMUP):
                if kind.endswith("exponential") and not final:
                    continue
                schedule = _example(kind, final, warmup)
                if target.takes(schedule):
                    text = target.text(schedule, target.notes(schedule))
                    ends = "final" if final and kind != "constant" else "zero"
                    starts = "warmup" if warmup else "none"
                    yield f"{kind} {ends} {starts}", _blank(text, schedule)


def _example(kind: str, final: float, warmup: int) -> Schedule:
    name, _, decay = kind.partition("-")
    spec = f"{name}:peak={_PEAK},horizon={_HORIZON},warmup={warmup}"
    if decay:
        spec += f",cooldown={_COOLDOWN},decay={decay}"
    return parse_schedule(spec if name == "constant" else f"{spec},final={final}")


def _blank(text: str, schedule: Schedule) -> str:
    """A text with blanks for the numbers of the schedule that it was made for."""
    decay = "cooldown=" in schedule.spec
    falling = _COOLDOWN if decay else _HORIZON - schedule.warmup
    numbers = {
        "part": falling / _HORIZON,
        "floor": _FINAL * _PEAK,
        "peak": _PEAK,
        "horizon": _HORIZON,
        "falling": falling,
        "final": _FINAL,
        "warmup": _WARMUP,
    }
    for name, number in numbers.items():
        # A fall over the whole of the run is no part of it.
        if number != 1.0:
            text = text.replace(str(number), f"{{{{{name}}}}}")
    return text
