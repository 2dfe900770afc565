"""The command of a training: words with placeholders, or a Python function."""

from __future__ import annotations

import difflib
import inspect
import re
import shutil
import sys
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from etastar._errors import InputError
from etastar.schedule import Schedule

PLACEHOLDERS = (
    "schedule",
    "spec",
    "steps",
    "seed",
    "out",
    "name",
    "resume",
    "branch_step",
    "checkpoints",
)
"""What stands in braces in a command; docs/pilots.md says what each becomes."""

_PLACEHOLDER = re.compile(r"\{([a-z_]+)\}")


@dataclass(frozen=True)
class TrainingCommand:
    """The user's training, as words with placeholders such as `{schedule}`.

    Attributes:
        words: the program and its arguments; they are not split or expanded by a shell.

    Raises: InputError for no words, a program that is not found, a placeholder that is misspelt, or
        none for the schedule or for the log.

    >>> command = TrainingCommand(("true", "--lr", "{schedule}", "--log", "{out}.csv"))
    >>> command.branches
    False
    """

    words: tuple[str, ...]

    def __post_init__(self) -> None:
        if not self.words:
            raise InputError(
                "no training command: end with -- COMMAND, such as"
                " -- python train.py --schedule {schedule} --seed {seed} --log {out}.csv"
            )
        if shutil.which(self.words[0]) is None:
            raise InputError(
                f"command {self.words[0]!r} is not found; give the program and its arguments as"
                " words of their own, or sh -c '...' for a line of shell"
            )
        used = {name for word in self.words for name in _PLACEHOLDER.findall(word)}
        for name in sorted(used.difference(PLACEHOLDERS)):
            near = difflib.get_close_matches(name, PLACEHOLDERS, n=1, cutoff=0.6)
            if near:
                raise InputError(f"placeholder {{{name}}} is unknown; did you mean {{{near[0]}}}?")
        if not used & {"schedule", "spec"}:
            raise InputError(
                "the command names neither {schedule} (path of a schedule.json) nor {spec}: the"
                " training must take the schedule that it is to run"
            )
        if "out" not in used:
            raise InputError("the command does not name {out}, where it is to write its log")

    @property
    def branches(self) -> bool:
        """Whether a run can start from the checkpoint of another."""
        return any("{resume}" in word for word in self.words)

    def filled(self, values: Mapping[str, object]) -> list[str]:
        """The words with the values of placeholders in their place; other braces stay.

        >>> TrainingCommand(("true", "{spec}", "{out}.csv", "{x}")).filled({"spec": 1, "out": 2})
        ['true', '1', '2.csv', '{x}']
        """
        known = {key: str(value) for key, value in values.items()}
        return [_PLACEHOLDER.sub(lambda m: known.get(m[1], m[0]), word) for word in self.words]


def command_of(train: Callable[..., object] | Sequence[str]) -> TrainingCommand:
    """The command of a training given as words, or as a function to call in a new process.

    Raises: InputError for a function that a new process cannot find by name, or with a parameter
        that is not one of `PLACEHOLDERS`.
    """
    if not callable(train):
        return TrainingCommand((train,) if isinstance(train, str) else tuple(train))
    name, module = getattr(train, "__qualname__", ""), getattr(train, "__module__", None)
    file = getattr(sys.modules.get(module or ""), "__file__", None)
    if not name.isidentifier() or (module == "__main__" and file is None) or module is None:
        raise InputError(
            f"{name or train!r}: pilots run in processes of their own, which find the training by"
            " its name; define it with def at the top level of a file"
        )
    where = str(Path(file).resolve()) if module == "__main__" and file else module
    parameters = inspect.signature(train).parameters.values()
    wanted = [p.name for p in parameters if p.kind in (p.POSITIONAL_OR_KEYWORD, p.KEYWORD_ONLY)]
    for parameter in parameters:
        known = parameter.name in PLACEHOLDERS and parameter.kind != parameter.POSITIONAL_ONLY
        if not known and parameter.default is parameter.empty:
            raise InputError(
                f"{name}: parameter {parameter.name!r} is not one that a pilot has; these are"
                f" {', '.join(PLACEHOLDERS)}"
            )
    words = [f"{key}={{{key}}}" for key in wanted if key in PLACEHOLDERS]
    return TrainingCommand((sys.executable, "-m", "etastar.pilot._call", where, name, *words))


def arguments_of(pairs: Sequence[str]) -> dict[str, Any]:
    """The arguments of a function from `key=text`, each as what it is.

    >>> arguments_of(["seed=3", "out=pilots/a/log", "resume="])["seed"]
    3
    """
    makers: dict[str, Callable[[str], Any]] = {
        "schedule": Schedule.load,
        "steps": int,
        "seed": int,
        "branch_step": int,
        "out": Path,
        "resume": lambda text: Path(text) if text else None,
        "checkpoints": lambda text: tuple(int(step) for step in text.split(",") if step),
    }
    split = (pair.partition("=") for pair in pairs)
    return {key: makers.get(key, str)(text) for key, _, text in split}
