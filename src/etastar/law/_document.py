"""A fitted law as plain values, for a program in another language that is to forecast with it."""

from __future__ import annotations

import base64
from typing import Any

import numpy as np
from scipy.linalg import cho_solve, cholesky, qr, solve_triangular
from scipy.special import ndtri

from ._law import Law
from ._misfit import SCALES
from ._posterior import ABOVE, AHEAD, Posterior


def law_document(law: Law, level: float = 0.9) -> dict[str, Any]:
    """What a forecast by a fitted law, and its interval, are computed from.

    With x the slopes of a log loss by the d constants over the widths of their priors, and n how
    alike its misfit is to those of the M observations, the covariance of what is open of two log
    losses is that of `Posterior.moments`, averaged over sizes of misfit m and of luck, written such
    that nothing large cancels:

        <(x - P n) C (x' - P n')> + <m^2> alike - <m^4 n N^-1 n'> + shift, ahead and above

    with N the covariance of all that the constants do not explain (`Posterior.noise`), J the slopes
    at the observations, C = (I + J^T N^-1 J)^-1 and P = m^2 J^T N^-1. The first mean is that of
    A (x, n) with A (x', n'), the last that of B n with B n'. The shift is x a + n b, with
    a = J^T <K^-1 r>, b = <m^2 K^-1 r>, K = N + J J^T and r the residuals.

    Arguments:
        law: a fitted law.
        level: probability that a measured loss lies inside an interval.

    Returns: `form`, `names` and `theta`, `columns` and `linear`, `units {rate, steps, batch}`, and
        `interval` with `width` (d,), `places` (M, 5), `scales` (4,), `longest` in steps, `known` A
        (d + M columns) and `misfits` B (M, M), the upper triangle row by row, both as base64 of
        little-endian doubles; `misfit` <m^2>, `moved` a and `movedMisfit` b, `luck` the variance of
        one run, `ahead` and `above` the errors for every doubling of the longest run and of
        `highestPeak`, `normal` the half-width of the interval in standard deviations.

    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> document = law_document(fit(runs, "power"))
    >>> document["names"], document["columns"], len(document["interval"]["width"])
    (['alpha'], ['floor', 'bias'], 3)
    """
    units = law.units
    return {
        "form": law.form.name,
        "names": list(law.form.names),
        "columns": list(law.form.linear),
        "theta": law.theta.tolist(),
        "linear": law.linear.tolist(),
        "units": {"rate": units.rate, "steps": units.steps, "batch": units.batch},
        "interval": {
            **_averaged(law.posterior),
            "scales": SCALES.tolist(),
            "longest": units.steps,
            "ahead": float(np.hypot(law.transient_error, AHEAD)),
            "above": ABOVE,
            "highestPeak": law.peak_range[1],
            "normal": float(ndtri(0.5 + level / 2)),
        },
    }


def _averaged(posterior: Posterior) -> dict[str, Any]:
    """The matrices of a posterior, averaged over the sizes of misfit and luck."""
    observed, size = posterior.observed, len(posterior.width)
    slope, count = observed.slope, len(observed.residual)
    known, misfits = [np.zeros((0, size + count))], [np.zeros((0, count))]
    moved, moved_misfit, misfit, luck = np.zeros(size), np.zeros(count), 0.0, 0.0
    for each in posterior.sizes:
        squared, root = each.misfit**2, np.sqrt(each.probability)
        factor = cholesky(posterior.noise(each), lower=True)
        white = solve_triangular(factor, slope, lower=True)
        inverse = solve_triangular(factor, np.eye(count), lower=True)
        half = cholesky(np.eye(size) + white.T @ white, lower=True)
        both = np.hstack([np.eye(size), -squared * white.T @ inverse])
        known.append(root * solve_triangular(half, both, lower=True))
        misfits.append(root * squared * inverse)
        solved = each.probability * cho_solve((each.factor, True), observed.residual)
        moved += slope.T @ solved
        moved_misfit += squared * solved
        misfit += each.probability * squared
        luck += each.probability * each.luck**2
    return {
        "width": posterior.width.tolist(),
        "places": observed.place.tolist(),
        "known": _encoded(_root(known)),
        "misfits": _encoded(_root(misfits)[np.triu_indices(count)]),
        "misfit": misfit,
        "moved": moved.tolist(),
        "movedMisfit": moved_misfit.tolist(),
        "luck": luck,
    }


def _root(parts: list[np.ndarray]) -> np.ndarray:
    """A matrix R of as many rows as columns at most, with R^T R the sum of those of all parts."""
    found: Any = qr(np.concatenate(parts), mode="economic")
    return found[1]


def _encoded(values: np.ndarray) -> str:
    """Base64 of little-endian doubles, row by row."""
    return base64.b64encode(np.ascontiguousarray(values, dtype="<f8").tobytes()).decode("ascii")
