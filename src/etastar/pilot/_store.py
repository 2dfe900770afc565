"""The folder of a sweep: logs that `etastar plan` reads, and a file with the state of its runs."""

from __future__ import annotations

import contextlib
import csv
import io
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

from etastar._checks import shown
from etastar._errors import InputError
from etastar._files import copy_file, is_file, is_folder, utf8_text, write_text
from etastar._json import json_value
from etastar._locks import lock
from etastar.runs import LogStatus, Run, live_log, log_name, log_status, read_runs

from ._config import LogReading
from ._job import LOG
from ._process import has_ended, still_runs
from ._proposal import Finished
from ._record import PilotRecord, PilotStatus

STATE = "pilots.json"
FORMAT, VERSION = "etastar.pilots", 1
COLUMNS = ("run", "schedule", "horizon", "seed", "batch_size", "momentum", "status", "parent")


class PilotStore:
    """The folder of one sweep; use `open_store`.

    `runs.csv` and the logs beside it are those of ended runs. What runs has a folder of its own
    under `.runs`, which readers of logs pass over.
    """

    def __init__(
        self, folder: Path, settings: Mapping[str, Any], reading: LogReading | None = None
    ) -> None:
        self.folder = folder
        self.reading = LogReading() if reading is None else reading
        self.runs = (folder / ".runs").resolve()
        self.settings = dict(settings)
        self.records: dict[str, PilotRecord] = {}

    def save(self) -> None:
        """Write the state file, whole or not at all."""
        document = {
            "format": FORMAT,
            "version": VERSION,
            "settings": self.settings,
            "pilots": [record.document() for record in self.records.values()],
        }
        write_text(self.folder / STATE, json.dumps(document, indent=1) + "\n")

    def log_of(self, name: str) -> Path | None:
        """The log that a running training has written so far."""
        return live_log(self.runs / name / LOG)

    def status(self, log: Path) -> LogStatus:
        """What a log says so far. Raises: InputError where it cannot be read."""
        return log_status(log, **self.reading.of_status())

    def work_run(self, record: PilotRecord) -> Run:
        """The run that an ended training has logged. Raises: InputError where it cannot be read."""
        source = self.log_of(record.pilot.name)
        if source is None:
            raise InputError("no log at {out}")
        (run,) = read_runs([source], schedule=record.pilot.schedule, **vars(self.reading))
        return run

    def publish(self, record: PilotRecord, status: PilotStatus, run: Run | None) -> None:
        """Note how a run ended, and put its log beside `runs.csv`; `run` is that of `work_run`.

        The row comes before the log: a reader in between is told of a run without a log, not
        stopped by a log without a schedule.

        Raises: InputError where files cannot be written.
        """
        name = record.pilot.name
        source = self.log_of(name)
        record.status = status
        # The rows of a run that stopped itself in time do not show that it diverged.
        shows_nothing = status == PilotStatus.DIVERGED and run is not None and not run.diverged
        if run is not None and source is not None:
            record.batch_size, record.momentum = run.batch_size, run.momentum
            record.log = f"{name}.csv" if shows_nothing else log_name(source, name)
        self.declare()
        if run is not None and source is not None and record.log is not None:
            target = self.folder / record.log
            if shows_nothing:
                write_text(target, _with_nan(run, self.reading))
            else:
                _copy(source, target)
        self.save()

    def declare(self) -> None:
        """Write `runs.csv`: a row for every run that has a log here, no file where none has."""
        if not any(record.log for record in self.records.values()):
            with _written(self.folder):
                (self.folder / "runs.csv").unlink(missing_ok=True)
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        rows.writerows(map(_row, (each for each in self.records.values() if each.log is not None)))
        write_text(self.folder / "runs.csv", text.getvalue())

    def read(self, record: PilotRecord) -> Run | None:
        """The run of a published log. Raises: InputError where it cannot be read."""
        if record.log is None:
            return None
        (run,) = read_runs([self.folder / record.log], **vars(self.reading))
        return run

    def clear(self, name: str) -> None:
        """Make room for a run of a new name, of which an earlier sweep may have left a folder.

        Its log would be taken for that of the run, so the folder is given another name.

        Raises: InputError where a training still runs in it, or files cannot be renamed.
        """
        if not is_folder(self.runs / name):
            return
        if not has_ended(self.runs / name):
            raise InputError(still_runs(self.runs / name))
        with _written(self.runs):
            os.replace(self.runs / name, self._aside(name))

    def _aside(self, name: str) -> Path:
        """A free name for the folder of a run."""
        number = 1
        while (self.runs / f"{name}.set-aside-{number}").exists():
            number += 1
        return self.runs / f"{name}.set-aside-{number}"

    def move_away(self, record: PilotRecord) -> str:
        """Move a run's log and folder to new names, so that it starts anew; where they are then."""
        moved = self._aside(record.pilot.name)
        number = moved.name.rpartition("-")[2]
        told = moved
        if (self.runs / record.pilot.name).exists():
            os.replace(self.runs / record.pilot.name, moved)
        if record.log is not None:
            log = self.folder / record.log.split("/")[0]
            if log.exists():
                told = self.folder / f"{log.name}.unreadable-{number}"
                os.replace(log, told)
            record.log = None
        record.status, record.steps = PilotStatus.RUNNING, 0
        self.declare()
        self.save()
        return str(told)

    def finished(self) -> list[Finished]:
        """The pilots that have ended, for a designer."""
        ended = [record for record in self.records.values() if record.ended]
        return [
            Finished(record.pilot, self.read(record), record.status == PilotStatus.DIVERGED)
            for record in ended
        ]

    def of_status(self, status: PilotStatus) -> list[PilotRecord]:
        """The records of one status, in the order they were started."""
        return [record for record in self.records.values() if record.status == status]


