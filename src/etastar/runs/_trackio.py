"""Trackio: the SQLite database that it keeps for a project."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
from collections.abc import Iterator
from pathlib import Path

from etastar._errors import InputError
from etastar._files import is_file, place_of

from ._log_table import LogTable
from ._tracker import Tracker, distinct, table_of_run

FOLDER = "~/.cache/huggingface/trackio"
MAGIC = b"SQLite format 3\0"


class Trackio(Tracker):
    """`trackio:PROJECT` or `trackio:PROJECT/RUN`: runs logged on this machine.

    The database of a project is `PROJECT.db` in the folder that `TRACKIO_DIR` names, else in
    Trackio's own (its documentation, "Storage Schema").
    """

    prefix = "trackio"

    def tables(self, address: str) -> list[LogTable]:
        project, _, run = address.partition("/")
        folder = Path(os.environ.get("TRACKIO_DIR") or FOLDER).expanduser()
        path = folder / f"{project}.db"
        if not project or not is_file(path):
            there = ", ".join(sorted(file.stem for file in folder.glob("*.db"))) or "none"
            raise InputError(
                f"trackio:{address}: no project {project!r} in {folder}; projects there: {there}"
            )
        tables = tables_of_database(path)
        chosen = [table for table in tables if run in ("", table.name)]
        if not chosen:
            names = ", ".join(table.name for table in tables)
            raise InputError(f"trackio:{address}: no run {run!r}; there are {names}")
        return chosen


def tables_in_database(path: Path) -> set[str]:
    """The names of the tables of a SQLite database; none where the file is no database."""
    if not is_file(path):
        return set()
    try:
        with path.open("rb") as opened:
            if opened.read(len(MAGIC)) != MAGIC:
                return set()
        with _opened(path) as database:
            rows = database.execute("SELECT name FROM sqlite_master WHERE type = 'table'")
            return {str(name) for (name,) in rows}
    except (OSError, UnicodeError, sqlite3.Error):  # SQLite quotes damaged names
        return set()


def is_trackio(names: set[str]) -> bool:
    """Whether a database with tables of these names is Trackio's."""
    return {"metrics", "configs"} <= names and "experiments" not in names


def tables_of_database(path: Path) -> list[LogTable]:
    """The runs of a project's database, in the order in which they began.

    Raises:
        InputError: it is not Trackio's, or holds no metrics.
    """
    try:
        with _opened(path) as database:
            columns = {row[1] for row in database.execute("PRAGMA table_info(metrics)")}
            # Older databases know a run by its name alone.
            key = "run_id" if "run_id" in columns else "run_name"
            rows = database.execute(
                f"SELECT {key}, run_name, step, metrics FROM metrics ORDER BY id"
            ).fetchall()
            key = "run_id" if key == "run_id" else "run_name"
            configs = dict(database.execute(f"SELECT {key}, config FROM configs").fetchall())
    except (UnicodeError, sqlite3.Error) as error:
        raise InputError(f"{path}: not a database of Trackio ({error}); check the file") from None
    runs: dict[str, list[dict[str, object]]] = {}
    names: dict[str, str] = {}
    for identifier, name, step, metrics in rows:
        record = _object(metrics)
        runs.setdefault(identifier, []).append({"_step": step, **record})
        names[identifier] = str(name)
    if not runs:
        raise InputError(f"{path}: no metrics in it; log the loss with Trackio")
    told = distinct([(names[identifier], str(identifier)) for identifier in runs])
    return [
        table_of_run(Path(f"{path}#{name}"), name, records, _object(configs.get(identifier)))
        for name, (identifier, records) in zip(told, runs.items(), strict=True)
    ]


@contextlib.contextmanager
def _opened(path: Path) -> Iterator[sqlite3.Connection]:
    """The database, to be read and never changed."""
    database = sqlite3.connect(f"{place_of(path).as_uri()}?mode=ro", uri=True)
    try:
        yield database
    finally:
        database.close()


def _object(text: object) -> dict[str, object]:
    """The JSON object of a cell, which is text or its bytes; empty where it is none."""
    try:
        found = json.loads(text)  # type: ignore[arg-type]
    except (TypeError, ValueError, RecursionError):
        return {}
    return found if isinstance(found, dict) else {}
