"""The one error that bad input raises, and how it names what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar


class InputError(ValueError):
    """What a user gave is wrong: one line saying what, where, and how to fix it.

    Arguments:
        message: that line; line ends in it, as from text quoted from a file, become spaces.

    >>> from etastar.schedule import InputError, parse_schedule
    >>> try:
    ...     parse_schedule("cosin:peak=1e-3,horizon=100")
    ... except InputError as error:
    ...     print(str(error).split(":")[0])
    unknown schedule 'cosin'
    """

    def __init__(self, message: str) -> None:
        # Text quoted from a file may hold line ends; the promise is one line.
        super().__init__(" ".join(str(message).split()))


def known_names(name: object, names: Iterable[str]) -> str:
    """Say which names there are, the nearest one first if one is near.

    >>> known_names("cosin", ["cosine", "linear"])
    "did you mean 'cosine'? known: cosine, linear"
    """
    names = list(names)
    near = difflib.get_close_matches(str(name).lower(), names, n=1, cutoff=0.6)
    hint = f"did you mean {near[0]!r}? " if near else ""
    return f"{hint}known: {', '.join(names)}"


_AT_COMMAND_LINE = ContextVar("at_command_line", default=False)
_OTHERWISE_NAMED = {"schedule": "--runs-schedule", "batch_size": "--runs-batch"}


@contextmanager
def at_command_line() -> Iterator[None]:
    """Within it, messages name an option as a command takes it; see `option`.

    >>> with at_command_line():
    ...     print(option("loss"), option("schedule"))
    --loss --runs-schedule
    """
    token = _AT_COMMAND_LINE.set(True)
    try:
        yield
    finally:
        _AT_COMMAND_LINE.reset(token)


def option(name: str, value: str = "") -> str:
    """An argument of `read_runs` as whoever reads the message gives it: `loss=`, or `--loss`.

    >>> option("loss"), option("schedule", "SPEC")
    ('loss=', 'schedule=SPEC')
    """
    if not _AT_COMMAND_LINE.get():
        return f"{name}={value}"
    word = _OTHERWISE_NAMED.get(name, "--" + name.replace("_", "-"))
    return f"{word} {value}".rstrip()
