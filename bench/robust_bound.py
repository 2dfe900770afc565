"""Does the last-iterate bound hold? Projected SGD on random convex Lipschitz problems.

    python bench/robust_bound.py [--problems 200] [--seeds 32] [--seed 0]

Every problem has 1 to 20 parameters in a ball, a minimiser known by symmetry, a random horizon of
30 to 1000 updates, and is trained with six schedules at base LRs of 1 to 100 times the one that is
best for the bound. Prints, for each schedule, the largest ratio of the mean loss over seeds to the
bound, and how many ratios exceed 1 (none may).
"""

from __future__ import annotations

import argparse
import sys
from dataclasses import dataclass

import numpy as np

from etastar.robust import last_iterate
from etastar.schedule import parse_schedule

SHAPES = (
    "constant",
    "inverse_sqrt",
    "linear",
    "cosine",
    "polynomial:power=3",
    "wsd:cooldown=0.2",
)
KINDS = ("absolute", "hinge", "pinball", "logistic", "largest", "norm")
RHOS = 4


@dataclass(frozen=True)
class Problem:
    """A convex loss with its minimiser, its smallest value, and a bound on E|g|^2.

    Losses of the first four kinds average phi(a.(x - x*)) over rows a and -a with offsets e: the
    pair is even and convex in a.(x - x*), so that x* is a minimiser. A step draws one of them.
    `largest` is max_i |a_i.(x - x*)| and `norm` is |x - x*|, both with Gaussian gradient noise.
    """

    kind: str
    rows: np.ndarray
    offsets: np.ndarray
    minimiser: np.ndarray
    noise: float

    @property
    def gradient_square(self) -> float:
        square = np.sum(self.rows**2, axis=1)
        if self.kind == "norm":
            return 1.0 + self.noise**2 * self.rows.shape[1]
        if self.kind == "largest":
            return float(square.max()) + self.noise**2 * self.rows.shape[1]
        return float(square.mean())

    def loss(self, x: np.ndarray) -> np.ndarray:
        """The loss of points (..., d)."""
        apart = x - self.minimiser
        if self.kind == "norm":
            return np.linalg.norm(apart, axis=-1)
        z = apart @ self.rows.T
        if self.kind == "largest":
            return np.abs(z).max(axis=-1)
        both = value(self.kind, z, self.offsets) + value(self.kind, -z, self.offsets)
        return both.mean(axis=-1) / 2.0

    def gradient(self, x: np.ndarray, rng: np.random.Generator) -> np.ndarray:
        """A stochastic (sub)gradient at points (seeds, m, d); each seed draws once for all m."""
        apart = x - self.minimiser
        if self.kind in ("norm", "largest"):
            draw = self.noise * rng.standard_normal((len(x), 1, x.shape[-1]))
            if self.kind == "norm":
                return (
                    apart / np.maximum(np.linalg.norm(apart, axis=-1, keepdims=True), 1e-300) + draw
                )
            z = apart @ self.rows.T
            row = np.abs(z).argmax(axis=-1)
            sign = np.sign(np.take_along_axis(z, row[..., None], axis=-1))
            return sign * self.rows[row] + draw
        row = rng.integers(len(self.rows), size=len(x))
        sign = rng.choice((-1.0, 1.0), size=(len(x), 1))
        a = (sign * self.rows[row])[:, None, :]
        z = np.sum(apart * a, axis=-1)
        return slope(self.kind, z, self.offsets[row][:, None])[..., None] * a


def value(kind: str, z: np.ndarray, e: np.ndarray) -> np.ndarray:
    """phi of the first four kinds; all slopes lie in [-1, 1]."""
    if kind == "absolute":
        return np.abs(z - e)
    if kind == "hinge":
        return np.maximum(e - z, 0.0)
    if kind == "pinball":
        return np.where(z > e, 0.3 * (z - e), e - z)
    return np.logaddexp(0.0, e - z)


