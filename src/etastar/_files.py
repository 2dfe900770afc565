"""Files that are there whole or not at all, and folders for output."""

from __future__ import annotations

import contextlib
import os
import secrets
import shutil
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from etastar._errors import InputError


@contextlib.contextmanager
def _whole_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a temporary file beside `path`; where the block ends well, rename it over `path`.

    Raises: InputError where the system refuses to write or rename.
    """
    path = Path(path)
    temporary = path.with_name(f".{path.name}.{secrets.token_hex(4)}.tmp")
    try:
        try:
            with open(temporary, "xb") as file:
                yield file
                file.flush()
                # Without this, a power cut can leave the new name on an empty file.
                os.fsync(file.fileno())
            os.replace(temporary, path)
        finally:
            with contextlib.suppress(OSError):
                temporary.unlink(missing_ok=True)
    except OSError as error:
        raise InputError(f"{path}: cannot be written: {error.strerror or error}") from None


def write_bytes(path: str | os.PathLike[str], content: bytes) -> None:
    """Write a file under a temporary name beside `path`, then rename it over `path`.

    A reader finds the old file or the new one, never half of one, and so does a restart
    after the process was killed.

    Raises: InputError where the file cannot be written; an old one then stays as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "weights"
    >>> write_bytes(path, b"one"); write_bytes(path, b"two"); path.read_bytes()
    b'two'
    """
    with _whole_file(path) as file:
        file.write(content)


def write_text(path: str | os.PathLike[str], text: str) -> None:
    r"""Write UTF-8 text as `write_bytes` does; line ends stay as they are in `text`.

    Raises: InputError where the file cannot be written; an old one then stays as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_text(path, "η\n"); path.read_bytes()
    b'\xce\xb7\n'
    """
    write_bytes(path, text.encode())


def copy_file(source: str | os.PathLike[str] | BinaryIO, target: str | os.PathLike[str]) -> None:
    """Copy a file so that `target` is whole or stays as it was.

    Args:
        source: a path, or a file open for reading bytes (then from where it stands).
        target: the path of the copy; its folder must exist.

    Raises:
        InputError: the source cannot be opened, or the copy cannot be written.

    >>> import tempfile
    >>> folder = Path(tempfile.mkdtemp())
    >>> write_text(folder / "log.csv", "step,loss")
    >>> copy_file(folder / "log.csv", folder / "copy.csv"); (folder / "copy.csv").read_text()
    'step,loss'
    """
    with contextlib.ExitStack() as stack:
        if isinstance(source, str | os.PathLike):
            try:
                source = stack.enter_context(open(source, "rb"))
            except OSError as error:
                reason = error.strerror or error
                raise InputError(f"{os.fspath(source)}: cannot be read: {reason}") from None
        shutil.copyfileobj(source, stack.enter_context(_whole_file(target)))


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
            f"{path}: cannot be written in: {error.strerror or error}; name another folder"
        ) from None
    return path
