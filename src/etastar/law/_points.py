"""Runs as arrays: what a fit and a forecast hand to a form."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import ArrayLike

from etastar._errors import InputError
from etastar.runs import Run
from etastar.schedule import Schedule

from ._forms import At, Form, Mesh
from ._mesh import BatchSize, ScheduleMesh, bin_starts, make_mesh

MOST_POINTS = 64
"""Points of one run that the fit sees; a longer log is averaged in bins."""

FEW_POINTS = 16
"""The same of a first fit from many starts, which the final one goes on from."""


@dataclass(frozen=True)
class Units:
    """Reference learning rate, number of steps and batch size: the law's constants count in them.

    Attributes:
        rate: the highest peak LR fitted, in the unit of the runs.
        steps: the longest run fitted, in updates of the reference batch size.
        batch: the median batch size, in the unit of the runs'; None where they do not say theirs.

    >>> float(Units(rate=1e-3, steps=1000.0, batch=32.0).batch_ratio(64.0))
    2.0
    """

    rate: float
    steps: float
    batch: float | None = None

    def batch_ratio(self, batch_size: ArrayLike | None) -> Any:
        """`batch_size` over the reference, 1 where either is not known."""
        return (
            1.0 if batch_size is None or self.batch is None else np.divide(batch_size, self.batch)
        )


@dataclass(frozen=True)
class Points:
    """P points of some runs on R rows of meshes, with N places a row.

    A run takes as many rows as its points need. `mesh` and `at` are what a form's columns take;
    `run`, `row` and `place` (P,) say which run a point is of, and where its value stands.
    """

    mesh: Mesh
    at: At
    run: np.ndarray
    row: np.ndarray
    place: np.ndarray

    def columns(self, form: Form, theta: np.ndarray) -> np.ndarray:
        """The columns of a law at the points, shape (P, k), or (K, P, k) of laws theta (K, n)."""
        value = form.columns(np.atleast_2d(theta), self.mesh, self.at)
        value = value[:, self.row, self.place]
        return value if theta.ndim == 2 else value[0]

    def columns_and_slopes(self, form: Form, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """The columns at the points (P, k) and their slopes by theta (P, k, n); or (K, P, ..)."""
        found = form.columns_and_slopes(np.atleast_2d(theta), self.mesh, self.at)
        value, slope = (x[:, self.row, self.place] for x in found)
        return (value, slope) if theta.ndim == 2 else (value[0], slope[0])


@dataclass(frozen=True)
class Arrays:
    """What a fit is made to: points and `step`, `loss`, `weight`, `rows` (P,) at them, in `units`.

    A point is the mean of `rows` rows of its log. The squared weights of a run sum to 1.
    """

    units: Units
    points: Points
    step: np.ndarray
    loss: np.ndarray
    weight: np.ndarray
    rows: np.ndarray


def stack_meshes(meshes: Sequence[ScheduleMesh], units: Units) -> Mesh:
    """Meshes as rows in reference units."""
    rate = np.stack([mesh.rate for mesh in meshes]) / units.rate
    length = np.stack([mesh.length for mesh in meshes]) / units.steps
    batch = np.ones(rate.shape)
    for i, mesh in enumerate(meshes):
        batch[i] = units.batch_ratio(mesh.batch)
    return Mesh(float(units.steps), rate, length, batch)


def at_ends(mesh: Mesh) -> At:
    """The last point of every row."""
    rows, cells = mesh.rate.shape
    return At(np.full((rows, 1), cells - 1), np.ones((rows, 1)))


def place(
    schedules: Sequence[Schedule],
    steps: Sequence[np.ndarray],
    units: Units,
    batch_sizes: Sequence[BatchSize] | None = None,
) -> Points:
    """The points at `steps` of each schedule; without batch sizes each run has the reference's."""
    if batch_sizes is None:
        batch_sizes = [None] * len(schedules)
    longest = max(len(step) for step in steps)
    places = next((size for size in (1, 8, FEW_POINTS) if longest <= size), MOST_POINTS)
    meshes, cells, fractions, row_of, place_of = [], [], [], [], []
    for schedule, step, batch in zip(schedules, steps, batch_sizes, strict=True):
        mesh = make_mesh(schedule, max(float(step[-1]), 1.0), batch)
        cell, fraction = mesh.locate(step)
        cells.append(cell)
        fractions.append(fraction)
        row_of.append(len(meshes) + np.arange(len(step)) // places)
        place_of.append(np.arange(len(step)) % places)
        meshes += [mesh] * -(-len(step) // places)
    row, column = np.concatenate(row_of), np.concatenate(place_of)
    stacked = stack_meshes(meshes, units)
    at = At(*(np.zeros((len(stacked.rate), places), kind) for kind in (int, float)))
    at.cell[row, column] = np.concatenate(cells)
    at.fraction[row, column] = np.concatenate(fractions)
    run = np.repeat(np.arange(len(steps)), [len(step) for step in steps])
    return Points(stacked, at, run, row, column)


def transient_end(run: Run, transient: float, units: Units) -> float:
    """The step of a run from which on a law fitted in some units claims to describe it.

    The larger of the end of its warmup and the part `transient` of the longest run fitted, counted
    in samples where all say their batch size.
    """
    return max(run.warmup, transient * units.steps / units.batch_ratio(run.batch_size))


def longest_of(runs: Sequence[Run], units: Units) -> float:
    """The longest of some runs, in updates of the reference batch size."""
    return max(run.final_step * float(units.batch_ratio(run.batch_size)) for run in runs)


def _samples_per_step(runs: Sequence[Run]) -> list[float]:
    """The batch size of every run, or 1 where one of them does not say its own."""
    sizes = [run.batch_size for run in runs]
    return [1.0 if size is None or None in sizes else float(size) for size in sizes]


def units_of(runs: Sequence[Run]) -> Units:
    """The highest peak LR, the median batch size, and as many updates of it as the longest run has
    samples."""
    sizes = [run.batch_size for run in runs if run.batch_size is not None]
    batch = float(np.median(sizes)) if len(sizes) == len(runs) else None
    per_step = _samples_per_step(runs)
    longest = max(float(run.step[-1]) * size for run, size in zip(runs, per_step, strict=True))
    rate = max(run.schedule.peak for run in runs)
    return Units(rate=rate, steps=longest / (batch or 1.0), batch=batch)


def make_arrays(
    runs: Sequence[Run], transient: float, most: int = MOST_POINTS, units: Units | None = None
) -> tuple[Arrays, list[Run]]:
    """Arrays, and the runs in them, with two points after the transient or one in all.

    A run has `most` points at the most. The units are those given, or those of the runs.

    Raises: InputError where nothing is left to fit.
    """
    if not runs:
        raise InputError("no runs to fit: name at least one training log")
    kept, steps, losses, weights, rows = [], [], [], [], []
    of_all = units_of(runs)
    for run in runs:
        usable = run.step >= transient_end(run, transient, of_all)
        # A row of a sweep's summary is a run with one point.
        if usable.sum() < min(2, len(run.step)):
            continue
        step, loss, count = thinned(run.step[usable], run.loss[usable], run.schedule, most)
        squared = count * np.clip(step / step[-1], 0.02, 1.0)
        kept.append(run)
        steps.append(step)
        losses.append(loss)
        rows.append(count)
        weights.append(np.sqrt(squared / squared.sum()))
    points = sum(len(step) for step in steps)
    if points < 12:
        raise InputError(
            f"too few points to fit: {points} after warmup and the first {transient:.0%} of the "
            "longest run; log the loss more often, add runs, or leave out a smaller part"
            " (12 points are the least)"
        )
    units = units_of(kept) if units is None else units
    batch_sizes = [run.batch_size for run in kept]
    placed = place([run.schedule for run in kept], steps, units, batch_sizes)
    columns = (np.concatenate(parts) for parts in (steps, losses, weights, rows))
    return Arrays(units, placed, *columns), kept


def thinned(
    step: np.ndarray, loss: np.ndarray, schedule: Schedule, most: int = MOST_POINTS
) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    """At most `most` points, and how many rows each stands for; the last row stays as it is.

    Points are means over bins of rows. None mixes rows before and after a jump of the LR, and bins
    are short where the loss moves fast. Steps and losses are averaged as logarithms, so that a
    power of the step stays one.
    """
    if len(step) <= most:
        return step, loss, np.ones(len(step))
    first = bin_starts(schedule, step, most)
    count = np.append(np.diff(first), 1)
    mean_step, mean_loss = (
        np.add.reduceat(x, first) / count for x in (np.log1p(step), np.log(loss))
    )
    mean_step = np.where(count > 1, np.expm1(mean_step), step[first])
    return mean_step, np.exp(mean_loss), count
