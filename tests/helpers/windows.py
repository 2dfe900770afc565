"""What Windows lacks, taken away from etastar in this process; other packages keep it.

Call `hide` before etastar is imported, in a process of its own. It stands in for a machine with
Windows: it shows that nothing of POSIX is asked for, not that Windows does all the rest alike.
"""

from __future__ import annotations

import builtins
import os
import signal
import types
from typing import Any

MODULES = {"fcntl", "grp", "posix", "pty", "pwd", "resource", "syslog", "termios", "tty"}
OS = {
    *(
        "chown",
        "fork",
        "forkpty",
        "getegid",
        "geteuid",
        "getgid",
        "getgroups",
        "getpgid",
        "getpgrp",
    ),
    *(
        "getpriority",
        "getuid",
        "killpg",
        "mkfifo",
        "mknod",
        "nice",
        "openpty",
        "pipe2",
        "posix_spawn",
    ),
    *("sched_getaffinity", "setpgid", "setsid", "setuid", "statvfs", "sysconf", "uname", "wait"),
    *("O_CLOEXEC", "O_DIRECTORY", "O_NOFOLLOW", "O_NONBLOCK", "WNOHANG"),
}
SIGNAL = {
    *("SIGALRM", "SIGCHLD", "SIGCONT", "SIGHUP", "SIGKILL", "SIGPIPE", "SIGQUIT", "SIGSTOP"),
    *("SIGTSTP", "SIGUSR1", "SIGUSR2", "alarm", "pause", "pthread_sigmask", "setitimer", "sigwait"),
}


def lacking(module: types.ModuleType, names: set[str]) -> types.ModuleType:
    """A module without some of its names."""
    view = types.ModuleType(module.__name__)

    def value_of(name: str) -> Any:
        if name in names:
            raise AttributeError(f"module {module.__name__!r} has no attribute {name!r}")
        return getattr(module, name)

    view.__dict__["__getattr__"] = value_of
    return view


_import = builtins.__import__
_views = {"os": lacking(os, OS), "signal": lacking(signal, SIGNAL)}


def _windows_import(name: str, globals: Any = None, *rest: Any, **more: Any) -> Any:
    if str((globals or {}).get("__name__", "")).partition(".")[0] == "etastar":
        if name.partition(".")[0] in MODULES:
            raise ModuleNotFoundError(f"No module named {name!r}", name=name)
        if name in _views:
            return _views[name]
    return _import(name, globals, *rest, **more)


def hide() -> None:
    """From here on etastar finds nothing of POSIX in this process."""
    builtins.__import__ = _windows_import
