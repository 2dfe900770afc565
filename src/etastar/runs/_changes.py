"""A schedule that was changed while the run was under way, as one schedule."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

import numpy as np

from etastar._errors import InputError
from etastar.schedule import Schedule, join, parse_schedule

from ._polyline import polyline

MOST = 200_000
"""Steps looked at one by one; of a longer stretch as many, evenly spaced, and the breakpoints."""


def schedule_with_changes(
    declared: Sequence[tuple[str, int, object]], folder: Path
) -> Schedule | None:
    """The schedule that a run followed; None where nothing is declared.

    `declared` are (where it stands, first update, spec), in order of the updates; every spec counts
    from the start of the run. Where a later one has the LRs of those before for all updates done,
    it stands for the whole run. Otherwise its rest is joined on, as knots that reproduce it to
    1e-5 of its peak.

    Raises:
        InputError: a spec is wrong; with its line.
    """
    whole: Schedule | None = None
    for where, start, spec in declared:
        try:
            new = parse_schedule(spec, folder=folder)  # type: ignore[arg-type]
            whole = new if whole is None or start == 0 else _continued(whole, new, start)
        except InputError as error:
            raise InputError(f"{where}: {error}") from None
    return whole


def _continued(old: Schedule, new: Schedule, start: int) -> Schedule:
    done = _steps(old, new, 0, start - 1)
    if np.array_equal(old(done), new(done)):
        return new
    end = max(new.horizon, start + 1)
    steps = _steps(new, new, start, end)
    rates = new(steps)
    if rates.max() == 0.0:
        return join([(old, start)])
    rest = polyline(steps - start, rates)
    return join([(old, start), (rest, end)])


def _steps(one: Schedule, other: Schedule, first: int, last: int) -> np.ndarray:
    if last - first <= MOST:
        return np.arange(first, last + 1, dtype=np.float64)
    even = np.round(np.linspace(first, last, MOST))
    kinks = np.array([*one.breakpoints, *other.breakpoints])
    near = np.concatenate([even, *(np.round(kinks) + shift for shift in (-1.0, 0.0, 1.0))])
    return np.unique(np.clip(near, first, last))
