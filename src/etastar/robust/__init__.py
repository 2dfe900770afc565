"""Robustness of tuning: the last-iterate bound, its inflation under a wrong base LR, grids."""

from ._bound import LastIterate, inflation, last_iterate, last_iterate_bound
from ._constants import Constants, estimate_constants
from ._grid import grid_ratio
from ._limits import Limit, limit
from ._smooth import smooth_best_scale, smooth_bound, smooth_inflation

__all__ = [
    "Constants",
    "LastIterate",
    "Limit",
    "estimate_constants",
    "grid_ratio",
    "inflation",
    "last_iterate",
    "last_iterate_bound",
    "limit",
    "smooth_best_scale",
    "smooth_bound",
    "smooth_inflation",
]
