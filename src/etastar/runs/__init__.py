"""Training logs as `Run` objects: one reader per format behind one verb, `read_runs`.

Of a training that is still running, `live_log` finds the log and `log_status` says how far it is.
"""

from ._live import LogStatus, live_log, log_name, log_status
from ._read import read_runs
from ._run import Run
from ._together import check_together

__all__ = [
    "LogStatus",
    "Run",
    "check_together",
    "live_log",
    "log_name",
    "log_status",
    "read_runs",
]
