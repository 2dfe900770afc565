"""`Form`: a formula for the loss, with what the fit must know of it."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Any

import jax
import numpy as np

import etastar._precision  # noqa: F401  # first: double precision


@dataclass(frozen=True, eq=False)
class Form:
    """A loss law before it is fitted: loss = sum_c linear_c column_c(theta, schedule).

    `names` (n,) the constants in which it is not linear, within `lower`..`upper` and with a weak
    normal prior `mean`, `spread` (n,); `linear` (k,) the others, at least 0, the floor first.
    `columns(theta, steps, crowd, rate, length)` gives the columns at the nodes of R meshes, shape
    (R, CELLS + 1, k), from `rate`, `length` (R, CELLS) in reference units, a unit of length being
    `steps` steps, and `crowd` (R,), batch sizes over the reference. `starts` is how many points of
    the bounds the fit tries; `transient` the part of the longest run, after warmup at the least,
    that the law does not describe; `noise` the least relative error of a run's mean residual,
    against which the prior is weighed.

    `nodes` is `columns` compiled, `nodes_and_slopes` gives its slopes by theta too, with one more
    axis (n,) at the end.
    """

    name: str
    names: tuple[str, ...]
    linear: tuple[str, ...]
    lower: np.ndarray
    upper: np.ndarray
    mean: np.ndarray
    spread: np.ndarray
    columns: Callable[..., Any]
    source: str
    starts: int = 48
    transient: float = 0.05
    noise: float = 3e-4
    nodes: Callable[..., Any] = field(init=False)
    nodes_and_slopes: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "nodes", jax.jit(self.columns))
        object.__setattr__(self, "nodes_and_slopes", _with_slopes(self.columns))

    @property
    def size(self) -> int:
        """Number of constants in which the law is not linear."""
        return len(self.names)


def _with_slopes(columns: Callable[..., Any]) -> Callable[..., Any]:
    """Jitted: the columns at every node (R, CELLS + 1, k), and their slopes by theta (..., n)."""

    @jax.jit
    def nodes_and_slopes(theta, *meshes):
        def both(th):
            value = columns(th, *meshes)
            return value, value

        slope, value = jax.jacfwd(both, has_aux=True)(theta)
        return value, slope

    return nodes_and_slopes
