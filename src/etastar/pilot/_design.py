"""Which pilots to make: those after which the forecast at the horizon is least wrong.

Bayesian design of experiments with a linearised law. A run whose log losses have slopes J by the
law's constants adds J^T W J to their precision P, and its misfits M, of which the law knows
nothing, pull on the fit by J^T W M. A log loss at the horizon, of slope g and misfit m, is then
forecast with the mean squared error

    V = g^T P^-1 g + c^2 |m - M^T W J P^-1 g|^2,

the first term for constants that the runs leave open, the second for what they get wrong: runs far
from the horizon, in time, in peak LR or in the state of their annealing, are misfitted in other
ways than it. Runs are chosen one by one for the most fall of log V, averaged over what the
constants may be: per step that they take, or all told, whichever ends lower.

Source: Chaloner and Verdinelli, "Bayesian experimental design: a review" (1995); the misfit's part
as in Box and Draper, "A basis for the selection of a response surface design" (1959); the better of
two greedy choices under a budget: Leskovec et al., "Cost-effective outbreak detection" (2007).
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray
from scipy.stats import t as student

from etastar._errors import InputError
from etastar.law import Law, fit
from etastar.robust import grid_ratio, last_iterate
from etastar.schedule import Schedule, make_schedule

from ._information import FORM, SYSTEMATIC, Belief, Gained, Rows, posterior, prior
from ._range_test import bounds_of, is_bad, range_test
from ._types import Designer, Finished, Pilot, Proposal

ACCEPTED = 1.1
"""What the grid of peaks may cost: the last-iterate bound at its best peak over the best."""

LONGEST = 4
"""The longest pilot takes this part of the horizon, or half the budget where that is less."""

HALVINGS = 4
COOLDOWNS = (0.1, 0.2, 0.4)
MOST_PEAKS = 10
MOST_PILOTS = 24
RIVALS = 6
LEAST_GAIN = 0.01
"""A run that lowers the log of the squared error by less is not worth its steps."""

LEAST_RUNS = 4
"""Runs before which no interval is believed to be small enough."""


@dataclass(frozen=True)
class Candidate:
    """A run that may be made; after its warmup it has the rate of its peak until step `flat`."""

    name: str
    schedule: Schedule
    flat: int


@dataclass(frozen=True)
class InformationDesigner:
    """See `make_designer`."""

    horizon: int
    budget: int
    peaks: tuple[float, float] | None
    warmup: int
    interval: float | None
    resumable: bool
    seed: int

    @property
    def longest(self) -> int:
        """Steps of the longest pilot."""
        return min(self.horizon // LONGEST, self.budget // 2)

    def propose(
        self, finished: Sequence[Finished], running: Sequence[Pilot], steps_left: int
    ) -> Proposal:
        """See `Designer`."""
        if self.peaks is None:
            test = range_test(finished, running, self.budget, self.warmup, self.seed)
            if test is not None:
                return self._tested(test, steps_left)
        return self._search(finished, running, bounds_of(finished, self.peaks)).proposal(steps_left)

    def _tested(self, test: Proposal, steps_left: int) -> Proposal:
        """The range test, with what the pilots after it are expected to bring.

        Only ratios of peaks matter to that, so any unit serves.
        """
        left = steps_left - sum(pilot.steps for pilot in test.pilots)
        if left < 0:
            return Proposal((), None, (), f"{steps_left:,} steps are too few for the range test")
        after = self._search([], [], (1.0, 10**1.5)).proposal(left)
        width = after.interval or float("nan")
        reason = f"{test.reason}; after it {after.reason}"
        return Proposal(test.pilots, after.interval, (width,) * len(test.pilots), reason)

    def _search(
        self, finished: Sequence[Finished], running: Sequence[Pilot], peaks: tuple[float, float]
    ) -> _Search:
        taken = {ended.pilot.name for ended in finished} | {pilot.name for pilot in running}
        candidates = [each for each in self.candidates(*peaks) if each.name not in taken]
        return _Search.make(self, peaks, candidates, finished, running)

    def candidates(self, low: float, high: float) -> list[Candidate]:
        """Peaks of the grid x horizons that halve x shapes."""
        found = []
        for peak in _grid(low, high, self._ratio):
            for halving in range(HALVINGS):
                steps = self.longest >> halving
                if steps < max(8, 4 * self.warmup):
                    continue
                common = {"peak": peak, "horizon": steps, "warmup": self.warmup}
                for shape in ("constant", "cosine", "linear"):
                    schedule = make_schedule(shape, **common)
                    flat = steps if shape == "constant" else 0
                    found.append(Candidate(_name(schedule), schedule, flat))
                for part in COOLDOWNS:
                    cooldown = max(round(part * steps), 1)
                    schedule = make_schedule("wsd", cooldown=cooldown, **common)
                    found.append(Candidate(_name(schedule, part), schedule, steps - cooldown))
        return found

    @property
    def _ratio(self) -> float:
        """The coarsest ratio of neighbouring peaks that all annealed shapes of pilots allow."""
        horizon = min(max(self.longest, 64), 4096)
        shapes = [make_schedule(name, peak=1.0, horizon=horizon) for name in ("cosine", "linear")]
        shapes += [make_schedule("wsd", peak=1.0, horizon=horizon, cooldown=x) for x in COOLDOWNS]
        return min(grid_ratio(last_iterate(shape), ACCEPTED) for shape in shapes)


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

    Pilots are cosine, linear, WSD and constant runs, the longest a quarter of the horizon, the
    others a half, a quarter and an eighth of it, with peaks on a grid whose ratio costs at most a
    tenth of the last-iterate bound. They are chosen as the head of this module says.

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
        seed: of the pilots, and of the draws from the prior.

    Returns: a `Designer`; it keeps no state and gives the same answer to the same question.
    Raises: InputError for a horizon, budget, warmup, interval or peaks out of range, and where the
        budget is too small for pilots after the warmup.
    Source: see the head of this module; grids of peaks in arXiv 2503.09411.

    >>> designer = make_designer(40_000, 60_000, peaks=(1e-3, 1e-2))
    >>> proposal = designer.propose([], [], 60_000)
    >>> sum(pilot.steps for pilot in proposal.pilots) <= 60_000
    True
    >>> proposal.expected[-1] < 0.5 * proposal.interval
    True
    """
    for name, value, least in (("horizon", horizon, 32), ("budget", budget, 32)):
        _whole(name, value, least)
    _whole("warmup", warmup, 0)
    if peaks is not None:
        peaks = _peaks(peaks)
    if interval is not None and not 0 < interval < np.inf:
        raise InputError(f"interval must be above 0, a part of the loss, got {interval!r}")
    designer = InformationDesigner(
        int(horizon), int(budget), peaks, int(warmup), interval, resumable, seed
    )
    if designer.longest < max(8, 4 * warmup):
        raise InputError(
            f"budget {budget} and horizon {horizon} leave pilots of {designer.longest} updates, "
            f"fewer than 8 or four times the warmup {warmup}: raise the budget or lower the warmup"
        )
    return designer


