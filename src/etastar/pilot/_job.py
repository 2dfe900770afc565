"""A pilot as a worker gets it: its folder, its command, the checkpoint that it starts from."""

from __future__ import annotations

import contextlib
import os
import re
from dataclasses import dataclass
from pathlib import Path

from etastar._files import write_text

from ._command import TrainingCommand
from ._proposal import Pilot

_CHECKPOINT = re.compile(r"(?:(?:step|checkpoint|ckpt|iter|iteration)\D?0*|^0*)(\d+)$", re.I)

LOG = "log"
"""Name, in the folder of a run, that `{out}` stands for; a training adds a suffix to it."""


@dataclass(frozen=True)
class Job:
    """A pilot as it is handed to a worker, also one on another machine.

    Attributes:
        command: the training.
        pilot: the run to make.
        checkpoints: steps at which later pilots branch off this one, as far as they are known.
    """

    command: TrainingCommand
    pilot: Pilot
    checkpoints: tuple[int, ...] = ()


def prepare(job: Job, runs: Path) -> list[str]:
    """Make the folder `runs`/name of a pilot, and return its command with the placeholders filled.

    The folder gets `schedule.json`, and `begin` with the step that the run starts from: that of the
    parent's last checkpoint up to the branch, or 0 where there is none or the command takes none.
    """
    pilot = job.pilot
    folder = runs / pilot.name
    folder.mkdir(parents=True, exist_ok=True)
    pilot.schedule.save(folder / "schedule.json")
    found = None
    if pilot.parent is not None and job.command.branches:
        found = find_checkpoint(runs / pilot.parent, pilot.branch_step)
    begin, checkpoint = found or (0, "")
    write_text(folder / "begin", str(begin))
    values = {
        "schedule": folder / "schedule.json",
        "steps": pilot.steps,
        "seed": pilot.seed,
        "out": folder / LOG,
        "name": pilot.name,
        "resume": checkpoint,
        "branch_step": pilot.branch_step if checkpoint else 0,
        "checkpoints": ",".join(str(step) for step in job.checkpoints),
        "spec": pilot.schedule.spec,
    }
    return job.command.filled(values)


def begin_of(folder: Path) -> int:
    """The step that the run in a folder started from."""
    with contextlib.suppress(OSError, ValueError):
        return int((folder / "begin").read_text())
    return 0


def find_checkpoint(folder: Path, step: int) -> tuple[int, Path] | None:
    """The last checkpoint below a folder that was saved at or before a step, and its step.

    A checkpoint is a file or folder whose name ends in its step, alone or after `step`,
    `checkpoint`, `ckpt` or `iter`: `step_400.pt`, `checkpoint-400`, `epoch=1-step=400.ckpt`, `400`.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> for name in ("step_200.pt", "step_400.pt", "step_600.pt", "v2.pt"):
    ...     (folder / name).touch()
    >>> found = find_checkpoint(folder, 500)
    >>> found[0], found[1].name
    (400, 'step_400.pt')
    """
    found: list[tuple[int, Path]] = []
    for place, folders, files in os.walk(folder):
        for name in [*folders, *files]:
            match = _CHECKPOINT.search(name if name in folders else name.split(".")[0])
            if match and int(match[1]) <= step:
                found.append((int(match[1]), Path(place) / name))
        folders[:] = [name for name in folders if not _CHECKPOINT.search(name)]
    return max(found, key=lambda item: item[0], default=None)
