"""The least squares behind a fit: variable projection from many starts, then a polish."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from scipy.optimize import OptimizeResult, least_squares, nnls

from ._forms import FLOOR_PRIOR, Form
from ._points import Arrays

SCALE = 2e-3
"""Relative residual at which the robust loss turns from squared to linear, or the misfit of the
runs' ends where that is larger."""

POLISHED = 3


@dataclass(frozen=True)
class LeastSquares:
    """Evaluates residuals; keeps the last evaluation, which value and slope both ask for.

    `shift` (n + 1,) moves the centre of the prior of theta and of the floor, in units of its width.
    """

    arrays: Arrays
    cache: dict
    form: Form
    noise: float
    shift: np.ndarray | None = None

    def terms(self, theta: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        key = theta.tobytes()
        if self.cache.get("key") != key:
            value, slope = self.arrays.points.columns_and_slopes(self.form, theta)
            self.cache.update(key=key, value=value, slope=slope)
        return self.cache["value"], self.cache["slope"]

    @property
    def run(self) -> np.ndarray:
        """Which run each point is of."""
        return self.arrays.points.run

    @property
    def step(self) -> np.ndarray:
        return self.arrays.step

    @property
    def weight(self) -> np.ndarray:
        return self.arrays.weight

    @property
    def loss(self) -> np.ndarray:
        return self.arrays.loss

    @property
    def floor_row(self) -> np.ndarray:
        """The prior of the floor as one more row: its slope by the linear constants, its target."""
        row = np.zeros(len(self.form.linear) + 1)
        row[0] = self.noise / (FLOOR_PRIOR.spread * self.loss.min())
        row[-1] = self.noise * (FLOOR_PRIOR.mean / FLOOR_PRIOR.spread + self._shift[-1])
        return row

    def prior(self, theta: np.ndarray) -> np.ndarray:
        """Residuals of the prior of theta."""
        form = self.form
        return self.noise * ((theta - form.mean) / form.spread - self._shift[:-1])

    @property
    def _shift(self) -> np.ndarray:
        return np.zeros(self.form.size + 1) if self.shift is None else self.shift

    def ratio(self, constants: np.ndarray) -> np.ndarray:
        """Predicted over measured loss, less 1, at every point."""
        value, _ = self.terms(constants[: self.form.size])
        return value @ constants[self.form.size :] / self.loss - 1.0

    def projected(self, theta: np.ndarray):
        """Residual with the prior's, slope by theta, and linear constants, these eliminated.

        Variable projection (Golub and Pereyra 1973) with Kaufman's slope; the linear constants are
        non-negative, so the projection is on the columns of the positive ones.
        """
        value, slope = self.terms(theta)
        scale = (self.weight / self.loss)[:, None]
        design, target = self._weighed(value)
        linear, _ = nnls(design, target)
        basis, _ = np.linalg.qr(design[:, linear > 0])
        direct = (slope * linear[:, None]).sum(1) * scale
        direct = np.concatenate([direct, np.zeros((1, len(theta)))])
        residual = np.append(design @ linear - target, self.prior(theta))
        slope = np.concatenate(
            [direct - basis @ (basis.T @ direct), np.diag(self.noise / self.form.spread)]
        )
        return residual, slope, linear

    def _weighed(self, value: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Columns and target of the least squares for the linear constants."""
        row = self.floor_row
        scale = (self.weight / self.loss)[:, None]
        return np.concatenate([value * scale, row[None, :-1]]), np.append(self.weight, row[-1])

    def starts(self) -> np.ndarray:
        """The most promising starts of a search, the best first: theta (POLISHED, n).

        Those with the least sum of squares of `projected` among many.
        """
        thetas = _starts(self.form)
        values = self.arrays.points.columns(self.form, thetas)
        norms = [nnls(*self._weighed(value))[1] for value in values]
        cost = np.square(norms) + [float(np.sum(self.prior(theta) ** 2)) for theta in thetas]
        return thetas[np.argsort(cost)[:POLISHED]]

    def joint(self, constants: np.ndarray):
        """Robust residual and slope by all constants (theta, linear)."""
        theta, linear = constants[: self.form.size], constants[self.form.size :]
        value, slope = self.terms(theta)
        ratio = value @ linear / self.loss - 1.0
        residual, gain = _robust(ratio, max(SCALE, self.noise))
        direct = np.concatenate([(slope * linear[:, None]).sum(1), value], 1) / self.loss[:, None]
        return self.weight * residual, (self.weight * gain)[:, None] * direct

    def whole(self, constants: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
        """Robust residual with the prior's, and its slope by all constants."""
        n, row = self.form.size, self.floor_row
        residual, slope = self.joint(constants)
        prior = np.zeros((n + 1, len(constants)))
        prior[:n, :n] = np.diag(self.noise / self.form.spread)
        prior[n, n:] = row[:-1]
        of_prior = np.append(self.prior(constants[:n]), row[:-1] @ constants[n:] - row[-1])
        return np.concatenate([residual, of_prior]), np.concatenate([slope, prior])

    @property
    def bounds(self) -> tuple[np.ndarray, np.ndarray]:
        """The least and the largest value of every constant."""
        k = len(self.form.linear)
        return np.append(self.form.lower, np.zeros(k)), np.append(self.form.upper, [np.inf] * k)


def _robust(ratio: np.ndarray, scale: float) -> tuple[np.ndarray, np.ndarray]:
    """Signed square root of the soft-L1 loss 2 c^2 (sqrt(1 + (r/c)^2) - 1), and its slope."""
    root = np.sqrt(1.0 + (ratio / scale) ** 2)
    value = ratio * np.sqrt(2.0 / (1.0 + root))
    return value, np.sqrt((1.0 + root) / 2.0) / root


def _starts(form: Form) -> np.ndarray:
    """The prior's mean, a third of the points around it, the others anywhere in the bounds."""
    if form.size == 0:
        return np.zeros((1, 0))
    near = form.starts // 3
    cube = _spread_out(form.starts - near, form.size)
    wide = form.lower + (0.05 + 0.9 * cube) * (form.upper - form.lower)
    cube = _spread_out(near, form.size)
    close = form.mean + (2 * cube - 1) * form.spread
    close = np.clip(close, form.lower + 0.01, form.upper - 0.01)
    return np.concatenate([form.mean[None], close, wide])


def _spread_out(count: int, size: int) -> np.ndarray:
    """Points that fill the unit cube evenly, (count, size).

    Multiples of powers of 1/g, modulo 1, with g the root of g^(size + 1) = g + 1 above 1.
    Source: Roberts, "The unreasonable effectiveness of quasirandom sequences" (2018).
    """
    root = 2.0
    for _ in range(40):
        root = (1 + root) ** (1 / (size + 1))
    return (0.5 + np.outer(np.arange(1, count + 1), root ** -np.arange(1.0, size + 1))) % 1.0


def _project_from(problem: LeastSquares, theta: np.ndarray):
    form = problem.form
    return least_squares(
        lambda th: problem.projected(th)[0],
        theta,
        jac=lambda th: problem.projected(th)[1],  # type: ignore[arg-type]
        bounds=(form.lower, form.upper),
        x_scale=form.spread,
        ftol=1e-4,
        max_nfev=40,
    )


def polish(problem: LeastSquares, constants: np.ndarray, tolerance: float = 1e-6) -> OptimizeResult:
    """The least robust sum of squares from some constants on.

    The linear constants, in the unit of the losses, are sought as parts of the median loss, so that
    the unit does not matter.
    """
    form = problem.form
    lower, upper = problem.bounds
    unit = np.append(np.ones(form.size), np.full(len(form.linear), float(np.median(problem.loss))))
    start = constants / unit
    scale = np.append(form.spread, np.maximum(np.abs(start[form.size :]), 1e-3))
    found = least_squares(
        lambda x: problem.whole(x * unit)[0],
        np.clip(start, lower + 1e-9, upper),
        jac=lambda x: problem.whole(x * unit)[1] * unit,  # type: ignore[arg-type]
        bounds=(lower, upper),
        x_scale=scale,
        ftol=tolerance,
        max_nfev=60,
    )
    found.x = found.x * unit
    return found


def best_fit(problem: LeastSquares, starts: np.ndarray) -> OptimizeResult:
    """The best of what is reached from some starts (K, n), all constants polished."""
    if problem.form.size == 0:
        return polish(problem, problem.projected(starts[0])[2])
    found = [_project_from(problem, start) for start in starts]
    best = min(found, key=lambda each: each.cost)
    return polish(problem, np.concatenate([best.x, problem.projected(best.x)[2]]))
