"""Is the solver ever beaten by a standard schedule, and how small is its gap?

    python bench/solver_baselines.py

A hundred problems: capacity 1.1 to 3, source 0.1 to 2, label noise 0.01 to 3, batch 1 to 64,
horizon 1e2 to 1e12, drawn with seed 0. Each against the best constant, power law, linear, cosine,
polynomial, WSD and inverse square root. Prints the worst ratios and gaps and, of every family, how
much of the loss its best member leaves over the optimum.
"""

from __future__ import annotations

import argparse

import numpy as np

from etastar.control import FAMILIES, solve
from etastar.model import PowerLaw


def problems(count: int) -> list[tuple[PowerLaw, int]]:
    random = np.random.default_rng(0)
    drawn = []
    for _ in range(count):
        capacity, source = random.uniform(1.1, 3.0), random.uniform(0.1, 2.0)
        noise, batch = 10 ** random.uniform(-2, 0.5), float(2 ** random.integers(0, 7))
        drawn.append((PowerLaw(capacity, source, noise, batch), int(10 ** random.uniform(2, 12))))
    return drawn


def main() -> None:
    parser = argparse.ArgumentParser(description="The optimum against every baseline.")
    parser.add_argument("--problems", type=int, default=100)
    given = parser.parse_args()
    gaps, beaten, by_standard = [], 0, 0
    over: dict[str, list[float]] = {name: [] for name in FAMILIES}
    for i, (model, horizon) in enumerate(problems(given.problems)):
        found = solve(model, horizon)
        gaps.append(found.gap)
        beaten += any(member.loss < found.loss for member in found.baselines)
        by_standard += any(member.schedule is found.schedule for member in found.baselines)
        for member in found.baselines:
            over[member.family].append(member.loss / found.loss)
        if found.gap > 1e-4:
            print(f"gap {found.gap:.1e}: {model}, horizon {horizon}")
        if (i + 1) % 20 == 0:
            print(f"{i + 1} problems", flush=True)
    print(f"\nbeaten {beaten} times; a standard schedule was returned {by_standard} times")
    print(f"gap: largest {max(gaps):.1e}, median {np.median(gaps):.1e}")
    print(f"{'family':14}{'least':>9}{'median':>9}{'most':>10}  loss over the optimum's")
    for name, ratios in over.items():
        print(f"{name:14}{min(ratios):9.4f}{np.median(ratios):9.3f}{max(ratios):10.2f}")


if __name__ == "__main__":
    main()
