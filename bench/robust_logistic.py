"""How much loss does a coarse grid of base LRs cost? Logistic regression by projected SGD.

    python bench/robust_logistic.py [--seeds 24] [--updates 10000] [--figure FILE.svg] [--out FILE]

As in arXiv 2503.09411: synthetic data, a convex loss, SGD projected to a ball, one sample an
update, each schedule tried at base LRs a factor 2^(1/4) apart. A grid of ratio r takes every n-th
of these; where it begins is chance, so all beginnings are tried: the table gives the mean over them
and the worst. Every seed draws its own data, labels, order and start. Prints a table of best loss
on the grid over the best of all (excess losses, mean over seeds, standard error by the jackknife)
beside what the bound predicts; `--figure` draws it (SVG and PNG need kaleido), `--out` writes JSON.
"""

from __future__ import annotations

import argparse
import json
import sys
from collections.abc import Callable
from pathlib import Path

import numpy as np
from rich.progress import track
from scipy.optimize import minimize

from etastar.robust import last_iterate
from etastar.schedule import Schedule, parse_schedule

SHAPES = {
    "fixed": "constant",
    "inverse sqrt": "inverse_sqrt",
    "linear": "linear",
    "cosine": "cosine",
    "quadratic": "polynomial:power=2",
    "cubic": "polynomial:power=3",
}
ANNEALED = ("linear", "cosine", "quadratic", "cubic")
COLORS = ("#64748b", "#d97706", "#0d9488", "#6366f1", "#db2777", "#0284c7")
DIMENSION, SAMPLES, SIGNAL = 50, 1000, 2.0
OCTAVES = np.arange(-32, 61) / 4  # base LRs 2^-8 to 2^15, times 1/sqrt(T)
STRIDES = (2, 4, 6, 8, 12, 16, 20, 24)


def data(rng: np.random.Generator) -> tuple[np.ndarray, float]:
    """Rows y x (samples, d) of a logistic model, and the radius of the domain."""
    truth = rng.standard_normal(DIMENSION)
    truth *= SIGNAL / np.linalg.norm(truth)
    x = rng.standard_normal((SAMPLES, DIMENSION))
    y = np.where(rng.random(SAMPLES) < 1.0 / (1.0 + np.exp(-(x @ truth))), 1.0, -1.0)
    return y[:, None] * x, 2.0 * SIGNAL


def smallest_loss(rows: np.ndarray, radius: float) -> float:
    """The smallest mean loss in the ball, by L-BFGS (the minimiser lies inside)."""

    def loss(w: np.ndarray) -> tuple[float, np.ndarray]:
        margin = rows @ w
        weight = -1.0 / (1.0 + np.exp(margin)) / len(rows)
        return float(np.logaddexp(0.0, -margin).mean()), weight @ rows

    options = {"gtol": 1e-10, "ftol": 1e-15}
    found = minimize(loss, np.zeros(DIMENSION), jac=True, method="L-BFGS-B", options=options)
    if np.linalg.norm(found.x) >= radius:
        raise RuntimeError("the minimiser lies outside the ball: draw another seed")
    return float(found.fun)


