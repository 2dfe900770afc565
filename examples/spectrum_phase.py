"""From the measured spectrum of a small network to its phase, held against a sweep of LRs.

    python examples/spectrum_phase.py [--images N] [--out FOLDER]

Two networks have random first layers that stay as they are, and a linear last layer that SGD trains
on the squared error. The images are those of `etastar.train.drawing`. For each network the example
measures the eigenvalues of its features and the target's power on them, names the phase, and then
trains the last layer by SGD with linear decay: six base LRs, three horizons, three seeds. It prints
how the best base LR falls with the horizon, beside what the fitted exponents and the solvable model
of the measured spectrum say. About a minute on one core.

In the folder, by default `examples/spectrum_phase`, it writes, for each network, `NAME.csv`
(eigenvalue, target), which `etastar phase --spectrum` reads, and `NAME_sweep.csv` (horizon, lr,
seed, loss, model).
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path

import numpy as np

from etastar import InputError, parse_schedule
from etastar.model import LinearModel, Spectrum, fit_spectrum, loss
from etastar.train.drawing import draw

SIZE, FEATURES = 8, 1024
BATCH, LABEL_NOISE = 8, 0.25
HORIZONS = (1000, 4000, 16_000)
LATER = (16_000, 64_000, 256_000)
"""Horizons for which the model alone is asked."""
SEEDS = 3
PARTS = 2.0 ** np.arange(-4, 2)
"""Base LRs, in parts of the model's largest stable one."""


def layer(inputs: np.ndarray) -> np.ndarray:
    """A random layer of ReLU units."""
    draws = np.random.default_rng(0)
    weights = draws.standard_normal((inputs.shape[-1], FEATURES)) / math.sqrt(inputs.shape[-1])
    shift = 0.5 * draws.standard_normal(FEATURES)
    return np.maximum(inputs @ weights.astype(np.float32) + shift.astype(np.float32), 0)


def dense(images: np.ndarray) -> np.ndarray:
    """Units that see the whole image."""
    return layer(images.reshape(len(images), -1))


def pooled(images: np.ndarray) -> np.ndarray:
    """Units that see patches of 4 by 4 pixels, each averaged over all places."""
    patches = np.lib.stride_tricks.sliding_window_view(images, (4, 4), axis=(2, 3))
    patches = patches.transpose(0, 2, 3, 1, 4, 5).reshape(len(images), -1, 48)
    return np.concatenate([layer(some).mean(axis=1) for some in np.array_split(patches, 40)])


def contrast(images: np.ndarray) -> np.ndarray:
    """The standard deviation of the pixels."""
    return images.std(axis=(1, 2, 3))


def sides(images: np.ndarray) -> np.ndarray:
    """How much the left and the right half differ in brightness."""
    half = SIZE // 2
    difference = images[..., :half].mean(axis=(1, 2, 3)) - images[..., half:].mean(axis=(1, 2, 3))
    return np.abs(difference)


@dataclass(frozen=True)
class Task:
    """Features and targets of all images, centred and of variance 1, and their spectrum.

    `best` holds the weights that least squares finds, in the eigenbasis `basis`, and `rest` the
    part of the target's variance that they leave.
    """

    features: np.ndarray
    target: np.ndarray
    eigenvalue: np.ndarray
    basis: np.ndarray
    best: np.ndarray
    rest: float

    @property
    def power(self) -> np.ndarray:
        """The loss before training on each mode."""
        return self.eigenvalue * self.best**2


def task(features: np.ndarray, target: np.ndarray) -> Task:
    features = features - features.mean(axis=0)
    features /= np.sqrt((features**2).sum(axis=1).mean())
    target = (target - target.mean()) / target.std()
    covariance = (features.T @ features).astype(np.float64) / len(features)
    eigenvalue, basis = (each[..., ::-1] for each in np.linalg.eigh(covariance))
    kept = eigenvalue > 1e-7 * eigenvalue[0]  # the features are float32
    eigenvalue, basis = eigenvalue[kept], np.ascontiguousarray(basis[:, kept])
    best = basis.T @ (features.T @ target / len(target)) / eigenvalue
    rest = 1.0 - float(eigenvalue @ best**2)
    return Task(features, target, eigenvalue, basis, best, rest)


def train(of: Task, horizon: int, peaks: np.ndarray, seed: int) -> np.ndarray:
    """Excess loss at the end for each peak LR; all see the same images, drawn with replacement."""
    draws = np.random.default_rng((seed, horizon))
    weights = np.zeros((FEATURES, len(peaks)), np.float32)
    with np.errstate(over="ignore", invalid="ignore"):
        for step in range(horizon):
            chosen = draws.integers(len(of.target), size=BATCH)
            noise = math.sqrt(LABEL_NOISE) * draws.standard_normal(BATCH)
            inputs = of.features[chosen]
            error = inputs @ weights - (of.target[chosen] + noise).astype(np.float32)[:, None]
            rates = peaks * (1.0 - step / horizon) / BATCH
            weights -= (inputs.T @ error) * rates.astype(np.float32)
        apart = of.basis.T @ weights - of.best[:, None]
        return of.eigenvalue @ apart**2


