"""A folder that keeps compiled programs, so that a machine compiles each of them once.

XLA compiles for seconds what then runs for a fraction of one. JAX can keep what it compiled; here
it is told where. Nothing in this file may break or delay a command: whatever goes wrong, programs
are compiled as if there were no folder.
"""

from __future__ import annotations

import contextlib
import hashlib
import os
import platform
import re
import warnings
import zlib
from importlib import import_module
from pathlib import Path

import jax
from jaxlib.version import __version__ as jaxlib_version

VARIABLE = "ETASTAR_CACHE"
"""Environment variable: the folder for what may be kept, or one of `OFF`."""

OFF = ("0", "off", "no", "false")

MOST_BYTES = 256 * 2**20
"""Beyond this the oldest programs are deleted, until half of it is left."""

TRUSTED = (0, 10, 2)
"""The first jaxlib whose kept programs load again on every CPU, and without lines on stderr.

Before it some CPUs refused their own programs with an error for each (openxla/xla issue 44565), and
on macOS loading one could end the process. There a folder is used only where one was named.
"""

_CHECKED = ".checked"


def keep_programs() -> None:
    """Tell JAX to keep compiled programs, unless it was told already or the user wants none.

    The folder is `xla` in the folder that ETASTAR_CACHE names, or else in `etastar` in the user's
    folder for caches (XDG_CACHE_HOME, or ~/.cache). Below it every kind of CPU and every jaxlib
    has a folder of its own, because a program runs on no other.
    """
    if jax.config.jax_compilation_cache_dir is not None:  # type: ignore[attr-defined]
        return
    try:
        folder = _prepared()
    except (OSError, RuntimeError, ValueError):
        return
    if folder is None:
        return
    jax.config.update("jax_compilation_cache_dir", str(folder))
    jax.config.update("jax_persistent_cache_min_compile_time_secs", 0.0)
    jax.config.update("jax_persistent_cache_min_entry_size_bytes", -1)
    # JAX warns where it cannot read or write a program, and compiles it.
    about = "Error (reading|writing) persistent compilation cache entry"
    warnings.filterwarnings("ignore", about, UserWarning)


def _prepared() -> Path | None:
    """The folder of this machine's programs, there and tidy; None where none is to be kept.

    Raises: OSError, RuntimeError, ValueError where there can be none.
    """
    root = _root()
    if root is None:
        return None
    folder = root / f"{jaxlib_version}-{_cpu()}"
    # Whoever may write here may run code as the user. (Windows gives a home to its user alone, and
    # has no numbers of users.)
    folder.mkdir(mode=0o700, parents=True, exist_ok=True)
    user = getattr(os, "geteuid", lambda: folder.stat().st_uid)()
    if not os.access(folder, os.W_OK | os.X_OK) or folder.stat().st_uid != user:
        return None
    # Another process may be tidying too.
    with contextlib.suppress(OSError):
        _drop_broken(folder)
        _limit(root)
    return folder


def _root() -> Path | None:
    """The folder of all programs; None where none are to be kept."""
    named = os.environ.get(VARIABLE, "").strip()
    if named:
        return None if named.lower() in OFF else Path(named).expanduser().absolute() / "xla"
    version = tuple(int(part) for part in re.findall(r"\d+", jaxlib_version)[:3])
    if version < TRUSTED:
        return None
    caches = Path(os.environ.get("XDG_CACHE_HOME", ""))
    # A relative path is to be ignored, says the XDG specification.
    return (caches if caches.is_absolute() else Path.home() / ".cache") / "etastar" / "xla"


def _cpu() -> str:
    """A name for the kind of CPU: two that can run different instructions have different ones.

    Where the system does not say what its CPU can do, the machine's own name serves.
    """
    try:
        with open("/proc/cpuinfo", encoding="utf-8", errors="replace") as file:
            text = file.read(2**14).split("\n\n")[0]
    except OSError:
        text = ""
    names = "vendor_id|model name|cpu family|model|flags|Features|CPU .*"
    lines = re.findall(rf"^(?:{names})\s*:.*$", text, re.MULTILINE)
    known = any(line.startswith(("flags", "Features")) for line in lines)
    says = [platform.system(), platform.machine(), *(lines if known else [platform.node()])]
    return hashlib.sha256("\n".join(says).encode()).hexdigest()[:16]


def _drop_broken(folder: Path) -> None:
    """Delete programs that were cut while they were written, of those since the last check.

    A full disk or the end of a process leaves such a part; JAX would meet it again and again, and
    never write it anew.
    """
    mark = folder / _CHECKED
    last = mark.stat().st_mtime if mark.exists() else 0.0
    # Before the look: what is written meanwhile is for the next check.
    mark.touch()
    for path in folder.glob("*-cache"):
        if path.stat().st_mtime >= last and not _is_whole(path.read_bytes()):
            path.unlink(missing_ok=True)


def _is_whole(content: bytes) -> bool:
    """Whether a kept program can be decompressed."""
    try:
        if content.startswith(b"\x28\xb5\x2f\xfd"):
            import_module("zstandard").ZstdDecompressor().decompress(content)
        else:
            zlib.decompress(content)
    except ImportError:
        return True
    except Exception:
        return False
    return True


def _limit(root: Path) -> None:
    """Delete the oldest programs where all together are too large."""
    # Nothing but what JAX wrote: the user chose the folder, and may keep other files there.
    kept = [(path, path.stat()) for path in root.glob("*-*/*-cache")]
    total = sum(stat.st_size for _, stat in kept)
    if total <= MOST_BYTES:
        return
    for path, stat in sorted(kept, key=lambda each: each[1].st_mtime):
        with contextlib.suppress(OSError):
            path.unlink()
        total -= stat.st_size
        if total <= MOST_BYTES // 2:
            return
