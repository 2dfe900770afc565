"""Locks on files, which the system frees when their holder has ended, however it ended."""

from __future__ import annotations

import errno
from pathlib import Path
from typing import IO, Any

from ._errors import InputError

try:
    import fcntl
except ModuleNotFoundError:  # Windows
    fcntl = None

_NONE_HERE = {errno.EBADF, errno.ENOLCK, errno.ENOSYS, errno.EOPNOTSUPP, errno.EINVAL}


def need_posix(what: str) -> None:
    """Refuse what only Linux and macOS can do.

    Raises: InputError on a system without POSIX locks, which is Windows.

    >>> need_posix("running pilots")
    """
    if fcntl is None:
        raise InputError(
            f"{what} needs Linux or macOS (locks and signals of POSIX); on Windows use WSL;"
            " plans, exports and trainings with a schedule work here"
        )


def lock(file: IO[Any], path: Path, *, wait: bool = False) -> bool:
    """Lock a file that is open for writing until it is closed; False where another holds it.

    The lock goes with the open file into child processes: it is free when the last has closed it.

    Arguments:
        file: open for writing, as network file systems ask for.
        path: its name, for messages.
        wait: whether to wait for another holder.

    Raises: InputError where the file system, or the operating system, has no locks.

    >>> import tempfile
    >>> path = Path(tempfile.mkdtemp()) / "lock"
    >>> with open(path, "w") as one, open(path, "w") as other:
    ...     lock(one, path), lock(other, path)
    (True, False)
    """
    need_posix(f"locking {path}")
    assert fcntl is not None
    try:
        fcntl.flock(file, fcntl.LOCK_EX | (0 if wait else fcntl.LOCK_NB))
    except BlockingIOError:
        return False
    except OSError as error:
        if error.errno not in _NONE_HERE:
            raise
        raise InputError(
            f"{path}: its file system has no locks ({error.strerror}); name a folder on another"
            " one: a local disk, NFS 4, or Lustre mounted with -o flock"
        ) from None
    return True
