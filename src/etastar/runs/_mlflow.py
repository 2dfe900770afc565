"""MLflow: the experiments of a tracking server or database, and run folders of its file store."""

from __future__ import annotations

import contextlib
import logging
import re
import socket
import sqlite3
import tempfile
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Any
from urllib.parse import quote, urlsplit
from urllib.request import getproxies, proxy_bypass

import numpy as np

from etastar._errors import InputError
from etastar._files import is_file, is_folder, place_of

from ._file_text import read_text
from ._joined_tables import Series, frame_of_series
from ._log_table import LogTable, Reader
from ._tracker import Tracker, declared_by, distinct, missing_library

METRIC_LINE = re.compile(r"\d+ \S+( -?\d+.*)?$")
"""Time in milliseconds, value, step; the step is missing in very old files."""
SYSTEM = "system/"
"""Metrics of the machine are named so."""
PAGE = 1000
SQLITE = "sqlite:///"
ANSWER_SECONDS = 10.0


class MlflowRunFolder(Reader):
    """`mlruns/EXPERIMENT/RUN`: a file a metric in its folder `metrics`.

    Each line of a file is a time, a value and a step. `params` declare the run, `meta.yaml` names
    it.
    """

    def accepts(self, path: Path) -> bool:
        return _holds_metrics(path)

    def read(self, path: Path) -> LogTable:
        series = {
            key: found
            for key, file in _metric_files(path).items()
            if not key.startswith(SYSTEM) and (found := _metric(file)) is not None
        }
        if not series:
            raise InputError(f"{path}: no metric of MLflow in it; log the loss with a step")
        params = {
            file.name: file.read_text(encoding="utf-8", errors="replace").strip()
            for file in sorted((path / "params").glob("*"))
            if is_file(file)
        }
        name = meta(path, "run_name") or place_of(path).name
        return _table(path, name, series, params)


def is_run_folder(path: Path) -> bool:
    """Whether a folder is a run of MLflow's file store that is not deleted."""
    return _holds_metrics(path) and meta(path, "lifecycle_stage") != "deleted"


def run_folder_of(path: Path) -> Path | None:
    """The run folder that a file of a metric belongs to."""
    for folder in list(path.parents)[:4]:
        if folder.name == "metrics" and _holds_metrics(folder.parent) and _is_metric(path):
            return folder.parent
    return None


def _holds_metrics(path: Path) -> bool:
    if not is_folder(path / "metrics"):
        return False
    return any(_is_metric(file) for file in _metric_files(path).values())


def meta(folder: Path, key: str) -> str:
    """A value of the flat `meta.yaml` of a folder; empty where it has none."""
    path = folder / "meta.yaml"
    if not is_file(path):
        return ""
    text = path.read_text(encoding="utf-8", errors="replace")
    found = re.search(rf"^{key}:[ \t]*(.*)$", text, re.MULTILINE)
    return found.group(1).strip().strip("'\"") if found else ""


def _metric_files(folder: Path) -> dict[str, Path]:
    """The files of the metrics by their keys; a slash in a key is a folder."""
    base = folder / "metrics"
    files = sorted(file for file in base.glob("**/*") if is_file(file))
    return {file.relative_to(base).as_posix(): file for file in files}


def _is_metric(file: Path) -> bool:
    if not is_file(file):
        return False
    with file.open("rb") as opened:
        first = opened.readline(500).decode("utf-8", "replace").strip()
    return bool(METRIC_LINE.match(first))


def _metric(file: Path) -> tuple[np.ndarray, np.ndarray] | None:
    """Steps and values of a file of the store; None for a file that is none."""
    if not _is_metric(file):
        return None
    steps, values = [], []
    for number, line in enumerate(read_text(file).split("\n"), 1):
        cells = line.split()
        if not cells:
            continue
        try:
            values.append(float(cells[1]))
            steps.append(float(cells[2]) if len(cells) > 2 else 0.0)
        except (ValueError, IndexError):
            raise InputError(
                f"{file}:{number}: not a time, a value and a step, as MLflow writes them; correct"
                " or remove the line"
            ) from None
    return np.array(steps), np.array(values)


def _table(path: Path, name: str, series: Series, params: dict[str, Any]) -> LogTable:
    frame, line = frame_of_series(series)
    return LogTable(
        path,
        name,
        frame,
        line,
        place="{path} entry {line} of the metric",
        metadata=dict(params),
        headers=declared_by(params),
    )


class MlflowServer(Tracker):
    """`mlflow:URI#EXPERIMENT`: the runs of an experiment; without it, those of all.

    URI is a tracking URI: `http://HOST:PORT`, `sqlite:///mlflow.db`, or a folder of the file store
    such as `mlruns`. The parameters of a run declare it; deleted runs are passed over.
    """

    prefix = "mlflow"

    def tables(self, address: str) -> list[LogTable]:
        uri, _, experiment = address.partition("#")
        if not uri:
            raise InputError(
                "mlflow: names no tracking URI; give mlflow:URI#EXPERIMENT, such as"
                " mlflow:http://localhost:5000#pilots or mlflow:sqlite:///mlflow.db#pilots"
            )
        folder = Path(uri.removeprefix("file://")).expanduser()
        if "://" not in uri.removeprefix("file://"):
            return _of_folder(address, folder, experiment)
        if not uri.startswith(SQLITE):
            return _of_service(address, uri, experiment)
        database = Path(uri.removeprefix(SQLITE))
        if not is_file(database):
            raise InputError(f"mlflow:{address}: no such database; check the path")
        with tempfile.TemporaryDirectory(prefix="etastar-") as folder:
            copy = _copied(address, database, Path(folder))
            return _of_service(address, f"{SQLITE}{copy}", experiment)


