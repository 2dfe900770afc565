"""Training logs as `Run` objects: one reader per format behind one verb, `read_runs`.

Of a training that is still running, `live_log` finds the log and `log_status` says how far it is.

Where to change what is read:

- a format: the file named after it (`_delimited.py`, `_jsonl.py`, `_json_document.py`,
  `_parquet.py`, `_lightning.py`, `_trainer_state.py`, `_llama_factory.py`, `_tensorboard.py`,
  `_epochs.py`, `_wandb.py`, `_mlflow.py`), with a `Reader` (`_log_table.py`) that is listed in
  `READERS` of `_formats.py`; how all of them open a text file: `_file_text.py`;
- what a training printed, and patterns for it: `_console.py`;
- runs that a tracker keeps: a `Tracker` (`_tracker.py`) in `_wandb.py`, `_mlflow.py` or
  `_trackio.py`, listed in `TRACKERS` of `_formats.py`;
- several files that are one run: `_tensorboard_csv.py`, `_lightning.py` (a resumed run), put
  together by `_joined_tables.py`; objects inside JSON objects: `_nested.py`;
- which files of a folder are logs, and in what order: `_sources.py`;
- the names of columns that are guessed: `_columns.py`;
- what `runs.csv` and a log's own first line may say: `_declarations.py`, a change of schedule under
  way: `_changes.py`, a schedule that only logged learning rates tell: `_logged_rates.py`, and which
  standard shape they have: `_standard_shapes.py`;
- what is left out of a log (rows written again, losses that are not finite): `_logged_values.py`;
- one table with the logs of several runs: `_several_runs.py`;
- the summary table of a sweep, a row a run: `_summary.py`;
- a log that is still being written: `_live.py`;
- a caveat about runs side by side: `_together.py`; about one log: where it is read, as a line of
  `LogTable.caveats` or of `Run.caveats` (`_read.py`).
"""

from ._columns_read import ColumnsRead, columns_lines, columns_read
from ._live import LogStatus, live_log, log_name, log_status
from ._read import read_runs
from ._run import Run, as_runs
from ._sources import check_source
from ._together import check_together

__all__ = [
    "ColumnsRead",
    "LogStatus",
    "Run",
    "as_runs",
    "check_source",
    "check_together",
    "columns_lines",
    "columns_read",
    "live_log",
    "log_name",
    "log_status",
    "read_runs",
]
