"""Parquet tables."""

from __future__ import annotations

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import polars as pl

from etastar._errors import InputError

from ._file_text import read_bytes
from ._log_table import LogTable, Reader

# A damaged file can end the process that reads it, or make it print what no caller can catch. The
# address space is bounded where the system does that, as a damaged length can ask for all memory.
_READ = """
import contextlib, io, sys
with contextlib.suppress(Exception):
    import resource
    resource.setrlimit(resource.RLIMIT_AS, (2**35, 2**35))
import polars
polars.read_parquet(io.BytesIO(sys.stdin.buffer.read())).write_ipc(sys.stdout.buffer)
"""
SECONDS = 60.0
"""Time that a file may take to read, and one second more for every megabyte."""


class Parquet(Reader):
    """Parquet: columns by name; messages count rows from 1."""

    suffixes = (".parquet",)

    def read(self, path: Path) -> LogTable:
        frame = _frame(read_bytes(path))
        if frame is None:
            raise InputError(f"{path}: not a whole Parquet file; write it again")
        if frame.height == 0:
            raise InputError(f"{path}: a table with no rows; remove the file or log to it")
        line = np.arange(1, frame.height + 1)
        return LogTable(path, path.stem, frame, line, place="{path} row {line}")


def _frame(content: bytes) -> pl.DataFrame | None:
    """The table, read by a process of its own; None where that fails or does not end."""
    if not (content.startswith(b"PAR1") and content.endswith(b"PAR1")):
        return None
    try:
        done = subprocess.run(
            [sys.executable, "-P", "-c", _READ],
            input=content,
            capture_output=True,
            timeout=SECONDS + len(content) / 1e6,
            check=False,
        )
    except subprocess.TimeoutExpired:
        return None
    return pl.read_ipc(io.BytesIO(done.stdout)) if done.returncode == 0 else None
