"""`RunLog`: a training's log in one file, which says itself what the run was."""

from __future__ import annotations

import json
import numbers
import os
import sys
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from etastar._checks import shown, whole
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._source import control_of, controls_of

VERSION = 1
DECLARED = ("schedule", "batch_size", "momentum", "optimizer")
"""What a fit depends on: it may only change within a run where the user says at which step."""


class RunLog:
    """The log of one run, as JSON lines that `etastar.runs.read_runs` and `etastar plan` read.

    The first line declares the run, {"etastar_run": 1, "schedule": SPEC, "batch_size": ...,
    "momentum": ..., "optimizer": ..., ...}; every other line is a row {"step": ..., "loss": ...}.

    `path` ends in `.jsonl`; its folder is made. `schedule` is anything that `schedule_of` takes,
    such as a scheduler of `etastar.integrations`: the LR of update t, counted from the start of the
    run. `batch_size` and `momentum` (Adam's first beta) are numbers or schedules; they are taken
    from `schedule` where that holds them, and a momentum else from a PyTorch `optimizer`.
    `optimizer` is a name, or an optimiser, whose class gives the name. Of a source with several
    parameter groups the first schedule is that of the run, and the ratios of the others' peaks to
    it are declared too. Further keywords are kept as metadata of the run.

    A log that is there already is continued: rows from the resumed step on stand in the place of
    those written before. Where the schedule, batch size, momentum or optimiser is another than the
    file declares, `from_step` must say how many updates were done when that changed; it is written
    as a further declaration.

    Every row is one write to the file at once, so that a killed process loses none; a line cut by a
    kill is removed when the log is opened again. Rows are not forced to the disk one by one. Where
    a row cannot be written (a full disk) a warning says so and the training goes on.

    In a distributed job the process of rank 0 writes and the others do nothing. The rank is that
    of `torch.distributed` where it is in use, else the environment's RANK, else 0; `rank` overrides
    it.

    Raises: InputError for a file that is not such a log, cannot be written, or declares another
    run; for a value that is out of range.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "pilot.jsonl"
    >>> with RunLog(path, "linear:peak=0.1,horizon=100", batch_size=32, optimizer="SGD") as log:
    ...     log.add(0, 2.5, lr=0.1)
    ...     log.add(50, 1.75, lr=0.05)
    >>> print(path.read_text().splitlines()[2])
    {"step": 50, "loss": 1.75, "lr": 0.05}
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        schedule: Any,
        *,
        batch_size: Any = None,
        momentum: Any = None,
        optimizer: Any = None,
        from_step: int | None = None,
        rank: int | None = None,
        **metadata: object,
    ) -> None:
        self.path = Path(path).expanduser()
        if self.path.suffix.lower() not in (".jsonl", ".ndjson"):
            raise InputError(f"{path}: logs are found by their names; call it {path}.jsonl")
        controls = controls_of(schedule)
        self.schedule = controls.schedule
        if momentum is None:
            momentum = controls.momentum or _momentum_in(optimizer)
        if batch_size is None:
            batch_size = controls.batch_size
        self._header: dict[str, object] = {"schedule": self.schedule.spec}
        if controls.groups is not None:
            self._header["lr_groups"] = controls.groups.ratios
        for name, value in (("batch_size", batch_size), ("momentum", momentum)):
            self._header[name] = _declared(control_of(name, value))
        self._header["optimizer"] = (
            optimizer if isinstance(optimizer, str | None) else type(optimizer).__name__
        )
        self._header.update({key: _plain(value) for key, value in metadata.items()})
        self._file: int | None = None
        self._lost = 0
        if (process_rank() if rank is None else rank) == 0:
            self._open(None if from_step is None else _updates("from_step", from_step))

    def add(self, step: float, loss: Any, **more: Any) -> None:
        """Write a row: the loss after `step` updates, and further numbers such as lr, train_loss.

        Values may be numbers or anything that `float` takes, such as a tensor of one element; of
        `more`, which names the further numbers, None is left out.

        Raises: InputError for a step that is not a whole number of at least 0, or a value that is
        no number. Steps may go back, as they do in a run that was resumed.
        """
        if self._file is None:
            return
        row: dict[str, object] = {"step": _updates("step", step), "loss": _number("loss", loss)}
        for name, value in more.items():
            if value is not None:
                row[name] = _number(name, value)
        self._write(row)

    def replan(self, from_step: int, schedule: Any) -> None:
        """Record that from update `from_step` on the run follows another schedule.

        `schedule` counts, like the first one, from the start of the run; a momentum or batch size
        that it holds changes with it.

        Raises: InputError as `schedule_of`.
        """
        controls = controls_of(schedule)
        self.schedule = controls.schedule
        self._header["schedule"] = self.schedule.spec
        groups = controls.groups
        self._header["lr_groups"] = None if groups is None else groups.ratios
        for name in ("momentum", "batch_size"):
            control = control_of(name, getattr(controls, name))
            if control is not None:
                self._header[name] = _declared(control)
        if self._file is not None:
            self._declare(_updates("from_step", from_step))

    def close(self) -> None:
        """End the log; closing twice does nothing."""
        if self._file is not None:
            os.close(self._file)
            self._file = None

    def __enter__(self) -> RunLog:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_file", None) is not None:
            self.close()

    def _open(self, from_step: int | None) -> None:
        try:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            # Windows would write two characters for the end of a line.
            flags = os.O_RDWR | os.O_CREAT | os.O_APPEND | getattr(os, "O_BINARY", 0)
            self._file = os.open(self.path, flags, 0o644)
            with open(self.path, "rb") as file:
                text = file.read()
            end = text.rfind(b"\n") + 1
            before = self._declared_before(text[:end])
            if end < len(text):
                os.ftruncate(self._file, end)
        except OSError as error:
            self.close()
            raise InputError(f"{self.path}: cannot be written: {error.strerror}") from None
        except InputError:
            self.close()
            raise
        self._size = end
        if before is None:
            self._declare(None)
            return
        changed = [key for key in DECLARED if before.get(key) != self._header.get(key)]
        if changed and from_step is None:
            self.close()
            key = changed[0]
            raise InputError(
                f"{self.path}: the log was made with {key} {shown(before.get(key))}, not "
                f"{shown(self._header.get(key))}: name another file, or give from_step, the "
                "updates done when it changed"
            )
        if changed:
            self._declare(from_step)

    def _declared_before(self, text: bytes) -> Mapping[str, object] | None:
        """What the file declares last; None where it is empty.

        The size of a log is that of its rows, some tens of bytes each, so reading it is cheap.
        """
        if not text:
            return None
        declared: dict[str, object] = {}
        first = True
        for line in text.splitlines():
            if first or line.startswith(b'{"etastar_run"'):
                try:
                    header = json.loads(line)
                except ValueError:
                    header = None
                if not isinstance(header, dict) or header.get("etastar_run") != VERSION:
                    raise InputError(
                        f"{self.path}: is there and is no run log of this version: name another "
                        "file or remove it"
                    )
                declared = header
                first = False
        return declared

    def _declare(self, from_step: int | None) -> None:
        header = {"etastar_run": VERSION}
        if from_step is not None:
            header["from_step"] = from_step
        self._write({**header, **{k: v for k, v in self._header.items() if v is not None}})

    def _write(self, row: Mapping[str, object]) -> None:
        assert self._file is not None
        line = (json.dumps(row, ensure_ascii=False) + "\n").encode()
        try:
            written = os.write(self._file, line)
            if written < len(line):
                os.ftruncate(self._file, self._size)
                raise OSError(0, "the disk is full")
        except OSError as error:
            self._lost += 1
            if self._lost == 1:
                warnings.warn(
                    f"{self.path}: a row cannot be written ({error.strerror}); the training goes "
                    "on and rows are lost until there is room",
                    stacklevel=3,
                )
            return
        self._lost = 0
        self._size += len(line)


def process_rank() -> int:
    """The rank of this process in a distributed job, 0 where there is none.

    >>> process_rank()
    0
    """
    distributed = sys.modules.get("torch.distributed")
    if distributed is not None and distributed.is_available() and distributed.is_initialized():
        return distributed.get_rank()
    rank = os.environ.get("RANK", "0")
    return int(rank) if rank.isdecimal() else 0


def _momentum_in(optimizer: Any) -> float | None:
    """The momentum, or Adam's first beta, of a PyTorch optimiser; None where it names none."""
    groups = getattr(optimizer, "param_groups", None)
    if not groups:
        return None
    value = groups[0].get("momentum", groups[0].get("betas"))
    return None if value is None else float(value[0] if isinstance(value, tuple | list) else value)


def _declared(control: float | Schedule | None) -> object:
    return control.spec if isinstance(control, Schedule) else control


def _updates(name: str, value: Any) -> int:
    """A number of updates done."""
    return whole(name, _number(name, value), unit="update")


def _number(name: str, value: Any) -> float | int:
    if isinstance(value, numbers.Integral) and not isinstance(value, bool):
        return int(value)
    try:
        # PyTorch warns where a loss is made a number with its graph still attached.
        return float(value.detach() if hasattr(value, "detach") else value)
    except (TypeError, ValueError, RuntimeError):
        raise InputError(f"{name} is {shown(value)}: a log holds numbers") from None


def _plain(value: object) -> object:
    """What JSON holds as it is; other values as their text."""
    return value if isinstance(value, str | int | float | None) else str(value)
