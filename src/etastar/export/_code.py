"""Frameworks whose configuration is Python code, which can follow any schedule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from etastar.schedule import GroupSchedules, Schedule

from ._target import Target
from ._text import comments

WIDTH = 92
"""Characters of a spec string that stand on one line of code."""


class PythonCode(Target):
    """A framework that runs code of its user: it follows any schedule."""

    def carried(self, groups: GroupSchedules) -> set[str]:
        return set(groups)

    def text(
        self, schedule: Schedule, remarks: Sequence[str], groups: GroupSchedules | None = None
    ) -> str:
        if groups is None:
            return comments(remarks) + self.code(schedule, literal_of(schedule))
        entries = (
            f"    {name!r}: (\n{literal_of(each, 8)}\n    ),\n" for name, each in groups.items()
        )
        return comments(remarks) + self.group_code(groups, f"{{\n{''.join(entries)}}}")

    @abstractmethod
    def code(self, schedule: Schedule, literal: str) -> str:
        """The code without its comments.

        Arguments:
            schedule: the schedule that the code is to follow.
            literal: its spec as indented Python strings, one a line, to stand in parentheses.
        """

    @abstractmethod
    def group_code(self, groups: GroupSchedules, literal: str) -> str:
        """The code for several parameter groups, without its comments.

        Arguments:
            groups: the schedules that the code is to follow.
            literal: a Python dictionary from names to specs.
        """


def literal_of(schedule: Schedule, indent: int = 4) -> str:
    """The spec of a schedule as indented Python strings, one a line.

    >>> from etastar.schedule import parse_schedule
    >>> literal_of(parse_schedule("constant:peak=0.1,horizon=9"))
    '    "constant:peak=0.1,horizon=9"'
    """
    spec, width = schedule.spec, WIDTH + 4 - indent
    parts = (spec[start : start + width] for start in range(0, len(spec), width))
    return "\n".join(f'{" " * indent}"{part}"' for part in parts)
