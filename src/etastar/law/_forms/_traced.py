"""`TracedForm`: a law whose formula JAX traces, differentiates and compiles."""

from __future__ import annotations

from abc import abstractmethod
from collections.abc import Callable
from functools import cached_property
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np

import etastar._precision  # noqa: F401  # first: double precision

from ._form import At, Form, LossSlopes, Mesh


class TracedForm(Form):
    """A law given by its formula alone; XLA compiles it once for a shape of meshes and points."""

    @abstractmethod
    def formula(self, theta: Any, mesh: Mesh, at: At) -> jax.Array:
        """The columns (R, N, k) under one law, theta (n,); JAX traces it."""

    def columns(self, theta, mesh, at):
        runs = len(at.cell)
        return np.asarray(self._compiled(theta, *_padded(mesh, at)))[:, :runs]

    def columns_and_slopes(self, theta, mesh, at):
        runs = len(at.cell)
        found = self._compiled_with_slopes(theta, *_padded(mesh, at))
        value, slope = (np.asarray(x)[:, :runs] for x in found)
        return value, slope

    def final_losses_and_slopes(self, theta, linear, mesh):
        loss, slopes = self._compiled_final(theta, linear, *mesh)
        return LossSlopes(np.asarray(loss), *(np.asarray(slope) for slope in slopes))

    @cached_property
    def _compiled(self) -> Callable[..., Any]:
        return jax.jit(jax.vmap(self.formula, (0, None, None)))

    @cached_property
    def _compiled_with_slopes(self) -> Callable[..., Any]:
        def with_slopes(theta, mesh, at):
            def both(th):
                value = self.formula(th, mesh, at)
                return value, value

            slope, value = jax.jacfwd(both, has_aux=True)(theta)
            return value, slope

        return jax.jit(jax.vmap(with_slopes, (0, None, None)))

    @cached_property
    def _compiled_final(self) -> Callable[..., Any]:
        def final_loss(theta, linear, steps, *cells):
            last = At(jnp.full((1, 1), len(cells[0]) - 1), jnp.ones((1, 1)))
            here = Mesh(steps, *(x[None] for x in cells))
            return jnp.sum(self.formula(theta, here, last)[0, 0] * linear)

        with_slopes = jax.value_and_grad(final_loss, (3, 4, 5))
        return jax.jit(jax.vmap(with_slopes, (0, 0, None, 0, 0, 0)))


def _padded(mesh: Mesh, at: At) -> tuple[Mesh, At]:
    """The same with more rows, of no length, so that XLA compiles for few numbers of runs."""
    more = rows_for(len(at.cell)) - len(at.cell)

    def pad(x: np.ndarray, value: float = 0.0) -> np.ndarray:
        return np.pad(x, ((0, more), (0, 0)), constant_values=value)

    batch = pad(mesh.batch, 1.0)
    padded = Mesh(mesh.steps, pad(mesh.rate), pad(mesh.length), batch)
    return padded, At(pad(at.cell), pad(at.fraction))


def rows_for(count: int) -> int:
    """How many rows `count` are padded to: 4, 8, 12, 16, 24, 32, ..."""
    rows = 4
    while rows < count:
        rows = rows * 3 // 2 if rows & (rows - 1) == 0 and rows > 4 else 1 << rows.bit_length()
    return rows
