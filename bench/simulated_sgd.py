"""Do runs of SGD on drawn samples follow the exact moments?

    python bench/simulated_sgd.py [--seeds 1024] [--figure docs/figures/simulated_sgd.svg]

Three spectra of 32 features, batch sizes 1, 4 and 64, with and without momentum: 18 configurations
of 300 updates under the schedule that `solve` finds for each; momentum is 0.8 at 1 - 0.8 of that
LR and, for the third spectrum, falls from 0.9 to 0.45 at 1 - 0.9 of it. The mean loss of the runs
at ten steps less that of `exact_losses`, in standard errors of the mean. The ten are correlated:
beside the sum of their squares stands Hotelling's T^2, which is not fooled by that, as a p-value.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.stats import binom, chi2, f, kstest, norm

from etastar.control import solve
from etastar.model import LinearModel, Spectrum, exact_losses, loss, simulate
from etastar.schedule import Schedule, make_schedule

FEATURES, HORIZON, MOMENTUM = 32, 300, 0.8
TASKS = {"easy: a=1.5 s=1": (1.5, 1.0), "hard: a=1.5 s=0.2": (1.5, 0.2), "a=2 s=0.5": (2.0, 0.5)}
NOISE = {"easy: a=1.5 s=1": 0.25, "hard: a=1.5 s=0.2": 0.25, "a=2 s=0.5": 0.05}
BATCHES = (1, 4, 64)
COLORS = {1: "#d97706", 4: "#6366f1", 64: "#0d9488"}
STEPS = np.unique(np.round(np.geomspace(5, HORIZON, 10)))


class Row(NamedTuple):
    """One configuration: theory on all steps, and the runs at ten of them."""

    task: str
    batch: int
    momentum: str
    theory: np.ndarray  # (HORIZON + 1,)
    losses: np.ndarray  # (seeds, 10)
    segments: float  # largest relative error of the segment method

    @property
    def deviation(self) -> np.ndarray:
        """Standard errors between the runs' mean and theory, (10,)."""
        off = self.losses - self.theory[STEPS.astype(int)]
        return off.mean(axis=0) / (off.std(axis=0, ddof=1) / np.sqrt(len(off)))

    @property
    def hotelling(self) -> float:
        """p-value of all ten deviations together."""
        off = self.losses - self.theory[STEPS.astype(int)]
        count, times = off.shape
        # In units of each time's spread: the losses differ by orders of magnitude.
        off = off / off.std(axis=0, ddof=1)
        mean = off.mean(axis=0)
        square = count * mean @ np.linalg.solve(np.cov(off.T), mean)
        return float(f.sf(square * (count - times) / (times * (count - 1)), times, count - times))


def measured(task: str, batch: int, with_momentum: bool, seeds: int, seed: int) -> Row:
    capacity, source = TASKS[task]
    k = np.arange(1.0, FEATURES + 1)
    spectrum = Spectrum(k**-capacity, k ** -(capacity * source + 1))
    model = LinearModel(spectrum, NOISE[task], batch)
    # Close to the largest stable LR the loss has heavy tails, and its mean says little.
    cap = 0.5 * model.max_rate
    schedule = solve(model, HORIZON, cap=cap, compare=False).schedule
    momentum: float | Schedule = 0.0
    name = "none"
    if with_momentum and task == "a=2 s=0.5":
        momentum, name = make_schedule("linear", peak=0.9, horizon=HORIZON, final=0.5), "0.9-0.45"
        schedule = schedule.scaled(peak=(1 - 0.9) * schedule.peak)
    elif with_momentum:
        momentum, name = MOMENTUM, f"{MOMENTUM}"
        schedule = schedule.scaled(peak=(1 - MOMENTUM) * schedule.peak)
    every = np.arange(HORIZON + 1)
    theory = exact_losses(model, schedule, every, momentum=momentum)
    segments = loss(model, schedule, STEPS, momentum=momentum, tolerance=1e-3)
    error = np.abs(segments / theory[STEPS.astype(int)] - 1).max()
    losses = simulate(model, schedule, STEPS, seeds=seeds, seed=seed, momentum=momentum)
    return Row(task, batch, name, theory, losses, float(error))


