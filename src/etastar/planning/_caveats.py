"""What speaks against a plan: one line each, and how to settle it.

To add a caveat about the plan: write a function from `Evidence` to lines here, and list it in
`CHECKS`. One that needs no plan is made where less is known, and repeated here: about one log by
its reader (`Run.caveats`), about runs side by side in `runs/_together.py`, about what a fit leaves
out in `law/_fit.py`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import astuple, dataclass

import numpy as np

from etastar.control import Limits, Solution, last_piece
from etastar.law import Law, transient_of
from etastar.runs import Run, check_together
from etastar.schedule import Schedule, Table

from ._groups import group_caveats
from ._results import BeyondCap

FAR = 8.0
"""Horizon over the longest pilot beyond which a plan warns of extrapolation."""

FEW = 4
"""Pilots below which intervals lean on a prior."""

MISSED = 0.01
"""Relative misfit of the pilots' ends beyond which a plan warns."""


@dataclass(frozen=True)
class Evidence:
    """What a plan was made from.

    Attributes: the fitted `law`; the `solution`; all `runs` given and those `used` in the fit; the
    `horizon` in updates; the `limits` of the LR, and whether its cap `was_given` by the user; the
    lowest and highest batch size allowed, `sizes`, and whether these were `asked` for; the name of
    the `budget`; how much more loss the best constant batch size is expected to end with; and what
    lies beyond the cap.
    """

    law: Law
    solution: Solution
    runs: Sequence[Run]
    used: Sequence[Run]
    horizon: int
    limits: Limits
    was_given: bool
    sizes: tuple[float, float] | None = None
    asked: bool = False
    budget: str = "horizon"
    gain: float = 0.0
    beyond: BeyondCap | None = None

    @property
    def piloted(self) -> list[float]:
        """The batch sizes of the runs of the fit, in order; none where one is not known."""
        sizes = {run.batch_size for run in self.used}
        return [] if None in sizes else sorted(float(size) for size in sizes if size)


def caveats_of(evidence: Evidence) -> list[str]:
    """All caveats of a plan, the most important first; no line twice."""
    lines = [line for check in CHECKS for line in check(evidence)]
    # One line says of all diverged runs what the law says of each.
    said = {f"{run.name}: diverged, left out of the fit" for run in evidence.runs}
    lines += [line for line in evidence.law.caveats if line not in said]
    return list(dict.fromkeys(lines))


def _far(evidence: Evidence) -> Iterator[str]:
    horizon, reach = evidence.horizon, evidence.horizon / evidence.law.steps_fitted
    batch = evidence.solution.batch_size
    if len(evidence.piloted) > 1 and batch is not None:
        # The longest run fitted is counted in updates of the reference batch size.
        samples = float(batch.intrinsic_time(horizon))
        reach = samples / evidence.law.steps_fitted / (evidence.law.units.batch or 1.0)
        if reach > FAR:
            yield (
                f"the run takes {reach:.1f} times the samples of the longest pilot: forecasts were"
                f" checked only to twice them; a pilot of {samples / FAR:.4g} would make the plan"
                " safer"
            )
    elif reach > FAR:
        yield (
            f"the horizon is {reach:.1f} times the longest pilot: forecasts were checked only to "
            f"twice it; a pilot of {horizon / FAR:.0f} steps would make the plan safer"
        )
    elif reach < 1 and evidence.limits.past is None:
        yield (
            f"the horizon {horizon:,} is shorter than the longest pilot"
            f" ({evidence.law.steps_fitted:,.0f} steps): it should be the length of the long run"
        )


def _transient(evidence: Evidence) -> Iterator[str]:
    yield from transient_of(evidence.law, evidence.solution.schedule, evidence.solution.batch_size)


def _at_the_edge(evidence: Evidence) -> Iterator[str]:
    (lowest, highest), cap = evidence.law.peak_range, evidence.limits.cap
    peak = last_piece(evidence.solution.schedule).peak
    if peak >= 0.999 * cap:
        source = "the cap that was given" if evidence.was_given else "the largest of the pilots"
        if not evidence.was_given and evidence.sizes is not None and cap < 0.999 * highest:
            source = "the largest that the pilots show to be stable at this batch size"
        line = f"the planned peak LR is {source} ({cap:g}): a higher one may be better"
        yield line + _told(evidence)
    elif peak < 0.999 * lowest:
        yield f"the planned peak LR {peak:.3g} is below every pilot's ({lowest:g} at the least)"
    if lowest == highest:
        yield (
            f"all pilots have the peak LR {highest:g}: how the loss depends on the peak is guessed "
            "from the shapes alone; add a pilot at half of it"
        )


def _told(evidence: Evidence) -> str:
    """What a pilot beyond the cap would tell, and which one to make."""
    beyond = evidence.beyond
    if beyond is None:
        return f", and a pilot at {2 * evidence.limits.cap:g} would tell"
    mean, low, high = (_apart(each) for each in astuple(beyond.difference))
    return (
        f". By the law the best schedule up to {beyond.peak_lr:g} ends {mean} (90% interval {low}"
        f" to {high}), which no pilot has tried. To know is worth up to {beyond.worth:.4f}: train"
        f" one more pilot, {beyond.pilot.spec}, and plan again with its log"
    )


def _apart(difference: float) -> str:
    return f"{abs(difference):.4f} {'lower' if difference < 0 else 'higher'}"


