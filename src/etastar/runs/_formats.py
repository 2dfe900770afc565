"""The readers of all formats, and which of them reads a file. A new reader is listed here."""

from __future__ import annotations

import json
from collections.abc import Sequence
from pathlib import Path

from etastar._errors import InputError

from ._console import SUFFIXES as PRINTED
from ._console import console_table, counts_a_step, no_table, table_by_patterns
from ._delimited import Delimited, read_delimited
from ._epochs import EpochTable
from ._file_text import read_text
from ._json_document import JsonDocument
from ._jsonl import JsonLines, read_json_lines
from ._lightning import Lightning
from ._llama_factory import TrainerLog
from ._log_table import LogTable, Reader
from ._mlflow import MlflowRunFolder, MlflowServer
from ._parquet import Parquet
from ._tensorboard import TensorBoard
from ._tracker import Tracker
from ._trackio import Trackio
from ._trainer_state import TrainerState
from ._wandb import SUFFIX as WANDB_FILE
from ._wandb import WandbFile, WandbServer

# The first that accepts a name reads it: files named by a trainer stand before their suffix.
READERS: tuple[Reader, ...] = (
    Lightning(),
    TrainerState(),
    TrainerLog(),
    TensorBoard(),
    MlflowRunFolder(),
    WandbFile(),
    EpochTable(),
    Delimited(),
    JsonLines(),
    Parquet(),
    JsonDocument(),
)
TRACKERS: tuple[Tracker, ...] = (WandbServer(), MlflowServer(), Trackio())

SUFFIXES = tuple(suffix for reader in READERS for suffix in reader.suffixes)
"""How the names of logs end: by these they are found in folders, from `runs.csv` and while they are
written."""
ENDS = (*SUFFIXES, WANDB_FILE, ".json", *PRINTED)
"""Further ends that the name of a log keeps, and that `runs.csv` may leave out."""


def read_log_table(path: Path, patterns: Sequence[str] = ()) -> LogTable:
    """The columns of a log of any format.

    A name that says nothing (`train.log`, `log.txt`) is read by `patterns` where there are any;
    else as JSON lines where it begins with an object, as what a training printed where its lines
    are such, else as delimited.

    Raises:
        InputError: the file is not a log of the format that its name says, or of none.
    """
    for reader in READERS:
        if reader.accepts(path):
            return reader.read(path)
    text = read_text(path)
    if patterns:
        return table_by_patterns(path, text, path.stem, patterns)
    if _begins_with_object(text):
        return read_json_lines(path, text, path.stem)
    printed = console_table(path, text, path.stem)
    if printed is not None:
        return printed
    if text.lstrip().startswith("{"):
        return read_json_lines(path, text, path.stem)
    if counts_a_step(text.lstrip().split("\n", 1)[0]):
        raise no_table(path, text)
    try:
        return read_delimited(path, text, path.stem)
    except InputError:
        if _looks_like_table(text):
            raise
        raise no_table(path, text) from None


def _begins_with_object(text: str) -> bool:
    try:
        return isinstance(json.loads(text.lstrip().split("\n", 1)[0]), dict)
    except (ValueError, RecursionError):
        return False


def _looks_like_table(text: str) -> bool:
    """Whether most lines have as many separators as the first, and it has some."""
    lines = [line for line in text.split("\n") if line.strip()]
    for separator in ",\t;":
        count = lines[0].count(separator)
        if count and sum(line.count(separator) == count for line in lines) > len(lines) / 2:
            return True
    return len(lines) < 3