def excess_losses(seeds: int, updates: int) -> np.ndarray:
    """Excess loss after the last update: (seeds, schedules, base LRs)."""
    drawn = [np.random.default_rng([7, seed]) for seed in range(seeds)]
    pairs = [data(rng) for rng in drawn]
    rows, radius = np.stack([pair[0] for pair in pairs]), pairs[0][1]
    schedules = [parse_schedule(spec, horizon=updates, peak=1.0) for spec in SHAPES.values()]
    scales = 2.0**OCTAVES / np.sqrt(updates)
    shape = np.array([schedule(np.arange(updates)) for schedule in schedules]).T
    # All shapes with the same mean rate, so that one range of base LRs serves all.
    shape /= shape.mean(axis=0)
    rates = (shape[:, :, None] * scales).reshape(updates, -1)
    orders = np.stack([rng.integers(SAMPLES, size=updates) for rng in drawn], axis=1)
    start = np.stack([rng.standard_normal(DIMENSION) for rng in drawn])
    start *= radius / np.linalg.norm(start, axis=1, keepdims=True)
    w = np.repeat(start[:, None, :], rates.shape[1], axis=1)
    which = np.arange(seeds)
    for rate, order in track(zip(rates, orders, strict=True), "training", total=updates):
        row = rows[which, order]
        margin = np.matmul(w, row[:, :, None])[:, :, 0]
        pull = rate / (1.0 + np.exp(margin))
        w += pull[:, :, None] * row[:, None, :]
        norm = np.sqrt(np.einsum("smd,smd->sm", w, w))
        w *= np.minimum(radius / np.maximum(norm, 1e-300), 1.0)[:, :, None]
    losses = np.stack(
        [np.logaddexp(0.0, -(one @ x.T)).mean(axis=1) for one, x in zip(w, rows, strict=True)]
    )
    best = np.array([smallest_loss(x, radius) for x in rows])
    return (losses - best[:, None]).reshape(seeds, len(schedules), len(scales))


def on_grid(values: np.ndarray, stride: int) -> tuple[float, float]:
    """Best on a grid of every `stride`-th LR over the best of all: mean and worst beginning."""
    best = np.array([values[begin::stride].min() for begin in range(stride)]) / values.min()
    return float(best.mean()), float(best.max())


def jackknife(
    rows: np.ndarray, statistic: Callable[[np.ndarray], np.ndarray]
) -> tuple[np.ndarray, np.ndarray]:
    """A statistic of all rows, and its standard error from leaving out one row at a time."""
    count = len(rows)
    left_out = np.array([statistic(np.delete(rows, i, axis=0)) for i in range(count)])
    spread = (count - 1) / count * np.sum((left_out - left_out.mean(axis=0)) ** 2, axis=0)
    return statistic(rows), np.sqrt(spread)


def with_error(losses: np.ndarray, stride: int) -> tuple[np.ndarray, np.ndarray]:
    """`on_grid` of the mean over seeds (seeds, LRs), and its jackknife standard error."""
    return jackknife(losses, lambda rows: np.array(on_grid(rows.mean(axis=0), stride)))


def predicted(schedule: Schedule, stride: int, per_octave: int = 4) -> tuple[float, float]:
    """`on_grid` of the bound, its best LR at a random place between two of the lattice.

    The lattice has `per_octave` LRs between one and its double, and the grid every `stride`-th.
    """
    curve = last_iterate(schedule)
    shifts = np.linspace(-0.5, 0.5, 5) / per_octave
    lattice = np.arange(-15 * per_octave, 15 * per_octave + 1) / per_octave
    found = [on_grid(curve.inflation(2.0 ** (lattice + shift)), stride) for shift in shifts]
    return float(np.mean([f[0] for f in found])), float(np.max([f[1] for f in found]))


def summary(losses: np.ndarray, updates: int) -> list[dict]:
    rows = []
    for i, (name, spec) in enumerate(SHAPES.items()):
        schedule = parse_schedule(spec, horizon=updates, peak=1.0)
        for stride in STRIDES:
            (mean, worst), (mean_error, worst_error) = with_error(losses[:, i], stride)
            bound_mean, bound_worst = predicted(schedule, stride)
            rows.append(
                {
                    "schedule": name,
                    "ratio": 2.0 ** (stride / 4),
                    "mean": mean,
                    "mean_error": mean_error,
                    "worst": worst,
                    "worst_error": worst_error,
                    "bound_mean": bound_mean,
                    "bound_worst": bound_worst,
                }
            )
    return rows


