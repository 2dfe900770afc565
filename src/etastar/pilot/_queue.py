"""Which pilot starts next, and what the budget has left."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterable, Mapping

from ._proposal import Pilot, Proposal
from ._record import PilotRecord


class PilotQueue:
    """The pilots that are to start, in order, over the records of those that were started.

    Arguments:
        records: those of the store, by name; the queue looks at them and never changes them.
        budget: updates that all pilots may take.
        branches: whether a pilot can start from the checkpoint of its parent.

    Attributes:
        again: pilots that were started before and are to be started again, first of all.
        proposed: pilots that a designer wants.
    """

    def __init__(self, records: Mapping[str, PilotRecord], budget: int, branches: bool) -> None:
        self._records, self._budget, self._branches = records, budget, branches
        self.again: deque[PilotRecord] = deque()
        self.proposed: deque[Pilot] = deque()

    def __bool__(self) -> bool:
        return bool(self.again or self.proposed)

    def cost(self, pilot: Pilot) -> int:
        """Updates that a pilot pays for: of a branch what its parent has not done."""
        return pilot.steps - (pilot.branch_step if self._is_branch(pilot) else 0)

    def paid(self) -> int:
        """Updates that the pilots which ended have taken."""
        return sum(record.steps for record in self._records.values() if record.ended)

    def left(self, running: Iterable[Pilot]) -> int:
        """What the budget leaves beside the pilots that ended and those under way."""
        return self._budget - self.paid() - sum(map(self.cost, running))

    def propose(self, proposal: Proposal) -> None:
        """Want what is proposed, and nothing that was wanted before."""
        self.proposed = deque(pilot for pilot in proposal.pilots if pilot.name not in self._records)

    def next(self) -> Pilot | None:
        """The first proposed pilot that need not wait for its parent; it leaves the queue."""
        pilot = next((each for each in self.proposed if not self._waits(each)), None)
        if pilot is not None:
            self.proposed.remove(pilot)
        return pilot

    def checkpoints(self, pilot: Pilot) -> tuple[int, ...]:
        """Updates after which others may start from a pilot, as far as is known."""
        known = [*self.proposed, *(record.pilot for record in self._records.values())]
        steps = {each.branch_step for each in known if each.parent == pilot.name}
        if pilot.schedule(pilot.steps) > 0.5 * pilot.schedule.peak:
            steps.add(pilot.steps)  # not annealed: pilots that are designed later may want its end
        return tuple(sorted(steps))

    def _is_branch(self, pilot: Pilot) -> bool:
        return self._branches and pilot.parent is not None

    def _waits(self, pilot: Pilot) -> bool:
        """Whether a branch must wait for its parent to end, or to start."""
        if pilot.parent is None or not self._branches:
            return False
        parent = self._records.get(pilot.parent)
        if parent is None:
            return any(each.name == pilot.parent for each in self.proposed)
        return not parent.ended
