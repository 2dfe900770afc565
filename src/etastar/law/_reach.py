"""Where a forecast leaves what the runs of a fit show, for plans and forecasts alike."""

from __future__ import annotations

from collections.abc import Iterator

from etastar.schedule import Schedule

from ._law import Law
from ._mesh import BatchSize

WORTH_SAYING = 0.005
"""Relative error that a transient adds to a forecast, above which it is told."""


def transient_of(law: Law, schedule: Schedule, batch_size: BatchSize = None) -> Iterator[str]:
    """Whether the runs fitted are still in a transient, and how long they would have to be.

    The law's hindcast forecasts the ends of its longest runs from their first halves. What it is
    off by beyond the usual widens every forecast ahead, as much for each doubling of the length.

    Arguments:
        law: a fitted law.
        schedule: what is forecast.
        batch_size: of that run, as for `Law.predict`.

    Returns: a line where this adds more than 0.5% to the error of the forecast, else nothing.

    >>> from etastar.law import fit
    >>> from etastar.runs import read_runs
    >>> law = fit(read_runs("examples/gpt/pilots"))
    >>> from etastar.schedule import parse_schedule
    >>> lines = transient_of(law, parse_schedule("cosine:peak=1e-3,horizon=56000"))
    >>> next(lines)[:53]
    'the first half of the pilots predicts their ends only'
    """
    ahead = law.doublings(schedule, batch_size)
    if law.transient_error * ahead > WORTH_SAYING:
        enough = float(f"{schedule.horizon / 2 ** (WORTH_SAYING / law.transient_error):.2g}")
        yield (
            f"the first half of the pilots predicts their ends only to {law.trend:.1%}: they are"
            " still in a transient that no power law describes, so the interval is wider; pilots of"
            f" about {enough:,.0f} updates would not need this"
        )
