"""The plan as far as the pilots tell, in one line."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np

from etastar._errors import InputError
from etastar.law import fit
from etastar.runs import Run
from etastar.schedule import make_schedule


@dataclass(frozen=True)
class Outlook:
    """The best of cosine and WSD at the horizon: its shape, peak LR and loss with 90% interval."""

    shape: str
    peak: float
    loss: float
    low: float
    high: float


def outlook(runs: Sequence[Run], horizon: int, warmup: int) -> Outlook | None:
    """What the law fitted to the runs so far expects at the horizon; None where it cannot say.

    Cosine and WSD (a fifth of the steps for its cooldown) at peaks over the range of the runs;
    `etastar plan` solves for the schedule itself.
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
