"""What every place that runs pilots provides."""

from __future__ import annotations

from typing import Protocol

from ._job import Job


class Workers(Protocol):
    """What runs pilots. The files of a run lie in a folder of its name, see `_job` and `_process`.

    Drivers call these from one thread.
    """

    def free(self) -> int:
        """How many runs may start now."""
        ...

    def start(self, job: Job) -> None:
        """Start a run."""
        ...

    def adopt(self, name: str) -> bool:
        """Watch a run that an earlier driver started as one's own.

        False where it has ended or never began, and where it cannot be watched: then it is ended.
        """
        ...

    def waits(self, name: str) -> bool:
        """Whether a run that was started waits for a place, as in the queue of a cluster."""
        ...

    def ended(self, name: str) -> bool:
        """Whether a run that was started has ended; its files are then in its folder."""
        ...

    def taken_by(self, name: str) -> str | None:
        """What took an ended run away, where the training itself did not end it."""
        ...

    def end(self, names: list[str]) -> None:
        """End runs, and wait until they have."""
        ...

    def close(self) -> None:
        """Let go of what is not a run."""
        ...