def print_table(rows: list[Row]) -> None:
    print(f"runs {len(rows[0].losses)}, updates {HORIZON}, at {', '.join(f'{s:g}' for s in STEPS)}")
    print("deviation of the mean from theory in standard errors")
    print(
        f"{'task':<18} {'B':>3} {'momentum':>8}  {'deviations at the ten steps':<59} "
        f"{'chi2/10':>7} {'p':>6} {'segments':>8}"
    )
    for row in rows:
        z = row.deviation
        print(
            f"{row.task:<18} {row.batch:>3} {row.momentum:>8}  "
            f"{' '.join(f'{x:5.2f}' for x in z)}  {z @ z / len(z):>7.2f} {row.hotelling:>6.3f} "
            f"{row.segments:>8.0e}"
        )
    every = np.concatenate([row.deviation for row in rows])
    p = [row.hotelling for row in rows]
    sizes = np.abs(every)
    print(
        f"\nlargest {sizes.max():.2f}; above 2: {np.sum(sizes > 2)} of {len(every)} (expected "
        f"{len(every) * 2 * norm.sf(2):.1f}); above 3: {np.sum(sizes > 3)} (expected "
        f"{len(every) * 2 * norm.sf(3):.1f}); mean {every.mean():+.2f}, mean square "
        f"{np.mean(every**2):.2f}"
    )
    final = np.array([row.deviation[-1] for row in rows])
    print(
        f"last step alone, {len(final)} independent values: chi2 {final @ final:.1f}, p = "
        f"{chi2.sf(final @ final, len(final)):.2f}"
    )
    low = sum(value < 0.05 for value in p)
    print(
        f"T^2 over ten steps: p below 0.05 in {low} of {len(p)} (chance of as many or more "
        f"{binom.sf(low - 1, len(p), 0.05):.2f}), p uniform by Kolmogorov-Smirnov: "
        f"{kstest(p, 'uniform').pvalue:.2f}"  # type: ignore[attr-defined]
    )


def figure(rows: list[Row]):
    """Points of the simulation, three standard errors, on the curves of the theory."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    titles = [f"{task}, {kind}" for kind in ("no momentum", "momentum") for task in TASKS]
    made = make_subplots(
        rows=2, cols=3, subplot_titles=titles, horizontal_spacing=0.06, vertical_spacing=0.13
    )
    place = {task: i + 1 for i, task in enumerate(TASKS)}
    for row in rows:
        at: dict = {"row": 1 if row.momentum == "none" else 2, "col": place[row.task]}
        color, name = COLORS[row.batch], f"batch {row.batch}"
        step = np.arange(1, HORIZON + 1)
        first = at == {"row": 1, "col": 1}
        made.add_trace(
            go.Scatter(x=step, y=row.theory[1:], line={"color": color}, showlegend=False), **at
        )
        error = 3 * row.losses.std(axis=0, ddof=1) / np.sqrt(len(row.losses))
        made.add_trace(
            go.Scatter(
                x=STEPS,
                y=row.losses.mean(axis=0),
                error_y={"type": "data", "array": error, "thickness": 1},
                mode="markers",
                marker={"color": color, "size": 6},
                name=name,
                showlegend=first,
            ),
            **at,
        )
    grid = {"gridcolor": "rgba(148,163,184,0.3)", "zeroline": False, "exponentformat": "power"}
    made.update_layout(
        template="none",
        width=1000,
        height=520,
        margin={"l": 60, "r": 10, "t": 60, "b": 50},
        font={"size": 12, "color": "#64748b", "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 1.13},
    )
    made.update_annotations(font_size=13)
    made.update_xaxes(type="log", dtick=1, **grid)
    made.update_yaxes(type="log", dtick=1, **grid)
    made.update_xaxes(title_text="updates", row=2)
    made.update_yaxes(title_text="excess loss", col=1)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="SGD on drawn samples against exact moments.")
    parser.add_argument("--seeds", type=int, default=1024, help="runs of each configuration")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--figure", type=Path, help="SVG file to write (needs kaleido)")
    given = parser.parse_args()
    cases = [(task, b, m) for task in TASKS for m in (False, True) for b in BATCHES]
    rows = [measured(*case, given.seeds, 1000 * given.seed + i) for i, case in enumerate(cases)]
    print_table(rows)
    if given.figure:
        figure(rows).write_image(given.figure)


if __name__ == "__main__":
    main()
