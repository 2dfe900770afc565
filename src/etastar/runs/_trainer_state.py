"""Hugging Face `Trainer`: the `log_history` of `trainer_state.json`."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np

from etastar._errors import InputError

from ._file_text import read_text, run_folder_name
from ._log_table import LogTable, Reader, table_of_records


class TrainerState(Reader):
    """`trainer_state.json`: records of `step`, `loss`, `eval_loss` and `learning_rate`.

    `loss` is the mean training loss since the record before, so it lags behind the loss at its
    step; the caveat says so where `eval_loss` is too sparse to be used. `learning_rate` is that of
    the next update in older versions and of the last one in newer, which the comparison with a
    declared schedule allows. The folder above any `checkpoint-N` gives the run its name.
    """

    def accepts(self, path: Path) -> bool:
        return path.name == "trainer_state.json"

    def read(self, path: Path) -> LogTable:
        text = read_text(path)
        try:
            state = json.loads(text)
        except json.JSONDecodeError as error:
            raise InputError(
                f"{path}:{error.lineno}: not whole JSON; take the file of an earlier checkpoint"
            ) from None
        except (ValueError, RecursionError):
            raise InputError(f"{path}: not JSON of a trainer state; give another file") from None
        history = state.get("log_history") if isinstance(state, dict) else None
        if not isinstance(history, list) or not all(isinstance(row, dict) for row in history):
            raise InputError(f"{path}: no log_history list; give a trainer_state.json of Trainer")
        if not history:
            raise InputError(f"{path}: log_history is empty; set logging_steps and train again")
        metadata = {
            key: state[key]
            for key in ("max_steps", "train_batch_size")
            if isinstance(state.get(key), int | float)
        }
        return LogTable(
            path,
            run_folder_name(path),
            table_of_records(history),
            np.arange(len(history)),
            place="{path} log_history[{line}]",
            averaged=("loss",),
            metadata=metadata,
        )
