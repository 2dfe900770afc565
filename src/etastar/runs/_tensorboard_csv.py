"""CSV files downloaded from TensorBoard: one file a metric, which together are one run."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import polars as pl

from etastar._files import is_file, place_of

from ._columns import LOSS, RATE, ordinary
from ._delimited import read_delimited
from ._file_text import read_text
from ._joined_tables import joined
from ._log_table import LogTable

HEADER = ("Wall time", "Step", "Value")
TAG = "-tag-"
"""Stands between the run and the metric in the name of a download, `run-NAME-tag-METRIC.csv`."""


def is_download(path: Path) -> bool:
    """Whether a file is such a download, by its header."""
    if path.suffix.lower() != ".csv" or not is_file(path):
        return False
    try:
        with path.open("rb") as opened:
            header = opened.readline(200).decode("utf-8", "replace").lstrip("\ufeff")
    except OSError:
        return False
    return tuple(cell.strip().strip('"') for cell in header.split(",")) == HEADER


def run_and_tag(path: Path) -> tuple[str, str]:
    """The run and the metric that the name of a download tells.

    Where it was renamed, a known name of a loss or an LR at its end is the metric.

    >>> run_and_tag(Path("run-amber-tag-val_loss.csv")), run_and_tag(Path("amber_lr.csv"))
    (('amber', 'val_loss'), ('amber', 'lr'))
    """
    stem = path.stem
    if TAG in stem:
        run, tag = stem.split(TAG, 1)
        return run.removeprefix("run-").strip(".") or place_of(path).parent.name, tag
    for known in sorted((*LOSS, *RATE), key=len, reverse=True):
        if ordinary(stem) == known:
            return place_of(path).parent.name, stem
        if ordinary(stem).endswith(f"_{known}"):
            return stem[: -len(known) - 1].rstrip("/-. _"), stem[-len(known) :]
    return place_of(path).parent.name, stem


def is_loss(path: Path) -> bool:
    """Whether a download is of a loss, by the name of its metric."""
    return ordinary(run_and_tag(path)[1]) in LOSS


def downloads_in(folder: Path) -> dict[str, list[Path]]:
    """The downloads of a folder, those of each run together."""
    runs: dict[str, list[Path]] = {}
    for path in sorted(folder.glob("*.csv")):
        if is_download(path):
            runs.setdefault(run_and_tag(path)[0], []).append(path)
    return runs


def read_downloads(path: Path, files: Sequence[Path]) -> LogTable:
    """The run of some downloads: a column a metric, and `Value`, which is that of `path`."""
    tables = []
    for file in files:
        table = read_delimited(file, read_text(file), file.stem)
        values = table.frame["Value"]
        columns = [table.frame["Step"], values.alias(run_and_tag(file)[1])]
        if file.name == path.name:
            columns.append(values)
        tables.append(replace(table, frame=pl.DataFrame(columns)))
    return replace(joined(tables), path=path, name=run_and_tag(path)[0])
