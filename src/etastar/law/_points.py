"""Runs as arrays: what the fit and the forecast hand to XLA."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from etastar._errors import InputError
from etastar.runs import Run
from etastar.schedule import Schedule

from ._forms import Form
from ._mesh import CELLS, ScheduleMesh, make_mesh

MOST_POINTS = 1024
"""Points of one run that the fit sees; a longer log is averaged in bins."""


@dataclass(frozen=True)
class Units:
    """Reference learning rate, number of steps and batch size: the law's constants count in them.

    Attributes:
        rate: the highest peak LR fitted, in the unit of the runs.
        steps: the longest run fitted, in updates.
        batch: the median batch size, in the unit of the runs'; None where they do not say theirs.

    >>> Units(rate=1e-3, steps=1000.0, batch=32.0).batch_ratio(64.0)
    2.0
    """

    rate: float
    steps: float
    batch: float | None = None

    def batch_ratio(self, batch_size: float | None) -> float:
        """`batch_size` over the reference, 1 where either is not known."""
        return 1.0 if batch_size is None or self.batch is None else batch_size / self.batch


@dataclass(frozen=True)
class Points:
    """P points on the meshes of R runs, whose number is padded to a few fixed sizes.

    `rate`, `length` (R, CELLS) in reference units, a unit of length being `steps` steps;
    `batch_ratio` (R,) batch sizes over the reference; `run`, `cell`, `fraction` (P,) say where a
    point lies.
    """

    steps: float
    batch_ratio: np.ndarray
    rate: np.ndarray
    length: np.ndarray
    run: np.ndarray
    cell: np.ndarray
    fraction: np.ndarray

    def columns(self, form: Form, theta: np.ndarray) -> np.ndarray:
        """The columns of a law at the points, shape (P, k)."""
        return self.interpolate(np.asarray(form.nodes(theta, *self.meshes)))

    def columns_and_slopes(self, form: Form, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns at the points (P, k), and their slopes by theta (P, k, n)."""
        value, slope = form.nodes_and_slopes(theta, *self.meshes)
        return self.interpolate(np.asarray(value)), self.interpolate(np.asarray(slope))

    @property
    def meshes(self) -> tuple[Any, ...]:
        """The arguments of `Form.nodes` after theta."""
        return self.steps, self.batch_ratio, self.rate, self.length

    def interpolate(self, nodes):
        """Values at the points, shape (P, ...), from those at the nodes (R, CELLS + 1, ...)."""
        here, after = nodes[self.run, self.cell], nodes[self.run, self.cell + 1]
        return here + self.fraction.reshape(-1, *[1] * (nodes.ndim - 2)) * (after - here)


@dataclass(frozen=True)
class Arrays:
    """What a fit is made to: points and `step`, `loss`, `weight` (P,) at them.

    The squared weights of a run sum to 1.
    """

    points: Points
    step: np.ndarray
    loss: np.ndarray
    weight: np.ndarray


def stack_meshes(meshes: list[ScheduleMesh], units: Units) -> tuple[np.ndarray, np.ndarray]:
    """`rate` and `length`, each (padded number of meshes, CELLS), in reference units.

    The number is padded to a power of four: one compilation serves many sets of runs.
    """
    rows = 4
    while rows < len(meshes):
        rows *= 4
    rate, length = np.zeros((rows, CELLS)), np.zeros((rows, CELLS))
    for i, mesh in enumerate(meshes):
        rate[i] = mesh.rate / units.rate
        length[i] = mesh.length / units.steps
    return rate, length


def place(
    schedules: list[Schedule],
    steps: list[np.ndarray],
    units: Units,
    batch_sizes: Sequence[float | None] = (),
) -> Points:
    """The points at `steps` of each schedule; without batch sizes each run has the reference's."""
    meshes = [
        make_mesh(schedule, max(float(step[-1]), 1.0))
        for schedule, step in zip(schedules, steps, strict=True)
    ]
    rate, length = stack_meshes(meshes, units)
    batch_ratio = np.ones(len(rate))
    batch_ratio[: len(batch_sizes)] = [units.batch_ratio(size) for size in batch_sizes]
    located = [mesh.locate(step) for mesh, step in zip(meshes, steps, strict=True)]
    cell, fraction = (np.concatenate(parts) for parts in zip(*located, strict=True))
    run = np.repeat(np.arange(len(steps)), [len(step) for step in steps])
    return Points(float(units.steps), batch_ratio, rate, length, run, cell, fraction)


def transient_end(runs: list[Run], transient: float) -> list[float]:
    """The step of each run before which its points are left out of the fit."""
    longest = max(float(run.step[-1]) for run in runs)
    return [max(run.warmup, transient * longest) for run in runs]


def make_arrays(runs: list[Run], transient: float) -> tuple[Arrays, Units, list[Run]]:
    """Arrays, units, and the runs in them, with two points after the transient or one in all.

    Raises: InputError where nothing is left to fit.
    """
    if not runs:
        raise InputError("no runs to fit: name at least one training log")
    kept, steps, losses, weights = [], [], [], []
    for run, begin in zip(runs, transient_end(runs, transient), strict=True):
        usable = run.step >= begin
        # A row of a sweep's summary is a run with one point.
        if usable.sum() < min(2, len(run.step)):
            continue
        step, loss = thinned(run.step[usable], run.loss[usable])
        squared = np.clip(step / step[-1], 0.02, 1.0)
        kept.append(run)
        steps.append(step)
        losses.append(loss)
        weights.append(np.sqrt(squared / squared.sum()))
    points = sum(len(step) for step in steps)
    if points < 12:
        raise InputError(
            f"too few points to fit: {points} after warmup and the first {transient:.0%} of the "
            "longest run; log the loss more often or add runs (12 points are the least)"
        )
    batches = [run.batch_size for run in kept if run.batch_size is not None]
    units = Units(
        rate=max(run.schedule.peak for run in kept),
        steps=max(float(run.step[-1]) for run in kept),
        batch=float(np.median(batches)) if len(batches) == len(kept) else None,
    )
    batch_sizes = [run.batch_size for run in kept]
    placed = place([run.schedule for run in kept], steps, units, batch_sizes)
    step, loss, weight = (np.concatenate(parts) for parts in (steps, losses, weights))
    return Arrays(placed, step, loss, weight), units, kept


def thinned(step: np.ndarray, loss: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """At most MOST_POINTS points: means over bins of equal count, the last point kept as it is.

    The mean of the logarithm, because the fit measures relative errors.
    """
    if len(step) <= MOST_POINTS:
        return step, loss
    edges = np.linspace(0, len(step) - 1, MOST_POINTS).astype(int)
    count = np.diff(edges)
    mean_step = np.add.reduceat(step[:-1], edges[:-1]) / count
    mean_loss = np.exp(np.add.reduceat(np.log(loss[:-1]), edges[:-1]) / count)
    return np.append(mean_step, step[-1]), np.append(mean_loss, loss[-1])
