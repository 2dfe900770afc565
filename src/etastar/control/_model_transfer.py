"""How the base LR moves with the horizon, and how compute is split between width and horizon."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np
from jaxtyping import Float
from scipy.optimize import minimize_scalar

from etastar._errors import InputError
from etastar.law import Progress
from etastar.model import Model, PowerLaw, phase

from ._limits import FEWEST
from ._model_families import FAMILIES, best_member
from ._model_solver import solve
from ._model_work import Work
from ._solution import Solution

WIDTHS = "solving at each width"
_WIDTHS = 12
"""Widths that are tried: ten to fifteen, and the best once more."""


@dataclass(frozen=True)
class Transfer:
    """The best base LR of a shape at growing horizons.

    Attributes:
        family: of the shape; optimal for the optimum itself.
        horizons: numbers of updates, rising.
        peaks: the best peak LR at each, in units of 1 / eigenvalue.
        losses: the excess loss there.

    >>> found = Transfer("linear", *np.array([[100, 400], [0.2, 0.1], [0.3, 0.1]]))
    >>> found.xi, found.peak_at(1600)  # half the peak at four times the horizon
    (0.5, 0.05)
    """

    family: str
    horizons: Float[np.ndarray, " n"]
    peaks: Float[np.ndarray, " n"]
    losses: Float[np.ndarray, " n"]

    @property
    def xi(self) -> float:
        """The peak falls as horizon^-xi, by its slope between the last two horizons."""
        return -_slope(self.horizons, self.peaks)

    @property
    def loss_exponent(self) -> float:
        """The loss falls as horizon^-loss_exponent, by its slope between the last two horizons."""
        return -_slope(self.horizons, self.losses)

    def peak_at(self, horizon: float) -> float:
        """The peak at any `horizon`: log-linear between those known, and as horizon^-xi beyond."""
        if horizon >= self.horizons[-1]:
            return float(self.peaks[-1] * (horizon / self.horizons[-1]) ** -self.xi)
        logs = np.interp(np.log(horizon), np.log(self.horizons), np.log(self.peaks))
        return float(np.exp(logs))


def transfer(
    model: Model,
    family: str,
    horizons: Sequence[int],
    *,
    progress: Progress | None = None,
    **keys: float | str,
) -> Transfer:
    """The best base LR of a standard family, or of the optimum, at each of some horizons.

    Arguments:
        model: a PowerLaw or a LinearModel.
        family: optimal, or a family of `best_member`.
        horizons: numbers of updates, rising, two at least.
        progress: is told of each horizon, in a stage with the name of the family.
        keys: keys of the family's spec to hold fixed, as of `best_member`.

    Returns: a `Transfer`.
    Raises: InputError for an unknown family or horizons that do not rise.
    Source: arXiv 2602.04774: xi = (s - 1 + 1/a) / (s + 1/a) for shapes that decay fast enough in
    the easy phase, 0 in the hard one, s / (1 + s) for a constant LR.

    >>> from etastar.model import PowerLaw
    >>> found = transfer(PowerLaw(1.5, 1.0, 0.25, 8), "constant", [10**6, 10**7])
    >>> abs(found.xi - 0.5) < 0.01, bool(found.peak_at(10**8) < found.peaks[-1])
    (True, True)
    """
    steps = np.array(horizons, dtype=np.float64)
    if len(steps) < 2 or np.any(np.diff(steps) <= 0):
        raise InputError(f"horizons must be two or more rising numbers, got {list(horizons)!r}")
    if family not in ("optimal", *FAMILIES):
        raise InputError(
            f"family {family!r} is unknown: choose from optimal, {', '.join(FAMILIES)}"
        )
    peaks, losses = [], []
    for done, horizon in enumerate(horizons):
        if progress is not None:
            progress(family, done, len(horizons))
        if family == "optimal":
            found = solve(model, int(horizon), compare=False)
        else:
            found = best_member(model, family, int(horizon), **keys)  # type: ignore[arg-type]
        peaks.append(found.schedule.peak)
        losses.append(found.loss)
    if progress is not None:
        progress(family, len(horizons), len(horizons))
    return Transfer(family, steps, np.array(peaks), np.array(losses))


@dataclass(frozen=True)
class Allocation:
    """How a compute budget is best spent.

    Attributes:
        width: number of features.
        horizon: number of updates.
        solution: the optimal LR there, with its loss.
    """

    width: int
    horizon: int
    solution: Solution

    @property
    def loss(self) -> float:
        """The excess loss there."""
        return self.solution.loss


def compute_optimal(
    model: PowerLaw, compute: float, *, progress: Progress | None = None
) -> Allocation:
    """The width and the horizon with the lowest loss for a compute budget, at the optimal LR.

    Compute is width * horizon * batch size, a multiply-add for every feature of every sample.
    Narrow models stop at a floor ~ N^-(a s); wide ones take few updates. Where both losses balance

        easy  N ~ C^(1 / (a s + 2)),   loss C^-(a s / (a s + 2))
        hard  N ~ C^(1 / (a + 1)),     loss C^-(a s / (a + 1))

    Arguments:
        model: a PowerLaw, whose width is ignored.
        compute: the budget, in multiply-adds.
        progress: is told of each width that is tried, of about ten, in the stage "solving at each
            width".

    Returns: an `Allocation`.
    Raises: InputError for a budget too small for a few updates of a few features.
    Source: derived from the exponents of `phase` and the floor zeta(a s + 1, N + 1); for a constant
    LR such rules are in arXiv 2602.04774, section 2.

    >>> from etastar.model import PowerLaw
    >>> best = compute_optimal(PowerLaw(1.5, 0.5, 0.25, 8), 1e9)
    >>> 0.99 < best.width * best.horizon * 8 / 1e9 < 1.01
    True
    """
    if not (isinstance(compute, int | float) and math.isfinite(compute)):
        raise InputError(f"compute must be a finite number of multiply-adds, got {compute!r}")
    updates = compute / model.batch_size
    if updates < 100 * FEWEST:
        raise InputError(
            f"compute {compute:g} allows only {updates:g} updates of one feature: raise it above "
            f"{100 * FEWEST * model.batch_size:g}"
        )

    work = Work(progress, [1.0] * _WIDTHS, WIDTHS)

    def at(log_width: float) -> tuple[int, int, Solution]:
        width = max(1, round(math.exp(log_width)))
        horizon = max(FEWEST, round(updates / width))
        solution = solve(replace(model, width=width), horizon, compare=False)
        work.end()
        return width, horizon, solution

    exponents = phase(model.capacity, model.source, model.noise > 0)
    # Floor and loss balance at N^-(a s) = T^-(loss exponent), with T = updates / N.
    power = exponents.loss_exponent / (model.capacity * model.source)
    guess = math.log(updates) * power / (1.0 + power)
    low, high = max(guess - 3.0, 0.0), min(guess + 3.0, math.log(updates / FEWEST))
    best = minimize_scalar(
        lambda log_width: math.log(at(log_width)[2].loss),
        bounds=(low, high),
        method="bounded",
        options={"xatol": 0.01},
    )
    return Allocation(*at(float(best.x)))  # type: ignore[attr-defined]


def _slope(x: Float[np.ndarray, " n"], y: Float[np.ndarray, " n"]) -> float:
    return float(np.log(y[-1] / y[-2]) / np.log(x[-1] / x[-2]))
