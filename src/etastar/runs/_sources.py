"""Files, folders and globs as a list of logs, each with its declaration."""

from __future__ import annotations

import difflib
import functools
import glob
import os
import re
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from etastar._errors import InputError
from etastar._files import entries, is_file, is_folder, matching, place_of
from etastar._provenance import note_address, note_file

from ._console import SUFFIXES as PRINTED
from ._console import is_console
from ._declarations import FILE, Declaration, no_log, read_declarations
from ._formats import SUFFIXES, TRACKERS
from ._json_document import JSON_LOGS, is_json_log
from ._lightning import is_version, read_resumed, resumed
from ._log_table import LogTable
from ._mlflow import is_run_folder, run_folder_of
from ._mlflow import tables_of_database as tables_of_mlflow
from ._tensorboard import PREFIX, has_events
from ._tensorboard_csv import downloads_in, is_download, is_loss, read_downloads, run_and_tag
from ._tracker import Tracker
from ._trackio import is_trackio, tables_in_database
from ._trackio import tables_of_database as tables_of_trackio
from ._wandb import SUFFIX as WANDB_FILE
from ._wandb import read_starts, starts_of_one_run

DEPTH = 4
"""Folders below this are not searched: a run folder is never deeper, a home folder is."""

DATABASES = (".db", ".sqlite", ".sqlite3")

OF_PLAN = ("schedule.json", "plan.json", "report.html")
"""What `etastar plan --out` writes."""

_LogsIn = Callable[[Path], list[Path]]

Sources = str | os.PathLike[str] | Iterable[str | os.PathLike[str]]


@dataclass(frozen=True)
class Source:
    """One log, its row of `runs.csv` if any, and doubts about the folder that it came from.

    `table` is what was read already: a run of a tracker or a database, or one made of several
    files.
    """

    path: Path
    declaration: Declaration | None
    caveats: tuple[str, ...] = ()
    table: LogTable | None = None


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


def find_logs(sources: Sources, patterns: Sequence[str] = ()) -> list[Source]:
    """The logs that files, folders, globs or a list of these stand for, each once, in order.

    A folder without any other log stands for the texts in it that a training printed: those with
    lines that are known, or that one of the `patterns` matches.

    Raises:
        InputError: nothing is named, a path does not exist, a glob matches nothing, a folder
            holds no log, or a tracker does not give the runs that are named.
    """
    named = [sources] if isinstance(sources, str | os.PathLike) else list(sources)
    if not named:
        raise InputError("no runs are named; give a file, a folder or a glob of logs")
    folders = _Folders()
    found: dict[Path, Source] = {}
    for name in named:
        tracked = _of_tracker(os.fspath(name))
        paths = [] if tracked else _paths(name)
        for source in [*tracked, *(s for p in paths for s in _expanded(p, folders, patterns))]:
            found.setdefault(place_of(source.path), source)
    return _together(list(found.values()))


def check_source(source: str | os.PathLike[str]) -> None:
    """Refuse a path or a glob that stands for nothing, without reading what it stands for.

    Arguments:
        source: as of `read_runs`. The address of a tracker is accepted: nothing is asked there.

    Raises: InputError that names it.

    >>> check_source("examples/gpt/pilots"), check_source("wandb:entity/project")
    (None, None)
    """
    name = os.fspath(source)
    if _tracker_of(name) is None:
        _paths(name)


def _tracker_of(name: str) -> tuple[Tracker, str] | None:
    """The tracker and the address in a name such as `wandb:ENTITY/PROJECT`; None for a path."""
    prefix, colon, address = name.partition(":")
    if not colon or os.path.exists(name):
        return None
    return next(((each, address) for each in TRACKERS if each.prefix == prefix), None)


def _of_tracker(name: str) -> list[Source]:
    """The runs of a name such as `wandb:ENTITY/PROJECT`; none where it is a path."""
    found = _tracker_of(name)
    if found is None:
        return []
    tracker, address = found
    tables = tracker.tables(address)
    note_address(name)
    return [Source(table.path, None, table=table) for table in tables]


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
    raise InputError(f"{text}: no such file or folder; {_near(Path(text))}")


def _near(path: Path) -> str:
    """What to do about a path that is not there: the nearest name that is, if one is near."""
    if not is_folder(path.parent):
        return "check the path"
    names = [other.name for other in entries(path.parent)]
    found = difflib.get_close_matches(path.name, names, n=1, cutoff=0.6)
    return f"did you mean {path.with_name(found[0])}?" if found else "check the path"


def _expanded(path: Path, folders: _Folders, patterns: Sequence[str]) -> list[Source]:
    if is_folder(path) or path.name == FILE:
        folder = path if is_folder(path) else path.parent
        folders.begin_with(folder)
        listed_only = not is_folder(path)
        sources = _in_folder(folder, folders, _logs_directly_in, listed_only=listed_only)
        if not sources:
            folders.begin_with(folder)
            printed = functools.partial(_printed_in, patterns=patterns)
            sources = _in_folder(folder, folders, printed, listed_only=listed_only)
        if not sources:
            _refuse_plan(path, folder)
            raise InputError(
                f"{path}: no logs in it; logs end in {' '.join(SUFFIXES)}, are named as trainers"
                f" and trackers name them (trainer_state.json, {PREFIX}..., *.wandb), or are texts"
                " with the lines of a known tool"
            )
        return sources
    if path.name in OF_PLAN:
        _refuse_plan(path, path.parent)
    return _of_file(run_folder_of(path) or path, folders)


