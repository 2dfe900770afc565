"""The folder of a sweep: logs that `etastar plan` reads, and a file with the state of its runs."""

from __future__ import annotations

import contextlib
import csv
import fcntl
import io
import json
import os
import shutil
import socket
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from etastar._errors import InputError
from etastar._files import write_text
from etastar.runs import Run, _clean, read_runs
from etastar.runs._columns import loss_column, step_column
from etastar.runs._declared import SUFFIXES
from etastar.runs._formats import read_table
from etastar.runs._run import risen
from etastar.runs._sources import find_logs
from etastar.runs._table import numbers
from etastar.schedule import Schedule

from ._types import Finished, Pilot

STATE = "pilots.json"
FORMAT, VERSION = "etastar.pilots", 1
RUNNING, FINISHED, DIVERGED, SET_ASIDE = "running", "finished", "diverged", "set aside"
COLUMNS = ("run", "schedule", "horizon", "seed", "batch_size", "momentum", "status", "parent")


@dataclass
class Record:
    """What is known of a pilot that was started.

    Attributes: `status` (one of the four above), `log` (name of its log in the store, None without
    one), `failures` (one line each), `hangs` (how many of these were hangs), `steps` (updates paid
    for), `batch_size` and `momentum` (where the log tells them).
    """

    pilot: Pilot
    status: str = RUNNING
    log: str | None = None
    failures: list[str] = field(default_factory=list)
    hangs: int = 0
    steps: int = 0
    batch_size: float | None = None
    momentum: float | None = None

    def document(self) -> dict[str, Any]:
        pilot = self.pilot
        return {
            "name": pilot.name,
            "schedule": json.loads(pilot.schedule.to_json()),
            "seed": pilot.seed,
            "parent": pilot.parent,
            "branch_step": pilot.branch_step,
            "status": self.status,
            "log": self.log,
            "failures": self.failures,
            "hangs": self.hangs,
            "steps": self.steps,
            "batch_size": self.batch_size,
            "momentum": self.momentum,
        }

    @classmethod
    def of(cls, document: Mapping[str, Any]) -> Record:
        rest = dict(document)
        schedule = Schedule.from_json(json.dumps(rest.pop("schedule")))
        keys = ("name", "seed", "parent", "branch_step")
        return cls(Pilot(schedule=schedule, **{key: rest.pop(key) for key in keys}), **rest)


@dataclass(frozen=True)
class Glance:
    """A log as it stands.

    Attributes: `step` and `loss` of the last row; `gap`, the most steps between the last rows;
    `diverged`, whether it has, would it end here; `hopeless`, whether nothing can undo that: a loss
    that is not finite, or two successive rows above three times the lowest.
    """

    step: float
    loss: float
    gap: float
    diverged: bool
    hopeless: bool


