"""The designer of `make_designer`: a range test where it is needed, then the greedy search.

Bayesian design of experiments with a linearised law: pilots are chosen after which the forecast at
the horizon is least wrong, see `_forecast_error` for the error and `_search` for the choice. Runs
far from the horizon, in time, in peak LR or in the state of their annealing, are missed by the law
in other ways than it, and tell less.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

from ._candidates import Candidate, candidates_between
from ._config import peak_range
from ._proposal import Designer, Finished, Pilot, Proposal
from ._range_test import bounds_of, range_test
from ._search import DesignTask, Search, make_search


@dataclass(frozen=True)
class InformationDesigner:
    """The designer that `make_designer` makes: a range test where it is needed, then a search.

    Attributes:
        task: what is designed for: horizon, budget, warmup (updates) and the rest of what
            `make_designer` takes.
        peaks: the lowest and the highest peak learning rate of a pilot, None for a range test.

    >>> make_designer(40_000, 60_000, peaks=(1e-3, 1e-2)).peaks
    (0.001, 0.01)
    """

    task: DesignTask
    peaks: tuple[float, float] | None

    def propose(
        self, finished: Sequence[Finished], running: Sequence[Pilot], steps_left: int
    ) -> Proposal:
        """The pilots to run next, see `Designer`.

        Each has a seed of its own: that of the task for the first pilot, else one above the highest
        of those before it. A branch has that of its parent, whose training it goes on with.

        Arguments:
            finished: pilots that have ended.
            running: pilots under way.
            steps_left: updates that the proposed pilots may take.

        Returns: a `Proposal`.

        Raises: InputError where the budget is too small for a range test, or no learning rate
            trains.
        """
        proposal = self._proposal(finished, running, steps_left)
        before = [*(ended.pilot for ended in finished), *running]
        return replace(proposal, pilots=_seeded(proposal.pilots, before, self.task.seed))

    def candidates(self, low: float, high: float) -> list[Candidate]:
        """All runs that may be made with peaks between two learning rates.

        Arguments:
            low, high: the lowest and the highest peak learning rate.

        Returns: a name, a schedule, and the updates at its peak, of each.

        Raises: InputError where a schedule cannot be made, as of a rate that is not above 0.
        """
        return candidates_between(low, high, self.task.longest, self.task.warmup)

    def search(
        self, finished: Sequence[Finished], running: Sequence[Pilot], peaks: tuple[float, float]
    ) -> Search:
        """The search among the candidates that were not made yet.

        Arguments:
            finished: pilots that have ended.
            running: pilots under way, which count as if they had ended.
            peaks: the lowest and the highest peak learning rate of a pilot.

        Returns: the candidates, what each would tell, and the choice among them.

        Raises: InputError where a schedule cannot be made, as of a rate that is not above 0.
        """
        taken = {ended.pilot.name for ended in finished} | {pilot.name for pilot in running}
        candidates = [each for each in self.candidates(*peaks) if each.name not in taken]
        return make_search(self.task, peaks, candidates, finished, running)

    def _proposal(
        self, finished: Sequence[Finished], running: Sequence[Pilot], steps_left: int
    ) -> Proposal:
        if self.peaks is None:
            test = range_test(finished, running, self.task.budget, self.task.warmup)
            if test is not None:
                return self._with_expectation(test, steps_left)
        peaks = bounds_of(finished, self.peaks)
        return self.search(finished, running, peaks).proposal(steps_left)

    def _with_expectation(self, test: Proposal, steps_left: int) -> Proposal:
        """The range test, with what the pilots after it are expected to bring.

        Only ratios of peaks matter to that, so any unit serves.
        """
        left = steps_left - sum(pilot.steps for pilot in test.pilots)
        if left < 0:
            return Proposal((), None, (), f"{steps_left:,} steps are too few for the range test")
        after = self.search([], [], (1.0, 10**1.5)).proposal(left)
        width = after.interval or float("nan")
        reason = f"{test.reason}; after it {after.reason}"
        return Proposal(test.pilots, after.interval, (width,) * len(test.pilots), reason)


def _seeded(pilots: Sequence[Pilot], before: Sequence[Pilot], first: int) -> tuple[Pilot, ...]:
    """Pilots with seeds that go on from those of the pilots before them; a branch's its parent's.

    With one seed all runs would share its luck, in the order of the data and in the weights that
    they start from, and no interval would see it.
    """
    seeds = {pilot.name: pilot.seed for pilot in before}
    found = []
    for pilot in pilots:
        # Above the highest, not by number: of an earlier proposal some may never have started.
        seed = max([first, *(each + 1 for each in seeds.values())])
        if pilot.parent is not None:
            seed = seeds[pilot.parent]
        seeds[pilot.name] = seed
        found.append(replace(pilot, seed=seed))
    return tuple(found)


def make_designer(
    horizon: int,
    budget: int,
    *,
    peaks: tuple[float, float] | None = None,
    warmup: int = 0,
    interval: float | None = None,
    resumable: bool = False,
    seed: int = 0,
) -> Designer:
    """A designer of pilots for a training of `horizon` updates.

    Pilots have standard shapes (docs/pilot_design.md lists them), the longest a quarter of the
    horizon, the others a half, a quarter and an eighth of it, with peaks on a grid whose ratio
    costs at most a tenth of the last-iterate bound. They are chosen one by one for the most fall of
    the error that the forecast at the horizon is expected to have.

    Arguments:
        horizon: updates of the training to forecast, at least 32.
        budget: updates that all pilots together may take, at least 32.
        peaks: the lowest and the highest peak LR of a pilot; by default a range test finds them.
        warmup: updates of linear warmup of every pilot.
        interval: half width of the 90% interval at the horizon, as a part of the loss, that is
            enough; by default the budget is spent.
        resumable: whether a run can start from the end of another, so that a WSD pilot pays only
            for what its parent has not done. Its constant part is then a pilot of its own, which
            later ones branch from.
        seed: of the first pilot, and of the draws from the prior. The other pilots count on from
            it; a branch has its parent's.

    Returns: a `Designer`; it keeps no state and gives the same answer to the same question.

    Raises: InputError for a horizon, budget, warmup, interval, seed or peaks out of range, and
        where the budget is too small for pilots after the warmup.

    Source: Chaloner and Verdinelli, "Bayesian experimental design: a review" (1995); grids of peaks
        in arXiv 2503.09411.

    >>> designer = make_designer(40_000, 60_000, peaks=(1e-3, 1e-2))
    >>> proposal = designer.propose([], [], 60_000)
    >>> sum(pilot.steps for pilot in proposal.pilots) <= 60_000
    True
    >>> proposal.expected[-1] < 0.5 * proposal.interval
    True
    """
    task = DesignTask(horizon, budget, warmup, interval, resumable, seed)
    return InformationDesigner(task, None if peaks is None else peak_range(peaks))
