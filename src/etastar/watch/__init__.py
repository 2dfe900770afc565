"""A run under way: the final loss to expect, whether it is on its plan, and warnings.

Where to change what is said of a run:

- which rows leave the band, and what that is called: `_alarms.py`;
- what one look at a run puts together, its words and its JSON: `_report.py`;
- how a log is followed while it grows, is replaced or ends: `_follow.py`;
- the process beside a training whose callback shows the reports: `__main__.py`.

The forecast itself is `etastar.law.forecast_running`.
"""

from ._alarms import Alarm, find_alarms
from ._follow import PERSISTENT, LiveRun, follow
from ._report import RunReport, report_on

__all__ = ["PERSISTENT", "Alarm", "LiveRun", "RunReport", "find_alarms", "follow", "report_on"]
