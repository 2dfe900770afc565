"""Files that are there whole or not at all, folders for output, and files that others made."""

from __future__ import annotations

import contextlib
import errno
import glob
import os
import secrets
import shutil
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import BinaryIO

from etastar._errors import InputError
from etastar._provenance import note_content

LARGEST = 2**31
"""Bytes of a file that is read: each is held in memory, some of them several times over."""


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

    What UTF-8 cannot hold, as a file's name can have it, is written as an escape.

    Raises: InputError where the file cannot be written; an old one then stays as it was.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "note.txt"
    >>> write_text(path, "η\n"); path.read_bytes()
    b'\xce\xb7\n'
    """
    write_bytes(path, text.encode("utf-8", "backslashreplace"))


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
            source = stack.enter_context(open_file(source))
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


def is_file(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a file with an end: no folder, and no pipe or device.

    Raises:
        InputError: the system does not say, as where a folder above may not be searched.

    >>> is_file(os.curdir), is_file(os.devnull)
    (False, False)
    """
    return stat.S_ISREG(_mode(path))


def is_folder(path: str | os.PathLike[str]) -> bool:
    """Whether a path is a folder. Raises: InputError as `is_file`.

    >>> is_folder(os.curdir), is_folder("no such")
    (True, False)
    """
    return stat.S_ISDIR(_mode(path))


def _mode(path: str | os.PathLike[str]) -> int:
    """What a path is, as `stat` has it; 0 where nothing is there."""
    try:
        return os.stat(path).st_mode
    except ValueError:  # a NUL in the path
        return 0
    except OSError as error:
        absent = (errno.ENOENT, errno.ENOTDIR, errno.ELOOP, errno.ENAMETOOLONG)
        if error.errno in absent:
            return 0
        raise unreadable(path, error) from None


def entries(folder: str | os.PathLike[str]) -> list[Path]:
    """What lies directly in a folder, hidden names left out. Raises: InputError as `is_file`.

    >>> Path(contextlib.__file__) in entries(Path(contextlib.__file__).parent)
    True
    """
    try:
        return [path for path in Path(folder).iterdir() if not path.name.startswith(".")]
    except OSError as error:
        raise unreadable(folder, error) from None


def place_of(path: str | os.PathLike[str]) -> Path:
    """The path without links, also of a link to itself: what two names of one file share.

    >>> place_of(os.curdir) == Path.cwd()
    True
    """
    try:
        return Path(os.path.realpath(path))
    except OSError:  # a link that may not be read
        return Path(os.path.abspath(path))


def folders_below(folder: str | os.PathLike[str]) -> Iterator[Path]:
    """A folder and all folders below it, each once, however many links lead to it.

    A link that leads upwards is not followed: all that lies beside the folder would be below it.

    Raises: InputError as `is_file`.
    """
    found, seen = [Path(folder)], set(place_of(folder).parents)
    while found:
        folder = found.pop()
        place = place_of(folder)
        if place not in seen:
            seen.add(place)
            yield folder
            found += filter(is_folder, entries(folder))


def matching(pattern: str) -> list[Path]:
    """The paths that a pattern such as `runs/*/log.csv` or `runs/**/*.csv` stands for.

    As `glob.glob` has it, but each folder is entered once: along links that lead upwards a `**`
    would go round and round.

    Raises: InputError as `is_file`.

    >>> place = Path(contextlib.__file__).parent
    >>> matching(f"{glob.escape(str(place))}/contextli[b].py") == [Path(contextlib.__file__)]
    True
    """
    first, *names = Path(pattern).parts or (os.curdir,)
    found = [Path(first)] if Path(first).anchor else _named(Path(), first)
    for name in names:
        found = [path for folder in found if is_folder(folder) for path in _named(folder, name)]
        found = list({place_of(path): path for path in reversed(found)}.values())
    return found


def _named(folder: Path, name: str) -> list[Path]:
    """The paths in a folder that a part of a pattern stands for."""
    if name == "**":
        return [path for inner in folders_below(folder) for path in (inner, *entries(inner))]
    if not glob.has_magic(name):
        return [folder / name] if os.path.lexists(folder / name) else []
    return [folder / each for each in glob.glob(name, root_dir=folder)]


def unreadable(path: str | os.PathLike[str], error: OSError) -> InputError:
    """What to raise where the system refuses to read a path.

    >>> print(unreadable("logs", PermissionError(13, "Permission denied")))
    logs: cannot be read (Permission denied); check its permissions
    """
    path = error.filename or path
    if isinstance(error, FileNotFoundError):
        return InputError(f"{path}: no such file; check the path")
    if isinstance(error, IsADirectoryError):
        return InputError(f"{path}: is a folder where a file is expected; name the file")
    reason = error.strerror or type(error).__name__
    advice = "" if error.errno == errno.ENAMETOOLONG else "; check its permissions"
    return InputError(f"{path}: cannot be read ({reason}){advice}")


def read_file(path: str | os.PathLike[str]) -> bytes:
    """The whole of a file.

    Raises:
        InputError: it is not there, is no file (a folder, a pipe, a device: these may never end),
            is larger than `LARGEST`, or cannot be read.

    >>> try:
    ...     read_file("/dev/zero")
    ... except InputError as error:
    ...     print(error)
    /dev/zero: is not a regular file, but a pipe or a device; name a file
    """
    with open_file(path) as file:
        content = b"" if os.fstat(file.fileno()).st_size > LARGEST else file.read(LARGEST + 1)
        size = max(os.fstat(file.fileno()).st_size, len(content))
    if size > LARGEST:
        raise InputError(
            f"{os.fspath(path)}: has {size / 2**30:.3g} GiB, and at most {LARGEST / 2**30:.3g} are"
            " read; log less often, or keep every tenth row"
        )
    note_content(path, content)
    return content


def utf8_text(path: str | os.PathLike[str]) -> str:
    """The text of a file in UTF-8, a byte-order mark dropped.

    Raises: InputError as `read_file`, and for bytes that are no text.

    >>> "def contextmanager(" in utf8_text(contextlib.__file__)
    True
    """
    try:
        return read_file(path).decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise InputError(
            f"{os.fspath(path)}: is not text in UTF-8 (byte {error.start}); name another file"
        ) from None


@contextlib.contextmanager
def open_file(path: str | os.PathLike[str]) -> Iterator[BinaryIO]:
    """Open a file for reading its bytes; errors within the block are those of reading it.

    Raises: InputError as `read_file`, whatever the size.

    >>> with open_file(os.__file__) as file:
    ...     file.seekable()
    True
    """
    path = os.fspath(path)
    try:
        mode = os.stat(path).st_mode
    except ValueError:
        raise InputError(f"{path}: a path cannot hold a NUL character; check it") from None
    except OSError as error:
        raise unreadable(path, error) from None
    if not (stat.S_ISREG(mode) or stat.S_ISDIR(mode)):
        raise InputError(f"{path}: is not a regular file, but a pipe or a device; name a file")
    try:
        # Should a pipe have taken its place meanwhile, opening it must not wait for a writer.
        with open(path, "rb", opener=_without_waiting) as file:
            yield file
    except OSError as error:
        raise unreadable(path, error) from None


def _without_waiting(path: str, flags: int) -> int:
    return os.open(path, flags | getattr(os, "O_NONBLOCK", 0))