def expected(model: LinearModel, horizon: int, peak: float) -> float:
    """The model's own excess loss; infinite where it diverges."""
    try:
        return loss(model, parse_schedule(f"linear:peak={peak!r},horizon={horizon}"))
    except InputError:
        return math.inf


def best_peak(peaks: np.ndarray, losses: np.ndarray) -> float:
    """The lowest point of a parabola through the lowest loss and its neighbours, in logarithms.

    Where there is no neighbour, or it diverged, the LR with the lowest loss itself.
    """
    losses = np.where(np.isfinite(losses), losses, np.inf)
    least = int(np.argmin(losses))
    if not 0 < least < len(peaks) - 1 or losses[least + 1] > 10 * losses[least]:
        return float(peaks[least])
    near = slice(least - 1, least + 2)
    curve = np.polyfit(np.log(peaks[near]), np.log(losses[near]), 2)
    return float(np.exp(-curve[1] / (2 * curve[0])))


def slope(horizons: tuple[int, ...], best: list[float]) -> float:
    """x where the best base LR falls as T^-x."""
    return round(-float(np.polyfit(np.log(horizons), np.log(best), 1)[0]), 6) + 0.0


def model_peak(model: LinearModel, horizon: int, peaks: np.ndarray) -> float:
    return best_peak(peaks, np.array([expected(model, horizon, float(each)) for each in peaks]))


def sweep(name: str, of: Task, model: LinearModel, out: Path) -> None:
    """Train, print the best base LRs and their slopes, and write all losses."""
    peaks = model.max_rate * PARTS
    rows, measured, theory = ["horizon,lr,seed,loss,model"], [], []
    for horizon in HORIZONS:
        curve = np.array([expected(model, horizon, float(peak)) for peak in peaks])
        runs = np.array([train(of, horizon, peaks, seed) for seed in range(SEEDS)])
        theory.append(best_peak(peaks, curve))
        measured.append([best_peak(peaks, run) for run in runs])
        rows += [
            f"{horizon},{peaks[i]:.5g},{seed},{runs[seed, i]:.5g},{curve[i]:.5g}"
            for seed in range(SEEDS)
            for i in range(len(peaks))
        ]
        found = ", ".join(f"{best:.3g}" for best in measured[-1])
        print(f"  {horizon:6,} updates: best base LR {found} by seed, model {theory[-1]:.3g}")
    slopes = [slope(HORIZONS, [each[seed] for each in measured]) for seed in range(SEEDS)]
    print(
        f"  the best base LR falls as T^-x: x = {np.mean(slopes):.2f} in the sweep"
        f" ({min(slopes):.2f} to {max(slopes):.2f} over seeds),"
        f" {slope(HORIZONS, theory):.2f} in the model"
    )
    lower = model.max_rate * 2.0 ** np.arange(-7, 1)
    for pair in pairwise(LATER):
        x = slope(pair, [model_peak(model, horizon, lower) for horizon in pair])
        print(f"  the model alone from {pair[0]:,} to {pair[1]:,} updates: x = {x:.2f}")
    (out / f"{name}_sweep.csv").write_text("\n".join(rows) + "\n", encoding="utf-8")


def example(name: str, of: Task, out: Path) -> None:
    noise = of.rest + LABEL_NOISE
    table = np.column_stack([of.eigenvalue, of.power])
    header = "eigenvalue,target"
    np.savetxt(out / f"{name}.csv", table, "%.5e", delimiter=",", header=header, comments="")
    fit = fit_spectrum(of.eigenvalue, of.power, noise)
    low, high = fit.distance_ci
    print(f"{name}: label noise {noise:.3f}, of which the features cannot fit {of.rest:.3f}")
    for word, value, ends in (
        ("capacity", fit.capacity, fit.capacity_ci),
        ("source", fit.source, fit.source_ci),
        ("xi", fit.phase.xi, fit.xi_ci),
    ):
        print(f"  {word} {value:.2f} (90%: {ends[0]:.2f} to {ends[1]:.2f})")
    doubt = "both phases are possible" if fit.undecided else f"{fit.phase.name} phase"
    print(f"  distance from the boundary {low:+.2f} to {high:+.2f}: {doubt}")
    sweep(name, of, LinearModel(Spectrum(of.eigenvalue, of.power), noise, BATCH), out)


def main() -> None:
    begin = time.perf_counter()
    parser = argparse.ArgumentParser(description="From a measured spectrum to a phase.")
    parser.add_argument("--images", type=int, default=20_000)
    parser.add_argument("--out", type=Path, default=Path(__file__).with_suffix(""))
    asked = parser.parse_args()
    asked.out.mkdir(parents=True, exist_ok=True)
    images, classes = draw((0, 0), 0, asked.images, SIZE)
    networks: tuple[tuple[Callable, Callable], ...] = ((dense, contrast), (pooled, sides))
    for network, target in networks:
        of = task(network(images), target(images).astype(np.float64))
        example(target.__name__, of, asked.out)
    # The class of the shape is hardly linear in random features: there is no source exponent.
    of = task(dense(images), np.where(classes < 5, 1.0, -1.0))
    try:
        fit_spectrum(of.eigenvalue, of.power)
    except InputError as error:
        print(f"class: {error}")
    print(f"{time.perf_counter() - begin:.0f} s")


if __name__ == "__main__":
    main()
