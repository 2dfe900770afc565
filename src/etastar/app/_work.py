"""What the page does with what is entered: keep uploads, read logs, plan, and write the files."""

from __future__ import annotations

import shlex
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path, PurePosixPath
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

from etastar._checks import number_in, positive_of
from etastar._errors import InputError, at_command_line
from etastar._files import write_bytes
from etastar._provenance import Provenance, making, provenance

if TYPE_CHECKING:
    from etastar.planning import Plan
    from etastar.runs import Run

Tell = Callable[[float, str], object]
"""Is told the part of the work that is done, from 0 to 1, and what is being done."""

FILES = ("report.html", "plan.json", "schedule.json")


@dataclass(frozen=True)
class Columns:
    """What the logs do not say or was not guessed, as the texts that were entered; "" is nothing.

    Attributes:
        step, loss, lr: columns.
        pattern: a regular expression that finds the rows of text that is no table.
        schedule: the spec of the logs that declare no schedule.
        batch, sequence_length: samples of an update and tokens of a sample, where no log says so.
    """

    step: str = ""
    loss: str = ""
    lr: str = ""
    pattern: str = ""
    schedule: str = ""
    batch: str = ""
    sequence_length: str = ""

    def words(self) -> list[str]:
        """The options of `etastar plan` that say the same.

        >>> Columns(loss="val").words()
        ['--loss', 'val']
        """
        options = {
            "--step": self.step,
            "--loss": self.loss,
            "--lr": self.lr,
            "--pattern": self.pattern,
            "--runs-schedule": self.schedule,
            "--runs-batch": self.batch,
            "--sequence-length": self.sequence_length,
        }
        return [word for name, text in options.items() if text for word in (name, text)]


@dataclass(frozen=True)
class Wanted:
    """The run to plan, as the texts that were entered; "" is nothing.

    Attributes:
        horizon: its length, in `unit`.
        unit: steps, samples or tokens.
        batch: its batch size, or the lowest and the highest allowed.
        law: name of the loss law.
    """

    horizon: str
    unit: str = "steps"
    batch: str = ""
    law: str = "etastar"

    def words(self) -> list[str]:
        """The options of `etastar plan` that say the same.

        >>> Wanted("20k", batch="64").words()
        ['--horizon', '20k', '--batch', '64']
        """
        options = {"--horizon": self.horizon, "--batch": self.batch}
        options |= {"--unit": self.unit} if self.unit != "steps" else {}
        options |= {"--law": self.law} if self.law != "etastar" else {}
        return [word for name, text in options.items() if text for word in (name, text)]


@dataclass(frozen=True)
class LogsRead:
    """What was read.

    Attributes:
        runs: one a log.
        remarks: what is doubtful about them, a line each.
        names: the logs as one names them at the command line.
        columns: what was entered about them.
        made: what was read, with digests.
    """

    runs: tuple[Run, ...]
    remarks: tuple[str, ...]
    names: tuple[str, ...]
    columns: Columns
    made: Provenance

    def command(self, wanted: Wanted) -> list[str]:
        """The words of the command that plans the same."""
        return ["etastar", "plan", *self.names, *wanted.words(), *self.columns.words()]


@dataclass(frozen=True)
class Planned:
    """A plan, and the files of it by their names."""

    plan: Plan
    command: str
    files: dict[str, bytes]


