"""Files, folders and globs as a list of logs, each with its declaration."""

from __future__ import annotations

import glob
import os
import re
from collections.abc import Iterable
from dataclasses import dataclass, field
from pathlib import Path

from etastar._errors import InputError
from etastar._files import entries, is_file, is_folder, matching, place_of

from ._declarations import FILE, Declaration, read_declarations
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
    """The `runs.csv` of each folder, and which folders were searched.

    A file is read once, and again where it has changed since: a sweep that goes on meanwhile writes
    the row of a run before its log, so whoever has seen a log and looks for its row then finds it.
    """

    declared: dict[Path, tuple[object, dict[Path, Declaration], list[Declaration]]] = field(
        default_factory=dict
    )
    searched: set[Path] = field(default_factory=set)
    """Of one source; those above it too, as a link that leads upwards is not followed."""

    def of(self, folder: Path) -> list[Declaration]:
        """The rows of a folder's `runs.csv`."""
        return self._read(folder)[1]

    def declaration(self, path: Path) -> Declaration | None:
        """The row for a log, in its own folder or up to two above (`version_0/metrics.csv`)."""
        place = place_of(path)
        folder = path.parent
        for _ in range(3):
            by_path, _rows = self._read(folder)
            row = by_path.get(place) or by_path.get(place.parent)
            if row is not None:
                return row
            folder = folder / ".." if folder.name in ("", "..") else folder.parent
        return None

    def begin_with(self, folder: Path) -> None:
        """Search a folder that was named."""
        place = place_of(folder)
        self.searched = {place, *place.parents}

    def is_new(self, folder: Path) -> bool:
        """Whether a folder is searched for the first time: links may lead to one many times."""
        place = place_of(folder)
        if place in self.searched:
            return False
        self.searched.add(place)
        return True

    def _read(self, folder: Path) -> tuple[dict[Path, Declaration], list[Declaration]]:
        key, state = place_of(folder), _state(folder / FILE)
        if key in self.declared and state == self.declared[key][0]:
            return self.declared[key][1:]
        rows = read_declarations(folder)
        by_path = {place_of(row.path): row for row in rows if row.path is not None}
        self.declared[key] = state, by_path, rows
        return by_path, rows


def _state(path: Path) -> tuple[int, ...] | None:
    """What changes when a file is written anew; None where there is none."""
    try:
        found = path.stat()
    except OSError:
        return None
    return found.st_ino, found.st_mtime_ns, found.st_size


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
            found.setdefault(place_of(source.path), source)
    return list(found.values())


def _paths(name: str | os.PathLike[str]) -> list[Path]:
    """The paths that one source stands for: itself, or what a glob matches."""
    text = os.path.expanduser(os.fspath(name))
    if os.path.lexists(text):
        return [Path(text)]
    if glob.has_magic(text):
        matches = sorted(matching(text), key=_natural)
        if not matches:
            raise InputError(f"{text}: the pattern matches no file; check it")
        return [match for match in matches if match.name != FILE] or [matches[0]]
    raise InputError(f"{text}: no such file or folder; check the path")


def _expanded(path: Path, folders: _Folders) -> list[Source]:
    if is_folder(path) or path.name == FILE:
        folder = path if is_folder(path) else path.parent
        folders.begin_with(folder)
        sources = _in_folder(folder, folders, listed_only=not is_folder(path), depth=0)
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
        known = {place_of(path) for path in listed}
        paths += [path for path in _logs_directly_in(folder) if place_of(path) not in known]
    if declared and not paths:
        raise InputError(
            f"{declared[0].where}: no log for run {declared[0].run}, nor for any other run listed;"
            " put the logs beside runs.csv, or paths relative to it in its run column"
        )
    missing = [
        f"{row.where}: no log for run {row.run}; it is left out"
        for row in declared
        if row.path is None
    ]
    sources = [Source(path, folders.declaration(path)) for path in paths]
    if missing:
        sources[0] = Source(sources[0].path, sources[0].declaration, tuple(missing))
    if sources or depth == DEPTH:
        return sources
    return [
        source
        for inner in _subfolders(folder)
        if folders.is_new(inner)
        for source in _in_folder(inner, folders, listed_only=False, depth=depth + 1)
    ]


def _logs_directly_in(folder: Path) -> list[Path]:
    """The logs of a folder itself: event files are one run, checkpoints are one run, the latest."""
    files = sorted(filter(is_file, entries(folder)), key=_natural)
    logs = [p for p in files if p.suffix.lower() in SUFFIXES and p.name != FILE]
    logs += [p for p in files if p.name == "trainer_state.json"]
    checkpoints = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=_natural)
    if checkpoints and not logs:
        logs = [checkpoints[-1]]
    if has_events(folder) and not logs:
        logs = [folder]
    return logs


def _subfolders(folder: Path) -> list[Path]:
    return sorted(filter(is_folder, entries(folder)), key=_natural)


def _natural(path: Path | str) -> list[tuple[int, int, str]]:
    """A sort key that puts run2 before run10."""
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
