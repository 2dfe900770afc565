"""The parameter groups of a plan: which LR is planned, and the ratios that the others keep."""

from __future__ import annotations

from collections.abc import Iterator, Sequence

import numpy as np

from etastar.runs import Run
from etastar.schedule import GroupSchedules, Schedule

SAME = 1.01
"""Ratios of two LRs that differ by less than this factor are the same."""


def groups_of(schedule: Schedule, runs: Sequence[Run]) -> GroupSchedules | None:
    """The planned schedule with those of the other parameter groups of the runs.

    The law knows one LR. The others keep the ratio that they had to it in the runs, the median of
    those that log it.

    Returns: the schedules, the planned one first; None where no run logs several LRs, or the runs
        do not agree on the one that is planned.
    """
    names = dict(_planned(runs))
    if len(names) != 1:
        return None
    (planned,) = names
    medians = {name: float(np.median(each)) for name, each in _ratios(runs).items()}
    return GroupSchedules({planned: schedule, **medians})


def group_caveats(runs: Sequence[Run]) -> Iterator[str]:
    """Which LR a plan is for, where the runs log several, and what is doubtful about the others."""
    planned = _planned(runs)
    names = dict(planned)
    if not names:
        return
    if len(names) > 1:
        told = " and ".join(f"{name!r} in {run}" for name, run in list(names.items())[:2])
        yield (
            f"the runs log the LRs of several parameter groups, and the first is {told}: the plan"
            " is for that one in each, and keeps no ratios; name the same with --lr"
        )
        return
    (name,) = names
    ratios = _ratios(runs)
    kept = ", ".join(f"{other} {np.median(each):.4g}" for other, each in ratios.items())
    yield (
        f"the runs log the LRs of several parameter groups: planned is that of {name}; the others"
        f" keep their ratios to it ({kept}); the law does not say which ratios are best"
    )
    for other, each in ratios.items():
        if max(each) > SAME * min(each):
            yield (
                f"the pilots differ in the LR of {other} over that of {name}, from {min(each):.4g}"
                f" to {max(each):.4g}: its median is kept, and the law takes the loss to depend on"
                f" the LR of {name} alone; give all pilots one ratio"
            )


def _planned(runs: Sequence[Run]) -> list[tuple[str, str]]:
    """The group of the LR that was read as the schedule, and the run, of those with several."""
    return [(next(iter(run.groups)), run.name) for run in runs if len(run.groups) > 1]


def _ratios(runs: Sequence[Run]) -> dict[str, list[float]]:
    """The ratios of every other group in the runs that log it."""
    found: dict[str, list[float]] = {}
    for run in runs:
        for name, ratio in list(run.groups.items())[1:]:
            found.setdefault(name, []).append(ratio)
    return found
