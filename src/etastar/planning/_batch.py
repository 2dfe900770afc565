"""The batch size of a plan: which ones it may have, which is best, and what others would cost."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np

from etastar._errors import InputError
from etastar.control import (
    BatchSolution,
    Budget,
    Limits,
    Past,
    Solution,
    optimal_controls,
    optimal_schedule,
)
from etastar.law import AverageLaw, Law
from etastar.runs import Run
from etastar.schedule import Schedule, join, make_schedule

BatchSizes = float | tuple[float, float] | None
"""What may be asked for: one batch size, the lowest and the highest, or None."""

TRANSFER = {"etastar": 1.0, "normalised": 0.5}
"""The power of the batch size with which the LR falls that is safe at a smaller one: 1 for SGD,
whose largest stable LR falls no faster, 1/2 where the update is normalised."""


@dataclass(frozen=True)
class Task:
    """The training to plan: its budget, the batch sizes it may have, and the limits of its LR.

    Attributes:
        law: the fitted law.
        runs: those of the fit.
        budget: updates, samples or seconds.
        sizes: the lowest and the highest batch size; None where it is not known.
        given: whether the user said so.
        limits: what the LR may be, whatever the batch size.
        warmup: updates of warmup asked for, or None.
        capped: whether the user gave the cap.
        step_time: an update of B samples takes step_time[0] + step_time[1] B seconds; None if
            unknown.
    """

    law: Law
    runs: Sequence[Run]
    budget: Budget
    sizes: tuple[float, float] | None
    given: bool
    limits: Limits
    warmup: int | None = None
    capped: bool = False
    step_time: tuple[float, float] | None = None

    @cached_property
    def piloted(self) -> tuple[float, ...]:
        """The batch sizes of the pilots, in order; none where one of them does not say its own."""
        sizes = {run.batch_size for run in self.runs}
        return () if None in sizes else tuple(sorted(float(size) for size in sizes if size))

    @property
    def compares(self) -> bool:
        """Whether the pilots say what other batch sizes would do."""
        several = len(self.piloted) > 1 and self.law.form.sees_batch
        return several and self.limits.past is None

    @property
    def usual_warmup(self) -> int:
        """The pilots' median."""
        return round(float(np.median([run.warmup for run in self.runs])))

    def horizon(self, size: float | None) -> int:
        """Updates of the whole run at one batch size, those of its past included."""
        budget, done = self.budget, self.limits.done
        if budget.name == "horizon" or size is None:
            return int(budget.total)
        before = self.batch_before
        spent = done * budget.cost(size if before is None else before)
        return max(done, done + int((budget.total - spent) / budget.cost(size) + 1e-9))

    @property
    def batch_before(self) -> float | None:
        """The batch size of the run that is gone on from, if it is known."""
        past = self.limits.past
        return None if past is None else past.batch_size

    def batch(self, size: float, horizon: int) -> Schedule:
        """The batch size of every update of a run to a horizon at one size, after its past."""
        before, done = self.batch_before, self.limits.done
        if before is None or before == size or done == 0:
            return make_schedule("constant", peak=size, horizon=horizon)
        first = make_schedule("constant", peak=before, horizon=done)
        return join(
            [(first, done), (make_schedule("constant", peak=size, horizon=horizon), horizon)]
        )

    def limits_at(self, size: float | None) -> Limits:
        """What the LR may be in a run of a batch size: its cap and its warmup."""
        limits, horizon = self.limits, self.horizon(size)
        if not self.capped and size is not None and self.piloted and self.law.form.sees_batch:
            limits = replace(limits, cap=max(self._cap(size), 1.001 * limits.floor))
        return replace(limits, warmup=self.warmup_at(horizon, limits.past))

    def limits_of(self, solution: Solution) -> Limits:
        """Those of a solution: at the batch size that it begins, or goes on, with."""
        batch, horizon = solution.batch_size, solution.schedule.horizon
        if batch is None:
            return self.limits_at(None)
        size = batch(0) if self.limits.past is None else batch(horizon)
        limits = self.limits_at(float(size))
        return replace(limits, warmup=self.warmup_at(horizon, limits.past))

    def warmup_at(self, horizon: int, past: Past | None) -> int:
        """The warmup asked for; else the pilots' median, at most a tenth of what is to come."""
        if self.warmup is not None:
            return self.warmup
        return min(self.usual_warmup, (horizon - (0 if past is None else past.step)) // 10)

    def _cap(self, size: float) -> float:
        """The highest LR that the pilots show to be stable at a batch size.

        A pilot's peak is stable at larger batch sizes, and falls with smaller ones as `TRANSFER`.
        """
        power = transfer_of(self.law)
        return max(
            run.schedule.peak * min(1.0, size / float(run.batch_size or size)) ** power
            for run in self.runs
        )

    @property
    def data(self) -> Budget:
        """The budget by which batch sizes are compared: of updates the samples that they take."""
        if self.budget.name != "horizon" or self.sizes is None:
            return self.budget
        return Budget(self.budget.total * self.sizes[1], 0.0, 1.0, "samples")

    def seconds_of(self, batch: Schedule | None, horizon: int) -> float | None:
        """What a run takes by the time of an update."""
        if self.step_time is None or batch is None:
            return None
        fixed, each = self.step_time
        return fixed * horizon + each * float(batch.intrinsic_time(horizon))


def transfer_of(law: Law) -> float:
    """The power of the batch size with which the largest safe LR falls at smaller ones.

    A pilot's peak LR is held to be stable at a batch size below its own where it is lowered by
    (size / own) to this power; at larger ones it is stable as it is.

    >>> from etastar.law import fit
    >>> from etastar.runs import read_runs
    >>> transfer_of(fit(read_runs("examples/gpt/pilots"), "power"))
    1.0
    """
    return TRANSFER["normalised" if "log_critical" in law.form.names else "etastar"]


def sizes_asked(
    batch_size: BatchSizes, runs: Sequence[Run], law: Law, budget: Budget, continued: Run | None
) -> tuple[float, float] | None:
    """The lowest and the highest batch size of a plan; None where nothing is known of it.

    Without one asked for it is that of the run that goes on, else the pilots' size nearest to their
    median.

    Raises: InputError for sizes out of range, a range of a law that does not see the batch size or
        of logs that do not say theirs, and a budget of samples or seconds without a size.
    """
    known = [float(run.batch_size) for run in runs if run.batch_size is not None]
    unknown = len(known) < len(runs)
    if batch_size is None:
        if continued is not None and continued.batch_size is not None:
            return float(continued.batch_size), float(continued.batch_size)
        if unknown:
            if budget.name == "horizon":
                return None
            raise InputError(
                f"{budget.name}: not all logs say their batch size: add the column batch_size to"
                " runs.csv, or give batch_size"
            )
        middle = np.log(np.median(known))
        usual = min(known, key=lambda size: abs(np.log(size) - middle))
        return usual, usual
    low, high = _pair(batch_size)
    if low == high:
        return low, high
    if unknown:
        raise InputError(
            "batch_size: not all logs say theirs, so that a range has nothing to go by: add the"
            " column batch_size to runs.csv, or give one number"
        )
    if not law.form.sees_batch:
        raise InputError(
            f"batch_size: the law {law.form.name!r} does not see it, so that no size in a range is"
            " best: give one number, or plan with the law 'etastar'"
        )
    if continued is not None:
        raise InputError("batch_size: a run that goes on has one for all that is left: give one")
    return low, high


def _pair(batch_size: float | tuple[float, float]) -> tuple[float, float]:
    try:
        ends = batch_size if isinstance(batch_size, tuple | list) else (batch_size, batch_size)
        low, high = (float(end) for end in ends)
    except (TypeError, ValueError, OverflowError):
        low = high = np.nan
    if not 0 < low <= high < np.inf:
        raise InputError(
            "batch_size must be a positive number, or the lowest and the highest allowed; got"
            f" {batch_size!r}"
        )
    return low, high


def best_controls(task: Task, average: AverageLaw) -> BatchSolution:
    """The best schedule, and the best batch size where it is free.

    A ramp stands beside the best constant batch size only where the law can tell the two apart.
    """
    low, high = task.sizes or (None, None)
    if low is None or high is None or task.limits.past is not None:
        return BatchSolution(_solution(task, average, low), None)
    if low == high:
        return optimal_controls(average, task.budget, (low, low), task.limits_at)
    found = optimal_controls(average, task.budget, (low, high), task.limits_at)
    ramp, fixed = found.ramp, found.fixed
    if ramp is None:
        return found
    apart = task.law.difference(
        ramp.schedule,
        fixed.schedule,
        batch_size=ramp.batch_size,
        other_batch_size=fixed.batch_size,
    )
    return found if apart.high < 0 else replace(found, ramp=None)


def _solution(task: Task, average: AverageLaw, size: float | None) -> Solution:
    """The optimal schedule of a run that goes on, or whose batch size is not known."""
    horizon, limits = task.horizon(size), task.limits_at(size)
    if size is None:
        return optimal_schedule(average, horizon, limits)
    batch = task.batch(size, horizon)
    found = optimal_schedule(average, horizon, limits, batch_size=batch)
    return replace(found, batch_size=batch)
