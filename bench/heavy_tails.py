"""What do features with heavier tails than Gaussian ones do to the best LR schedule?

    python bench/heavy_tails.py [--horizons 1e3,1e5]

The solvable model with capacity 1.5, source 1 (easy phase) and 0.2 (hard phase), label noise 0.25,
batch 1 and 8. The features have kurtosis 3, 9 or 20, and a scale moment of 1 or 2 (`Spectrum` says
what these are). A row is one task. It has the cap, the largest LR of which the model knows that it
is stable, over that of Gaussian features; and at each horizon, in this order,

    loss      the final loss of the best schedule over that with Gaussian features;
    peak      its peak LR over theirs;
    annealed  the part of the run after the last update with at least half of the peak LR;
    theirs    the loss that the best schedule for Gaussian features has on these features, over the
              best loss there. `diverges` where it is above the loss before the first update.

All losses are by the exact recursion. Prints the rows of the table of docs/controls.md.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from typing import NamedTuple

import numpy as np

from etastar.control import solve
from etastar.model import PowerLaw, exact_losses
from etastar.schedule import InputError, Schedule

CAPACITY, NOISE = 1.5, 0.25
SOURCES = {"easy": 1.0, "hard": 0.2}
BATCHES = (1, 8)
KURTOSES = (3.0, 9.0, 20.0)
SCALE_MOMENTS = (1.0, 2.0)


class Best(NamedTuple):
    """The best schedule of a task, and its exact final loss."""

    schedule: Schedule
    loss: float


def best(model: PowerLaw, horizon: int) -> Best:
    schedule = solve(model, horizon, compare=False).schedule
    return Best(schedule, float(exact_losses(model, schedule)[0]))


def annealed(schedule: Schedule) -> float:
    """The part of the run after the last update with at least half of the peak LR."""
    rates = schedule(np.arange(schedule.horizon, dtype=float))
    last = int(np.flatnonzero(rates >= 0.5 * schedule.peak)[-1])
    return 1.0 - (last + 1) / schedule.horizon


def elsewhere(model: PowerLaw, schedule: Schedule) -> float:
    """The final loss of a schedule made for other features; infinite where it diverges."""
    try:
        before, after = exact_losses(model, schedule, [0, schedule.horizon])
    except InputError:
        return np.inf
    return float(after) if after < before else np.inf


def cells(model: PowerLaw, gaussian: PowerLaw, horizon: int) -> Iterator[str]:
    """The four columns of a task at one horizon."""
    own, theirs = best(model, horizon), best(gaussian, horizon)
    ratio = elsewhere(model, theirs.schedule) / own.loss
    yield f"{own.loss / theirs.loss:.3f}"
    yield f"{own.schedule.peak / theirs.schedule.peak:.2f}"
    yield f"{annealed(own.schedule):.3f}"
    yield f"{ratio:.3f}" if np.isfinite(ratio) else "diverges"


def rows(horizons: list[int]) -> Iterator[list[str]]:
    """One row of the table for each task."""
    for phase, source in SOURCES.items():
        for batch in BATCHES:
            gaussian = PowerLaw(CAPACITY, source, NOISE, batch)
            for scale_moment in SCALE_MOMENTS:
                for kurtosis in KURTOSES:
                    model = PowerLaw(
                        CAPACITY,
                        source,
                        NOISE,
                        batch,
                        kurtosis=kurtosis,
                        scale_moment=scale_moment,
                    )
                    row = [phase, f"{batch}", f"{kurtosis:g}", f"{scale_moment:g}"]
                    row.append(f"{model.max_rate / gaussian.max_rate:.3f}")
                    found = [cells(model, gaussian, horizon) for horizon in horizons]
                    row.extend(", ".join(column) for column in zip(*found, strict=True))
                    yield row


def main() -> None:
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--horizons", default="1e3,1e5", help="numbers of updates")
    horizons = [int(float(each)) for each in parser.parse_args().horizons.split(",")]
    head = ["phase", "$B$", "$k$", "$q$", "cap", "loss", "peak", "annealed", "theirs"]
    print("| " + " | ".join(head) + " |")
    print("| " + " | ".join("---" for _ in head) + " |")
    for row in rows(horizons):
        print("| " + " | ".join(row) + " |", flush=True)


if __name__ == "__main__":
    main()
