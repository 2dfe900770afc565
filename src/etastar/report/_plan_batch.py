"""The batch size of a plan: the map of the loss over LR and batch size, and what is said of it."""

from __future__ import annotations

import numpy as np

from etastar.planning import Plan

from ._charts import Axis, Chart, Line, LossMap
from ._numbers import rate_text, size_text

PEAK, SIZE = "peak LR [per update]", "batch size [samples]"
_COLORS = ("#0d9488", "#2f6f9f", "#5c91b8", "#8bb1cd", "#b4cbdc", "#d3dfe8", "#e8eef2")
"""Losses that count as close, and from there to the highest."""

_DRAWN = 0.6
"""The part of the map, from the lowest loss on, that the colours tell apart."""


def batch_figure(plan: Plan) -> Chart:
    """Loss over peak LR and batch size for the plan's budget, with the pilots and the plan on it.

    The first colour is where the loss is at most 0.002 above the least of the map. Blank is where
    the peak is above what the pilots show to be stable.
    """
    charted = plan.batch_map
    assert charted is not None
    close = float(np.nanmin(charted.loss)) + plan.within.loss
    highest = max(float(np.nanquantile(charted.loss, _DRAWN)), close + plan.within.loss)
    levels = np.linspace(close, highest, len(_COLORS) - 1)
    sizes = [size for _, size in plan.ramp]
    pilots = sorted((run.schedule.peak, run.batch_size) for run in plan.runs if run.batch_size)
    peaks = Axis(PEAK, log=True, range=_ends(charted.peak), format="rate", tip="rate",
                 short="peak LR")  # fmt: skip
    return Chart(
        peaks,
        Axis(SIZE, log=True, range=_ends(charted.batch_size), format="size", tip="size"),
        [
            Line("pilot", *zip(*pilots, strict=True), color="#ffffff", points=7),
            Line("the plan", [plan.peak_lr] * len(sizes), sizes, "mark", 2.0, points=11),
        ],
        LossMap(charted.peak, charted.batch_size, charted.loss, levels, _COLORS),
        height=340,
    )  # fmt: skip


def _ends(values: np.ndarray) -> tuple[float, float]:
    return float(values.min()), float(values.max())


def batch_rows(plan: Plan) -> list[list[str]]:
    """Rows of a table of the ramp: samples seen, batch size from there on, the LR there."""
    assert plan.batch_size is not None
    steps = plan.batch_size.breakpoints[:-1]
    return [
        [size_text(samples), size_text(size), rate_text(float(plan.schedule(step)))]
        for (samples, size), step in zip(plan.ramp, steps, strict=True)
    ]
