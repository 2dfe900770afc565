"""The one error that bad input raises, and how it names what was probably meant."""

from __future__ import annotations

import difflib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar

LONGEST = 400
"""Characters of an error message; of a longer one the middle is left out."""


class InputError(ValueError):
    """What a user gave is wrong: one line saying what, where, and how to fix it.

    Arguments:
        message: that line; it is made `legible`, as it may quote text from a file.

    >>> from etastar.schedule import InputError, parse_schedule
    >>> try:
    ...     parse_schedule("cosin:peak=1e-3,horizon=100")
    ... except InputError as error:
    ...     print(str(error).split(":")[0])
    unknown schedule 'cosin'
    """

    def __init__(self, message: str) -> None:
        super().__init__(legible(str(message), LONGEST))


def legible(text: str, most: int | None = None) -> str:
    r"""Text as one line that any terminal, page or file in UTF-8 shows as it is.

    Line ends and other blanks become one space. What steers a terminal (control characters, a
    change of the writing direction) and bytes that are not UTF-8 become escapes such as \x1b.

    Arguments:
        text: any text, such as the name of a file.
        most: characters to keep, of which the middle is left out where there are more.

    >>> legible("run\x1b[2J\n3"), legible("r\udce9sum"), legible("a" * 99, 15)
    ('run\\x1b[2J 3', 'r\\xe9sum', 'aaaaaa ... aaaa')
    """
    if most is not None and len(text) > 8 * most:
        # So that the work does not grow with what is left out.
        text = f"{text[: 4 * most]} ... {text[-4 * most :]}"
    line = " ".join(text.split())
    if not line.isprintable():
        line = "".join(each if each.isprintable() else _escape(each) for each in line)
    if most is None or len(line) <= most:
        return line
    end = (most - 5) // 3 + 1
    return f"{line[: most - 5 - end]} ... {line[-end:]}"


def _escape(character: str) -> str:
    code = ord(character)
    if 0xDC80 <= code <= 0xDCFF:  # how Python holds a byte of a file's name that is not UTF-8
        code -= 0xDC00
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"


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
