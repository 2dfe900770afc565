"""What a result was made from, with what and when: for plan.json and the foot of every page."""

from __future__ import annotations

import hashlib
import os
import re
import shlex
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass, field
from datetime import UTC, datetime
from typing import Any

PACKAGES = ("etastar", "numpy", "jax")
"""Those whose versions a result is given, beside Python's: what its numbers depend on."""

FIXED_DATE = "SOURCE_DATE_EPOCH"
"""Variable of the environment with the seconds since 1970 that stand for now, as builds that are to
be the same at every time set it (reproducible-builds.org)."""

_PASSWORD = re.compile(r"(://[^/\s:@]*):[^/\s@]*@")


@dataclass(frozen=True)
class Input:
    """A file that was read, or the address of a tracker's runs.

    Attributes:
        name: the path as it was given or found, or an address such as `wandb:ENTITY/PROJECT`.
        sha256: of the bytes of the file, 64 hexadecimal digits; None for an address.

    >>> Input("wandb:team/project").sha256 is None
    True
    """

    name: str
    sha256: str | None = None


@dataclass(frozen=True)
class Provenance:
    """How a result was made, so that it can be made again and be told from others.

    Attributes:
        command: the command line as it was given; passwords in addresses are left out.
        inputs: what was read, in that order.
        versions: of Python and the packages that the numbers depend on, by their names.
        date: when, as ISO 8601 has it, with the zone.

    >>> Provenance("etastar phase", (), {"python": "3.11.9"}, "2026-01-31T12:00:00+01:00").to_dict()
    {'command': 'etastar phase', 'inputs': [], 'versions': {'python': '3.11.9'}, 'date': \
'2026-01-31T12:00:00+01:00'}
    """

    command: str
    inputs: tuple[Input, ...]
    versions: dict[str, str]
    date: str

    def to_dict(self) -> dict[str, Any]:
        """As `plan.json` has it.

        Keys: `command`; `inputs [{name, sha256}]`, where `sha256` is None for an address;
        `versions {etastar, numpy, jax, python}`; `date`.
        """
        return {
            "command": self.command,
            "inputs": [{"name": each.name, "sha256": each.sha256} for each in self.inputs],
            "versions": dict(self.versions),
            "date": self.date,
        }


@dataclass
class _Making:
    """A command under way; a file that is read again keeps its place and has its last digest."""

    command: str
    inputs: dict[str, str | None] = field(default_factory=dict)


_MAKING: ContextVar[_Making | None] = ContextVar("making", default=None)


@contextmanager
def making(words: Sequence[str]) -> Iterator[None]:
    """Within it what is read is taken note of, for `provenance`.

    Arguments:
        words: the command, split as a shell does it.
    """
    command = _PASSWORD.sub(r"\1:***@", shlex.join(words))
    token = _MAKING.set(_Making(command))
    try:
        yield
    finally:
        _MAKING.reset(token)


def note_content(path: str | os.PathLike[str], content: bytes) -> None:
    """Take note of a file by what was read of it; nothing where nobody asks for it."""
    if (made := _MAKING.get()) is not None:
        made.inputs[os.fspath(path)] = hashlib.sha256(content).hexdigest()


def note_file(path: str | os.PathLike[str]) -> None:
    """Take note of a file that a library reads, such as a database."""
    if (made := _MAKING.get()) is not None:
        with open(path, "rb") as file:
            made.inputs[os.fspath(path)] = hashlib.file_digest(file, "sha256").hexdigest()


def note_address(address: str) -> None:
    """Take note of runs that a tracker gave."""
    if (made := _MAKING.get()) is not None:
        made.inputs[_PASSWORD.sub(r"\1:***@", address)] = None


def _now() -> datetime:
    """The time in the zone of this machine, or the one that the environment fixes."""
    fixed = os.environ.get(FIXED_DATE, "")
    if re.fullmatch(r"\d{1,11}", fixed):
        return datetime.fromtimestamp(int(fixed), UTC)
    return datetime.now().astimezone()


def provenance(clock: Callable[[], datetime] = _now) -> Provenance | None:
    """How what a command makes was made; None where no command is under way.

    Arguments:
        clock: gives the time, with its zone.

    >>> provenance() is None
    True
    >>> with making(["etastar", "phase"]):
    ...     found = provenance(clock=lambda: datetime(2026, 1, 31, tzinfo=UTC))
    >>> found.command, found.date
    ('etastar phase', '2026-01-31T00:00:00+00:00')
    """
    made = _MAKING.get()
    if made is None:
        return None
    inputs = tuple(Input(name, digest) for name, digest in made.inputs.items())
    versions = {name: _version(name) for name in PACKAGES}
    versions["python"] = ".".join(map(str, sys.version_info[:3]))
    return Provenance(made.command, inputs, versions, clock().isoformat(timespec="seconds"))


def _version(package: str) -> str:
    # Slow to import, and no training job asks.
    from importlib.metadata import PackageNotFoundError, version

    try:
        return version(package)
    except PackageNotFoundError:  # run from its source
        return "unknown"
