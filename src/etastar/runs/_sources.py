"""Files, folders and globs as a list of logs, each with its declaration."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from etastar._errors import InputError

from ._declarations import FILE, Declaration, no_log, read_declarations
from ._formats import SUFFIXES
from ._tensorboard import PREFIX, has_events

DEPTH = 4
"""Folders below this are not searched: a run folder is never deeper, a home folder is."""

Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Source:
    """One log, its row of `runs.csv` if any, and doubts about the folder that it came from."""

    path: Path
    declaration: Declaration | None
    caveats: tuple[str, ...] = ()


@dataclass
class _Folders:
    """The `runs.csv` of each folder, read once, and its rows by the log that they name."""

    declarations: dict[Path, list[Declaration]] = field(default_factory=dict)
    by_log: dict[Path, dict[Path, Declaration]] = field(default_factory=dict)

    def of(self, folder: Path) -> list[Declaration]:
        key = folder.resolve()
        if key not in self.declarations:
            rows = self.declarations[key] = read_declarations(folder)
            self.by_log[key] = {row.path.resolve(): row for row in rows if row.path is not None}
        return self.declarations[key]

    def declaration(self, path: Path) -> Declaration | None:
        """The row for a log, in its own folder or up to two above (`version_0/metrics.csv`)."""
        place = path.resolve()
        folder = path.parent
        for _ in range(3):
            self.of(folder)
            by_log = self.by_log[folder.resolve()]
            row = by_log.get(place) or by_log.get(place.parent)
            if row:
                return row
            folder = folder / ".." if folder.name in ("", "..") else folder.parent
        return None


def find_logs(sources: Sources) -> list[Source]:
    """The logs that files, folders, globs or a list of these stand for, each once, in order.

    Raises:
        InputError: nothing is named, a path does not exist, a glob matches nothing, or a folder
            holds no log.
    """
    named = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not named:
        raise InputError("no runs are named; give a file, a folder or a glob of logs")
    folders = _Folders()
    found: dict[Path, Source] = {}
    for path in (path for name in named for path in _paths(name)):
        for source in _expanded(path, folders):
            found.setdefault(source.path.resolve(), source)
    return list(found.values())


def _paths(name: str | os.PathLike[str]) -> list[Path]:
    """The paths that one source stands for: itself, or what a glob matches."""
    text = os.path.expanduser(os.fspath(name))
    if os.path.exists(text):
        return [Path(text)]
    if glob.has_magic(text):
        matches = sorted(glob.glob(text, recursive=True), key=_natural)
        if not matches:
            raise InputError(f"{text}: the pattern matches no file; check it")
        return [Path(match) for match in matches if Path(match).name != FILE] or [Path(matches[0])]
    raise InputError(f"{text}: no such file or folder; check the path")


def _expanded(path: Path, folders: _Folders) -> list[Source]:
    if path.is_dir() or path.name == FILE:
        folder = path if path.is_dir() else path.parent
        sources = _in_folder(folder, folders, listed_only=not path.is_dir(), depth=0)
        if not sources:
            raise InputError(
                f"{path}: no logs in it; logs end in {' '.join(SUFFIXES)}, or are named"
                f" trainer_state.json or {PREFIX}..."
            )
        return sources
    return [Source(path, folders.declaration(path))]


def _in_folder(folder: Path, folders: _Folders, *, listed_only: bool, depth: int) -> list[Source]:
    declared = folders.of(folder)
    listed = [row.path for row in declared if row.path is not None]
    paths = list(listed)
    if not listed_only:
        known = {path.resolve() for path in listed}
        paths += [path for path in _logs_directly_in(folder) if path.resolve() not in known]
    if declared and not paths:
        raise InputError(
            f"{declared[0].where}: no log for run {declared[0].run}, nor for any other run listed;"
            " put the logs beside runs.csv, or paths relative to it in its run column"
        )
    missing = [no_log(row) for row in declared if row.path is None]
    sources = [Source(path, folders.declaration(path)) for path in paths]
    if missing:
        sources[0] = Source(sources[0].path, sources[0].declaration, tuple(missing))
    if sources or depth == DEPTH:
        return sources
    return [
        source
        for inner in _subfolders(folder)
        for source in _in_folder(inner, folders, listed_only=False, depth=depth + 1)
    ]


def _logs_directly_in(folder: Path) -> list[Path]:
    """The logs of a folder itself: event files are one run, checkpoints are one run, the latest."""
    files = sorted((p for p in _entries(folder) if p.is_file()), key=_natural)
    logs = [p for p in files if p.suffix.lower() in SUFFIXES and p.name != FILE]
    logs += [p for p in files if p.name == "trainer_state.json"]
    checkpoints = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=_natural)
    if checkpoints and not logs:
        logs = [checkpoints[-1]]
    if has_events(folder) and not logs:
        logs = [folder]
    return logs


def _subfolders(folder: Path) -> list[Path]:
    return sorted((p for p in _entries(folder) if p.is_dir()), key=_natural)


def _entries(folder: Path) -> list[Path]:
    try:
        return [path for path in folder.iterdir() if not path.name.startswith(".")]
    except OSError as error:
        reason = error.strerror or type(error).__name__
        raise InputError(f"{folder}: cannot be read ({reason}); check its permissions") from None


def _natural(path: Path | str) -> list[tuple[int, int, str]]:
    """A sort key that puts run2 before run10."""
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
