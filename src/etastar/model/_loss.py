"""The loss of a run of any length, to a tolerance."""

from __future__ import annotations

from typing import overload

import jax
import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.interpolate import PchipInterpolator

import etastar._precision  # noqa: F401  # first: double precision
from etastar._checks import above, whole
from etastar._errors import InputError
from etastar.schedule import Schedule

from ._controls import Control, Controls, reach, steps_asked
from ._exact import finite
from ._mesh import Grading, make_cells
from ._power_law import Model, modes_of
from ._segments import Cells, segment_losses
from ._velocity_loss import Segments, VelocityLoss

SIZES = (256, 512, 1024, 2048, 4096)
"""Numbers of segments: few array shapes, so that XLA compiles a handful of times."""

_MOST_SINGLE = 1024
"""Updates up to which each is taken on its own."""

_MOST_NODES = 512

_PARTS = tuple(0.5**power for power in range(3, 9))
"""Lengths of segments over their way to the run's ends, where the velocity has its own LR."""

_segment_losses = jax.jit(segment_losses)


@overload
def loss(
    model: Model,
    schedule: Schedule,
    at: None = None,
    *,
    momentum: Control = 0.0,
    velocity: Control | None = None,
    batch_size: Control | None = None,
    tolerance: float = 1e-4,
) -> float: ...
@overload
def loss(
    model: Model,
    schedule: Schedule,
    at: ArrayLike,
    *,
    momentum: Control = 0.0,
    velocity: Control | None = None,
    batch_size: Control | None = None,
    tolerance: float = 1e-4,
) -> Float[np.ndarray, " at"]: ...
def loss(
    model: Model,
    schedule: Schedule,
    at: ArrayLike | None = None,
    *,
    momentum: Control = 0.0,
    velocity: Control | None = None,
    batch_size: Control | None = None,
    tolerance: float = 1e-4,
) -> float | Float[np.ndarray, " at"]:
    """Expected excess loss of a run, at its end or after the updates `at`, at any horizon.

    The segment method (see `segment_losses`) on meshes of 256, 512, ... segments, each with twice
    the segments of the one before, until two of them agree: the method is of second order, so the
    finer one is wrong by a third of their difference, and that third is taken off as well.

    Arguments:
        model: a PowerLaw or a LinearModel.
        schedule: the LR of every update, in units of 1 / eigenvalue.
        at: whole numbers of updates done, any order. Where they are more than 512 they are
            interpolated between 512 others (monotone cubic in log step and log loss).
        momentum: mu in [0, 1), a number or a Schedule.
        velocity: LR of the velocity, a number or a Schedule, where it has its own (see
            `exact_losses`; by `VelocityLoss`, at a fixed batch size).
        batch_size: samples per update, a number or a Schedule; default the model's.
        tolerance: relative error of the loss allowed to the method, at every step asked about.

    Returns: the final excess loss, or those after the updates `at` where these are given.
    Raises: InputError for controls out of range, steps beyond the horizon, an unstable LR whose
    loss overflows, a tolerance that 4096 segments do not reach.
    Source: moments of arXiv 2602.04774 and 2505.16098.

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import PowerLaw
    >>> model = PowerLaw(capacity=1.5, source=1.0, noise=0.25, batch_size=8)
    >>> f"{loss(model, parse_schedule('linear:peak=0.01,horizon=1000000000000')):.3g}"
    '2.54e-07'
    """
    controls = Controls.make(model, schedule, momentum, batch_size, velocity)
    tolerance = above("tolerance", tolerance, 0.0)
    asked = steps_asked(at, schedule.horizon)
    unique = np.unique(asked)
    kept = unique
    modes = modes_of(model.spectrum_to(reach(controls)))
    if velocity is not None:
        found = _with_velocity(model, controls, modes, asked, tolerance)
        return float(found[0]) if at is None else found
    fastest = float(modes.eigenvalue.max())
    if len(unique) > _MOST_NODES:
        kept = Grading.of(controls, float(unique[-1]), fastest).nodes(unique[:1], _MOST_NODES)
    losses = _converged(model, controls, modes, kept, tolerance)
    if kept is unique:
        found = losses[np.searchsorted(kept, asked)]
    else:
        smooth = PchipInterpolator(np.log1p(kept), np.log(losses))
        found = np.exp(smooth(np.log1p(asked)))
    return float(found[0]) if at is None else found


