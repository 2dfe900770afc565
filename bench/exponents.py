"""Are the exponents of a task found again from logs of eight pilots?

    python bench/exponents.py [TASKS] [--seed N]

Logs are losses of the exact model (`etastar.model.loss`) plus the label noise, with measurement
noise of 0.1% a point. Tasks: capacity from 1.2 to 2.2, source from 0.1 to 1.1, label noise from
0.1 to 0.5, batch 2 to 8; eight pilots of 4,000 to 8,000 steps (cosine, WSD, constant, two-stage;
peaks from 1/20 to 0.4 of the largest stable LR), one point every 20 steps. Counts how often the
phase is named right, wrong, or left undetermined, against the distance s - (1 - 1/a) from the
boundary, and prints the errors of both exponents.
"""

from __future__ import annotations

import argparse

import numpy as np

from etastar.law import exponents
from etastar.model import PowerLaw, loss
from etastar.runs import Run
from etastar.schedule import parse_schedule

SHAPES = (
    (1, "cosine:peak={},horizon=8000,warmup=50"),
    (4, "cosine:peak={},horizon=4000,warmup=50"),
    (2, "wsd:peak={},horizon=8000,warmup=50,cooldown=0.2"),
    (1, "wsd:peak={},horizon=4000,warmup=50,cooldown=0.4"),
    (2, "constant:peak={},horizon=8000,warmup=50"),
    (8, "constant:peak={},horizon=4000,warmup=50"),
    (1, "step:peak={},horizon=8000,warmup=50,at=3000,factor=0.1"),
    (2, "step:peak={},horizon=6000,warmup=50,at=2000,factor=0.3"),
)
EVERY = 20
JITTER = 1e-3


def pilots(model: PowerLaw, rng: np.random.Generator) -> list[Run]:
    """Eight logs of a task, peaks halved from 0.4 of the largest stable LR."""
    runs = []
    for part, shape in SHAPES:
        schedule = parse_schedule(shape.format(float(f"{0.4 * model.max_rate / part:.3g}")))
        step = np.arange(EVERY, schedule.horizon + 1, EVERY, dtype=float)
        clean = loss(model, schedule, at=step) + model.noise
        jitter = np.exp(JITTER * rng.standard_normal(len(step)))
        runs.append(Run(schedule.spec, step, clean * jitter, schedule))
    return runs


def main() -> None:
    parser = argparse.ArgumentParser(description="Recover exponents from simulated logs.")
    parser.add_argument("tasks", nargs="?", type=int, default=100)
    parser.add_argument("--seed", type=int, default=0)
    given = parser.parse_args()
    rng = np.random.default_rng(given.seed)
    rows = []
    print(f"{'a':>5} {'s':>5} {'distance':>8} {'named':>12} {'s found':>8} {'a found':>8}  law")
    for _ in range(given.tasks):
        model = PowerLaw(
            capacity=round(rng.uniform(1.2, 2.2), 2),
            source=round(rng.uniform(0.1, 1.1), 2),
            noise=round(rng.uniform(0.1, 0.5), 2),
            batch_size=int(rng.integers(2, 9)),
        )
        distance = model.source - (1 - 1 / model.capacity)
        found = exponents(pilots(model, rng))
        inside = [
            low <= true <= high
            for (_, low, high), true in (
                (found.source, model.source),
                (found.capacity, model.capacity),
            )
        ]
        rows.append(
            (distance, found.name, found.source[0] - model.source,
             found.capacity[0] - model.capacity, *inside)
        )  # fmt: skip
        print(
            f"{model.capacity:>5} {model.source:>5} {distance:>8.2f} {found.name:>12} "
            f"{found.source[0]:>8.3f} {found.capacity[0]:>8.3f}  {found.law.form.name}",
            flush=True,
        )
    summary(rows)


def summary(rows: list[tuple]) -> None:
    """Errors of the exponents and counts of the phases."""
    print()
    for name, column, accepted in (("source", 2, 0.05), ("capacity", 3, 0.15)):
        error = np.abs([row[column] for row in rows])
        inside = np.mean([row[column + 2] for row in rows])
        print(
            f"{name}: mean |error| {error.mean():.3f}, largest {error.max():.3f}, within "
            f"{accepted} in {np.mean(error <= accepted):.0%}, inside the 90% interval in "
            f"{inside:.0%}"
        )
    for near, low, high in (("all", 0, 9), ("within 0.1", 0, 0.1), ("beyond 0.1", 0.1, 9)):
        part = [row for row in rows if low <= abs(row[0]) < high]
        right = sum(row[1] == ("easy" if row[0] > 0 else "hard") for row in part)
        open_ = sum(row[1] == "undetermined" for row in part)
        wrong = len(part) - right - open_
        print(f"phase, {near}: {right} right, {open_} undetermined, {wrong} wrong of {len(part)}")


if __name__ == "__main__":
    main()
