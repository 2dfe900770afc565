"""LLaMA-Factory: the `trainer_log.jsonl` that it writes beside `trainer_state.json`."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

from ._file_text import read_text, run_folder_name
from ._jsonl import read_json_lines
from ._log_table import LogTable, Reader


class TrainerLog(Reader):
    """`trainer_log.jsonl`: a record of `current_steps`, `loss` and `lr` a line.

    It repeats what `trainer_state.json` says, which is read instead where both lie in a folder. The
    folder gives the run its name; `loss` is a mean since the record before, as there.
    """

    def accepts(self, path: Path) -> bool:
        return path.name == "trainer_log.jsonl"

    def read(self, path: Path) -> LogTable:
        table = read_json_lines(path, read_text(path), run_folder_name(path))
        return replace(table, averaged=("loss",))