def _with_velocity(model, controls, modes, at, tolerance) -> NDArray[np.float64]:
    """Losses where the velocity has its own LR, in segments of halved parts until two agree."""
    if isinstance(controls.batch_size, Schedule):
        raise InputError(
            "batch_size: where the velocity has an LR of its own the batch size is one number; use"
            " exact_losses for a schedule of it"
        )
    batch, before, found = float(controls.batch_size), None, np.zeros(0)
    for part in _PARTS:
        segments = Segments.of(int(at.max()), part) if at.max() > 0 else None
        if segments is None:
            return np.full(len(at), float(modes.target.sum()))
        middle = segments.middle
        rate, _, mu = controls.at(middle)
        run = VelocityLoss(modes, model.noise, batch, segments)
        losses = finite(run.losses(rate, controls.velocity_at(middle), mu), model.max_rate)
        ends = np.append(segments.first, at.max())
        smooth = PchipInterpolator(np.log1p(ends), np.log(losses))
        found = np.exp(smooth(np.log1p(at)))
        if before is not None and _largest((found - before) / 3.0, found) <= tolerance / 2.0:
            return found + (found - before) / 3.0
        before = found
    raise InputError(
        f"tolerance {tolerance:g} is not reached with segments of {_PARTS[-1]:g} of the way to the"
        " run's ends: raise it, or use exact_losses"
    )


def segments_of(
    model: Model,
    schedule: Schedule,
    count: int = 256,
    *,
    momentum: Control = 0.0,
    batch_size: Control | None = None,
) -> Cells:
    """A run cut into segments, as `segment_losses` takes them: graded where the loss changes fast.

    Arguments:
        model: a PowerLaw or a LinearModel.
        schedule: the LR of every update, in units of 1 / eigenvalue.
        count: number of segments, at least 32; the last are empty where the run has fewer.
        momentum: mu in [0, 1), a number or a Schedule.
        batch_size: samples per update, a number or a Schedule; default the model's.

    Returns: `Cells` of shape (count,). Scaling `rate` and the rates of `drift` scales the LR.
    Raises: InputError for controls out of range, or a schedule of more pieces than segments.

    >>> from etastar.schedule import parse_schedule
    >>> from etastar.model import PowerLaw
    >>> model = PowerLaw(capacity=1.5, source=1.0, noise=0.25, batch_size=8)
    >>> cells = segments_of(model, parse_schedule("cosine:peak=0.01,horizon=1000000"), 64)
    >>> cells.rate.shape, float(cells.length.sum())
    ((64,), 1000000.0)
    """
    controls = Controls.make(model, schedule, momentum, batch_size)
    largest = float(model.spectrum_to(1).eigenvalue.max())
    end = float(schedule.horizon)
    grading = Grading.of(controls, end, largest)
    return _cells(controls, np.array([end]), whole("count", count, 32), grading)


def _converged(model, controls, modes, at, tolerance) -> NDArray[np.float64]:
    coarse = extrapolated = None
    room = len(at)
    worst = np.inf
    # A mesh with few segments a piece is far from its order, and one that takes every update on its
    # own is exact.
    least = max(2 * room, min(12 * len(controls.breakpoints()), SIZES[-3]))
    grading = None
    if at[-1] > _MOST_SINGLE:
        grading = Grading.of(controls, float(at[-1]), float(modes.eigenvalue.max()))
    for size in SIZES:
        if size < least and size < SIZES[-1]:
            continue
        if size < at[-1] <= _MOST_SINGLE:
            continue
        fine = _on_mesh(model, controls, modes, at, size, grading)
        if at[-1] <= size:
            return fine
        if coarse is not None:
            before, extrapolated = extrapolated, fine + (fine - coarse) / 3.0
            # The error of the finer mesh; or, where that is larger than asked, of what is left of
            # it once a third of the difference is taken off, from one mesh to the next.
            worst = _largest((fine - coarse) / 3.0, fine)
            if before is not None:
                worst = min(worst, _largest(extrapolated - before, fine))
            # The mesh's nodes are whole steps: the two meshes are not exactly nested, and the
            # estimate is trusted to a factor of two; the extrapolated loss is closer than that.
            if worst <= (tolerance if size == SIZES[-1] else tolerance / 2.0):
                return extrapolated
        coarse = fine
    raise InputError(
        f"tolerance {tolerance:g} is not reached with {SIZES[-1]} segments (about {worst:.1g}): "
        "raise it, or use exact_losses"
    )


def _largest(error: NDArray[np.float64], losses: NDArray[np.float64]) -> float:
    """The largest error relative to the losses."""
    return float(np.max(np.abs(error) / np.maximum(np.abs(losses), 1e-300)))


def _on_mesh(model, controls, modes, at, size, grading) -> NDArray[np.float64]:
    if at[-1] == 0:
        return np.array([modes.target.sum()])
    cells = _cells(controls, at, size, grading)
    losses = finite(np.asarray(_segment_losses(modes, model.noise, cells)), model.max_rate)
    return losses[np.searchsorted(np.cumsum(np.append(0.0, cells.length)), at)]


def _cells(
    controls: Controls, at: NDArray[np.float64], size: int, grading: Grading | None
) -> Cells:
    room = size - 2 * len(at) if len(at) > 8 else size - 16
    if at[-1] <= size or grading is None:
        nodes = np.arange(at[-1] + 1.0)  # every update on its own
    else:
        nodes = grading.nodes(at, room)
    if len(nodes) > size + 1:
        raise InputError(f"the schedule has more pieces than {size} segments hold: thin its knots")
    return make_cells(controls, nodes, size)
