"""The optimal LR in closed form, where noise adds up and is forgotten by a kernel."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy.interpolate import CubicSpline
from scipy.optimize import brentq, minimize_scalar

Array = NDArray[np.float64]


@dataclass(frozen=True)
class ClosedForm:
    """Rates against the intrinsic time u still to go, eta(u) = min(cap, (nu / kernel(u))^(1/p)).

    Minimises int eta^(p-1) kernel du, the noise left at the end, at a fixed number of updates
    int du / eta and a fixed intrinsic time: there it is convex in eta(u), and the closed form is
    its pointwise stationarity, nu the multiplier of the updates.

    Arguments:
        to_go: (n,) intrinsic times u, rising from 0.
        weight: (n,) of a quadrature over them.
        kernel: (n,) above 0, what is left of the noise of an update made u before the end.
        cap: largest rate.
        power: p of the noise eta^p.

    Source: arXiv 2602.04774, for p = 2.

    >>> u, weight = both_ends(1e3, 1e-3)
    >>> form = ClosedForm(u, weight, (1 + u) ** -1.5, cap=1.0)
    >>> rate = form.at(form.last_rate(2000.0))
    >>> bool(np.all(np.diff(rate) >= 0)), float(rate[-1]), round(float(weight @ (1 / rate)), 6)
    (True, 1.0, 2000.0)
    """

    to_go: Array
    weight: Array
    kernel: Array
    cap: float
    power: float = 2.0

    def __post_init__(self) -> None:
        shape = (self.kernel[0] / self.kernel) ** (1.0 / self.power)
        object.__setattr__(self, "_shape", shape)

    _shape: Array = field(init=False, repr=False)

    def at(self, last: float) -> Array:
        """Rates at every u, for the rate `last` of the last update."""
        return np.minimum(last * self._shape, self.cap)

    def last_rate(self, steps: float) -> float:
        """The last rate at which the whole of `to_go` takes a number of steps; the cap at most."""

        def excess(log_last: float) -> float:
            return float(np.log(self.weight @ (1.0 / self.at(np.exp(log_last))) / steps))

        top = np.log(self.cap)
        if excess(top) >= 0:
            return self.cap
        low = top - 5.0
        while excess(low) < 0:
            low -= 10.0
        return float(np.exp(brentq(excess, low, top, xtol=1e-10)))  # type: ignore[arg-type]

    def steps_to_go(self, rate: Array) -> Array:
        """Updates still to go at every u."""
        each = 1.0 / rate
        return np.append(0.0, np.cumsum(np.diff(self.to_go) * (each[1:] + each[:-1]) / 2))


class Relaxed(NamedTuple):
    """The optimum of the loss without feedback: its value, and its rate as a function of step."""

    loss: float
    rate: Callable[[Array], Array]


def relaxed(
    bias: Callable[[Array], Array],
    kernel: Callable[[Array], Array],
    noise: Callable[[Array], Array],
    steps: float,
    cap: float,
    eigenvalue: float,
) -> Relaxed:
    """Minimise bias(tau) + int eta(u) kernel(u) noise(tau - u) du over tau and eta(u).

    At a given intrinsic time tau the noise is convex in eta(u) and the closed form is exact; tau
    follows by a scalar minimisation. With `noise` no larger than the one that acts, for instance
    the label noise and the loss of gradient flow, and a `bias` and a `kernel` that fall no slower
    than the modes do, the result is a lower bound of the loss: all three fall, so that the sum over
    updates is at least the integral.

    Arguments: functions of intrinsic time; the number of updates; the largest LR.
    Source: section 2 of arXiv 2602.04774; the bound is weak duality at every tau.
    """
    longest = cap * steps
    bias, kernel, noise = (_tabulated(each, longest, eigenvalue) for each in (bias, kernel, noise))

    def form(log_time: float) -> tuple[float, ClosedForm, float]:
        time = np.exp(log_time)
        to_go, weight = both_ends(time, min(0.01 / eigenvalue, 1e-3 * time))
        left = kernel(to_go) * noise(time - to_go)
        closed = ClosedForm(to_go, weight, left, cap)
        last = closed.last_rate(steps)
        return float(bias(time) + weight @ (closed.at(last) * left)), closed, last

    top = float(np.log(longest))
    # A run goes as far as the fastest mode takes, or where noise is loud as far as one constant LR
    # would while the loss falls as at the start: the optimum lies above a part of that.
    far = 1.0 / eigenvalue
    first = 1e-3 / eigenvalue
    fall = float(bias(np.zeros(1))[0] - bias(np.full(1, first))[0]) / first
    loud = float(kernel(np.zeros(1))[0] * noise(np.zeros(1))[0])
    if loud > 0 and fall > 0:
        far = min(far, fall * steps / (2 * loud))
    bottom = min(top - 0.9 * max(np.log(steps), 1.0), float(np.log(far)) - 3.0)
    grid = np.linspace(bottom, top, max(17, int(np.ceil((top - bottom) / 1.5)) + 1))
    values = [form(point)[0] for point in grid]
    i = int(np.argmin(values))
    around = (grid[max(i - 1, 0)], grid[min(i + 1, len(grid) - 1)])
    best = minimize_scalar(
        lambda point: np.log(form(point)[0]),
        bounds=around,
        method="bounded",
        options={"xatol": 1e-4},
    )
    found = float(best.x)  # type: ignore[attr-defined]
    loss, closed, last = min((form(x) for x in (found, float(grid[i]))), key=lambda f: f[0])
    rate = closed.at(last)
    left = closed.steps_to_go(rate)
    return Relaxed(loss, lambda step: np.interp(left[-1] * (1 - step / steps), left, rate))


def both_ends(length: float, shortest: float, half: int = 256) -> tuple[Array, Array]:
    """Points from 0 to `length`, geometric from both ends, and the weights of Simpson's rule."""
    growth = np.log1p(0.5 * length / shortest)
    part = growth * np.linspace(0.0, 1.0, half + 1)
    near = shortest * np.expm1(part)
    simpson = np.full(half + 1, 2.0)
    simpson[1::2], simpson[[0, -1]] = 4.0, 1.0
    weight = simpson * (growth / half / 3.0) * shortest * np.exp(part)
    points = np.append(near, length - near[-2::-1])
    weights = np.append(weight, weight[-2::-1])
    weights[half] *= 2.0
    return points, weights


def _tabulated(function: Callable[[Array], Array], longest: float, eigenvalue: float):
    """The function by a cubic spline of its logarithm: a sum over modes costs much more."""
    unit = 0.1 / eigenvalue
    place = np.linspace(0.0, np.log1p(longest / unit), 400)
    values = np.log(np.maximum(function(unit * np.expm1(place)), 1e-300))
    spline = CubicSpline(place, values)
    return lambda time: np.exp(spline(np.log1p(np.maximum(time, 0.0) / unit)))