def kept(uploads: Sequence[Any], folder: Path) -> tuple[str, ...]:
    """Write uploaded files to a folder, and name what is to be read there.

    Arguments:
        uploads: objects with `name`, which may hold folders, and `getvalue()`.
        folder: an empty one.

    Returns: the names of the files, or of the one folder that holds all.
    Raises: InputError for a name that leads out of the folder, and for two files of one name.
    """
    places = []
    for upload in uploads:
        place = PurePosixPath(upload.name.replace("\\", "/"))
        if place.is_absolute() or ".." in place.parts or not place.parts:
            raise InputError(f"{upload.name}: is no name of a file in a folder; rename it")
        if place in places:
            raise InputError(f"{upload.name}: was given twice; leave one out")
        places.append(place)
        path = folder.joinpath(*place.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        write_bytes(path, upload.getvalue())
    tops = {place.parts[0] for place in places}
    one_folder = len(tops) == 1 and all(len(place.parts) > 1 for place in places)
    return tuple(tops) if one_folder else tuple(map(str, places))


def read_uploads(uploads: Sequence[Any], columns: Columns) -> LogsRead:
    """Read uploaded files, of which a runs.csv declares the others.

    Raises: InputError as `read_runs` and `kept`, which names files as they were uploaded.
    """
    with TemporaryDirectory(prefix="etastar-") as name:
        folder = Path(name).resolve()
        names = kept(uploads, folder)
        declared = any(Path(each).name == "runs.csv" for each in names)
        sources = [folder] if declared else [folder / each for each in names]
        try:
            logs = _read(list(map(str, sources)), columns)
        except InputError as error:
            raise InputError(str(error).replace(f"{folder}/", "")) from None
        return _without(logs, folder, names)


def read_path(text: str, columns: Columns) -> LogsRead:
    """Read what a path, a glob or the address of a tracker stands for. Raises: as `read_runs`."""
    return _read([text], columns)


def _read(sources: list[str], columns: Columns) -> LogsRead:
    from etastar.runs import check_together, read_runs

    batch, length = columns.batch, columns.sequence_length
    with at_command_line(), making(["etastar", "app"]):
        runs = read_runs(
            sources,
            step=columns.step or None,
            loss=columns.loss or None,
            lr=columns.lr or None,
            schedule=columns.schedule or None,
            pattern=columns.pattern or (),
            batch_size=positive_of("--runs-batch", batch) if batch else None,
            sequence_length=positive_of("--sequence-length", length) if length else None,
        )
        made = provenance()
    assert made is not None
    remarks = [caveat for run in runs for caveat in run.caveats]
    remarks = dict.fromkeys([*remarks, *check_together(runs)])
    return LogsRead(tuple(runs), tuple(remarks), tuple(sources), columns, made)


def _without(logs: LogsRead, folder: Path, names: tuple[str, ...]) -> LogsRead:
    """Names as they were uploaded, in place of those in a folder that is gone soon."""

    def own(text: str) -> str:
        return text.replace(f"{folder}/", "").replace(str(folder), ".")

    inputs = tuple(replace(each, name=own(each.name)) for each in logs.made.inputs)
    runs = tuple(
        replace(
            run,
            name=own(run.name),
            metadata={**run.metadata, "file": own(str(run.metadata["file"]))},
            caveats=tuple(map(own, run.caveats)),
        )
        for run in logs.runs
    )
    return replace(
        logs,
        runs=runs,
        remarks=tuple(map(own, logs.remarks)),
        names=names,
        made=replace(logs.made, inputs=inputs),
    )


def planned(logs: LogsRead, wanted: Wanted, tell: Tell) -> Planned:
    """Plan a run as `etastar plan --out` does, and keep the files that it writes.

    Raises: InputError as `etastar.planning.plan`, naming what is to be entered.
    """
    from etastar import planning
    from etastar.report import write_plan

    if not wanted.horizon.strip():
        raise InputError("horizon is missing; enter one, such as 20k")
    size = batch_of(wanted.batch)
    command = logs.command(wanted)

    def progress(stage: str, done: int, total: int, /) -> None:
        before = list(planning.STAGES)[: list(planning.STAGES).index(stage)]
        weight = sum(planning.STAGES[name] for name in before)
        weight += planning.STAGES[stage] * done / total
        tell(min(weight / sum(planning.STAGES.values()), 1.0), stage)

    with at_command_line(), making(command):
        found = planning.plan(
            logs.runs,
            number_of("horizon", wanted.horizon),
            unit=wanted.unit,
            batch_size=size,
            form=wanted.law,
            progress=progress,
        )
        made = provenance()
    assert made is not None
    found = replace(found, provenance=replace(made, inputs=logs.made.inputs))
    tell(1.0, "writing the report")
    with TemporaryDirectory(prefix="etastar-") as name:
        write_plan(found, name)
        files = {file: (Path(name) / file).read_bytes() for file in FILES}
    return Planned(found, shlex.join([*command, "--out", "plan"]), files)


def batch_of(text: str) -> float | tuple[float, float] | None:
    """One batch size, or the lowest and the highest; None where nothing is entered.

    Raises: InputError for anything else.

    >>> batch_of("64"), batch_of("16,512"), batch_of("")
    (64.0, (16.0, 512.0), None)
    """
    match [positive_of("batch size", part) for part in text.split(",") if part.strip()]:
        case []:
            return None
        case [size]:
            return size
        case [low, high]:
            return low, high
    raise InputError(f"batch size {text[:80]!r} must be one, or the lowest and the highest")


def number_of(name: str, text: str) -> float:
    """A number that may end in k, M, B or T. Raises: InputError naming it.

    >>> number_of("horizon", "20k")
    20000.0
    """
    try:
        return number_in(text)
    except ValueError:
        raise InputError(f"{name} {text[:80]!r} is not a number; enter one, such as 20k") from None