def _whole(name: str, value: object, least: int) -> None:
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise InputError(f"{name} must be a whole number of at least {least}, got {value!r}")


def _peaks(peaks: Sequence[float]) -> tuple[float, float]:
    try:
        low, high = (float(peak) for peak in peaks)
    except (TypeError, ValueError):
        low, high = float("nan"), float("nan")
    if not 0 < low <= high < np.inf:
        raise InputError(f"peaks must be two LRs (low, high), 0 < low <= high, got {peaks!r}")
    return low, high


def _grid(low: float, high: float, ratio: float) -> list[float]:
    """Peaks from low to high, evenly in the logarithm, three digits each."""
    count = min(int(np.ceil(np.log(high / low) / np.log(ratio) - 1e-9)) + 1, MOST_PEAKS)
    return sorted({float(f"{peak:.3g}") for peak in np.geomspace(high, low, count)})


def _name(schedule: Schedule, part: float | None = None) -> str:
    shape = schedule.shape.name + ("" if part is None else f"{100 * part:.0f}")
    return f"{shape}_p{schedule.peak:g}_h{schedule.horizon}"


@dataclass(frozen=True)
class _State:
    """Pilots made or chosen, and what they leave.

    `precision` (D, n, n) and `pull` (D, n, W) as of `Gained`; `runs` their number; `trunks` the
    names of runs of constant rate by peak and last step; `left` steps.
    """

    precision: NDArray[np.float64]
    pull: NDArray[np.float64]
    runs: int
    trunks: dict[tuple[float, int], str]
    left: int


