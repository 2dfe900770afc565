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
    columns_at: Callable[..., Any] = field(init=False)
    columns_and_slopes: Callable[..., Any] = field(init=False)
    final_columns: Callable[..., Any] = field(init=False)

    def __post_init__(self) -> None:
        object.__setattr__(self, "columns_at", _at_points(self.columns))
        object.__setattr__(self, "columns_and_slopes", _with_slopes(self.columns_at))
        object.__setattr__(self, "final_columns", _final(self.columns))

    @property
    def size(self) -> int:
        """Number of constants in which the law is not linear."""
        return len(self.names)


def _at_points(columns: Callable[..., Any]) -> Callable[..., Any]:
    """Jitted: the columns at P points (P, k)."""

    @jax.jit
    def columns_at(theta, steps, crowd, rate, length, run, cell, fraction):
        nodes = columns(theta, steps, crowd, rate, length)
        here, after = nodes[run, cell], nodes[run, cell + 1]
        return here + fraction[:, None] * (after - here)

    return columns_at


def _with_slopes(columns_at: Callable[..., Any]) -> Callable[..., Any]:
    """Jitted: the columns at P points (P, k), and their derivatives by theta (P, k, n)."""

    @jax.jit
    def columns_and_slopes(theta, *where):
        def both(th):
            value = columns_at(th, *where)
            return value, value

        slope, value = jax.jacfwd(both, has_aux=True)(theta)
        return value, slope

    return columns_and_slopes


def _final(columns: Callable[..., Any]) -> Callable[..., Any]:
    """Jitted: the columns at the last node of R meshes, shape (R, k)."""

    @jax.jit
    def final_columns(theta, steps, crowd, rate, length):
        return columns(theta, steps, crowd, rate, length)[:, -1]

    return final_columns