def _copied(address: str, database: Path, folder: Path) -> Path:
    """A copy of a database for MLflow to open: it updates one that an older version made."""
    copy = folder / "mlflow.db"
    source = f"file:{quote(str(database.absolute()))}?mode=ro"
    try:
        with (
            contextlib.closing(sqlite3.connect(source, uri=True)) as ours,
            contextlib.closing(sqlite3.connect(copy)) as theirs,
        ):
            ours.backup(theirs)
    except (UnicodeError, sqlite3.Error) as error:
        raise InputError(
            f"mlflow:{address}: SQLite cannot read it ({error}); copy the database again"
        ) from None
    return copy


def _of_folder(address: str, folder: Path, experiment: str) -> list[LogTable]:
    if not is_folder(folder):
        raise InputError(f"mlflow:{address}: no such folder; check the path")
    inner = sorted(path for path in folder.iterdir() if is_folder(path))
    chosen = [p for p in inner if not experiment or experiment in (p.name, meta(p, "name"))]
    runs = [run for p in chosen for run in sorted(p.iterdir()) if is_run_folder(run)]
    if not runs:
        names = ", ".join(meta(path, "name") or path.name for path in inner)
        raise InputError(f"mlflow:{address}: no run with metrics; experiments: {names or 'none'}")
    return [MlflowRunFolder().read(run) for run in runs]


def _of_service(address: str, uri: str, experiment: str) -> list[LogTable]:
    try:
        from mlflow.tracking import MlflowClient
    except ImportError:
        raise missing_library(f"mlflow:{address}", "mlflow") from None
    _check_answers(address, uri)
    try:
        with _silent("mlflow", "alembic"):
            client = MlflowClient(tracking_uri=uri)
            experiments = _all(client.search_experiments)
            chosen = [e for e in experiments if experiment in ("", e.name, e.experiment_id)]
            found = [
                (run, _history(client, run))
                for e in chosen
                for run in reversed(_all(client.search_runs, [e.experiment_id]))
            ]
    except ImportError as error:
        raise InputError(
            f"mlflow:{address}: MLflow needs the library {error.name} for this URI; pip install it"
        ) from None
    except Exception as error:  # the client raises what its store and its transport raise
        reason = " ".join(str(error).split())[:200]
        raise InputError(
            f"mlflow:{address}: MLflow does not give it ({reason}); check the URI and that the"
            " server runs"
        ) from None
    if not chosen:
        names = ", ".join(e.name for e in experiments)
        raise InputError(f"mlflow:{address}: no experiment {experiment!r}; there are {names}")
    logged = [(run, series) for run, series in found if series]
    if not logged:
        raise InputError(f"mlflow:{address}: no run with metrics; log the loss with a step")
    names = distinct([(run.info.run_name or "", run.info.run_id) for run, _ in logged])
    return [
        _table(Path(f"mlflow:{name}"), name, series, run.data.params)
        for name, (run, series) in zip(names, logged, strict=True)
    ]


def _check_answers(address: str, uri: str) -> None:
    """Refuse a server that nothing answers for, which MLflow's client would ask for minutes."""
    server = urlsplit(uri)
    if server.scheme not in ("http", "https") or server.hostname is None:
        return
    if getproxies() and not proxy_bypass(server.hostname):
        return
    try:
        port = server.port or (443 if server.scheme == "https" else 80)
        socket.create_connection((server.hostname, port), timeout=ANSWER_SECONDS).close()
    except (OSError, ValueError) as error:
        raise InputError(
            f"mlflow:{address}: nothing answers at {server.netloc} ({error}); check the URI and"
            " that the server runs"
        ) from None


@contextlib.contextmanager
def _silent(*names: str) -> Iterator[None]:
    """Without what loggers say: all that goes wrong is in the error that is raised."""
    loggers = [logging.getLogger(name) for name in names]
    before = [logger.level for logger in loggers]
    try:
        for logger in loggers:
            logger.setLevel(logging.CRITICAL + 1)
        yield
    finally:
        for logger, level in zip(loggers, before, strict=True):
            logger.setLevel(level)


def _all(search: Any, *arguments: object) -> list[Any]:
    """Every entry of a search that answers in pages."""
    entries: list[Any] = []
    token = None
    while True:
        page = search(*arguments, max_results=PAGE, page_token=token)
        entries += page
        token = page.token
        if not token:
            return entries


def _history(client: Any, run: Any) -> Series:
    series = {}
    for key in run.data.metrics:
        if not key.startswith(SYSTEM):
            entries = client.get_metric_history(run.info.run_id, key)
            entries = sorted(entries, key=lambda entry: (entry.timestamp, entry.step))
            series[key] = (
                np.array([float(entry.step) for entry in entries]),
                np.array([float(entry.value) for entry in entries]),
            )
    return series


def tables_of_database(path: Path) -> list[LogTable]:
    """The runs of a tracking database of MLflow, of all its experiments."""
    tables = MlflowServer().tables(f"sqlite:///{place_of(path)}")
    return [replace(table, path=Path(f"{path}#{table.name}")) for table in tables]