def slope(kind: str, z: np.ndarray, e: np.ndarray) -> np.ndarray:
    if kind == "absolute":
        return np.sign(z - e)
    if kind == "hinge":
        return np.where(z < e, -1.0, 0.0)
    if kind == "pinball":
        return np.where(z > e, 0.3, -1.0)
    return -1.0 / (1.0 + np.exp(np.clip(z - e, -500.0, 500.0)))


def draw_problem(rng: np.random.Generator) -> tuple[Problem, float]:
    """A problem and the radius of its ball."""
    dimension, count = int(rng.integers(1, 21)), int(rng.integers(1, 40))
    lengths = np.exp(rng.normal(0.0, rng.choice((0.0, 1.0)), (count, 1)))
    rows = lengths * rng.standard_normal((count, dimension)) / np.sqrt(dimension)
    radius = float(np.exp(rng.normal(0.0, 1.0)))
    direction = rng.standard_normal(dimension)
    minimiser = radius * rng.uniform(0.0, 0.9) * direction / np.linalg.norm(direction)
    offsets = radius * rng.normal(0.0, 0.3, count)
    noise = float(rng.choice((0.0, 0.3, 1.0)))
    return Problem(str(rng.choice(KINDS)), rows, offsets, minimiser, noise), radius


def ratios(rng: np.random.Generator, seeds: int) -> np.ndarray:
    """Mean loss over the bound for one random problem: (schedules, base LRs)."""
    problem, radius = draw_problem(rng)
    horizon = round(float(np.exp(rng.uniform(np.log(30), np.log(1000)))))
    rho = np.append(1.0, np.exp(rng.uniform(0.0, np.log(100.0), RHOS - 1)))
    distance = radius + float(np.linalg.norm(problem.minimiser))
    constants = {"distance": distance, "gradient": float(np.sqrt(problem.gradient_square))}
    rates, bounds = [], []
    for shape in SHAPES:
        schedule = parse_schedule(shape, horizon=horizon, peak=1.0)
        curve = last_iterate(schedule)
        scale = rho * curve.best_scale(**constants)
        rates.append(schedule(np.arange(horizon))[:, None] * scale)
        bounds.append(curve.bound(scale, **constants))
    losses = train(problem, radius, np.concatenate(rates, axis=1), rng, seeds)
    excess = losses.mean(axis=0) - problem.loss(problem.minimiser)
    return excess.reshape(len(SHAPES), RHOS) / np.array(bounds)


def train(
    problem: Problem, radius: float, rates: np.ndarray, rng: np.random.Generator, seeds: int
) -> np.ndarray:
    """Final losses (seeds, m) of projected SGD at m columns of `rates` (T, m)."""
    start = rng.standard_normal(len(problem.minimiser))
    # As far from the minimiser as the ball allows, in a random half of the problems.
    if rng.random() < 0.5:
        start = -problem.minimiser
    start = radius * start / np.linalg.norm(start)
    x = np.broadcast_to(start, (seeds, rates.shape[1], len(start))).copy()
    for rate in rates:
        x -= rate[:, None] * problem.gradient(x, rng)
        x /= np.maximum(np.linalg.norm(x, axis=-1, keepdims=True) / radius, 1.0)
    return problem.loss(x)


def main() -> int:
    parser = argparse.ArgumentParser(description="Test the last-iterate bound.")
    parser.add_argument("--problems", type=int, default=200)
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    found = np.array([ratios(rng, given.seeds) for _ in range(given.problems)])
    print(
        f"{given.problems} problems, {given.seeds} seeds each, rho = 1 and {RHOS - 1} of 1 to 100"
    )
    print(f"{'schedule':<20} {'median':>8} {'largest':>8} {'above 1':>8} {'of':>6}")
    for i, shape in enumerate(SHAPES):
        here = found[:, i]
        above = int(np.sum(here > 1.0))
        print(f"{shape:<20} {np.median(here):>8.3f} {here.max():>8.3f} {above:>8} {here.size:>6}")
    print("ratio of the mean final excess loss to the bound")
    return int(np.any(found > 1.0))


if __name__ == "__main__":
    sys.exit(main())
