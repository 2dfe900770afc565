"""How coarse a grid of base LRs may be for a loss that one accepts."""

from __future__ import annotations

import math

import numpy as np

from etastar._checks import above, one_of
from etastar._errors import InputError

from ._bound import LastIterate
from ._root import root

_SCAN = 1.02
"""Factor between the base LRs tried on the way to the one that is too far off."""


def grid_ratio(curve: LastIterate, accepted: float, *, sides: int = 2) -> float:
    """The coarsest ratio between neighbours of a base-LR grid that keeps the inflation accepted.

    The best base LR lies somewhere between two neighbours. `sides=2` takes the better one of them:
    the worst place is where both are equally bad, so the ratio is high/low with
    inflation(high) = inflation(low) = accepted, low < 1 < high. `sides=1` takes the upper one, as
    a search that comes down from above does: the ratio is high.

    Because too small costs more than too large, high/low lies below high^2. The inflation is that
    of the worst-case bound; on an easier problem the same grid may cost a larger part of a smaller
    loss (docs/robust.md measures one).

    Arguments:
        curve: from `last_iterate`.
        accepted: the bound on the grid over the best bound, above 1; 1.1 accepts 10% more.
        sides: 2 or 1.

    Raises: InputError for `accepted` not above 1 or another number of sides.
    Source: the definition; grids of base LRs in arXiv 2503.09411.

    >>> from etastar.robust import last_iterate
    >>> from etastar.schedule import parse_schedule
    >>> curve = last_iterate(parse_schedule("cosine:peak=1,horizon=10000"))
    >>> round(grid_ratio(curve, 1.25), 2), round(grid_ratio(curve, 1.25, sides=1), 2)
    (4.84, 2.42)
    """
    accepted = above("accepted", accepted, 1.0, hint="it is a ratio, 1.1 accepts 10% more loss")
    one_of("sides", sides, (1, 2))
    high = _crossing(curve, accepted, _SCAN)
    return high if sides == 1 else high / _crossing(curve, accepted, 1.0 / _SCAN)


def _crossing(curve: LastIterate, accepted: float, factor: float) -> float:
    """The first rho on the way from 1 by `factor` at which the inflation is `accepted`."""

    def excess(rho: float) -> float:
        return float(curve.inflation(rho)) - accepted

    begin = 1.0
    while 1e-150 < begin < 1e150:
        rho = begin * factor ** np.arange(129.0)
        beyond = np.flatnonzero(curve.inflation(rho) > accepted)
        if len(beyond):
            low, high = sorted(np.log(rho[beyond[0] - 1 : beyond[0] + 1]).tolist())
            return math.exp(root(lambda log: excess(math.exp(log)), low, high))
        begin = float(rho[-1])
    raise InputError(
        f"accepted {accepted:g} is more than a base LR off by 1e150 costs: give a smaller one"
    )
