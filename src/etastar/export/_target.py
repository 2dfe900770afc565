"""`Target`: what every framework that a schedule can be exported to answers."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Iterator, Sequence
from typing import ClassVar

from etastar.schedule import GroupSchedules, Schedule

from ._equal import equal_standards


class Target(ABC):
    """A training framework, and what it can be told of a schedule.

    To add a framework, write a file beside this one with a class that derives from `Target`, or
    from the class that has most of the work done: `PythonCode` (the framework runs code, so it
    follows any schedule) or `NamedShapes` (the framework knows standard schedules by name). Then
    list the class in `_targets.py`. A class is either abstract or final: `Target`, `PythonCode`
    and `NamedShapes` are never instantiated, the frameworks' classes are never derived from.

    Attributes:
        name: the word after `--to`.

    >>> from etastar.export import known_target
    >>> from etastar.schedule import parse_schedule
    >>> megatron = known_target("megatron")
    >>> megatron.takes(parse_schedule("cosine:peak=0.1,horizon=100"))
    True
    >>> megatron.takes(parse_schedule("power:peak=0.1,horizon=100,chi=0.3"))
    False
    """

    name: ClassVar[str]

    def takes(self, schedule: Schedule) -> bool:
        """Whether the framework can follow a schedule as it is written, of this shape."""
        return True

    def followed(self, schedule: Schedule) -> Schedule | None:
        """The schedule that the framework takes and that has the same rate at every update.

        That is the schedule itself, or the standard one that a join, a table or another shape
        equals.

        Returns: it, or None where there is none.
        """
        if self.takes(schedule):
            return schedule
        return next(filter(self.takes, equal_standards(schedule)), None)

    def carried(self, groups: GroupSchedules) -> set[str]:
        """The parameter groups beyond the first whose schedules the framework can be told.

        Arguments:
            groups: the schedules by name; the first stands for the one that the framework `takes`.
        """
        return set()

    def left_out(self, groups: GroupSchedules) -> list[str]:
        """What the framework cannot be told of parameter groups, a sentence for each."""
        carried = self.carried(groups)
        return [
            f"{self.name} cannot be told the LR of the group {name}, {ratio:.6g} times that of"
            f" {groups.planned} at the peak: set it in the training's own code"
            for name, ratio in list(groups.ratios.items())[1:]
            if name not in carried
        ]

    def standards(self, *, horizon: int, warmup: int, final: float) -> Iterator[Schedule]:
        """The schedules among which the nearest to one it cannot follow is looked for.

        None for a framework that follows any schedule. Those that `takes` refuses are passed over.

        Arguments:
            horizon: updates of the run.
            warmup: updates of the warmup, from 0 to the horizon.
            final: the rate at the horizon over the peak, from 0 to 1, tried beside 0.

        Returns: schedules of peak 1, of this horizon and warmup.
        """
        return iter(())

    def notes(self, schedule: Schedule) -> list[str]:
        """What differs between the framework's rates and the schedule's, a sentence each.

        Arguments:
            schedule: one that the framework `takes`.
        """
        return []

    @abstractmethod
    def text(
        self, schedule: Schedule, remarks: Sequence[str], groups: GroupSchedules | None = None
    ) -> str:
        """The configuration: code, options or a file.

        Arguments:
            schedule: one that the framework `takes`.
            remarks: sentences for the user, which become comments where the format has any.
            groups: the schedules of parameter groups, where there are several; `schedule` stands
                for the first. Those that are not `carried` are not written.

        Returns: the text, which ends with a line end.
        Raises: InputError where this schedule cannot be written, such as one that is too long.
        """