def print_tables(losses: np.ndarray, rows: list[dict]) -> bool:
    """Print what was measured; whether annealed schedules beat the fixed one above ratio 2."""
    mean = losses.mean(axis=0)
    print("best base LR of each schedule (times sqrt(T), mean rate) and its excess loss")
    for i, name in enumerate(SHAPES):
        at = int(mean[i].argmin())
        error = losses[:, i, at].std(ddof=1) / np.sqrt(len(losses))
        print(f"  {name:<13} 2^{OCTAVES[at]:<5} {mean[i, at]:.5f} +- {error:.5f}")
    for key, title in (("mean", "mean over beginnings"), ("worst", "worst beginning")):
        print(f"\nloss inflation, {title}: measured +- standard error (bound)")
        print(f"{'ratio':>6} " + " ".join(f"{name:>22}" for name in SHAPES))
        for stride in STRIDES:
            ratio = 2.0 ** (stride / 4)
            cells = [
                f"{row[key]:.3f} +- {row[key + '_error']:.3f} ({row['bound_' + key]:.2f})"
                for row in rows
                if row["ratio"] == ratio
            ]
            print(f"{ratio:>6.2f} " + " ".join(f"{cell:>22}" for cell in cells))
    by = {(row["schedule"], row["ratio"]): row for row in rows}
    ratios = [2.0 ** (stride / 4) for stride in STRIDES if stride > 2]
    good = all(
        by[name, ratio][key] < by["fixed", ratio][key]
        for name in ANNEALED
        for ratio in ratios
        for key in ("mean", "worst")
    )
    print(f"\nannealed below fixed at every ratio above 2: {'yes' if good else 'NO'}")
    return good


def figure(rows: list[dict]):
    """Best on grid against grid ratio: measured on the left, the bound on the right."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = ("measured: logistic regression", "predicted by the bound")
    made = make_subplots(rows=1, cols=2, subplot_titles=titles, shared_yaxes=True)
    for name, color in zip(SHAPES, COLORS, strict=True):
        here = [row for row in rows if row["schedule"] == name]
        ratio = [row["ratio"] for row in here]
        dash = "solid" if name in ANNEALED else "dash"
        style = {"name": name, "legendgroup": name, "line": {"color": color, "dash": dash}}
        bars = {"type": "data", "array": [row["worst_error"] for row in here], "thickness": 1}
        made.add_trace(
            go.Scatter(x=ratio, y=[row["worst"] for row in here], error_y=bars, **style), 1, 1
        )
        made.add_trace(
            go.Scatter(x=ratio, y=[row["bound_worst"] for row in here], showlegend=False, **style),
            1,
            2,
        )
    made.update_layout(
        template="none",
        width=940,
        height=400,
        margin={"l": 65, "r": 10, "t": 40, "b": 55},
        font={"size": 13, "color": "#64748b", "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
    )
    ticks = [2, 4, 8, 16, 32, 64]
    grid = {"gridcolor": "rgba(148,163,184,0.3)", "zeroline": False}
    made.update_xaxes(type="log", tickvals=ticks, title_text="ratio of the base-LR grid", **grid)
    values = [1, 1.5, 2, 3, 5, 10, 20]
    made.update_yaxes(type="log", tickvals=values, **grid)
    made.update_yaxes(title_text="best on grid / best (worst beginning)", col=1)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Logistic regression against grid ratio.")
    parser.add_argument("--seeds", type=int, default=24)
    parser.add_argument("--updates", type=int, default=10000)
    parser.add_argument("--figure", type=Path)
    parser.add_argument("--out", type=Path)
    given = parser.parse_args()
    losses = excess_losses(given.seeds, given.updates)
    rows = summary(losses, given.updates)
    good = print_tables(losses, rows)
    if given.out:
        given.out.write_text(json.dumps({"rows": rows, "losses": losses.tolist()}), "utf-8")
    if given.figure:
        made = figure(rows)
        if given.figure.suffix == ".html":
            made.write_html(given.figure)
        else:
            made.write_image(given.figure)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
