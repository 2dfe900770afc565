"""The greedy choice of runs: one by one, each for the most fall of the forecast's error.

Runs are chosen for the most fall of log V, see `_forecast_error`, averaged over what the constants
may be. The logarithm counts relative gains, so that draws in which the forecast is wide do not
decide alone. Two designs are made: one takes the most fall per update, which leaves long runs for
last and may never afford them; the other the most fall of a run whatever it costs, which may spend
the budget on a few. The one that ends lower is at least (1 - 1/e)/2 as good as the best where gains
diminish.

Source: Leskovec et al., "Cost-effective outbreak detection in networks" (2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from etastar._errors import InputError
from etastar.law import Law, fit
from etastar.schedule import Schedule, make_schedule

from ._candidates import Candidate, pilot_name
from ._config import whole_number
from ._forecast_error import ForecastError, forecast_error, target_schedules
from ._information import FORM, SYSTEMATIC, Belief, Sensitivities, posterior, prior
from ._proposal import Finished, Pilot, Proposal
from ._range_test import is_bad

LONGEST = 4
"""The longest pilot takes this part of the horizon, or half the budget where that is less."""

MOST_PILOTS = 24
"""Pilots of a design at most."""

LEAST_GAIN = 0.01
"""A run that lowers the log of the squared error by less is not worth its steps."""

LEAST_RUNS = 4
"""Runs before which no interval is believed to be small enough."""


@dataclass(frozen=True)
class DesignTask:
    """What pilots are designed for, and what they may take.

    Attributes:
        horizon: updates of the training to forecast.
        budget: updates that all pilots together may take.
        warmup: updates of linear warmup of every pilot.
        interval: relative half width of the 90% interval at the horizon that is enough, None to
            spend the budget.
        resumable: whether a run can start from the end of another.
        seed: of the first pilot, and of the draws from the prior.

    Raises: InputError naming what is out of range.
    """

    horizon: int
    budget: int
    warmup: int = 0
    interval: float | None = None
    resumable: bool = False
    seed: int = 0

    def __post_init__(self) -> None:
        for name, least in (("horizon", 32), ("budget", 32), ("warmup", 0), ("seed", 0)):
            object.__setattr__(self, name, whole_number(name, getattr(self, name), least))
        if self.interval is not None and not 0 < self.interval < np.inf:
            raise InputError(f"interval must be above 0, a part of the loss, got {self.interval!r}")
        if self.longest < max(8, 4 * self.warmup):
            raise InputError(
                f"budget {self.budget} and horizon {self.horizon} leave pilots of {self.longest}"
                f" updates, fewer than 8 or four times the warmup {self.warmup}: raise the budget"
                " or lower the warmup"
            )

    @property
    def longest(self) -> int:
        """Updates of the longest pilot."""
        return min(self.horizon // LONGEST, self.budget // 2)


@dataclass(frozen=True)
class _State:
    """Pilots made or chosen, and what they tell.

    Attributes:
        precision: (D, n, n), of the constants.
        misfit_score: (D, n, F), what misfits do to the normal equations.
        runs: number of these pilots.
        trunks: names of runs of constant rate by their peak and their last update.
        left: updates that may still be taken.
    """

    precision: NDArray[np.float64]
    misfit_score: NDArray[np.float64]
    runs: int
    trunks: dict[tuple[float, int], str]
    left: int


@dataclass(frozen=True)
class Search:
    """Candidates, what each would tell, and the greedy choice among them.

    Attributes:
        task: what is designed for.
        candidates: runs that may be made.
        belief: what is believed of the constants.
        sensitivities: those of the candidates.
        error: of the forecast at the horizon.
        start: the pilots made and under way.
        begin: points of a run up to this update are not fitted.
        fitted_interval: relative half width of the 90% interval by the law that is fitted to the
            runs, None where there is no such fit.
    """

    task: DesignTask
    candidates: list[Candidate]
    belief: Belief
    sensitivities: Sensitivities
    error: ForecastError
    start: _State
    begin: float
    fitted_interval: float | None

    def width(self, state: _State) -> float:
        """Relative half width of the 90% interval at the horizon after some runs.

        Where there is a fit, its own interval counts, and what is expected is how it shrinks: the
        error that is computed here leaves out what only residuals show.
        """

        def expected(at: _State) -> float:
            root = np.sqrt(self.error.squared(at.precision, at.misfit_score)) @ self.belief.weight
            return float(student.ppf(0.95, max(at.runs, 4)) * root)

        scale = 1.0
        if self.fitted_interval is not None:
            scale = self.fitted_interval / expected(self.start)
        return scale * expected(state)

    def proposal(self, steps_left: int) -> Proposal:
        """The design, or none where the interval is as asked or no run helps."""
        asked, horizon = self.task.interval, self.task.horizon
        now = self.width(self.start)
        sure = self.fitted_interval is not None and self.start.runs >= LEAST_RUNS
        if asked is not None and sure and now <= asked:
            return Proposal((), now, (), f"the interval, {now:.2%}, is below the {asked:.2%} asked")
        designs = [self.greedy(steps_left, per_step) for per_step in (True, False)]
        pilots, widths, _ = min(designs, key=lambda design: design[2])
        if not pilots:
            return Proposal((), now, (), f"no pilot of at most {steps_left:,} steps tells more")
        reason = (
            f"{len(pilots)} pilots are expected to bring the 90% interval at {horizon:,} steps "
            f"from ±{now:.1%} to ±{widths[-1]:.1%} of the loss"
        )
        return Proposal(tuple(pilots), now, tuple(widths), reason)

    def greedy(self, steps_left: int, per_step: bool) -> tuple[list[Pilot], list[float], float]:
        """Choose runs one by one, by their gain per update or by their gain alone.

        Returns: pilots, the relative half width of the interval after each, and the mean log
            squared error after all.
        """
        state = replace(self.start, trunks=dict(self.start.trunks), left=steps_left)
        asked = self.task.interval
        pilots: list[Pilot] = []
        widths: list[float] = []
        chosen: list[int] = []
        last = np.array([each.schedule.horizon for each in self.candidates], float)
        known, told = None, None
        level = float(
            self.belief.weight @ np.log(self.error.squared(state.precision, state.misfit_score))
        )
        while len(pilots) < MOST_PILOTS and not (asked and widths and widths[-1] <= asked):
            first = np.array([self._branch(each, state)[0] for each in self.candidates], float)
            cost = last - first
            ready = (cost <= state.left) & (cost > 0)
            ready[chosen] = False
            if not ready.any():
                break
            # What candidates tell changes only where a chosen run became a trunk of theirs.
            if told is None or np.any(known != first):
                known = first
                told = self.sensitivities.information(first, last, self.belief.noise, self.begin)
            after = self.error.squared(
                state.precision[:, None] + told.precision,
                state.misfit_score[:, None] + told.misfit_score,
            )
            gain = np.where(ready, level - self.belief.weight @ np.log(after), -np.inf)
            best = int(np.argmax(gain / np.maximum(cost, 1.0) if per_step else gain))
            if gain[best] < LEAST_GAIN:
                break
            chosen.append(best)
            made = self._made(self.candidates[best], state)
            state = replace(
                state,
                precision=state.precision + told.precision[:, best],
                misfit_score=state.misfit_score + told.misfit_score[:, best],
                left=state.left - int(cost[best]),
                runs=state.runs + 1,
            )
            level -= float(gain[best])
            pilots += made
            widths += [self.width(state)] * len(made)
        return pilots, widths, level

    def _branch(self, each: Candidate, state: _State) -> tuple[int, str | None]:
        """The latest step at which a run of the same rates has ended, and its name."""
        peak = each.schedule.peak
        ends = [end for trunk, end in state.trunks if trunk == peak and end <= each.flat]
        return (max(ends), state.trunks[peak, max(ends)]) if ends else (0, None)

    def _made(self, each: Candidate, state: _State) -> list[Pilot]:
        """The pilot of a candidate; before it the trunk that later ones can share. No seeds yet."""
        if not self.task.resumable or each.flat == 0:
            return [Pilot(each.name, each.schedule)]
        made = []
        start, parent = self._branch(each, state)
        if start < each.flat:
            peak, warmup = each.schedule.peak, self.task.warmup
            trunk = make_schedule("constant", peak=peak, horizon=each.flat, warmup=warmup)
            name = pilot_name(trunk.shape.name, trunk)
            made.append(Pilot(name, trunk, parent=parent, branch_step=start))
            state.trunks[peak, each.flat] = name
            start, parent = each.flat, name
        if each.flat < each.schedule.horizon:
            made.append(Pilot(each.name, each.schedule, parent=parent, branch_step=start))
        return made


def make_search(
    task: DesignTask,
    peaks: tuple[float, float],
    candidates: list[Candidate],
    finished: Sequence[Finished],
    running: Sequence[Pilot],
) -> Search:
    """What is known after some runs, and what each candidate would add.

    Arguments:
        task: what is designed for.
        peaks: the lowest and the highest peak learning rate of a pilot.
        candidates: runs that may be made.
        finished, running: pilots that ended and those under way, which count as if they had.
    """
    targets = target_schedules(task.horizon, task.warmup, *peaks)
    good = [each for each in finished if each.run is not None and not is_bad(each)]
    belief, fitted_interval = _belief(task, peaks[1], good, targets)
    made = [_extent(each) for each in good]
    made += [(one.schedule, one.branch_step, one.steps) for one in running]
    # All at once: the law's columns are evaluated in batches of one shape.
    schedules = [*targets, *(one[0] for one in made), *(one.schedule for one in candidates)]
    all_of_them = belief.sensitivities(schedules)
    count, after = len(targets), len(targets) + len(made)
    begin = max(FORM.transient * task.longest, task.warmup)
    first, last = (np.array([one[i] for one in made], float) for i in (1, 2))
    past = all_of_them.part(count, after).information(first, last, belief.noise, begin)
    # In units of the prior's spread its precision is one.
    precision = np.eye(belief.scale.shape[1]) + past.precision.sum(1)
    trunks = {
        (one.schedule.peak, one.steps): one.name
        for one in [*(each.pilot for each in good), *running]
        if task.resumable and one.schedule.shape.name == "constant"
    }
    return Search(
        task=task,
        candidates=candidates,
        belief=belief,
        sensitivities=all_of_them.part(after, len(schedules)),
        error=forecast_error(
            all_of_them.part(0, count),
            SYSTEMATIC * belief.noise,
            fitted=fitted_interval is not None,
        ),
        start=_State(precision, past.misfit_score.sum(1), len(made), trunks, 0),
        begin=begin,
        fitted_interval=fitted_interval,
    )


def _extent(ended: Finished) -> tuple[Schedule, float, float]:
    """The schedule of a run that was made, and the updates between which its log lies."""
    assert ended.run is not None
    begun = ended.pilot.branch_step
    branched = float(ended.run.step[0]) > begun
    return ended.run.schedule, begun if branched else 0, ended.run.final_step


def _belief(
    task: DesignTask, high: float, good: list[Finished], targets: list[Schedule]
) -> tuple[Belief, float | None]:
    """What is believed of the constants, and the interval of the fit where there is one."""
    # The highest peak is the unit of learning rates; the reference lies well inside the range.
    reference = make_schedule("cosine", peak=high / 3, horizon=task.longest)
    before = prior(high, float(task.longest), reference, task.seed)
    law = _law(good)
    if law is None:
        return before, None
    smallest = min(float(ended.run.loss.min()) for ended in good if ended.run is not None)
    best = targets[int(np.argmin(law.final_losses(targets)))]
    mean, low, top = law.predict(best).final
    if not low < mean or not mean > 0:
        return before, None
    return posterior(before, law, smallest), (top - mean) / mean


def _law(good: list[Finished]) -> Law | None:
    """The law fitted to the runs, or None where they are too few."""
    runs = [ended.run for ended in good if ended.run is not None]
    try:
        return fit(runs) if len(runs) >= 2 else None
    except InputError:
        return None