class Store:
    """The folder of one sweep; use `opened`.

    `runs.csv` and the logs beside it are those of ended runs. What runs has a folder of its own
    under `.runs`, which readers of logs pass over.
    """

    def __init__(self, folder: Path, settings: Mapping[str, Any]) -> None:
        self.folder = folder
        self.runs = (folder / ".runs").resolve()
        self.settings = dict(settings)
        self.records: dict[str, Record] = {}

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
        return find_log(self.runs / name)

    def work_run(self, record: Record) -> Run:
        """The run that an ended training has logged. Raises: InputError where it cannot be read."""
        source = self.log_of(record.pilot.name)
        if source is None:
            raise InputError("no log at {out}")
        (run,) = read_runs([source], schedule=record.pilot.schedule)
        return run

    def publish(self, record: Record, status: str, run: Run | None) -> None:
        """Note how a run ended, and put its log beside `runs.csv`; `run` is that of `work_run`.

        The row comes before the log: a reader in between is told of a run without a log, not
        stopped by a log without a schedule.

        Raises: InputError where files cannot be written.
        """
        source = self.log_of(record.pilot.name)
        record.status = status
        told = status == DIVERGED and run is not None and not run.diverged
        if run is not None and source is not None:
            record.batch_size, record.momentum = run.batch_size, run.momentum
            record.log = f"{record.pilot.name}.csv" if told else _place(source, record.pilot.name)
        self.declare()
        if run is not None and source is not None and record.log is not None:
            target = self.folder / record.log
            if told:
                write_text(target, _with_nan(run))
            else:
                _copy(source, target)
        self.save()

    def declare(self) -> None:
        """Write `runs.csv`: a row for every run that has a log here, no file where none has."""
        if not any(record.log for record in self.records.values()):
            (self.folder / "runs.csv").unlink(missing_ok=True)
            return
        text = io.StringIO()
        rows = csv.writer(text, lineterminator="\n")
        rows.writerow(COLUMNS)
        for record in self.records.values():
            if record.log is not None:
                pilot = record.pilot
                rows.writerow(
                    [
                        pilot.name,
                        pilot.schedule.spec,
                        pilot.schedule.horizon,
                        pilot.seed,
                        "" if record.batch_size is None else record.batch_size,
                        "" if record.momentum is None else record.momentum,
                        record.status,
                        pilot.parent or "",
                    ]
                )
        write_text(self.folder / "runs.csv", text.getvalue())

    def read(self, record: Record) -> Run | None:
        """The run of a published log. Raises: InputError where it cannot be read."""
        if record.log is None:
            return None
        (run,) = read_runs([self.folder / record.log])
        return run

    def set_aside(self, record: Record) -> str:
        """Move a run's log and folder to new names, so that it starts anew; say where to."""
        number = 1
        while (self.runs / f"{record.pilot.name}.set-aside-{number}").exists():
            number += 1
        moved = self.runs / f"{record.pilot.name}.set-aside-{number}"
        told = moved
        if (self.runs / record.pilot.name).exists():
            os.replace(self.runs / record.pilot.name, moved)
        if record.log is not None:
            log = self.folder / record.log.split("/")[0]
            if log.exists():
                told = self.folder / f"{log.name}.unreadable-{number}"
                os.replace(log, told)
            record.log = None
        record.status, record.steps = RUNNING, 0
        self.declare()
        self.save()
        return str(told)

    def finished(self) -> list[Finished]:
        """The pilots that have ended, for a designer."""
        ended = [record for record in self.records.values() if record.status != RUNNING]
        return [
            Finished(record.pilot, self.read(record), record.status == DIVERGED) for record in ended
        ]

    def of_status(self, status: str) -> list[Record]:
        """The records of one status, in the order they were started."""
        return [record for record in self.records.values() if record.status == status]


@contextlib.contextmanager
def opened(folder: Path, settings: Mapping[str, Any], force: bool = False) -> Iterator[Store]:
    """Open a store, make it where there is none, and hold its lock.

    `settings` are what decides which runs are made; a store that was begun with others is refused,
    or, with `force`, goes on with the new ones.

    Raises: InputError where another driver holds the store, its state cannot be read, it was begun
    with other settings, or the folder holds runs that are none of a sweep's.
    """
    path = folder / ".pilots.lock"
    try:
        folder.mkdir(parents=True, exist_ok=True)
        path.touch()
    except OSError as error:
        raise InputError(f"{folder}: cannot be made or written: {error.strerror}") from None
    with open(path, "r+", encoding="utf-8") as lock:
        try:
            fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            raise InputError(
                f"{folder}: another etastar pilot runs here ({lock.read().strip()}); wait for it,"
                " end it, or name another --out"
            ) from None
        lock.truncate(0)
        lock.write(f"pid {os.getpid()} on {socket.gethostname()}")
        lock.flush()
        store = Store(folder, settings)
        _load(store, force)
        store.save()
        store.declare()
        yield store


