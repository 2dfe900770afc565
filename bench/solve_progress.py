"""What does each part of a solve cost, and how good is the estimate of what is left?

    python bench/solve_progress.py [--horizon STEPS]

First table: milliseconds of the best member of each standard family, of the optimal LR, and of an
evaluation of the losses that momentum and velocity are optimised with, all without compilation; the
costs in `etastar.control._model_work` and the weights of `etastar transfer` are from here. Second:
for each kind of solve, at the horizon, what a command would say is left when 2%, 10% and 50% of the
expected cost are behind it, beside what was left, in seconds.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from typing import Any

import numpy as np

from etastar._compiling import running_seconds
from etastar.cli._stages import Stages
from etastar.control import FAMILIES, best_member, solve
from etastar.control._momentum_loss import MomentumLoss
from etastar.model import PowerLaw, Segments, VelocityLoss, modes_of

MODEL = PowerLaw(1.5, 0.5, 1.0, 8)
PARTS = (0.02, 0.1, 0.5)


def milliseconds(work: Callable[[], Any]) -> float:
    """Of the faster of two runs after the first, which compiles."""
    took = []
    for _ in range(3):
        began = running_seconds()
        work()
        took.append(running_seconds() - began)
    return 1e3 * min(took[1:])


def costs() -> None:
    print(f"{'part':24}{'ms':>9}")
    for name in FAMILIES:
        print(f"{name:24}{milliseconds(lambda name=name: best_member(MODEL, name, 10**4)):9.0f}")
    print(f"{'optimal LR':24}{milliseconds(lambda: solve(MODEL, 10**4, compare=False)):9.0f}")
    modes = modes_of(MODEL.spectrum_to(10**6))
    exact = MomentumLoss.of(modes, 1.0, 8.0, 16384)
    for count in (256, 2048, 16384):
        rate, momentum = np.full(count, 0.01), np.full(count, 0.5)
        taken = milliseconds(lambda rate=rate, momentum=momentum: exact.slopes(rate, momentum))
        print(f"{f'momentum, {count} updates':24}{taken:9.2f}")
    for horizon in (10**4, 10**8):
        segments = Segments.of(horizon, 0.5)
        count = len(segments.middle)
        rows = np.full(count, 0.01), np.full(count, 0.001), np.full(count, 0.5)
        losses = VelocityLoss(exact.modes, 1.0, 8.0, segments)
        taken = milliseconds(lambda losses=losses, rows=rows: losses.slopes(*rows))
        print(f"{f'velocity, {count} segments':24}{taken:9.2f}")


def estimates(name: str, options: dict[str, Any]) -> None:
    """One row: what was said to be left, and what was."""
    stages = Stages({"solving": 1.0}, running_seconds)
    said: list[tuple[float, float]] = []

    def progress(stage: str, done: int, total: int, /) -> None:
        stages(stage, done, total)
        if len(said) < len(PARTS) and done >= PARTS[len(said)] * total:
            said.append((running_seconds(), stages.left() or 0.0))

    solve(MODEL, **options, progress=progress)
    end = running_seconds()
    cells = "".join(f"{left:10.1f} of {end - at:6.1f}" for at, left in said)
    print(f"{name:24}{cells}")


def main() -> None:
    parser = argparse.ArgumentParser(description="The cost of the parts of a solve.")
    parser.add_argument("--horizon", type=int, default=10_000)
    horizon = parser.parse_args().horizon
    costs()
    print(f"\n{'said to be left, of':24}" + "".join(f"{f'at {part:.0%}':>20}" for part in PARTS))
    for controls in ("lr", "lr,momentum", "lr,velocity,momentum"):
        estimates(controls, {"horizon": horizon, "controls": controls})
    estimates("lr,batch, samples", {"samples": 8.0 * horizon, "controls": "lr,batch"})
    timed = {"seconds": float(horizon), "step_time": (1.0, 0.01)}
    estimates("lr,batch, seconds", {**timed, "controls": "lr,batch"})


if __name__ == "__main__":
    main()
