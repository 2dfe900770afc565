"""Parquet tables."""

from __future__ import annotations

import io
from pathlib import Path

import numpy as np
import polars as pl

from etastar._errors import InputError

from ._file_text import read_bytes
from ._log_table import LogTable, Reader


class Parquet(Reader):
    """Parquet: columns by name; messages count rows from 1."""

    suffixes = (".parquet",)

    def read(self, path: Path) -> LogTable:
        try:
            frame = pl.read_parquet(io.BytesIO(read_bytes(path)))
        except (pl.exceptions.PolarsError, pl.exceptions.PanicException, OSError):
            raise InputError(f"{path}: not a whole Parquet file; write it again") from None
        if frame.height == 0:
            raise InputError(f"{path}: a table with no rows; remove the file or log to it")
        line = np.arange(1, frame.height + 1)
        return LogTable(path, path.stem, frame, line, place="{path} row {line}")
