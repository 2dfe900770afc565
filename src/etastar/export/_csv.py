"""CSV: the rate of every update, for anything that reads a table."""

from __future__ import annotations

import csv
import io
from collections.abc import Sequence
from typing import final

import numpy as np

from etastar._errors import InputError
from etastar.schedule import GroupSchedules, Schedule

from ._target import Target

MOST_ROWS = 10**7
"""Most rows of a CSV, about 300 MB of text."""


@final
class Csv(Target):
    """The columns step and lr: every update and the end value, read back exactly by `table:file=`.

    Of several parameter groups there is a column for each, `lr/NAME`, the first of them `lr`. It
    has no comments, so remarks are not written.
    """

    name = "csv"

    def carried(self, groups: GroupSchedules) -> set[str]:
        return set(groups)

    def text(
        self, schedule: Schedule, remarks: Sequence[str], groups: GroupSchedules | None = None
    ) -> str:
        if schedule.horizon >= MOST_ROWS:
            raise InputError(
                f"a row for each of {schedule.horizon} updates is too long a file, {MOST_ROWS} are "
                "the most: export to torch or optax instead"
            )
        steps = np.arange(schedule.horizon + 1)
        others = [] if groups is None else [name for name in groups if name != groups.planned]
        columns = [schedule(steps), *(groups[name](steps) for name in others if groups)]
        rates = (column.tolist() for column in columns)
        rows = (",".join(map(repr, row)) for row in zip(steps.tolist(), *rates, strict=True))
        head = io.StringIO()
        names = [f"lr/{name}" for name in others]
        csv.writer(head, lineterminator="\n").writerow(["step", "lr", *names])
        return head.getvalue() + "\n".join(rows) + "\n"
