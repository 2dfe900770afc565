"""Are optimum, lower bound and standard schedules right whatever the noise and the horizon?

    python bench/random_problems.py --problems 200

Problems drawn with seed 0: capacity 1.1 to 3, source 0.1 to 2, label noise 0 (one of ten) or 1e-3
to 1e6, batch 1 to 4096 or infinite (one of ten); of every two horizons one is 1 to 100 updates and
the other 100 to 1e12. Where every update can be free, up to 100 of them, the optimum is held
against L-BFGS over their LRs (exact recursion, adjoint slopes, from 12 random starts and from the
optimum itself), and the best constant, linear and cosine schedule against a search over 400 peaks
by the exact recursion. Prints the worst of each and every problem beyond its allowance.
"""

from __future__ import annotations

import argparse
import math

import numpy as np
from scipy.optimize import minimize

from etastar.control import Solution, solve
from etastar.control._momentum_loss import MomentumLoss
from etastar.model import PowerLaw, exact_losses, modes_of
from etastar.schedule import parse_schedule

SHORT = 100
OPTIMUM, BOUND, STANDARD = 2e-4, 0.0, 1e-3
SHAPES = ("constant", "linear", "cosine")


def problems(count: int) -> list[tuple[PowerLaw, int]]:
    random = np.random.default_rng(0)
    drawn = []
    for i in range(count):
        capacity, source = random.uniform(1.1, 3.0), random.uniform(0.1, 2.0)
        noise = 0.0 if random.random() < 0.1 else 10 ** random.uniform(-3, 6)
        batch = math.inf if random.random() < 0.1 else float(2 ** random.integers(0, 13))
        horizon = 10 ** (random.uniform(0, 2) if i % 2 else random.uniform(2, 12))
        drawn.append((PowerLaw(capacity, source, noise, batch), int(horizon)))
    return drawn


def free_search(model: PowerLaw, found: Solution) -> float:
    """The lowest loss over the LRs of every update, none above the cap."""
    horizon, cap = int(found.schedule.horizon), model.max_rate
    modes = modes_of(model.spectrum_to(horizon))
    exact = MomentumLoss.of(modes, model.noise, float(model.batch_size), SHORT)
    still = np.zeros(horizon)

    def objective(logs: np.ndarray) -> tuple[float, np.ndarray]:
        rate = cap * np.exp(logs)
        loss, by_rate, _ = exact.slopes(rate, still)
        return math.log(loss), by_rate * rate / loss

    random = np.random.default_rng(1)
    own = np.maximum(found.schedule(np.arange(horizon)) / cap, 1e-12)
    starts = [own]
    for height in np.geomspace(1e-3, 1.0, 12):
        starts.append(height * np.exp(-random.exponential(1.0, horizon)))
    ends = [
        minimize(
            objective, np.log(start), jac=True, method="L-BFGS-B", bounds=[(-30.0, 0.0)] * horizon,
            options={"maxiter": 2000, "maxcor": 30, "ftol": 1e-13, "gtol": 1e-10},
        ).fun
        for start in starts
    ]  # fmt: skip
    return math.exp(min(ends))


def best_of_peaks(model: PowerLaw, shape: str, horizon: int) -> float:
    """The lowest loss of one shape over 400 peaks, the neighbours of the best searched again."""

    def after(peak: float) -> float:
        return exact_losses(model, parse_schedule(f"{shape}:peak={peak},horizon={horizon}"))[0]

    peaks = model.max_rate * (1 - 1e-9) * np.geomspace(1e-8, 1.0, 300)
    values = [after(peak) for peak in peaks]
    at = int(np.argmin(values))
    around = peaks[max(at - 1, 0)], peaks[min(at + 1, len(peaks) - 1)]
    return min(values[at], *(after(peak) for peak in np.linspace(*around, 100)))


def main() -> None:
    parser = argparse.ArgumentParser(description="Optimum, bound and baselines of random problems.")
    parser.add_argument("--problems", type=int, default=200)
    given = parser.parse_args()
    worst = dict.fromkeys(("optimum", "bound", *SHAPES), -math.inf)
    failed = 0
    for i, (model, horizon) in enumerate(problems(given.problems)):
        found = solve(model, horizon)
        assert found.lower_bound is not None
        reached, seen = found.loss, {}
        if horizon <= SHORT:
            reached = min(reached, free_search(model, found))
            seen["optimum"] = found.loss / reached - 1, OPTIMUM
            for member in found.baselines:
                if member.family in SHAPES:
                    least = best_of_peaks(model, member.family, horizon)
                    seen[member.family] = member.loss / least - 1, STANDARD
        seen["bound"] = found.lower_bound / reached - 1, BOUND
        for name, (value, allowed) in seen.items():
            worst[name] = max(worst[name], value)
            if value > allowed:
                failed += 1
                print(f"{name} {value:.1e}: {model}, horizon {horizon}", flush=True)
        if (i + 1) % 20 == 0:
            print(f"{i + 1} problems, worst {worst}", flush=True)
    print(f"{failed} of {given.problems} problems beyond what is allowed")


if __name__ == "__main__":
    main()
