"""The reader of each file."""

from __future__ import annotations

from pathlib import Path

from etastar.runs._delimited import Delimited, read_delimited
from etastar.runs._jsonl import JsonLines, read_json_lines
from etastar.runs._lightning import Lightning
from etastar.runs._parquet import Parquet
from etastar.runs._table import Reader, Table
from etastar.runs._tensorboard import TensorBoard
from etastar.runs._text import read_text
from etastar.runs._trainer_state import TrainerState
from etastar.schedule import InputError

# The first that accepts a name reads it: files named by a trainer stand before their suffix.
READERS: tuple[Reader, ...] = (
    Lightning(),
    TrainerState(),
    TensorBoard(),
    Delimited(),
    JsonLines(),
    Parquet(),
)


def read_table(path: Path) -> Table:
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