def _load(store: Store, force: bool) -> None:
    path = store.folder / STATE
    if not path.exists():
        if (store.folder / "runs.csv").exists():
            raise InputError(
                f"{store.folder}: holds a runs.csv that is not of etastar pilot; name another --out"
            )
        return
    try:
        document = json.loads(path.read_text(encoding="utf-8"))
        if document["format"] != FORMAT or document["version"] != VERSION:
            raise ValueError(f"format {document['format']} {document['version']}")
        records = [Record.of(item) for item in document["pilots"]]
        before = dict(document["settings"])
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InputError(
            f"{path}: not the state of a sweep ({error}); restore it, or name another --out"
        ) from None
    changed = [key for key, value in store.settings.items() if before.get(key) != value]
    if changed and not force:
        told = "; ".join(
            f"{key} {_told(before.get(key))}, now {_told(store.settings[key])}" for key in changed
        )
        raise InputError(
            f"{store.folder}: was begun with {told}; name another --out, or add --force to go on"
            " here with what is asked now"
        )
    store.records = {record.pilot.name: record for record in records}


def _told(value: object) -> str:
    return " ".join(str(word) for word in value) if isinstance(value, list) else str(value)


# ------------------------------------------------------------------------------------------- logs


def find_log(folder: Path) -> Path | None:
    """The log at `{out}` of a run's folder: that path, with a suffix, or the one in it as a folder.

    Raises: InputError where there are several.
    """
    base = folder / "log"
    found = [base] if base.is_file() else []
    found += [path for suffix in SUFFIXES if (path := base.with_name("log" + suffix)).is_file()]
    if base.is_dir():
        with contextlib.suppress(InputError):
            found += [source.path for source in find_logs(base)]
    if len(found) > 1:
        names = ", ".join(path.relative_to(folder).as_posix() for path in found)
        raise InputError(f"{folder}: several logs ({names}); a run writes one")
    return found[0] if found else None


def glance(path: Path) -> Glance:
    """A log as it stands, with what is not finite.

    Raises: InputError where it cannot be read.
    """
    table = read_table(path)
    step = step_column(table, None)
    loss, _ = loss_column(table, None, step)
    table, columns = numbers(table, list(dict.fromkeys((step, loss))))
    _clean.check_steps(table, *columns[step])
    curve = _clean.losses(table, columns[step][0], *columns[loss], loss)
    curve, _ = _clean.in_order(table, curve)
    count = len(curve.step)
    if count == 0:
        raise InputError(f"{path}: no row with a loss yet")
    gap = float(np.max(np.diff(curve.step[-10:]))) if count > 1 else float(curve.step[-1])
    last = float(curve.value[-1])
    diverged = risen(curve.value)
    hopeless = not np.isfinite(last) or (diverged and risen(curve.value[:-1]))
    return Glance(float(curve.step[-1]), last, gap, diverged, bool(hopeless))


def _place(source: Path, name: str) -> str:
    """Where a log lies in the store: formats that go by the file's name keep it, in a folder."""
    if source.is_dir():
        return name
    if source.name in ("metrics.csv", "trainer_state.json"):
        return f"{name}/{source.name}"
    return name + (source.suffix if source.suffix.lower() in SUFFIXES else "")


def _copy(source: Path, target: Path) -> None:
    """Copy a log, a file or a folder of event files, so that the target is whole or not there."""
    target.parent.mkdir(exist_ok=True)
    temporary = target.with_name(f".{target.name}.tmp")
    try:
        if source.is_dir():
            shutil.rmtree(temporary, ignore_errors=True)
            shutil.copytree(source, temporary)
            shutil.rmtree(target, ignore_errors=True)
        else:
            with open(source, "rb") as whole, open(temporary, "wb") as copy:
                shutil.copyfileobj(whole, copy)
                copy.flush()
                os.fsync(copy.fileno())
        os.replace(temporary, target)
    except OSError as error:
        if temporary.is_file():
            with contextlib.suppress(OSError):
                temporary.unlink()
        raise InputError(f"{target}: cannot be written: {error.strerror}") from None


def _with_nan(run: Run) -> str:
    """The log of a run that stopped itself where it diverged, with a last row that says so."""
    rows = [f"{step:.0f},{loss!r}" for step, loss in zip(run.step, run.loss.tolist(), strict=True)]
    return "\n".join(["step,loss", *rows, f"{run.final_step + 1:.0f},nan"]) + "\n"
