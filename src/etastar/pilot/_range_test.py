"""Where the learning rates lie: short runs over LRs far apart, and the bounds that follow."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar._errors import InputError
from etastar.schedule import make_schedule

from ._proposal import Finished, Pilot, Proposal

PREFIX = "range_"
"""How the names of the test's runs begin."""

FIRST = (1e-4, 1e-3, 1e-2, 1e-1)
"""Peak LRs that are tried first."""

LIMITS = (1e-8, 1e4)
"""Peak LRs beyond which the test does not go."""

PART = 0.02
"""Part of the budget that one run of the test takes."""


def range_test(
    finished: Sequence[Finished], running: Sequence[Pilot], budget: int, warmup: int
) -> Proposal | None:
    """The next runs of the range test (no seeds yet), None once the best LR lies between others.

    Linear decay over a fiftieth of the budget at LRs a factor of 10 apart; while the best is the
    lowest, or the highest and did not diverge, the test goes on there.

    Raises: InputError where a fiftieth of the budget is no run, or no LR trains.
    """
    steps = max(round(PART * budget), 20)
    if steps < 2 * warmup or 8 * steps > budget:
        raise InputError(
            f"budget {budget} leaves {steps} updates for a run of the range test, too few: give the"
            " bounds of the peak LR (peaks, --peak LOW,HIGH) or raise the budget"
        )
    tested = _tested(finished)
    waiting = {pilot.schedule.peak for pilot in running if pilot.name.startswith(PREFIX)}
    wanted = [peak for peak in FIRST if peak not in tested and peak not in waiting]
    if not wanted and not waiting:
        best = min(sorted(tested), key=lambda peak: tested[peak])
        if best not in (min(tested), max(tested)):
            return None
        wanted = [_digit(best / 10 if best == min(tested) else best * 10)]
        if not LIMITS[0] <= wanted[0] <= LIMITS[1]:
            raise InputError(
                f"no LR between {LIMITS[0]:g} and {LIMITS[1]:g} is best in the range test: check"
                " that the training uses the schedule, or give peaks"
            )
    pilots = tuple(
        Pilot(
            f"{PREFIX}p{peak:g}_h{steps}",
            make_schedule("linear", peak=peak, horizon=steps, warmup=warmup),
        )
        for peak in wanted
    )
    reason = "a range test of LRs first" if pilots else "the range test goes on"
    return Proposal(pilots, None, (float("nan"),) * len(pilots), reason)


def bounds_of(
    finished: Sequence[Finished], peaks: tuple[float, float] | None
) -> tuple[float, float]:
    """The lowest and the highest peak LR that pilots may have.

    Where none are given, a tenth and sqrt(10) times the best of the range test. The highest stays
    below every peak that diverged by sqrt(2) at least; where that is below the lowest, the lowest
    becomes an eighth of it.
    """
    if peaks is None:
        tested = _tested(finished)
        best = min(tested, key=lambda peak: tested[peak])
        peaks = best / 10, best * 10**0.5
    low, high = peaks
    bad = [ended.pilot.schedule.peak for ended in finished if is_bad(ended)]
    high = min([high, *(peak / 2**0.5 for peak in bad)])
    return (low, high) if low <= high else (high / 8, high)


def is_bad(ended: Finished) -> bool:
    """Whether a pilot diverged."""
    return ended.diverged or (ended.run is not None and ended.run.diverged)


def _tested(finished: Sequence[Finished]) -> dict[float, float]:
    """The last losses of the range test by peak, infinite where there is none."""
    return {
        ended.pilot.schedule.peak: _end(ended)
        for ended in finished
        if ended.pilot.name.startswith(PREFIX)
    }


def _end(ended: Finished) -> float:
    if ended.run is None or is_bad(ended):
        return np.inf
    loss = ended.run.loss
    return float(np.mean(loss[-max(len(loss) // 10, 1) :]))


def _digit(peak: float) -> float:
    return float(f"{peak:.0e}")
