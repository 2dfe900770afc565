"""The frameworks that a schedule can be exported to.

A new one is listed here, in `NAMES` in `cli/_export.py`, which must not load this package, and in
the table of `docs/guides/export.md`. A test compares the three.
"""

from __future__ import annotations

from etastar._errors import InputError, known_names

from ._axolotl import Axolotl
from ._csv import Csv
from ._megatron import Megatron
from ._nanochat import NanoChat
from ._optax import Optax
from ._target import Target
from ._torch import Torch
from ._torchtitan import TorchTitan
from ._transformers import Transformers

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
"""Every framework by its name, in the order in which they are listed to the user."""

_IN_THE_FRAMEWORK = {
    "keras": 'keras.optimizers.AdamW(ScheduledRate("plan"))',
    "lightning": 'return optimizer_config(optimizer, "plan") in configure_optimizers',
}
"""Frameworks in which a schedule is an object of their own, by the line that makes it there."""


def known_target(name: str) -> Target:
    """The framework of that name.

    Arguments:
        name: a key of `TARGETS`.

    Returns: the `Target`.
    Raises: InputError for a name that is not among them.

    >>> known_target("nanochat").name
    'nanochat'
    >>> from etastar.schedule import InputError
    >>> try:
    ...     known_target("nanochta")
    ... except InputError as error:
    ...     print(str(error).split("?")[0])
    unknown framework 'nanochta': did you mean 'nanochat'
    """
    if (line := _IN_THE_FRAMEWORK.get(name)) is not None:
        raise InputError(
            f"framework {name!r} needs no file: it takes the schedule from"
            f" etastar.integrations.{name}; write {line}. Files are for: {', '.join(TARGETS)}"
        )
    if name not in TARGETS:
        raise InputError(f"unknown framework {name!r}: {known_names(name, TARGETS)}")
    return TARGETS[name]