def _batch_size(evidence: Evidence) -> Iterator[str]:
    sizes, piloted = evidence.sizes, evidence.piloted
    if sizes is None:
        return
    if not piloted:
        yield f"not all logs say their batch size: what {_sizes(sizes)} would do is not known"
        return
    batch = evidence.solution.batch_size
    planned = sizes if batch is None else (float(batch(0)), batch.peak)
    if len(piloted) == 1 and sizes != (piloted[0], piloted[0]):
        yield (
            f"all pilots have the batch size {piloted[0]:g}: what {_sizes(sizes)} does is guessed;"
            " add pilots at another batch size"
        )
    elif len(piloted) > 1 and not evidence.asked:
        yield (
            f"the pilots have batch sizes from {piloted[0]:g} to {piloted[-1]:g} and none was asked"
            f" for: planned for {_sizes(planned)}, near their median; give --batch"
        )
    elif len(piloted) > 1 and not piloted[0] <= planned[0] <= planned[1] <= piloted[-1]:
        beyond = planned[1] if planned[1] > piloted[-1] else planned[0]
        yield (
            f"the planned batch size {_sizes(planned)} lies outside the pilots', {piloted[0]:g} to"
            f" {piloted[-1]:g}: what it does is extrapolated; a pilot at {beyond:g} would tell"
        )
    if planned[0] < planned[1] and evidence.limits.past is None:
        yield (
            f"the batch size rises from {_sizes(planned)}, which no pilot does: by the law it ends"
            f" {evidence.gain:.4f} below the best constant one"
        )
    if evidence.budget == "horizon" and sizes[0] < sizes[1]:
        yield (
            "of a given number of updates the largest batch size is best, whatever the samples it"
            " takes: give --samples or --seconds instead of --horizon"
        )


def _sizes(sizes: tuple[float, float]) -> str:
    low, high = sizes
    return f"{low:g}" if low == high else f"{low:g} to {high:g}"


def _law_without(evidence: Evidence) -> Iterator[str]:
    form = evidence.law.form
    if form.name == "power":
        yield "the law 'power' does not see the LR: to it every schedule is as good as another"
    elif not form.has_exponents:
        yield f"the law {form.name!r} has no exponents of the task: the plan names no phase"


def _few_pilots(evidence: Evidence) -> Iterator[str]:
    count = len(evidence.used)
    if count < FEW:
        pilots = "1 pilot" if count == 1 else f"{count} pilots"
        yield f"only {pilots}: intervals are wide and lean on a prior"


def _no_warmup(evidence: Evidence) -> Iterator[str]:
    # A declared schedule says that there is none; logged LRs may only have begun too late.
    logged = [run for run in evidence.used if isinstance(run.schedule.shape, Table)]
    if evidence.limits.warmup == 0 and logged and not any(run.warmup for run in evidence.used):
        begin = evidence.limits.done
        yield (
            "the logged LRs show no warmup, so the plan has none: its update "
            f"{begin} has the LR {evidence.solution.schedule(begin):.3g}; if the pilots warmed up, "
            "give --warmup STEPS"
        )


def _misfit(evidence: Evidence) -> Iterator[str]:
    if evidence.law.spread > MISSED:
        yield (
            f"the law misses the ends of the pilots by {evidence.law.spread:.1%}: longer pilots, or"
            " none at peak LRs far above the best, would narrow the forecast"
        )


def _groups(evidence: Evidence) -> Iterator[str]:
    yield from group_caveats(evidence.used)


def _no_annealing(evidence: Evidence) -> Iterator[str]:
    if not any(_anneals(run.schedule) for run in evidence.used):
        yield (
            "no pilot lowers its LR by half or more: the gain from annealing is extrapolated; add "
            "a pilot with a cooldown"
        )


def _anneals(schedule: Schedule) -> bool:
    return schedule(schedule.horizon) <= 0.5 * schedule.peak


def _outliers(evidence: Evidence) -> Iterator[str]:
    for run in evidence.used:
        _, ratio = evidence.law.residuals[run.name]
        late = float(np.mean(ratio[-max(len(ratio) // 10, 1) :]))
        if abs(late) > max(3 * evidence.law.spread, MISSED):
            yield f"{run.name}: its end lies {-late:+.1%} from the law fitted to all runs"


def _jump(evidence: Evidence) -> Iterator[str]:
    limits = evidence.limits
    if limits.past is None:
        return
    new = float(evidence.solution.schedule(limits.start))
    if new > 1.5 * limits.past.rate:
        yield (
            f"the LR is raised from {limits.past.rate:.3g} to {new:.3g} within {limits.warmup} "
            f"updates from step {limits.done}: the loss rises before it falls, and no pilot has "
            "shown such a rise; lengthen it with --warmup where it becomes unstable"
        )


def _reading(evidence: Evidence) -> Iterator[str]:
    sees_batch = evidence.law.form.sees_batch
    yield from check_together(list(evidence.runs), sees_batch=sees_batch)
    for run in evidence.runs:
        yield from run.caveats


CHECKS: tuple[Callable[[Evidence], Iterator[str]], ...] = (
    _far,
    _transient,
    _at_the_edge,
    _batch_size,
    _law_without,
    _groups,
    _no_warmup,
    _few_pilots,
    _misfit,
    _no_annealing,
    _outliers,
    _jump,
    _reading,
)