@dataclass(frozen=True)
class _Search:
    """Evaluated candidates and targets, and the greedy choice among them.

    `goal` (D, T, n), `wave` (D, T, W), `target_weight` (D, T) of the losses to forecast; points up
    to step `begin` are not fitted; `now` the interval of the law fitted to the runs, if any.
    """

    designer: InformationDesigner
    candidates: list[Candidate]
    belief: Belief
    rows: Rows
    goal: NDArray[np.float64]
    wave: NDArray[np.float64]
    target_weight: NDArray[np.float64]
    start: _State
    begin: float
    now: float | None

    @classmethod
    def make(
        cls,
        designer: InformationDesigner,
        peaks: tuple[float, float],
        candidates: list[Candidate],
        finished: Sequence[Finished],
        running: Sequence[Pilot],
    ) -> _Search:
        targets = _targets(designer, *peaks)
        good = [each for each in finished if each.run is not None and not is_bad(each)]
        belief, now = _belief(designer, peaks[1], good, targets)
        made = [_extent(each) for each in good]
        made += [(one.schedule, one.branch_step, one.steps) for one in running]
        schedules = [*targets, *(one[0] for one in made), *(one.schedule for one in candidates)]
        rows = belief.rows(schedules)
        count, after = len(targets), len(targets) + len(made)
        begin = max(FORM.transient * designer.longest, designer.warmup)
        first, last = (np.array([one[i] for one in made], float) for i in (1, 2))
        past = rows.part(count, after).gained(first, last, belief.noise, begin)
        # In units of the prior's spread its precision is one.
        precision = np.eye(belief.scale.shape[1]) + past.precision.sum(1)
        trunks = {
            (one.schedule.peak, one.steps): one.name
            for one in [*(each.pilot for each in good), *running]
            if designer.resumable and one.schedule.shape.name == "constant"
        }
        start = _State(precision, past.pull.sum(1), len(made), trunks, 0)
        goal, wave, weight = _goal(rows.part(0, count), now is not None)
        kept = rows.part(after, len(schedules))
        return cls(designer, candidates, belief, kept, goal, wave, weight, start, begin, now)

    def squared_error(
        self, precision: NDArray[np.float64], pull: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Mean squared relative error of the forecast, a mean over targets.

        Shapes (D, n, n), (D, n, W) give (D,); (D, N, n, n), (D, N, n, W) give (D, N).
        """
        goal, wave, weight = self.goal, self.wave, self.target_weight
        if precision.ndim == 4:
            goal, wave, weight = goal[:, None], wave[:, None], weight[:, None]
        solved = np.linalg.solve(precision, np.swapaxes(goal, -1, -2))
        unknown = np.einsum("...tn,...nt->...t", goal, solved)
        missed = wave - np.swapaxes(solved, -1, -2) @ pull
        systematic = (SYSTEMATIC * self.belief.noise) ** 2 * (missed**2).sum(-1)
        return ((unknown + systematic) * weight).sum(-1)

    def width(self, state: _State) -> float:
        """Half width of the 90% interval: the law's own where there is one, in proportion."""

        def expected(at: _State) -> float:
            root = np.sqrt(self.squared_error(at.precision, at.pull)) @ self.belief.weight
            return float(student.ppf(0.95, max(at.runs, 4)) * root)

        scale = 1.0 if self.now is None else self.now / expected(self.start)
        return scale * expected(state)

    def proposal(self, steps_left: int) -> Proposal:
        """The design, or none where the interval is as asked or no run helps."""
        asked, horizon = self.designer.interval, self.designer.horizon
        now = self.width(self.start)
        sure = self.now is not None and self.start.runs >= LEAST_RUNS
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
        """Pilots, the interval after each, and the mean log squared error after all."""
        state = replace(self.start, trunks=dict(self.start.trunks), left=steps_left)
        asked = self.designer.interval
        pilots: list[Pilot] = []
        widths: list[float] = []
        chosen: list[int] = []
        last = np.array([each.schedule.horizon for each in self.candidates], float)
        known, gained = np.full(len(last), -1.0), Gained(np.empty(0), np.empty(0))
        level = float(self.belief.weight @ np.log(self.squared_error(state.precision, state.pull)))
        while len(pilots) < MOST_PILOTS and not (asked and widths and widths[-1] <= asked):
            first = np.array([self._branch(each, state)[0] for each in self.candidates], float)
            cost = last - first
            ready = (cost <= state.left) & (cost > 0)
            ready[chosen] = False
            if not ready.any():
                break
            if np.any(known != first):
                known, gained = first, self.rows.gained(first, last, self.belief.noise, self.begin)
            after = self.squared_error(
                state.precision[:, None] + gained.precision, state.pull[:, None] + gained.pull
            )
            gain = np.where(ready, level - self.belief.weight @ np.log(after), -np.inf)
            best = int(np.argmax(gain / np.maximum(cost, 1.0) if per_step else gain))
            if gain[best] < LEAST_GAIN:
                break
            chosen.append(best)
            made = self._made(self.candidates[best], state)
            state = replace(
                state,
                precision=state.precision + gained.precision[:, best],
                pull=state.pull + gained.pull[:, best],
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
        """The pilot of a candidate; before it the trunk that later ones can share."""
        seed = self.designer.seed
        if not self.designer.resumable or each.flat == 0:
            return [Pilot(each.name, each.schedule, seed)]
        made = []
        start, parent = self._branch(each, state)
        if start < each.flat:
            peak, warmup = each.schedule.peak, self.designer.warmup
            trunk = make_schedule("constant", peak=peak, horizon=each.flat, warmup=warmup)
            made.append(Pilot(_name(trunk), trunk, seed, parent, start))
            state.trunks[peak, each.flat] = _name(trunk)
            start, parent = each.flat, _name(trunk)
        if each.flat < each.schedule.horizon:
            made.append(Pilot(each.name, each.schedule, seed, parent, start))
        return made


def _extent(ended: Finished) -> tuple[Schedule, float, float]:
    """The schedule of a run that was made, and the steps that its log covers."""
    assert ended.run is not None
    begun = ended.pilot.branch_step
    branched = float(ended.run.step[0]) > begun
    return ended.run.schedule, begun if branched else 0, ended.run.final_step


def _belief(
    designer: InformationDesigner, high: float, good: list[Finished], targets: list[Schedule]
) -> tuple[Belief, float | None]:
    """What is believed of the constants, and the interval of the fit where there is one."""
    steps = float(designer.longest)
    reference = make_schedule("cosine", peak=high / 3, horizon=designer.longest)
    before = prior(high, steps, reference, designer.seed)
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


def _targets(designer: InformationDesigner, low: float, high: float) -> list[Schedule]:
    """Cosine, linear and WSD at the horizon, peaks over the whole range."""
    peaks = np.geomspace(low, high, 9) if high > low else np.array([high])
    warmup = min(designer.warmup, designer.horizon // 2)
    found = []
    for peak in peaks.tolist():
        common = {"peak": peak, "horizon": designer.horizon, "warmup": warmup}
        found += [make_schedule(name, **common) for name in ("cosine", "linear")]
        found.append(make_schedule("wsd", cooldown=0.2, **common))
    return found


def _goal(
    rows: Rows, fitted: bool
) -> tuple[NDArray[np.float64], NDArray[np.float64], NDArray[np.float64]]:
    """Slopes (D, T, n) and waves (D, T, W) of the best targets' final log losses, their weights.

    The `RIVALS` of lowest loss, each weighed by exp(-(log loss - lowest) / 0.01); the losses are
    those of the last draw where that is a fit.
    """
    log_loss = np.log(np.maximum(rows.loss[:, :, -1], 1e-300))
    if fitted:
        log_loss = np.broadcast_to(log_loss[-1], log_loss.shape)
    best = np.argsort(log_loss, axis=1)[:, :RIVALS]
    above = np.take_along_axis(log_loss, best, 1) - log_loss.min(1, keepdims=True)
    weight = np.exp(-above / 0.01)
    goal = np.take_along_axis(rows.slope[:, :, -1], best[:, :, None], 1)
    return goal, rows.wave[best, -1], weight / weight.sum(1, keepdims=True)
