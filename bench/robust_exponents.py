"""How fast does the bound grow with a base LR that is too large?

    python bench/robust_exponents.py

For each schedule and horizon: the best bound times sqrt(T) (D = G = 1), the inflation at ten times
the best base LR, and the slope of log inflation against log rho between rho = 1e3 and 1e5, beside
the exponent that the schedule's end stands for. For rates that do not vanish the slope is that
exponent minus the fall of a logarithm, until the start of the bound has reached the last updates.
"""

from __future__ import annotations

import math

import numpy as np

from etastar.robust import last_iterate
from etastar.schedule import parse_schedule

SHAPES = {
    "constant": "constant",
    "inverse sqrt": "inverse_sqrt",
    "linear": "linear",
    "cosine": "cosine",
    "quadratic": "polynomial:power=2",
    "cubic": "polynomial:power=3",
    "WSD-20%": "wsd:cooldown=0.2",
}


def main() -> None:
    print(f"{'updates':>8} {'schedule':<13} {'best':>7} {'at 10':>7} {'slope':>7} {'exponent':>9}")
    for horizon in (2 * 10**4, 10**6, 10**7, 10**12, 9 * 10**14):
        for name, spec in SHAPES.items():
            curve = last_iterate(parse_schedule(spec, horizon=horizon, peak=1.0))
            best = curve.best_bound() * math.sqrt(horizon)
            at_ten, low, high = curve.inflation([10.0, 1e3, 1e5])
            slope = float(np.log(high / low)) / math.log(100)
            print(
                f"{horizon:>8.0e} {name:<13} {best:>7.3f} {at_ten:>7.3f} {slope:>7.4f} "
                f"{curve.exponent:>9.4f}"
            )


if __name__ == "__main__":
    main()
