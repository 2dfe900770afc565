"""Lightning's `CSVLogger`: `metrics.csv` in one folder a run."""

from __future__ import annotations

from pathlib import Path

from ._delimited import read_delimited
from ._file_text import read_text, run_folder_name
from ._log_table import LogTable, Reader


class Lightning(Reader):
    """`version_0/metrics.csv`: a `step` column and sparse ones, named by the user's `self.log`
    calls.

    Training, validation and learning rate (`lr-AdamW`, from LearningRateMonitor) stand on rows of
    their own; nulls are dropped column by column, as for every format. The folder gives the run its
    name.
    """

    def accepts(self, path: Path) -> bool:
        return path.name == "metrics.csv"

    def read(self, path: Path) -> LogTable:
        return read_delimited(path, read_text(path), name=run_folder_name(path))
