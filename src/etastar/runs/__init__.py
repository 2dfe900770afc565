"""Training logs as `Run` objects: one reader per format behind one verb, `read_runs`."""

from ._read import read_runs
from ._run import Run
from ._together import check_together

__all__ = ["Run", "check_together", "read_runs"]
