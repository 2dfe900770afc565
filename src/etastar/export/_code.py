"""Frameworks whose configuration is Python code, which can follow any schedule."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Sequence

from etastar.schedule import Schedule

from ._target import Target
from ._text import comments

WIDTH = 92
"""Characters of a spec string that stand on one line of code."""


class PythonCode(Target):
    """A framework that runs code of its user: it follows any schedule."""

    def text(self, schedule: Schedule, remarks: Sequence[str]) -> str:
        spec = schedule.spec
        parts = (spec[start : start + WIDTH] for start in range(0, len(spec), WIDTH))
        literal = "\n".join(f'    "{part}"' for part in parts)
        return comments(remarks) + self.code(schedule, literal)

    @abstractmethod
    def code(self, schedule: Schedule, literal: str) -> str:
        """The code without its comments.

        Arguments:
            schedule: the schedule that the code is to follow.
            literal: its spec as indented Python strings, one a line, to stand in parentheses.
        """
