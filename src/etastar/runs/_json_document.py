"""JSON documents that hold a log: JSON lines in a `.json` file, a list of records, or columns."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from etastar._errors import InputError
from etastar._files import place_of

from ._columns import STEP, ordinary
from ._file_text import read_text, run_folder_name
from ._jsonl import read_json_lines
from ._log_table import LogTable, Reader, table_of_records
from ._nested import flattened
from ._trainer_state import TrainerState

JSON_LOGS = ("metrics.json", "scalars.json")
"""Logs of Detectron2 and MMEngine (`vis_data/scalars.json`), whose names say nothing of the run."""
HEAD = 65536
"""Bytes that are looked at to tell whether a file of a folder is a log."""


class JsonDocument(Reader):
    """`*.json`: one object a line whatever the suffix says, a list of objects, or an object of
    columns (`{"step": [0, 10], "loss": [4.1, 3.9]}`, or by index as pandas writes it). Of an object
    with one list of objects among its values, that list is the log."""

    def accepts(self, path: Path) -> bool:
        return path.suffix.lower() == ".json"

    def read(self, path: Path) -> LogTable:
        text = read_text(path)
        name = _name(path)
        if _are_lines(text):
            return read_json_lines(path, text, name)
        try:
            document = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}:{error.lineno}: not JSON; a log is one object a line, or a list of objects"
            ) from None
        except (ValueError, RecursionError):
            raise InputError(f"{path}: not JSON of a log; give another file") from None
        if isinstance(document, dict) and "log_history" in document:
            return TrainerState().read(path)
        records = _records(document)
        if not records:
            raise InputError(
                f"{path}: holds no rows; a log is one JSON object a line, a list of objects, or"
                " an object of lists (a summary keeps only the last values: give the history)"
            )
        return LogTable(
            path,
            name,
            table_of_records([flattened(record) for record in records]),
            np.arange(len(records)),
            place="{path} record {line}",
        )


def is_json_log(path: Path) -> bool:
    """Whether a `.json` file of a folder holds JSON lines with steps, as some trainers write."""
    try:
        with path.open("rb") as opened:
            head = opened.read(HEAD).decode("utf-8", "replace")
    except OSError:
        return False
    if not _are_lines(head):
        return False
    return any(ordinary(key) in STEP for key in json.loads(head.lstrip().split("\n", 1)[0]))


def _name(path: Path) -> str:
    if path.name not in JSON_LOGS:
        return path.stem
    folder = place_of(path).parent
    return run_folder_name(folder if folder.name == "vis_data" else path)


def _are_lines(text: str) -> bool:
    """Whether the first line is a whole object."""
    first = text.lstrip().split("\n", 1)[0]
    try:
        return isinstance(json.loads(first), dict) and "\n" in text.strip()
    except (ValueError, RecursionError):
        return False


def _records(document: object) -> list[Mapping[str, object]]:
    """The rows of a document; none where it has none."""
    if isinstance(document, list):
        return document if all(isinstance(record, dict) for record in document) else []
    if not isinstance(document, dict) or not document:
        return []
    inner = [value for value in document.values() if isinstance(value, list) and _records(value)]
    if len(inner) == 1:
        return inner[0]
    columns = {key: _column(value) for key, value in document.items()}
    rows = {len(column) for column in columns.values() if column is not None}
    if len(rows) != 1 or None in columns.values():
        return []
    (count,) = rows
    return [{key: column[row] for key, column in columns.items() if column} for row in range(count)]


def _column(value: object) -> list[object] | None:
    if isinstance(value, dict):  # by index
        return list(value.values()) if all(key.isdecimal() for key in value) else None
    return value if isinstance(value, list) else None
