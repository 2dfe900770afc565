"""CSV: the rate of every update, for anything that reads a table."""

from __future__ import annotations

from collections.abc import Sequence
from typing import final

import numpy as np

from etastar._errors import InputError
from etastar.schedule import Schedule

from ._target import Target

MOST_ROWS = 10**7
"""Most rows of a CSV, about 300 MB of text."""


@final
class Csv(Target):
    """The columns step and lr: every update and the end value, read back exactly by `table:file=`.

    It has no comments, so remarks are not written.
    """

    name = "csv"

    def text(self, schedule: Schedule, remarks: Sequence[str]) -> str:
        if schedule.horizon >= MOST_ROWS:
            raise InputError(
                f"a row for each of {schedule.horizon} updates is too long a file, {MOST_ROWS} are "
                "the most: export to torch or optax instead"
            )
        steps = np.arange(schedule.horizon + 1)
        rows = (f"{step},{rate!r}" for step, rate in enumerate(schedule(steps).tolist()))
        return "step,lr\n" + "\n".join(rows) + "\n"
