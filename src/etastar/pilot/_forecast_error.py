"""How wrong the forecast at the horizon would be after some runs.

A run whose log losses have slopes J by the law's constants adds J^T W J to their precision P, and
its misfits M, of which the law knows nothing, pull on the fit by J^T W M. A log loss at the
horizon, of slope g and misfit m, is then forecast with the mean squared error

    V = g^T P^-1 g + c^2 |m - M^T W J P^-1 g|^2,

the first term for constants that the runs leave open, the second for what they get wrong.

Source: Chaloner and Verdinelli, "Bayesian experimental design: a review" (1995); the misfit's part
as in Box and Draper, "A basis for the selection of a response surface design" (1959).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from etastar.schedule import Schedule, make_schedule

from ._information import Sensitivities

RIVALS = 6
"""Schedules at the horizon whose losses are to be known, those with the lowest."""

RIVALRY = 0.01
"""Difference of log losses at which the weight of a rival falls by e."""


@dataclass(frozen=True)
class ForecastError:
    """The error of the log losses of T schedules at the horizon, under D draws of the constants.

    Attributes:
        slope: (D, T, n), g: derivative of the log loss by the constants, in units of their prior's
            spread.
        misfit_features: (D, T, F), m: relative misfit of the law for an amplitude of one of each
            feature.
        weight: (D, T), of the schedules, summing to 1 over them.
        misfit: c: relative size of the law's misfit.
    """

    slope: NDArray[np.float64]
    misfit_features: NDArray[np.float64]
    weight: NDArray[np.float64]
    misfit: float

    def squared(
        self, precision: NDArray[np.float64], misfit_score: NDArray[np.float64]
    ) -> NDArray[np.float64]:
        """Mean squared relative error V of the forecast, a weighted mean over the T schedules.

        Arguments:
            precision: (D, n, n) of the constants, or (D, N, n, n) for N choices of runs.
            misfit_score: (D, n, F), or (D, N, n, F), what misfits do to the normal equations.

        Returns: (D,), or (D, N).
        """
        slope, features, weight = self.slope, self.misfit_features, self.weight
        if precision.ndim == 4:
            slope, features, weight = slope[:, None], features[:, None], weight[:, None]
        solved = np.linalg.solve(precision, np.swapaxes(slope, -1, -2))
        unknown = np.einsum("...tn,...nt->...t", slope, solved)
        # What misfits do to the fit, carried to the horizon, may cancel the misfit there: runs like
        # the forecast one are missed in the same direction, so their fit predicts it well.
        missed = features - np.swapaxes(solved, -1, -2) @ misfit_score
        systematic = self.misfit**2 * (missed**2).sum(-1)
        return ((unknown + systematic) * weight).sum(-1)


def target_schedules(horizon: int, warmup: int, low: float, high: float) -> list[Schedule]:
    """What may be wanted at the horizon: cosine, linear and WSD, peaks over the whole range."""
    peaks = np.geomspace(low, high, 9) if high > low else np.array([high])
    found = []
    for peak in peaks.tolist():
        common = {"peak": peak, "horizon": horizon, "warmup": min(warmup, horizon // 2)}
        found += [make_schedule(name, **common) for name in ("cosine", "linear")]
        found.append(make_schedule("wsd", cooldown=0.2, **common))
    return found


def forecast_error(targets: Sensitivities, misfit: float, *, fitted: bool) -> ForecastError:
    """The error to make small: that of the best target schedules at their last step.

    The `RIVALS` of lowest loss, each weighed by exp(-(log loss - lowest) / RIVALRY): the plan takes
    the best of them, and losses of schedules that no plan would take need not be known.

    Arguments:
        targets: sensitivities of the target schedules.
        misfit: relative size of the law's misfit.
        fitted: whether the last draw is a fit; it alone then says which targets are the best.
    """
    log_loss = np.log(np.maximum(targets.loss[:, :, -1], 1e-300))
    if fitted:
        log_loss = np.broadcast_to(log_loss[-1], log_loss.shape)
    best = np.argsort(log_loss, axis=1)[:, :RIVALS]
    above = np.take_along_axis(log_loss, best, 1) - log_loss.min(1, keepdims=True)
    weight = np.exp(-above / RIVALRY)
    return ForecastError(
        slope=np.take_along_axis(targets.slope[:, :, -1], best[:, :, None], 1),
        misfit_features=targets.misfit_features[best, -1],
        weight=weight / weight.sum(1, keepdims=True),
        misfit=misfit,
    )
