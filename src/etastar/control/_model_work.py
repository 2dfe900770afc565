"""How much of a solve of the solvable model is done, told while it runs.

What a part of a solve costs is only expected: a minimisation ends when it has converged. The costs
are milliseconds without compilation, as `python bench/solve_progress.py` prints them; only their
ratios matter to what is told.
"""

from __future__ import annotations

import math
import threading
from collections.abc import Iterable, Iterator, Sequence
from typing import TypeVar

import numpy as np

from etastar.law import Progress
from etastar.model import Segments

from . import _momentum_solver as momentum
from . import _transient_solver as transient
from . import _velocity_solver as velocity
from ._model_families import FAMILIES
from ._model_problem import ControlProblem
from ._momentum_loss import _PIECE

Part = TypeVar("Part")

SOLVING = "solving"
"""The one stage of a solve: its parts follow each other too fast to be read."""

_EVALUATION = 3.3
"""Of the loss of segments, with its slopes."""

_FIRST_START, _OTHER_START = 40, 150
"""Evaluations from a start: near a closed form, and far from it."""

_RAMP, _DECAY, _TIMED = 2000, 400, 600
"""Evaluations where the batch size varies: from a ramp of it and from a decay of the LR under a
budget of samples, and from either under one of time."""

_FAMILY = {"power": 700.0, "polynomial": 600.0, "wsd": 1000.0}
_PLAIN_FAMILY = 60.0
"""Of a family that has no shape to search, only a peak."""

_UPDATE, _CALL, _PADDED = 0.003, 0.7, 1.2e-5
"""Of an exact loss with momentum, with its slopes: an update, what does not grow with them, and an
update of the longest run, to which all are padded."""

_STEP, _SPENT = 0.0015, 1.0
"""An update of an exact loss without momentum, with its slopes, and evaluations for each iteration
that a minimisation without a cap may take; it may converge long before."""

_SEGMENT, _SEGMENT_POWER = 0.06, 1.4
"""Of the loss with a velocity, with its slopes, by the number of its segments."""

_CALLS = 1.08
"""Evaluations of an iteration with a velocity."""


class Work:
    """The parts of a solve, one after the other, and how much of them is done.

    Arguments: whom to tell; the cost that is expected of each part; the stage that they are.

    >>> work = Work(print, [10.0, 30.0])
    solving 0 40
    >>> for _ in work.each(["first", "second"]):
    ...     work.spend(4.0)
    solving 4 40
    solving 10 40
    solving 14 40
    solving 40 40
    """

    def __init__(
        self, progress: Progress | None, parts: Sequence[float], stage: str = SOLVING
    ) -> None:
        self._progress, self._stage, self._left = progress, stage, list(parts)
        self._total = sum(parts)
        self._before, self._now = 0.0, 0.0
        self._lock = threading.Lock()
        self._tell()

    @classmethod
    def of(
        cls, problem: ControlProblem, compare: bool, free: bool, progress: Progress | None
    ) -> Work:
        """The parts of a solve: minimisations, then the standard families where asked for.

        `free` says that the LRs have no cap.
        """
        families = [_FAMILY.get(name, _PLAIN_FAMILY) for name in FAMILIES] if compare else []
        return cls(
            progress, [*_minimisations(problem), *(_uncapped(problem) if free else ()), *families]
        )

    def spend(self, cost: float = _EVALUATION) -> None:
        """Tell that so much of a part is done.

        Nothing is told of what it takes beyond its cost: what is left is not known then.
        """
        with self._lock:
            if self._left and self._now < self._left[0]:
                self._now = min(self._now + cost, self._left[0])
                self._tell()

    def end(self) -> None:
        """Tell that a part is over, whatever it took."""
        if self._left:
            self._before, self._now = self._before + self._left.pop(0), 0.0
            self._tell()

    def each(self, parts: Iterable[Part]) -> Iterator[Part]:
        """The parts themselves, each of which ends when the next is asked for."""
        for part in parts:
            yield part
            self.end()

    def iterated(self, longest: int, updates: int, iterations: int) -> None:
        """Tell of iterations with the exact loss with momentum, in a solve of `longest` updates."""
        self.spend(iterations * _exact(updates, longest))

    def evaluated(self, segments: int) -> None:
        """Tell of an evaluation of the loss with a velocity."""
        self.spend(_segmented(segments))

    def stepped(self, updates: int) -> None:
        """Tell of an evaluation of the exact loss without momentum."""
        self.spend(_stepped(updates))

    def _tell(self) -> None:
        if self._progress is not None and self._total:
            self._progress(self._stage, round(self._before + self._now), round(self._total))


def _minimisations(problem: ControlProblem) -> list[float]:
    """The expected cost of each part before the standard families."""
    plain = _FIRST_START * _EVALUATION
    if "velocity" in problem.controls:
        return [_velocity(int(problem.budget.total)), plain]
    if "momentum" in problem.controls:
        return [_momentum(int(problem.budget.total)), plain]
    if problem.batched:
        timed = problem.budget.per_update > 0
        return [_EVALUATION * count for count in ([_TIMED] * 2 if timed else [_RAMP, _DECAY])]
    if problem.model.noise == 0:
        return [plain, *[_OTHER_START * _EVALUATION] * 2]
    return [plain]


def _exact(updates: int, longest: int) -> float:
    return _CALL + _PADDED * longest + _UPDATE * _PIECE * math.ceil(updates / _PIECE)


def _segmented(segments: int) -> float:
    return _SEGMENT * segments**_SEGMENT_POWER


def _momentum(horizon: int) -> float:
    """Of all minimisations with momentum, with as many iterations as they may take.

    As `solve_momentum` makes them: four from its starts, two or four on each horizon on the way,
    and two with each number of knots on the last.
    """
    lengths = momentum.horizons_to(horizon)
    total = 120 * 4 * _exact(lengths[0], horizon)
    for length in lengths[1:]:
        parts, iterations = momentum.on_the_way(length, horizon)
        total += 2 * len(parts) * iterations * _exact(length, horizon)
    counts, iterations = momentum.at_the_end(horizon)
    return total + 2 * len(counts) * iterations * _exact(horizon, horizon)


def _stepped(updates: int) -> float:
    return _CALL + _STEP * updates


def _uncapped(problem: ControlProblem) -> list[float]:
    """Of each start of LRs without a cap, and of what follows them: rearrangements or nothing."""
    horizon, before = int(problem.budget.total), []
    # A long run is stretched from one a quarter as long, again and again.
    while horizon > transient._SOME:
        before.insert(0, _SPENT * transient._FEW * _stepped(horizon))
        horizon //= 4
    starts = 4
    if horizon <= transient._SHORT:
        whole = 2 ** math.ceil(math.log2(max(horizon - problem.limits.warmup, 2)))
        starts = 5 + len({min(32, whole), max(whole // 2, 2), whole})
    most = np.clip(transient._WORK / horizon, transient._FEWEST, transient._MOST)
    start = _SPENT * float(most) * _stepped(horizon)
    again = min(transient._REARRANGED, 2 * horizon) if horizon <= transient._SHORTEST else 0
    rearranged = _SPENT * again * transient._AGAIN * _stepped(horizon)
    return [*[start] * starts, rearranged, *before]


def _velocity(horizon: int) -> float:
    """Of the two starts with a velocity, and of the finer knots after them."""
    first, *finer = (
        _CALLS * iterations * _segmented(len(Segments.of(horizon, part).middle))
        for _, part, iterations in (velocity._FIRST, *velocity._FINER)
    )
    return 2 * first + sum(finer)
