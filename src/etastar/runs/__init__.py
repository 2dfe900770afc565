"""Training logs as `Run` objects: one reader per format behind one verb, `read_runs`."""

from etastar.runs._read import read_runs
from etastar.runs._run import Run
from etastar.runs._together import check_together

__all__ = ["Run", "check_together", "read_runs"]
