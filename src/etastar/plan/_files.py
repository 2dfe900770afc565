"""The files of a plan: schedule.json, plan.json, report.html."""

from __future__ import annotations

import os
import secrets
from pathlib import Path

from etastar.schedule import InputError, write_text

from ._json import json_text, plan_document
from ._report import report
from ._types import Plan


def prepare_folder(folder: str | os.PathLike[str]) -> Path:
    """Make a folder for output and try to write in it, before any long work.

    Raises:
        InputError: it is a file, cannot be made, or cannot be written in.

    >>> import tempfile
    >>> prepare_folder(tempfile.mkdtemp()).is_dir()
    True
    """
    path = Path(folder).expanduser()
    trial = path / f".{secrets.token_hex(4)}.tmp"
    try:
        path.mkdir(parents=True, exist_ok=True)
        trial.touch(exist_ok=False)
        trial.unlink()
    except (FileExistsError, NotADirectoryError):
        raise InputError(f"{path}: is not a folder, or lies in a file; name a folder") from None
    except OSError as error:
        raise InputError(
            f"{path}: cannot be written in: {error.strerror}; name another folder"
        ) from None
    return path


def write_plan(plan: Plan, folder: str | os.PathLike[str]) -> Path:
    """Write schedule.json, plan.json and report.html; return the path of the report.

    Each file is written under a temporary name and renamed: a reader finds the old one or the new
    one, never half of one. `schedule.json` is read back by `Schedule.load`.

    Raises:
        InputError: the folder cannot be made or written in.
    """
    path = prepare_folder(folder)
    plan.schedule.save(path / "schedule.json")
    write_text(path / "plan.json", json_text(plan_document(plan), indent=2) + "\n")
    write_text(path / "report.html", report(plan))
    return path / "report.html"
