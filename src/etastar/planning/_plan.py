"""The decision: from pilot runs to a schedule, with its evidence, its rivals and its caveats."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

import numpy as np

from etastar._checks import above, one_of, whole
from etastar._errors import InputError
from etastar._threads import one_thread
from etastar.control import BatchSolution, Budget, Limits, least_losses
from etastar.law import AverageLaw, Form, Law, Progress, fit, form_named
from etastar.runs import Run, as_runs
from etastar.schedule import UNITS, Unit

from ._batch import BatchSizes, Task, best_controls, sizes_asked
from ._beyond import beyond_cap_of
from ._caveats import Evidence, caveats_of
from ._comparison import alternatives_of, other_horizons_of
from ._continuation import check_left, continuation_of, past_of
from ._groups import groups_of
from ._phase import critical_batch_of, phase_of
from ._results import Estimate, Plan
from ._stages import AGAIN, COMPARING, FITTING, SOLVING, stage
from ._within import batch_map_of, within_of

MOST_STEPS = 10**13

ANNEALED = 0.1
"""Part of a run, at its end, over which a plan multiplies the LR by a line to 0. Logs with a row
every few hundred updates do not show how fast the noise of the last ones fades. A law fitted to
them may then end at some percent of the peak, where pilots that end at 0 show that 0 is good."""


@one_thread
def plan(
    runs: Sequence[Run],
    horizon: float | None = None,
    *,
    unit: str = "steps",
    epoch_size: float | None = None,
    samples: float | None = None,
    seconds: float | None = None,
    step_time: tuple[float, float] | None = None,
    batch_size: BatchSizes = None,
    optimiser: str = "auto",
    peak_cap: float | None = None,
    floor: float = 0.0,
    warmup: float | None = None,
    monotone: bool = True,
    continued: Run | None = None,
    form: Form | str = "etastar",
    transient: float | None = None,
    progress: Progress | None = None,
) -> Plan:
    """Plan a training from the logs of pilot runs.

    Fits the loss law, finds the schedule and a free batch size of the lowest expected final loss,
    and compares it with standard schedules. The batch size rises where that surely pays.

    Arguments:
        runs: pilots, from `read_runs`; one kind of loss, at one or several batch sizes.
        horizon, samples, seconds: the budget, one of: updates, samples as batch sizes count, time.
        unit, epoch_size: what `horizon` and `warmup` count: see `etastar.schedule.Unit`.
        step_time: (T0, T1), an update of B samples takes T0 + T1 B seconds.
        batch_size: of the training, or (lowest, highest) where it is free; by default the pilots'.
        peak_cap, floor: largest LR, by default the largest stable one of the pilots; smallest LR.
        warmup: updates of it; by default the pilots' median, and at most a tenth of the run.
        monotone: whether the LR may not rise after the warmup.
        continued: a run to go on with, from its last logged step and the LR it has come to.
        optimiser, form, transient: of the fit, see `etastar.law.fit`.
        progress: is told of the stages, which `etastar.planning.STAGES` lists.

    Returns: a `Plan`; LRs and steps in the pilots' units, losses in the unit of their logs.
    Raises: InputError for what is out of range, or as `fit` and `optimal_schedule` do.

    >>> from etastar.runs import read_runs
    >>> decision = plan(read_runs("examples/gpt/pilots"), 56_000, form="power")
    >>> decision.horizon, decision.comparison[0] is decision.nearest
    (56000, True)
    """
    runs = _with(as_runs(runs), continued)
    sizes = {"epoch_size": epoch_size, "sequence_length": _sequence_length(runs, unit)}
    horizon, samples = _counted(horizon, samples, unit, sizes)
    budget = _budget(horizon, samples, seconds, step_time)
    form = form_named(form) if isinstance(form, str) else form
    with stage(progress, FITTING):
        law = fit(runs, form, optimiser=optimiser, transient=transient)
    task = _task(law, runs, budget, batch_size, peak_cap, floor, monotone, continued)
    task = replace(task, warmup=_warmup(warmup, unit, task.sizes, sizes), step_time=step_time)
    with stage(progress, AGAIN):
        average = AverageLaw(law, (law, *law.draws(form.draws)))
    with stage(progress, SOLVING):
        found = best_controls(task, average)
    return _decided(task, average, found, runs, continued, progress)


def _task(
    law: Law,
    runs: Sequence[Run],
    budget: Budget,
    batch_size: BatchSizes,
    peak_cap: float | None,
    floor: float,
    monotone: bool,
    continued: Run | None,
) -> Task:
    """What is to be trained, with the warmup of the pilots and without a time of updates."""
    past = None if continued is None else past_of(continued)
    cap = law.peak_range[1] if peak_cap is None else peak_cap
    limits = Limits(cap, floor, 0, monotone, past, ANNEALED)
    used = [run for run in runs if run.name in law.residuals and not run.diverged]
    sizes = sizes_asked(batch_size, used, law, budget, continued)
    if sizes is not None and continued is None:
        budget.check(sizes[0])
    task = Task(
        law, used, budget, sizes, batch_size is not None, limits, capped=peak_cap is not None
    )
    if continued is not None:
        check_left(continued, task.horizon(None if sizes is None else sizes[0]), budget.name)
    return task


def _decided(
    task: Task,
    average: AverageLaw,
    found: BatchSolution,
    runs: Sequence[Run],
    continued: Run | None,
    progress: Progress | None,
) -> Plan:
    """The plan that follows from the solution, with what it is compared with.

    `average` is the law that the solution minimises; `runs` are all that were given.
    """
    law, fixed = task.law, found.fixed
    solution = fixed if found.ramp is None else found.ramp
    batch, horizon = solution.batch_size, solution.schedule.horizon
    limits = task.limits_of(solution)
    with stage(progress, COMPARING):
        least = least_losses(average, solution.schedule, limits, batch)
        forecast = law.predict(solution.schedule, batch_size=batch)
        loss = Estimate(*forecast.final)
        of_fixed = loss.value + fixed.loss - solution.loss
        charted = batch_map_of(task, average, fixed, of_fixed)
        within = within_of(task, average, solution, loss.value, charted)
        beyond = beyond_cap_of(task, average, solution)
        alternatives = alternatives_of(task, average, solution, fixed, loss.value)
        going_on = None
        if continued is not None:
            fresh = replace(limits, warmup=task.warmup_at(horizon, None), past=None)
            going_on = continuation_of(average, continued, solution, loss.value, limits, fresh)
    evidence = Evidence(
        law, solution, runs, task.runs, horizon, limits, task.capped, task.sizes, task.given,
        task.budget.name, fixed.loss - solution.loss, beyond,
    )  # fmt: skip
    return Plan(
        horizon=horizon,
        schedule=solution.schedule,
        groups=groups_of(solution.schedule, task.runs),
        loss=loss,
        forecast=forecast,
        phase=phase_of(law),
        nearest=alternatives[0],
        comparison=alternatives,
        # Where all fits agree, rounding alone would make it negative.
        expected_regret=max(solution.loss - float(least.mean()), 0.0),
        other_horizons=other_horizons_of(average, solution, limits, MOST_STEPS, progress),
        caveats=tuple(caveats_of(evidence)),
        runs=tuple(task.runs),
        left_out=tuple(run for run in runs if not any(run is other for other in task.runs)),
        law=law,
        within=within,
        batch_size=batch,
        samples=None if batch is None else float(batch.intrinsic_time(horizon)),
        seconds=task.seconds_of(batch, horizon),
        critical_batch=critical_batch_of(law),
        batch_map=charted,
        beyond_cap=beyond,
        continuation=going_on,
        members=average.members,
        limits=limits,
    )


def _with(runs: Sequence[Run], continued: Run | None) -> list[Run]:
    """The runs, with the one that goes on among them."""
    if continued is None or any(run is continued for run in runs):
        return list(runs)
    return [*runs, continued]


def _sequence_length(runs: Sequence[Run], unit: str) -> float | None:
    """Tokens of a sample in all runs; None where their batch sizes count tokens, or do not say."""
    lengths = {run.sequence_length for run in runs}
    if unit == "tokens" and len(lengths) > 1:
        known = ", ".join(f"{length:g}" for length in sorted(filter(None, lengths)))
        raise InputError(
            f"unit tokens: the runs differ in their sequence_length ({known}"
            f"{', or none' if None in lengths else ''}), so that a sample has no one number of"
            " tokens: give the horizon in samples, or the batch sizes in tokens as batch_tokens"
        )
    return lengths.pop() if len(lengths) == 1 else None


def _counted(
    horizon: float | None, samples: float | None, unit: str, sizes: Mapping[str, float | None]
) -> tuple[float | None, float | None]:
    """The horizon in updates, or as the samples that it is; the batch size may still be free."""
    one_of("unit", unit, UNITS)
    if unit == "steps" or horizon is None:
        return horizon, samples
    if samples is not None:
        raise InputError("horizon and samples are both given: one budget is needed")
    # A batch size of 1, so that the horizon is counted in samples.
    return None, Unit(unit, 1.0, **sizes).updates(above("horizon", horizon, 0.0))


def _warmup(
    warmup: float | None,
    unit: str,
    batch: tuple[float, float] | None,
    sizes: Mapping[str, float | None],
) -> int | None:
    """The warmup in updates, which a free batch size does not tell."""
    if warmup is None:
        return None
    if unit != "steps" and (batch is None or batch[0] < batch[1]):
        raise InputError(
            f"warmup is given in {unit}, and the batch size of the run is not one number: give one,"
            " or leave the warmup out"
        )
    size = None if batch is None else batch[0]
    steps = Unit(unit, size, **sizes).whole("warmup", warmup, within=False)
    return whole("warmup", steps, unit="update")


def _budget(
    horizon: float | None,
    samples: float | None,
    seconds: float | None,
    step_time: tuple[float, float] | None,
) -> Budget:
    if seconds is not None and step_time is None:
        raise InputError(
            "seconds needs step_time: (T0, T1), where an update of B samples takes T0 + T1 B"
            " seconds"
        )
    if step_time is not None:
        # Checked where it only says what the run takes, too.
        Budget.of(None, None, 1.0, step_time)
    if samples is None and seconds is None and horizon is not None:
        return Budget(float(_horizon(horizon)))
    return Budget.of(horizon, samples, seconds, step_time or (1.0, 0.0))


def _horizon(horizon: float) -> int:
    is_whole = isinstance(horizon, int | np.integer) or (
        isinstance(horizon, float) and horizon.is_integer()
    )
    if isinstance(horizon, bool) or not is_whole or not 8 <= horizon <= MOST_STEPS:
        raise InputError(
            f"horizon must be a whole number of updates from 8 to {MOST_STEPS:.0e}, got {horizon!r}"
        )
    return int(horizon)