def _refuse_plan(path: Path, folder: Path) -> None:
    """Raises: InputError where a plan is named in place of the logs that it was made from."""
    if all(is_file(folder / name) for name in OF_PLAN[:2]):
        raise InputError(
            f"{path}: is a plan, and no log; name the logs of the runs, such as the folder that"
            " the plan was made from"
        )


def _of_file(path: Path, folders: _Folders) -> list[Source]:
    """The runs of a file: one, but for the database of a tracker."""
    tables = []
    if path.suffix.lower() in DATABASES and (names := tables_in_database(path)):
        if is_trackio(names):
            tables = tables_of_trackio(path)
        elif "experiments" in names:
            tables = tables_of_mlflow(path)
        else:
            raise InputError(
                f"{path}: a database of neither Trackio nor MLflow; write the log as a table"
            )
    if tables:
        note_file(path)
        return [
            Source(table.path, folders.declaration(table.path), table=table) for table in tables
        ]
    return [Source(path, folders.declaration(path))]


def _together(sources: list[Source]) -> list[Source]:
    """The sources with those made one that are one run: downloads, starts of a resumed run."""
    groups: dict[tuple[Path, str], list[Path]] = {}
    for source in sources:
        if source.table is None and is_download(source.path):
            key = (source.path.parent, run_and_tag(source.path)[0])
            groups.setdefault(key, []).append(source.path)
    beside = {folder: downloads_in(folder) for folder, _ in groups}
    table_of: dict[Path, LogTable] = {}
    gone: set[Path] = set()
    for (folder, run), files in groups.items():
        first = next((file for file in files if is_loss(file)), files[0])
        gone |= {*files} - {first}
        table_of[first] = read_downloads(first, beside[folder].get(run, files))
    alone = [source.path for source in sources if source.table is None]
    several = [(chain, read_resumed) for chain in _chains(alone)]
    several += [(starts, read_starts) for starts in starts_of_one_run(alone)]
    for files, read in several:
        gone |= set(files[:-1])
        table_of[files[-1]] = read(files)
    return [
        replace(source, table=source.table or table_of.get(source.path))
        for source in sources
        if source.path not in gone
    ]


def _chains(paths: list[Path]) -> list[list[Path]]:
    """The logs of resumed runs, those of each in order."""
    places: dict[Path, list[Path]] = {}
    for path in paths:
        if is_version(path):
            places.setdefault(place_of(path).parent.parent, []).append(path)
    starts = [chain for several in places.values() for chain in resumed(several)]
    return [chain for chain in starts if len(chain) > 1]


def _in_folder(
    folder: Path, folders: _Folders, logs_in: _LogsIn, *, listed_only: bool, depth: int = 0
) -> list[Source]:
    declared = folders.of(folder)
    listed = [row.path for row in declared if row.path is not None]
    paths = list(listed)
    if not listed_only:
        known = {place_of(path) for path in listed}
        paths += [path for path in logs_in(folder) if place_of(path) not in known]
    if declared and not paths:
        raise InputError(
            f"{declared[0].where}: no log for run {declared[0].run}, nor for any other run listed;"
            " put the logs beside runs.csv, or paths relative to it in its run column"
        )
    missing = [no_log(row) for row in declared if row.path is None]
    sources = [source for path in paths for source in _of_file(path, folders)]
    if missing:
        sources[0] = replace(sources[0], caveats=tuple(missing))
    if sources or depth == DEPTH:
        return sources
    return [
        source
        for inner in _subfolders(folder)
        if folders.is_new(inner)
        for source in _in_folder(inner, folders, logs_in, listed_only=False, depth=depth + 1)
    ]


def _logs_directly_in(folder: Path) -> list[Path]:
    """The logs of a folder itself: event files are one run, checkpoints are one run, the latest."""
    if is_run_folder(folder):
        return [folder]
    files = sorted(filter(is_file, entries(folder)), key=_natural)
    logs = [p for p in files if p.suffix.lower() in SUFFIXES and p.name != FILE]
    logs += [p for p in files if p.name == "trainer_state.json" or p.suffix.lower() == WANDB_FILE]
    logs += [p for p in files if p.name in JSON_LOGS and is_json_log(p)]
    logs += [p for p in files if p.suffix.lower() in DATABASES and _is_store(p)]
    if any(p.name == "trainer_state.json" for p in files):
        # LLaMA-Factory writes the same twice.
        logs = [p for p in logs if p.name != "trainer_log.jsonl"]
    checkpoints = sorted(folder.glob("checkpoint-*/trainer_state.json"), key=_natural)
    if checkpoints and not logs:
        logs = [checkpoints[-1]]
    if has_events(folder) and not logs:
        logs = [folder]
    return logs


def _is_store(path: Path) -> bool:
    names = tables_in_database(path)
    return is_trackio(names) or "experiments" in names


def _printed_in(folder: Path, patterns: Sequence[str]) -> list[Path]:
    """The texts of a folder that a training printed."""
    files = sorted(filter(is_file, entries(folder)), key=_natural)
    texts = [p for p in files if p.suffix.lower() in PRINTED]
    return [path for path in texts if is_console(path, patterns)]


def _subfolders(folder: Path) -> list[Path]:
    """By name, links last: of two names of a folder its own is the one to print."""
    inner = filter(is_folder, entries(folder))
    return sorted(inner, key=lambda path: (path.is_symlink(), _natural(path)))


def _natural(path: Path | str) -> list[tuple[int, int, str]]:
    """A sort key that puts run2 before run10."""
    parts = re.split(r"(\d+)", str(path))
    return [(1, int(part), "") if part.isdecimal() else (0, 0, part) for part in parts]
