"""The readers of all formats, and which of them reads a file. A new reader is listed here."""

from __future__ import annotations

from pathlib import Path

from etastar._errors import InputError

from ._delimited import Delimited, read_delimited
from ._file_text import read_text
from ._jsonl import JsonLines, read_json_lines
from ._lightning import Lightning
from ._log_table import LogTable, Reader
from ._parquet import Parquet
from ._tensorboard import TensorBoard
from ._trainer_state import TrainerState

# The first that accepts a name reads it: files named by a trainer stand before their suffix.
READERS: tuple[Reader, ...] = (
    Lightning(),
    TrainerState(),
    TensorBoard(),
    Delimited(),
    JsonLines(),
    Parquet(),
)

SUFFIXES = tuple(suffix for reader in READERS for suffix in reader.suffixes)
"""How the names of logs end: by these they are found in folders, from `runs.csv` and while they are
written."""


def read_log_table(path: Path) -> LogTable:
    """The columns of a log of any format.

    A name that says nothing (`train.log`, `log.txt`) is read as JSON lines where the text starts
    with a brace, else as delimited.

    Raises:
        InputError: the file is not a log of the format that its name says.
    """
    for reader in READERS:
        if reader.accepts(path):
            return reader.read(path)
    if path.suffix.lower() == ".json":
        raise InputError(
            f"{path}: of .json files only trainer_state.json is a log; write records as .jsonl"
        )
    text = read_text(path)
    read = read_json_lines if text.lstrip().startswith("{") else read_delimited
    return read(path, text, path.stem)
