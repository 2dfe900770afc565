"""The stages of a plan, and how it says which one it is in."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from etastar.law import Progress

FITTING, AGAIN, SOLVING = "fitting the law", "fitting it again", "solving for the schedule"
COMPARING, HORIZONS = "comparing it with others", "solving at other horizons"

STAGES = {FITTING: 1.5, AGAIN: 0.3, SOLVING: 0.4, COMPARING: 0.6, HORIZONS: 0.3}
"""The stages of a plan in their order, and the seconds that each took for the bundled pilots.

Measured with our own law by `python bench/plan_stages.py`; only their ratios matter.

>>> list(STAGES)[0]
'fitting the law'
"""


def tell(progress: Progress | None, name: str, done: int, total: int) -> None:
    """Say how much of a stage is done, if anyone listens."""
    if progress is not None:
        progress(name, done, total)


@contextlib.contextmanager
def stage(progress: Progress | None, name: str) -> Iterator[None]:
    """A stage in one part: told when it begins and when it ends."""
    tell(progress, name, 0, 1)
    yield
    tell(progress, name, 1, 1)
