"""The outlook by the law fitted to the runs so far."""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from etastar._errors import InputError
from etastar.law import fit
from etastar.runs import Run
from etastar.schedule import make_schedule

from ._outlook import Outlook


def law_outlook(runs: Sequence[Run], horizon: int, warmup: int) -> Outlook | None:
    """What the law fitted to the runs so far expects at the horizon.

    The best of cosine and WSD (a fifth of the steps for its cooldown) at 13 peaks over the range of
    the runs. `etastar plan` solves for the schedule itself; this takes a fit and no solve.

    Arguments:
        runs: those that have ended; diverged ones are left out.
        horizon: updates of the long training.
        warmup: updates of linear warmup, at most half the horizon.

    Returns: an `Outlook`, or None where the runs are too few to fit the law.
    """
    good = [run for run in runs if not run.diverged]
    if len(good) < 2:
        return None
    try:
        law = fit(good)
    except InputError:
        return None
    common = {"horizon": horizon, "warmup": min(warmup, horizon // 2)}
    peaks = np.unique(np.geomspace(*law.peak_range, 13))
    schedules = [make_schedule("cosine", peak=float(peak), **common) for peak in peaks]
    schedules += [make_schedule("wsd", peak=float(p), cooldown=0.2, **common) for p in peaks]
    best = schedules[int(np.argmin(law.final_losses(schedules)))]
    mean, low, high = law.predict(best).final
    return Outlook(best.shape.name, best.peak, mean, low, high)
