"""How much lower is the loss where single LRs may exceed the largest stable one, and at what risk?

    python bench/transient_cap.py --longest 1000

The first table has the final loss of `solve` below the cap and with cap="transient", their ratio,
the gap, the highest LR over the cap, and the seconds of the second solve. The second table runs
both schedules on features other than those that they were made for, through the exact recursion:
tails heavier than a Gaussian's, another capacity exponent, LRs that are all too high, and
eigenvalues each off by a random factor, of that standard deviation in the logarithm. A cell has the
losses of the transient and of the capped schedule over that of the best capped one for
those features. `diverges`: the loss ends above its start.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np

from etastar.control import Solution, solve
from etastar.model import LinearModel, Model, PowerLaw, exact_losses
from etastar.schedule import InputError, Schedule

HARD, QUIET, EASY = (1.5, 0.2, 0.25), (2.0, 0.25, 0.0), (1.5, 1.0, 0.25)
RUNS = (
    (HARD, 8, 1000),
    (HARD, 8, 10_000),
    (HARD, 64, 250),
    (HARD, 64, 1000),
    (HARD, 64, 10_000),
    (HARD, 64, 100_000),
    (HARD, 512, 1000),
    (HARD, 512, 10_000),
    (QUIET, 8, 500),
    (EASY, 8, 1000),
)
"""Capacity, source and label noise; batch size; horizon."""

CHANGES = (
    "kurtosis 4",
    "kurtosis 6",
    "a - 0.05",
    "a + 0.05",
    "LR + 1%",
    "LR + 5%",
    "spectrum 5%",
    "spectrum 20%",
)


def changed(model: PowerLaw, change: str, horizon: int) -> Model:
    """The model with other features than the schedule was made for."""
    name, *number = change.split()
    if name == "kurtosis":
        return replace(model, kurtosis=float(number[0]))
    if name == "a":
        return replace(model, capacity=model.capacity + float("".join(number)))
    if name == "spectrum":
        spectrum = model.spectrum_to(horizon * model.batch_size)
        random = np.random.default_rng(0).standard_normal(len(spectrum.eigenvalue))
        moved = spectrum.eigenvalue * np.exp(float(number[0].rstrip("%")) / 100 * random)
        # The largest one, and with it the stable LR, stays: its error is that of the LR.
        moved[0] = spectrum.eigenvalue[0]
        return LinearModel(replace(spectrum, eigenvalue=moved), model.noise, model.batch_size)
    return model


def after(model: PowerLaw, schedule: Schedule, change: str) -> float:
    """The final loss on the changed features; infinite where it ends above its start."""
    if change.startswith("LR"):
        factor = 1.0 + float(change.split()[-1].rstrip("%")) / 100
        schedule = schedule.scaled(peak=factor * schedule.peak)
    features = changed(model, change, schedule.horizon)
    try:
        first, last = exact_losses(features, schedule, [0, schedule.horizon])
    except InputError:  # the loss overflows
        return np.inf
    return float(last) if last < first else np.inf


def name_of(task: tuple[float, float, float], batch: int, horizon: int) -> str:
    capacity, source, noise = task
    return f"a={capacity:g} s={source:g} noise={noise:g} B={batch} T={horizon}"


def measure(longest: int) -> dict[str, tuple[PowerLaw, Solution, Solution]]:
    found = {}
    print(
        f"{'task':38}{'capped':>11}{'transient':>11}{'ratio':>8}{'gap':>9}{'peak/cap':>10}{'s':>7}"
    )
    for task, batch, horizon in RUNS:
        if horizon > longest:
            continue
        model = PowerLaw(*task, batch_size=batch)
        capped = solve(model, horizon, compare=False)
        free = solve(model, horizon, cap="transient", compare=False)
        name = name_of(task, batch, horizon)
        print(
            f"{name:38}{capped.loss:11.5g}{free.loss:11.5g}{capped.loss / free.loss:8.4f}"
            f"{free.gap:9.1e}{free.schedule.peak / model.max_rate:10.3g}{free.seconds:7.0f}",
            flush=True,
        )
        found[name] = model, capped, free
    return found


def risk(found: dict[str, tuple[PowerLaw, Solution, Solution]]) -> None:
    print(f"\n{'task':38}" + "".join(f"{change:>20}" for change in CHANGES))
    for name, (model, capped, free) in found.items():
        cells = []
        for change in CHANGES:
            horizon = capped.schedule.horizon
            least = solve(changed(model, change, horizon), horizon, compare=False).loss
            pair = (after(model, each.schedule, change) / least for each in (free, capped))
            cells.append(", ".join("diverges" if np.isinf(x) else f"{x:.3f}" for x in pair))
        print(f"{name:38}" + "".join(f"{cell:>20}" for cell in cells), flush=True)


def main() -> None:
    parser = argparse.ArgumentParser(description="LRs above the largest stable one.")
    parser.add_argument("--longest", type=int, default=10_000, help="largest horizon")
    risk(measure(parser.parse_args().longest))


if __name__ == "__main__":
    main()
