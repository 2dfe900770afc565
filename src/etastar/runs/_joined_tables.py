"""One table from several: files that together are one run, or metrics with steps of their own."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np
import polars as pl

from ._log_table import LogTable

Series = Mapping[str, tuple[np.ndarray, np.ndarray]]
"""Steps and values of each metric."""


def frame_of_series(series: Series) -> tuple[pl.DataFrame, np.ndarray]:
    """A row an entry of a metric, with its step; and the number of each entry in its metric.

    In each column the entries stay in the order in which they were written.
    """
    frame = pl.concat(
        [pl.DataFrame({"step": step, key: value}) for key, (step, value) in series.items()],
        how="diagonal",
    )
    return frame, np.concatenate([np.arange(len(step)) for step, _ in series.values()])


def joined(tables: Sequence[LogTable]) -> LogTable:
    """The rows of several logs one after the other, under the name and place of the last."""
    last = tables[-1]
    texts = any(pl.String in table.frame.dtypes for table in tables)
    frames = [table.frame for table in tables]
    if texts:  # a column that is text in one file may be numbers in another
        frames = [frame.cast({pl.Float64: pl.String}) for frame in frames]
    return replace(
        last,
        frame=pl.concat(frames, how="diagonal_relaxed"),
        line=np.concatenate([table.line for table in tables]),
        paths=tuple(table.path for table in tables for _ in table.line),
        duplicates=tuple({name for table in tables for name in table.duplicates}),
        caveats=tuple(line for table in tables for line in table.caveats),
        headers=last.headers,
    )
