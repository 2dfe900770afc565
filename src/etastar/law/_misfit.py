"""The law's own misfit: how much it is off, and how alike the misfits of two points are."""

from __future__ import annotations

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray

from etastar.schedule import Schedule

SCALES = np.array([2.0, np.log(4.0), 0.7, np.log(4.0)])
"""Distances at which misfits are alike to 0.48: in log2 step, in log peak LR, in LR over peak, in
log batch size."""

_FREQUENCIES = 128


def misfit_place(
    schedule: Schedule,
    step: Float[np.ndarray, " points"],
    batch: ArrayLike = 1.0,
    longest: float = 1.0,
) -> Float[np.ndarray, "points 5"]:
    """Where points of a run lie among those whose misfits are compared, and how large these are.

    A law's misfit is no noise: runs alike in length, peak LR, batch size and state of their
    annealing are missed alike. These four are in units of `SCALES`. The fifth column is the size of
    the misfit over that at the end of the longest run T: sqrt(T / t) before it, 1 after it, with t
    the updates times the batch size. It is what the weights of the fit, w^2 ~ t, take it for.

    Arguments:
        schedule: of the run.
        step: updates done at the points, at least 1.
        batch: its batch size at each point or at all, in any unit that all runs share.
        longest: updates times batch size of the longest run fitted.
    """
    step = np.maximum(step, 1.0)
    rate = schedule(step - 1) / schedule.peak
    peak = np.full(len(step), np.log(schedule.peak))
    batch = np.broadcast_to(batch, len(step))
    size = np.sqrt(np.maximum(longest / (step * batch), 1.0))
    four = np.stack([np.log2(step), peak, rate, np.log(batch)], 1) / SCALES
    return np.column_stack([four, size])


def alike(
    first: Float[np.ndarray, "n 5"], second: Float[np.ndarray, "m 5"]
) -> Float[np.ndarray, "n m"]:
    """Covariance of the misfits at places, that at the end of the longest run being 1.

    Their sizes times (1 + sqrt(3) d) exp(-sqrt(3) d) at a distance d.

    Source: the Matern kernel of order 3/2; Rasmussen and Williams, "Gaussian processes for machine
    learning" (2006), section 4.2.
    """
    a, b = first[:, :4], second[:, :4]
    squared = np.sum(a**2, 1)[:, None] + np.sum(b**2, 1) - 2 * a @ b.T
    far = np.sqrt(3 * np.maximum(squared, 0.0))
    return first[:, 4:] * second[:, 4] * (1 + far) * np.exp(-far)


def misfit_features(schedule: Schedule, step: Float[np.ndarray, " points"]) -> NDArray[np.float64]:
    """Random features of a law's own misfit at points of a run.

    A misfit is what the law is off by however well it is known. Here it is a sum of cosines and
    sines of random frequencies with independent amplitudes. The product of the features of two
    points is how alike their misfits are: near (1 + sqrt(3) d) exp(-sqrt(3) d) at a distance d. One
    of 1 is a factor of 4 in steps or in peak LR, or 0.7 in LR over peak; all have one batch size.
    All runs share one seed, as they share one misfit.

    Arguments:
        schedule: of the run.
        step: updates done at each of its points, at least 1.

    Returns: the features, without a unit, (points, 2 * 128).
    Source: Rahimi and Recht, "Random features for large-scale kernel machines" (2007); the spectrum
    of the Matern kernel of order 3/2 is a Student t with 3 degrees of freedom.

    >>> import numpy as np
    >>> from etastar.schedule import parse_schedule
    >>> schedule = parse_schedule("constant:peak=0.1,horizon=100000")
    >>> near = misfit_features(schedule, np.array([10.0, 10.1, 100_000.0]))
    >>> np.abs(near @ near[0]).round(1)
    array([1., 1., 0.])
    """
    rng = np.random.default_rng(0)
    normal = rng.standard_normal((3, _FREQUENCIES))
    frequency = normal / np.sqrt(rng.chisquare(3, _FREQUENCIES) / 3)
    phase = misfit_place(schedule, step)[:, :3] @ frequency
    return np.concatenate([np.cos(phase), np.sin(phase)], 1) / np.sqrt(_FREQUENCIES)
