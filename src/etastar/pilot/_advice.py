"""What the designer and the law say of the runs that have ended, asked for in a thread."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from concurrent.futures import Future, ThreadPoolExecutor

from etastar.runs import Run

from ._outlook import Outlook
from ._proposal import Designer, Finished, Pilot, Proposal

LookAhead = Callable[[list[Run]], Outlook | None]
"""Says what runs tell of the horizon, None where they tell nothing."""


class Advice:
    """The last answer of a designer, and the next one while it is being thought about.

    A fit takes seconds, in which runs must be watched.

    Attributes:
        proposal: the last answer of the designer, None before the first.
        outlook: what the runs said of the horizon then.
    """

    def __init__(self, designer: Designer, look_ahead: LookAhead) -> None:
        self._designer, self._look_ahead = designer, look_ahead
        self._answer: Future[tuple[Proposal, Outlook | None]] | None = None
        self._ended_when_asked: frozenset[str] | None = None
        self.proposal: Proposal | None = None
        self.outlook: Outlook | None = None

    @property
    def pending(self) -> bool:
        """Whether an answer is being thought about."""
        return self._answer is not None

    def is_due(self, ended: frozenset[str]) -> bool:
        """Whether to ask: pilots have ended since the last time, by the names of all that have."""
        return ended != self._ended_when_asked

    def ask(
        self,
        thread: ThreadPoolExecutor,
        finished: Sequence[Finished],
        running: Sequence[Pilot],
        left: int,
    ) -> None:
        """Ask for the next pilots; arguments as of `Designer.propose`."""
        self._ended_when_asked = frozenset(each.pilot.name for each in finished)
        self._answer = thread.submit(self._think, finished, running, left)

    def take(self) -> Proposal | None:
        """The answer as soon as there is one, once. Raises: what the designer has raised."""
        if self._answer is None or not self._answer.done():
            return None
        answer, self._answer = self._answer, None
        self.proposal, self.outlook = answer.result()
        return self.proposal

    def _think(
        self, finished: Sequence[Finished], running: Sequence[Pilot], left: int
    ) -> tuple[Proposal, Outlook | None]:
        proposal = self._designer.propose(finished, running, left)
        return proposal, self._look_ahead([each.run for each in finished if each.run is not None])
