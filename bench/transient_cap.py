"""How much lower is the loss where single LRs may exceed the largest stable one, and at what risk?

    python bench/transient_cap.py --longest 1000
    python bench/transient_cap.py --search 60

The first table has the final loss of `solve` below the cap and with cap="transient", their ratio,
the gap, the highest LR over the cap, and the seconds of the second solve. The second table runs
both schedules on features other than those that they were made for, through the exact recursion:
tails heavier than a Gaussian's, another capacity exponent, LRs that are all too high, and
eigenvalues each off by a random factor, of that standard deviation in the logarithm. A cell has the
losses of the transient and of the capped schedule over that of the best capped one for those
features. `diverges`: the loss ends above its start.

With --search N: L-BFGS over the LR of every update from N random starts, and from N rearrangements
of the best of them, in place of the tables. Losses over those of `solve`, beside its gap.
"""

from __future__ import annotations

import argparse
from dataclasses import replace

import numpy as np
from scipy.optimize import minimize

from etastar.control import Solution, solve
from etastar.control._transient_loss import TransientLoss
from etastar.model import LinearModel, Model, PowerLaw, exact_losses, modes_of
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


def measure(shortest: int, longest: int) -> dict[str, tuple[PowerLaw, Solution, Solution]]:
    found = {}
    print(
        f"{'task':38}{'capped':>11}{'transient':>11}{'ratio':>8}{'gap':>9}{'peak/cap':>10}{'s':>7}"
    )
    for task, batch, horizon in RUNS:
        if not shortest <= horizon <= longest:
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


def search(starts: int) -> None:
    print(f"{'B':>4}{'T':>5}{'solve':>11}{'gap':>9}{'median':>10}{'least':>10}{'rearranged':>12}")
    for batch in (8, 64, 512):
        for horizon in (20, 60, 250):
            model = PowerLaw(*HARD, batch_size=batch)
            found = solve(model, horizon, cap="transient", compare=False)
            modes = modes_of(model.spectrum_to(horizon * 1000.0))
            exact = TransientLoss.of(modes, model.noise, float(batch))
            random = np.random.default_rng(1)
            ends = []
            for _ in range(starts):
                noise = random.uniform(0.2, 1.5) * random.standard_normal(horizon)
                ends.append(descent(exact, np.log(0.5 * model.max_rate) + noise))
            ends.sort(key=lambda end: end[0])
            best, rates = ends[0]
            for _ in range(starts):
                end = descent(exact, rearranged(rates, random))
                best, rates = min((best, rates), end, key=lambda each: each[0])
            ratios = (value / found.loss for value in (ends[starts // 2][0], ends[0][0], best))
            cells = "".join(f"{x:>{w}.5f}" for x, w in zip(ratios, (10, 10, 12), strict=True))
            print(f"{batch:4}{horizon:5}{found.loss:11.5g}{found.gap:9.1e}{cells}", flush=True)


def rearranged(x: np.ndarray, random: np.random.Generator) -> np.ndarray:
    """Logs of LRs in which a piece is turned round, or one is moved elsewhere."""
    first, last = np.sort(random.integers(0, len(x), size=2))
    if random.random() < 0.5:
        return np.concatenate([x[:first], x[first : last + 1][::-1], x[last + 1 :]])
    return np.insert(np.delete(x, first), last, x[first])


def descent(exact: TransientLoss, x: np.ndarray) -> tuple[float, np.ndarray]:
    """The loss and the logs of the LRs where L-BFGS ends."""

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        loss, slope = exact.slopes(np.exp(x))
        if not loss < 1e6 * exact.initial:
            return 700.0, np.zeros_like(x)
        return float(np.log(loss)), slope * np.exp(x) / loss

    while objective(x)[0] > np.log(1e3 * exact.initial):
        x = x - 0.1
    end = minimize(
        objective, x, jac=True, method="L-BFGS-B",
        options={"maxiter": 1000, "maxcor": 30, "ftol": 1e-9},
    )  # fmt: skip
    return float(np.exp(end.fun)), end.x


def main() -> None:
    parser = argparse.ArgumentParser(description="LRs above the largest stable one.")
    parser.add_argument("--shortest", type=int, default=0, help="smallest horizon")
    parser.add_argument("--longest", type=int, default=10_000, help="largest horizon")
    parser.add_argument("--search", type=int, help="search freely from this many starts")
    given = parser.parse_args()
    if given.search:
        search(given.search)
    else:
        risk(measure(given.shortest, given.longest))


if __name__ == "__main__":
    main()
