"""Files of text that are there whole or not at all."""

from __future__ import annotations

import contextlib
import os
import secrets
from pathlib import Path

from etastar._errors import InputError


def write_text(path: str | os.PathLike[str], text: str) -> None:
    """Write UTF-8 text under a temporary name beside `path`, then rename it over `path`.

    A reader finds the old file or the new one, never half of one.

    Raises: InputError where the file cannot be written; an old one then stays as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_text(path, "one"); write_text(path, "two"); path.read_text()
    'two'
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "x", encoding="utf-8", newline="\n") as file:
                file.write(text)
                file.flush()
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror}") from None


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