@contextlib.contextmanager
def open_store(
    folder: Path,
    settings: Mapping[str, Any],
    force: bool = False,
    reading: LogReading | None = None,
) -> Iterator[PilotStore]:
    """Open a store, make it where there is none, and hold its lock.

    `settings` are what decides which runs are made; a store that was begun with others is refused,
    or, with `force`, goes on with the new ones. `reading` is how its logs are read.

    Raises: InputError where another driver holds the store, its state cannot be read, it was begun
        with other settings, or the folder holds runs that are not of a sweep.
    """
    path = folder / ".pilots.lock"
    with _written(folder):
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
        if not is_file(path):
            raise InputError(f"{path}: is no file; remove it, or name another --out")
        held = open(path, "r+", encoding="utf-8", errors="replace")  # noqa: SIM115 (closed below)
    with held:
        if not lock(held, path):
            raise InputError(
                f"{folder}: another etastar pilot runs here ({held.read().strip()}); wait for it,"
                " end it, or name another --out"
            )
        held.truncate(0)
        held.write(f"pid {os.getpid()} on {socket.gethostname()}")
        held.flush()
        store = PilotStore(folder, settings, reading)
        _load(store, force)
        store.save()
        store.declare()
        yield store


def _load(store: PilotStore, force: bool) -> None:
    path = store.folder / STATE
    if not path.exists():
        if (store.folder / "runs.csv").exists():
            raise InputError(
                f"{store.folder}: holds a runs.csv that is not of etastar pilot; name another --out"
            )
        return
    records, before = _read_state(path)
    changed = [key for key, value in store.settings.items() if before.get(key) != value]
    if changed and not any(record.log for record in records):
        return  # nothing has come of the old settings, so there is nothing to mix with the new
    if changed and not force:
        told = "; ".join(
            f"{key} {_told(before.get(key))}, now {_told(store.settings[key])}" for key in changed
        )
        raise InputError(
            f"{store.folder}: was begun with {told}; name another --out, or add --force to go on"
            " here with what is asked now"
        )
    store.records = {record.pilot.name: record for record in records}


def _read_state(path: Path) -> tuple[list[PilotRecord], dict[str, Any]]:
    """The records and settings in a state file. Raises: InputError where it is no such file."""
    try:
        document = json_value(utf8_text(path))
        if not isinstance(document, dict):
            raise ValueError("it is no object")
        if document.get("format") != FORMAT or document.get("version") != VERSION:
            raise ValueError(
                f"format {shown(document.get('format'))} {shown(document.get('version'))}"
            )
        settings, pilots = document.get("settings"), document.get("pilots")
        if not isinstance(settings, dict) or not isinstance(pilots, list):
            raise ValueError("settings must be an object and pilots a list")
        records = [PilotRecord.from_document(item) for item in pilots]
        if len({record.pilot.name for record in records}) < len(records):
            raise ValueError("two pilots have one name")
    except ValueError as error:
        raise InputError(
            f"{path}: not the state of a sweep ({error}); restore it, or name another --out"
        ) from None
    return records, settings


@contextlib.contextmanager
def _written(folder: Path) -> Iterator[None]:
    """Errors of the file system as InputError."""
    try:
        yield
    except OSError as error:
        raise InputError(f"{folder}: cannot be made or written: {error.strerror}") from None


def _row(record: PilotRecord) -> tuple[object, ...]:
    """The cells of a run in `runs.csv`, in the order of `COLUMNS`."""
    pilot = record.pilot
    return (
        pilot.name,
        pilot.schedule.spec,
        pilot.schedule.horizon,
        pilot.seed,
        "" if record.batch_size is None else record.batch_size,
        "" if record.momentum is None else record.momentum,
        record.status.value,
        pilot.parent or "",
    )


def _told(value: object) -> str:
    return " ".join(str(word) for word in value) if isinstance(value, list) else str(value)


def _copy(source: Path, target: Path) -> None:
    """Copy a log, a file or a folder of event files, so that the target is whole or not there."""
    target.parent.mkdir(exist_ok=True)
    if not source.is_dir():
        copy_file(source, target)
        return
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        shutil.rmtree(temporary, ignore_errors=True)
        shutil.copytree(source, temporary)
        shutil.rmtree(target, ignore_errors=True)  # a folder is not replaced by a rename
        os.replace(temporary, target)
    except OSError as error:
        raise InputError(f"{target}: cannot be written: {error.strerror or error}") from None


def _with_nan(run: Run, reading: LogReading) -> str:
    """The log of a run that stopped itself where it diverged, with a last row that says so."""
    rows = [f"{step:.0f},{loss!r}" for step, loss in zip(run.step, run.loss.tolist(), strict=True)]
    names = f"{reading.step or 'step'},{reading.loss or 'loss'}"
    return "\n".join([names, *rows, f"{run.final_step + 1:.0f},nan"]) + "\n"
