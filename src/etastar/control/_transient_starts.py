"""Patterns of LRs that rise far above the stable one now and then: starts of the free search.

A step of LR 1 / lambda removes the mode of that eigenvalue and multiplies the faster ones, so that
each long step needs short ones around it. Two orders of long and short steps keep what grows small;
both are known for full gradients, that is without the noise of the batches.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

_RATIO = 1.0 + math.sqrt(2.0)

_FOUND = 4
"""The last line of a stretched run has at least 2 to the power of this many updates."""


def silver(place: Array, base: int = 2) -> Array:
    """Step sizes in units of 1 / lambda_1: 1 + (1 + sqrt 2)^(v - 1), where base^v divides place.

    `place` holds whole numbers of at least 1. Every `base`-th step is longer than those around it,
    every `base`^2-th longer still.

    Source: the silver steps of arXiv 2309.07879, for base 2.

    >>> silver(np.arange(1.0, 9.0)).round(2)
    array([1.41, 2.  , 1.41, 3.41, 1.41, 2.  , 1.41, 6.83])
    """
    return 1.0 + _RATIO ** (_divisions(place, base) - 1.0)


def stretched(rate: Array, count: int) -> Array:
    """LRs of a longer run of `count` updates, in the order of those of a shorter one.

    Counted back from the end, updates that 2 divides equally often make up a line over the run;
    each line is stretched. Updates that 2 divides more often than any line holds are on the last.

    >>> stretched(np.tile([2.0, 1.0], 16), 6)
    array([2., 1., 2., 1., 2., 1.])
    """
    back, longer = np.arange(len(rate), 0, -1), np.arange(count, 0, -1)
    last = max(int(math.log2(len(rate))) - _FOUND, 0)
    kind, asked = (np.minimum(_divisions(place, 2), last) for place in (back, longer))
    found = np.empty(count)
    for times in range(last + 1):
        known, wanted = back[kind == times][::-1], asked == times
        line = np.log(rate[kind == times][::-1])
        found[wanted] = np.exp(np.interp(longer[wanted] / count, known / len(rate), line))
    return found


def _divisions(place: Array, base: int) -> Array:
    """How often `base` divides each whole number."""
    times, rest = np.zeros(len(place)), np.asarray(place, dtype=np.int64)
    divides = np.ones(len(place), dtype=bool)
    while True:
        divides = divides & (rest % base == 0)
        if not divides.any():
            return times
        times += divides
        rest = np.where(divides, rest // base, rest)


def chebyshev(count: int, ratio: float) -> Array:
    """Step sizes in units of 1 / lambda_1 that shrink all modes from lambda_1 to lambda_1 / ratio.

    The inverses of the `count` roots of the Chebyshev polynomial on that interval; `count` is a
    power of 2. In their order no product of the first steps' factors grows far.

    Source: V. I. Lebedev and S. A. Finogenov, the order of the parameters in the Chebyshev cyclic
    iterative method, 1971.

    >>> chebyshev(4, 10.0).round(2)
    array([1.04, 7.45, 1.38, 2.65])
    """
    order = np.ones(1)
    while len(order) < count:
        order = np.stack([order, 4 * len(order) - order], axis=1).ravel()
    middle, half = (1.0 + 1.0 / ratio) / 2, (1.0 - 1.0 / ratio) / 2
    return 1.0 / (middle + half * np.cos(np.pi * order / (2 * count)))
