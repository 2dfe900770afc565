"""What does normalising the updates change in the solvable model?

    python bench/sign_descent.py [--longest 1e5] [--part horizon] [--part batch] ...

Losses are those of `sign_losses` and `adam_losses`, SGD's those of `best_member`. Parts:

- horizon: the best constant and the best linear LR against the number of updates, with slopes by
  decade and the exponents of theory, a task at a time; label noise 0.25, batch 8.
- batch: the best constant LR against the batch size, at one number of samples and at one of
  updates, and the slope of its logarithm against that of the batch size.
- progress: how far one update of a tiny LR lowers the loss at batch sizes 4 to 65536, at moments of
  a run, against the form f = sqrt(b / (b + c)) of the loss law: the critical batch size that
  fits best, the largest error of the form, and slopes in the batch size.
- law: the loss law fitted to sweeps over LR and batch size of two budgets of samples, asked for the
  final losses of a third, four times as large: mean |error| in parts of the best excess loss there,
  with the batch size acting as in an optimiser that normalises, and as in SGD.
- runs: simulated runs of 64 features against the recursions.

"Rotated" is sign descent in a basis drawn at random, of a width of 1e8 where nothing else is said.
"""

from __future__ import annotations

import argparse
import math
from collections.abc import Callable
from functools import partial
from typing import Any, NamedTuple

import numpy as np
from scipy.optimize import least_squares, minimize_scalar

from etastar.control import best_member
from etastar.law import fit
from etastar.model import (
    LinearModel,
    Model,
    PowerLaw,
    Spectrum,
    adam_losses,
    sign_losses,
    simulate,
)
from etastar.runs import Run
from etastar.schedule import make_schedule, table

NOISE, BATCH = 0.25, 8
TASKS = {"hard": (1.5, 0.2), "easy": (1.5, 1.0), "hard, steep": (3.0, 0.1)}
BATCHES = [4**power for power in range(9)]
SAMPLES, UPDATES = 2**17, 2**10
BUDGETS = (2**13, 2**15, 2**17)
FLOOR = 0.02
WIDTH = 10**8
Losses = Callable[..., np.ndarray]
ROTATED = partial(sign_losses, rotated=True)
METHODS = {"sign": sign_losses, "adam": adam_losses, "rotated": ROTATED}


def model_of(task: str, batch: float = BATCH, losses: Losses | None = None) -> PowerLaw:
    return PowerLaw(*TASKS[task], NOISE, batch, WIDTH if losses is ROTATED else None)


# The best LR


class Best(NamedTuple):
    rate: float
    loss: float


def best(losses: Losses, model: Model, shape: str, horizon: int, start: float) -> Best:
    """The peak with the lowest final loss, from one that is perhaps far from it."""

    def after(log_peak: float) -> float:
        schedule = make_schedule(shape, peak=math.exp(log_peak), horizon=horizon)
        return math.log(losses(model, schedule)[0])

    bracket = (math.log(start), math.log(start) + 0.7)
    found: Any = minimize_scalar(after, bracket, tol=2e-3)
    return Best(math.exp(found.x), math.exp(found.fun))


def horizons(longest: float) -> list[int]:
    return [10**decade for decade in range(2, round(math.log10(longest)) + 1)]


def theory(task: str, shape: str, method: str) -> tuple[float, float]:
    """Exponents of loss and LR of SGD; along the eigenbasis those of SGD with a / 2 and 2 s."""
    capacity, source = TASKS[task]
    if method in ("sign", "adam"):
        capacity, source = capacity / 2.0, 2.0 * source
    power = {"constant": 0.0, "linear": 1.0}[shape]
    kappa = min(power / (power + 1.0), 1.0 - 1.0 / capacity)
    if source < kappa:
        return source, 0.0
    return source / (source + 1.0 - kappa), (source - kappa) / (source + 1.0 - kappa)


def by_horizon(longest: float) -> None:
    print("method  shape     loss at each horizon | slopes by decade (theory) | best LR | slopes")
    for task in TASKS:
        print(f"\n{task}: a = {TASKS[task][0]}, s = {TASKS[task][1]}")
        for method, losses in {"sgd": None, **METHODS}.items():
            for shape in ("constant", "linear"):
                rows: list[Best] = []
                for horizon in horizons(longest):
                    model = model_of(task, losses=losses)
                    if losses is None:
                        member = best_member(model, shape, horizon)
                        rows.append(Best(member.schedule.peak, member.loss))
                    else:
                        start = (
                            rows[-1].rate / 3.0 if rows else (1e-5 if losses is ROTATED else 0.03)
                        )
                        rows.append(best(losses, model, shape, horizon, start))
                print_slopes(method, shape, rows, theory(task, shape, method))


