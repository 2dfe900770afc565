"""Do optimal and standard schedules of the solvable model reach the exponents of the theory?

    python bench/loss_exponents.py [--figure FILE.svg]

Eight tasks, four easy and four hard, label noise 0.25, batch 8, horizons T = 1e3 to 1e13. For the
optimum and for the best member of every family: minus the slope of log final loss, and of log base
LR, against log T, fitted to five decades, 1e6 to 1e10 and 1e9 to 1e13, beside the theory. The base
LR of a family is its peak, that of the optimum is given twice, its peak and its LR at t = T/4: the
peak converges more slowly, held back by the first updates and by the cap.

A decay of power p leaves the noise eta tau^-q, q = min(p / (p + 1), 1 - 1/a), so that

    loss T^-(s / (s + 1 - q)),   base LR T^-((s - q) / (s + 1 - q))   where s > q,   else T^-s, T^0

with p = 0 for a constant LR, 1 for linear and WSD, 2 for cosine and quadratic decay. At p = a - 1 a
logarithm comes with these ("log" in the tables). A power law t^-chi has the loss exponent of a
constant, and its last LR falls as the constant's. `--figure` draws losses over the optimal one
(SVG needs kaleido; HTML does not).
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots
from rich.console import Console
from rich.progress import track

from etastar.control import best_member, solve
from etastar.model import PowerLaw, phase
from etastar.schedule import Schedule

EASY = ((1.5, 1.0), (2.0, 1.0), (1.3, 1.5), (3.0, 1.0))
HARD = ((1.5, 0.2), (2.0, 0.25), (2.5, 0.3), (3.0, 0.3))
NOISE, BATCH = 0.25, 8
HORIZONS = tuple(10**k for k in range(3, 14))
RANGES = ((10**6, 10**10), (10**9, 10**13))
FAMILIES: dict[str, tuple[str, dict[str, Any]]] = {
    "constant": ("constant", {}),
    "power law": ("power", {}),
    "linear": ("linear", {}),
    "WSD": ("wsd", {}),
    "cosine": ("cosine", {}),
    "quadratic": ("polynomial", {"power": 2}),
}
DECAY = {"constant": 0, "power law": 0, "linear": 1, "WSD": 1, "cosine": 2, "quadratic": 2}
COLORS = dict(
    zip(FAMILIES, ("#64748b", "#d97706", "#db2777", "#6366f1", "#0284c7", "#0d9488"), strict=True)
)


@dataclass(frozen=True)
class Measured:
    """One way to choose the schedule of one task, at all horizons."""

    loss: np.ndarray
    peak: np.ndarray
    quarter: np.ndarray
    last: np.ndarray
    schedules: tuple[Schedule, ...]


def measure(capacity: float, source: float) -> dict[str, Measured]:
    """The optimum and the best members of a task."""
    model = PowerLaw(capacity, source, NOISE, BATCH)
    found: dict[str, list[Any]] = {name: [] for name in ("optimal", *FAMILIES)}
    for horizon in HORIZONS:
        found["optimal"].append(solve(model, horizon, compare=False))
        for name, (family, keys) in FAMILIES.items():
            found[name].append(best_member(model, family, horizon, **keys))
    return {
        name: Measured(
            np.array([each.loss for each in ends]),
            np.array([each.schedule.peak for each in ends]),
            np.array([each.schedule(each.schedule.horizon / 4) for each in ends]),
            np.array([each.schedule(each.schedule.horizon - 1) for each in ends]),
            tuple(each.schedule for each in ends),
        )
        for name, ends in found.items()
    }


def theory(name: str, capacity: float, source: float) -> tuple[float, float]:
    """The exponents of final loss and base LR."""
    if name == "optimal":
        exponents = phase(capacity, source)
        return exponents.loss_exponent, exponents.xi
    power = DECAY[name]
    forgotten = min(power / (power + 1), 1 - 1 / capacity)
    if source <= forgotten:
        return source, 0.0
    total = source + 1 - forgotten
    return source / total, (source - forgotten) / total


def exponent(values: np.ndarray, low: float, high: float) -> float:
    """Minus the least-squares slope of log values against log horizon, between two horizons."""
    horizon = np.array(HORIZONS, dtype=float)
    inside = (horizon >= low) & (horizon <= high)
    return -float(np.polyfit(np.log(horizon[inside]), np.log(values[inside]), 1)[0])


def print_task(capacity: float, source: float, paths: dict[str, Measured]) -> None:
    spans = [f"{low:.0e}..{high:.0e}".replace("+", "") for low, high in RANGES]
    print(f"\na = {capacity:g}, s = {source:g}: {phase(capacity, source).name} phase")
    print(
        f"{'':<20} {'loss: theory':>12} {spans[0]:>12} {spans[1]:>12} "
        f"{'base LR: theory':>17} {spans[0]:>12} {spans[1]:>12}"
    )
    for name, path in paths.items():
        rates = {name: path.peak}
        if name == "optimal":
            rates = {"optimal, peak LR": path.peak, "optimal, LR at T/4": path.quarter}
        if name == "power law":
            rates = {"power law, last LR": path.last}
        loss_theory, rate_theory = theory(name, capacity, source)
        critical = (capacity, source) in EASY and DECAY.get(name) == capacity - 1
        mark = " log" if critical else ""
        for label, rate in rates.items():
            losses = " ".join(f"{exponent(path.loss, *span):>12.4f}" for span in RANGES)
            peaks = " ".join(f"{exponent(rate, *span):>12.4f}" for span in RANGES)
            print(f"{label + mark:<20} {loss_theory:>12.4f} {losses} {rate_theory:>17.4f} {peaks}")


def print_constants(results: dict[tuple[float, float], dict[str, Measured]]) -> None:
    print("\nbest power law, peak t^-chi: chi and the loss over the best constant's")
    print(f"{'a':>5} {'s':>5} {'T':>6} {'chi':>7} {'s/(1+s)':>8} {'peak/cap':>9} "
          f"{'loss ratio':>11} {'(1+s)^-s/(1+s)':>15}")  # fmt: skip
    for (capacity, source), paths in results.items():
        cap = PowerLaw(capacity, source, NOISE, BATCH).max_rate
        limit = source / (1 + source)
        for horizon in (10**4, 10**7, 10**10, 10**13):
            i = HORIZONS.index(horizon)
            schedule = paths["power law"].schedules[i]
            chi = getattr(schedule.shape, "chi")  # noqa: B009
            ratio = paths["power law"].loss[i] / paths["constant"].loss[i]
            print(
                f"{capacity:>5g} {source:>5g} {horizon:>6.0e} {chi:>7.3f} {limit:>8.3f} "
                f"{schedule.peak / cap:>9.3f} {ratio:>11.3f} {(1 + source) ** -limit:>15.3f}"
            )
    print("\nloss over the optimal loss at the last horizon, and its limit in the hard phase")
    print(f"{'a':>5} {'s':>5} " + " ".join(f"{name:>16}" for name in FAMILIES))
    for (capacity, source), paths in results.items():
        cells = []
        for name in FAMILIES:
            ratio = f"{paths[name].loss[-1] / paths['optimal'].loss[-1]:.3f}"
            cells.append(f"{ratio}{limit_ratio(name, capacity, source):>8}")
        print(f"{capacity:>5g} {source:>5g} " + " ".join(f"{cell:>16}" for cell in cells))


def limit_ratio(name: str, capacity: float, source: float) -> str:
    """What remains where the whole run is annealed: tau is shorter by the mean of the shape."""
    if (capacity, source) not in HARD or name in ("constant", "power law"):
        return ""
    mean = {"linear": 2.0, "WSD": 1.0, "cosine": 2.0, "quadratic": 3.0}[name]
    return f"({mean**source:.3f})"


def print_summary(results: dict[tuple[float, float], dict[str, Measured]]) -> None:
    print("\nlargest distance from theory over the tasks (task)")
    rows = [(name, "loss", "loss") for name in ("optimal", *FAMILIES)]
    rows += [("optimal", "peak LR", "peak"), ("optimal", "LR at T/4", "quarter")]
    rows += [
        (name, *(("last LR", "last") if name == "power law" else ("peak LR", "peak")))
        for name in FAMILIES
    ]
    for low, high in RANGES:
        print(f"T = {low:.0e} to {high:.0e}".replace("+", ""))
        for name, label, kind in rows:
            apart = {
                task: abs(
                    exponent(getattr(paths[name], kind), low, high)
                    - theory(name, *task)[0 if kind == "loss" else 1]
                )
                for task, paths in results.items()
            }
            where = max(apart, key=lambda task: apart[task])
            within = sum(value <= 0.01 for value in apart.values())
            print(
                f"  {name:<10} {label:<10} {apart[where]:.4f} (a = {where[0]:g}, s = {where[1]:g});"
                f" within 0.01 at {within} of {len(apart)}"
            )


def figure(results: dict[tuple[float, float], dict[str, Measured]]) -> go.Figure:
    """Loss over the optimal loss against the horizon, one panel a task."""
    titles = [f"a = {a:g}, s = {s:g}" for a, s in (*EASY, *HARD)]
    made = make_subplots(
        rows=2, cols=4, subplot_titles=titles, vertical_spacing=0.17, horizontal_spacing=0.05
    )
    horizon = np.array(HORIZONS, dtype=float)
    for panel, (task, paths) in enumerate(results.items()):
        row, col = divmod(panel, 4)
        where: dict[str, Any] = {"row": row + 1, "col": col + 1}
        for name, color in COLORS.items():
            ratio = paths[name].loss / paths["optimal"].loss
            made.add_trace(
                go.Scatter(
                    x=horizon,
                    y=ratio,
                    name=name,
                    legendgroup=name,
                    showlegend=panel == 0,
                    mode="lines+markers",
                    line={"color": color, "width": 1.4},
                    marker={"size": 7 if name == "linear" else 4, "symbol": symbol(name)},
                ),
                **where,
            )
            slope = theory("optimal", *task)[0] - theory(name, *task)[0]
            if slope < 1e-9:
                continue
            last = horizon >= 1e9
            made.add_trace(
                go.Scatter(
                    x=horizon[last],
                    y=1.12 * ratio[-1] * (horizon[last] / horizon[-1]) ** slope,
                    name="slope of theory",
                    legendrank=2000,
                    showlegend=panel == 0 and name == "constant",
                    mode="lines",
                    line={"color": color, "width": 1.2, "dash": "dot"},
                ),
                **where,
            )
    styled(made, 1000, 590)
    ticks = [1e3, 1e6, 1e9, 1e12]
    made.update_xaxes(
        type="log", tickvals=ticks, ticktext=[f"10<sup>{k}</sup>" for k in (3, 6, 9, 12)]
    )
    made.update_xaxes(title_text="horizon [updates]", row=2)
    tens = [1, 3, 10, 30, 100, 300, 1000]
    made.update_yaxes(type="log", tickvals=tens, range=[-0.05, 3.1], row=1)
    made.update_yaxes(tickvals=[1, 1.5, 2, 3, 5], type="log", range=[-0.03, 0.87], row=2)
    made.update_yaxes(title_text="loss / optimal loss", col=1)
    made.update_layout(legend={"orientation": "h", "x": 0.5, "xanchor": "center", "y": 1.14})
    return made


def symbol(name: str) -> str:
    """Linear decay lies under cosine in the hard phase: rings around its points."""
    return "circle-open" if name == "linear" else "circle"


def styled(made: go.Figure, width: int, height: int) -> go.Figure:
    """Readable on light and dark pages alike."""
    clear = "rgba(0,0,0,0)"
    made.update_layout(
        template="none",
        width=width,
        height=height,
        margin={"l": 65, "r": 15, "t": 70, "b": 55},
        font={"size": 12, "color": "#64748b", "family": "system-ui, sans-serif"},
        paper_bgcolor=clear,
        plot_bgcolor=clear,
    )
    made.update_annotations(font_size=13)
    grid = {"gridcolor": "rgba(148,163,184,0.3)", "zeroline": False}
    made.update_xaxes(**grid)
    return made.update_yaxes(**grid)


def write(made: go.Figure, path: Path) -> None:
    """An HTML page, or with kaleido installed an image."""
    if path.suffix == ".html":
        made.write_html(path)
    else:
        made.write_image(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Exponents of the optimum and of the families.")
    parser.add_argument("--figure", type=Path, help="SVG or HTML file to write")
    given = parser.parse_args()
    tasks = track((*EASY, *HARD), "solving", console=Console(stderr=True))
    results = {task: measure(*task) for task in tasks}
    for task, paths in results.items():
        print_task(*task, paths)
    print_constants(results)
    print_summary(results)
    if given.figure:
        write(figure(results), given.figure)


if __name__ == "__main__":
    main()