def print_slopes(method: str, shape: str, rows: list[Best], derived: tuple[float, float]) -> None:
    parts = []
    for values, exponent in zip(zip(*[(r.loss, r.rate) for r in rows], strict=True), derived,
                                strict=True):  # fmt: skip
        slopes = -np.diff(np.log10(values))
        parts.append(" ".join(f"{value:.4g}" for value in values))
        parts.append(" ".join(f"{slope:.3f}" for slope in slopes) + f" ({exponent:.3f})")
    print(f"{method:<7} {shape:<9} {' | '.join(parts)}", flush=True)


# The batch size


def by_batch() -> None:
    for task in ("hard", "easy"):
        for what, updates in (
            (f"{SAMPLES} samples", lambda batch: SAMPLES // batch),
            (f"{UPDATES} updates", lambda _: UPDATES),
        ):
            for method, losses in METHODS.items():
                found, start = [], 1e-4 if updates(1) > UPDATES else 1e-3
                start = 1e-6 if losses is ROTATED else start
                sizes = [batch for batch in BATCHES if updates(batch) >= 32]
                for batch in sizes:
                    found.append(best(losses, model_of(task, batch, losses), "constant",
                                      updates(batch), start))  # fmt: skip
                    start = found[-1].rate
                rates, lost = (np.array(each) for each in zip(*found, strict=True))
                slopes = np.diff(np.log(rates)) / np.log(4.0)
                print(f"\n{task}, {what}, {method}; B = {sizes}")
                print("  best LR", " ".join(f"{rate:.3g}" for rate in rates))
                print("  slopes ", " ".join(f"{slope:.2f}" for slope in slopes))
                print("  loss   ", " ".join(f"{loss:.4g}" for loss in lost), flush=True)


# The progress of one update


def progress(losses: Losses, model: Model, rate: float, done: int, batch: float) -> float:
    """What an update of a tiny LR at a batch size takes from the loss, over its LR."""
    tiny = 1e-7 * rate
    rates = table([0, done - 1, done], [rate, rate, tiny], horizon=done + 1)
    sizes = table([0, done - 1, done], [BATCH, BATCH, batch], horizon=done + 1)
    before, after = losses(model, rates, [done, done + 1], batch_size=sizes)
    return (before - after) / tiny


def by_progress() -> None:
    # Adam is not asked: its second moment would still be that of the batch size before.
    print("updates done, excess loss: critical batch size, largest error of the form")
    for method in ("sign", "rotated"):
        losses, start = METHODS[method], 1e-5 if method == "rotated" else 0.03
        for task in TASKS:
            for done in (10, 100, 1000, 10000):
                model = model_of(task, losses=losses)
                rate, loss = best(losses, model, "constant", done, start)
                sizes = np.array(BATCHES[1:], dtype=float)
                found = np.array([progress(losses, model, rate, done, size) for size in sizes])

                def off(constants, sizes=sizes, found=found):
                    scale, critical = np.exp(constants)
                    return np.log(scale * np.sqrt(sizes / (sizes + critical)) / found)

                fitted = least_squares(off, [math.log(found[-1]), math.log(100.0)])
                slopes = np.diff(np.log(found)) / np.log(4.0)
                print(
                    f"{method:<8} {task:<12} {done:6d} {loss:.4g}: {math.exp(fitted.x[1]):8.3g} "
                    f"{np.abs(fitted.fun).max():6.3f}  slopes in B "
                    + " ".join(f"{slope:.2f}" for slope in slopes),
                    flush=True,
                )


# The loss law


def log_of(losses: Losses, task: str, batch: int, peak: float, samples: int, rng) -> Run:
    """A run under a cosine as a log, with 0.1% of noise at each point."""
    horizon = samples // batch
    every = max(horizon // 50, 1)
    steps = np.unique(np.append(np.arange(every, horizon, every), horizon)).astype(float)
    schedule = make_schedule("cosine", peak=peak, horizon=horizon)
    loss = losses(model_of(task, batch, losses), schedule, steps) + FLOOR
    loss *= np.exp(1e-3 * rng.standard_normal(len(loss)))
    return Run(f"{batch} {peak:.3g} {samples}", steps, loss, schedule, batch)


def sweep(losses: Losses, task: str) -> dict[int, list[Run]]:
    """Five peaks around the best at each batch size, by budget of samples."""
    rng, start = np.random.default_rng(0), 1e-5 if losses is ROTATED else 3e-3
    runs: dict[int, list[Run]] = {samples: [] for samples in BUDGETS}
    for batch in (1, 4, 16, 64):
        model = model_of(task, batch, losses)
        start = best(losses, model, "cosine", BUDGETS[1] // batch, start).rate
        for samples in BUDGETS:
            for times in (0.25, 0.5, 1.0, 2.0, 4.0):
                runs[samples].append(log_of(losses, task, batch, times * start, samples, rng))
    return runs


def by_law() -> None:
    print("mean |error| of the runs within half of the best excess, by how the batch size acts")
    for method in ("sign", "rotated"):
        for task in TASKS:
            runs = sweep(METHODS[method], task)
            fitted, asked = runs[BUDGETS[0]] + runs[BUDGETS[1]], runs[BUDGETS[2]]
            measured = np.array([run.loss[-1] for run in asked])
            scale = measured.min() - FLOOR
            close = measured <= measured.min() + 0.5 * scale
            for optimiser in ("normalised", "sgd"):
                law = fit(fitted, optimiser=optimiser)
                predicted = np.array([
                    law.predict(run.schedule, at=[run.step[-1]], batch_size=run.batch_size).mean[0]
                    for run in asked
                ])  # fmt: skip
                error = np.abs(predicted - measured)[close].mean() / scale
                print(f"{method:<8} {task:<12} {optimiser:<11} {error:.3f} of {close.sum()} runs",
                      flush=True)  # fmt: skip


# Runs


def deviation(runs: np.ndarray, recursion: np.ndarray) -> str:
    """The recursion over the mean of runs, in percent, and in standard errors."""
    mean, error = runs.mean(axis=0), runs.std(axis=0, ddof=1) / math.sqrt(len(runs))
    parts = zip(100.0 * (recursion / mean - 1.0), (recursion - mean) / error, strict=True)
    return " ".join(f"{percent:+.1f}% ({z:+.1f})" for percent, z in parts)


def by_runs() -> None:
    print("recursion over the mean of runs, after 3, 30 and 300 updates (in standard errors)")
    k, at = np.arange(1.0, 65.0), [3, 30, 300]
    kinds: tuple[tuple[str, Losses, dict[str, Any]], ...] = (
        ("sign", sign_losses, {"update": "sign"}),
        ("adam", adam_losses, {"update": "adam", "beta2": 0.99}),
        ("rotated", ROTATED, {"update": "sign", "rotated": True}),
    )
    for task, (capacity, source) in TASKS.items():
        spectrum = Spectrum(k**-capacity, k ** -(capacity * source + 1.0))
        for batch in (1, 8, 64):
            model = LinearModel(spectrum, NOISE, batch)
            schedule = make_schedule("linear", peak=0.03, horizon=300)
            for name, recursion, keys in kinds:
                runs = simulate(model, schedule, at, seeds=100 if batch == 64 else 400, **keys)
                of = {"beta2": keys["beta2"]} if "beta2" in keys else {}
                line = deviation(runs, recursion(model, schedule, at, **of))
                print(f"{task:<12} B = {batch:<3} {name:<7} {line}", flush=True)


PARTS = {
    "horizon": by_horizon,
    "batch": by_batch,
    "progress": by_progress,
    "law": by_law,
    "runs": by_runs,
}


def main() -> None:
    parser = argparse.ArgumentParser(description="Sign descent and Adam in the solvable model.")
    parser.add_argument("--longest", type=float, default=1e5, help="updates of the part horizon")
    parser.add_argument("--part", action="append", choices=PARTS, help="default: all")
    given = parser.parse_args()
    for part in given.part or PARTS:
        print(f"\n== {part}")
        PARTS[part](*([given.longest] if part == "horizon" else []))


if __name__ == "__main__":
    main()
