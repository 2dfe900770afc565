"""What does a finite width cost, and how is compute best split between width and horizon?

    python bench/finite_width.py [--seeds 32] [--figure docs/figures/finite_width.svg]

Losses of the solvable model (label noise 0.25, batch 8) under the schedule that is optimal at
infinite width, of models with N features: the N largest (`width=N`), or N Gaussian mixtures of 8192
(`project`, several seeds), against its deterministic equivalent (`project_equivalent`). Then the
floors against N. Then the width and the horizon that `compute_optimal` chooses as compute grows.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from etastar.control import Allocation, compute_optimal, solve
from etastar.model import LinearModel, PowerLaw, Spectrum, loss, phase, project, project_equivalent
from etastar.schedule import Schedule

CAPACITY, NOISE, BATCH, FEATURES = 1.5, 0.25, 8, 8192
SOURCES = {"hard": 0.2, "easy": 1.0}
WIDTHS = (16, 64, 256)
HORIZONS = tuple(10**n for n in range(2, 9))
FLOOR_SOURCES = (0.2, 0.5, 1.0, 2.0)
FLOOR_WIDTHS = (100, 1000, 10_000, 100_000)
COMPUTE = tuple(10.0**n for n in range(7, 16))
COLORS = {16: "#d97706", 64: "#6366f1", 256: "#0d9488"}


def law(name: str, width: int | None = None) -> PowerLaw:
    return PowerLaw(CAPACITY, SOURCES[name], NOISE, BATCH, width)


@cache
def schedule(name: str, horizon: int) -> Schedule:
    """The optimum at infinite width, stable for projected features too."""
    return solve(law(name), horizon, cap=0.6 * law(name).max_rate, compare=False).schedule


def losses_of(model: LinearModel | PowerLaw, name: str) -> NDArray[np.float64]:
    return np.array([loss(model, schedule(name, horizon)) for horizon in HORIZONS])


def against_horizon(seeds: int) -> dict:
    """Losses (horizons,) by phase, width and kind; the projections' are (seeds, horizons)."""
    k = np.arange(1.0, FEATURES + 1)
    found = {}
    for name, source in SOURCES.items():
        whole = Spectrum(k**-CAPACITY, k ** -(CAPACITY * source + 1))
        found[name, None, "all"] = losses_of(LinearModel(whole, NOISE, BATCH), name)
        for width in WIDTHS:
            first = Spectrum(
                whole.eigenvalue[:width], whole.target[:width], floor=whole.target[width:].sum()
            )
            found[name, width, "top"] = losses_of(LinearModel(first, NOISE, BATCH), name)
            equivalent = LinearModel(project_equivalent(whole, width), NOISE, BATCH)
            found[name, width, "equivalent"] = losses_of(equivalent, name)
            found[name, width, "projected"] = np.array(
                [
                    losses_of(LinearModel(project(whole, width, seed), NOISE, BATCH), name)
                    for seed in range(seeds)
                ]
            )
    print(f"loss at the end of T updates, {FEATURES} features; projected: mean of {seeds} draws")
    print("(spread between draws), and the mean over the equivalent (standard error)")
    print(f"{'phase':<5} {'T':>6} {'all':>10} " + " ".join(
        f"{f'top {n}':>10} {'projected':>18} {'/equivalent':>15}" for n in WIDTHS))  # fmt: skip
    for name in SOURCES:
        for i, horizon in enumerate(HORIZONS):
            cells = []
            for width in WIDTHS:
                drawn = found[name, width, "projected"][:, i]
                equivalent = found[name, width, "equivalent"][i]
                spread = drawn.std(ddof=1)
                cells.append(
                    f"{found[name, width, 'top'][i]:>10.4g} {drawn.mean():>9.4g} "
                    f"({spread / drawn.mean():>6.3f}) {drawn.mean() / equivalent:>7.4f} "
                    f"({spread / np.sqrt(seeds) / equivalent:.4f})"
                )
            whole = found[name, None, "all"][i]
            print(f"{name:<5} {horizon:>6.0e} {whole:>10.4g} " + " ".join(cells))
    return found


def floors() -> None:
    """What a width leaves for ever: N^-(a s) of the largest, N^-(a min(s, 1)) of mixtures."""
    print("\nfloor and minus its slope in N; theory: a s (top), a min(s, 1) (projected)")
    print(f"{'s':>4} {'kind':<10} " + " ".join(f"{n:>10}" for n in FLOOR_WIDTHS)
          + f"  {'slopes':<20} theory")  # fmt: skip
    for source in FLOOR_SOURCES:
        wide = Spectrum.power_law(CAPACITY, source, intrinsic_time=1e12)
        model = PowerLaw(CAPACITY, source, NOISE, BATCH)
        top = [
            PowerLaw(CAPACITY, source, NOISE, BATCH, n).spectrum_to(1e12).floor
            for n in FLOOR_WIDTHS
        ]
        mixed = [project_equivalent(wide, n).floor for n in FLOOR_WIDTHS]
        for kind, values, power in (
            ("top", top, model.source),
            ("projected", mixed, min(model.source, 1.0)),
        ):
            slopes = -np.diff(np.log(values)) / np.diff(np.log(FLOOR_WIDTHS))
            print(
                f"{source:>4} {kind:<10} " + " ".join(f"{v:>10.3g}" for v in values)
                + "  " + " ".join(f"{s:.3f}" for s in slopes) + f"    {CAPACITY * power:.3f}"
            )  # fmt: skip


def allocations() -> dict[str, list[Allocation]]:
    found = {}
    for name in SOURCES:
        found[name] = [compute_optimal(law(name), compute) for compute in COMPUTE]
        product = CAPACITY * SOURCES[name]
        speed = phase(CAPACITY, SOURCES[name]).loss_exponent
        total = product + speed
        theory = {"N": speed / total, "T": product / total, "loss": -product * speed / total}
        print(f"\n{name}: N ~ C^{theory['N']:.4f}, T ~ C^{theory['T']:.4f}, "
              f"loss ~ C^{theory['loss']:.4f} in theory; measured slopes per decade")  # fmt: skip
        print(f"{'C':>6} {'N':>9} {'T':>11} {'loss':>10} {'N':>7} {'T':>7} {'loss':>7} floor/loss")
        before = None
        for compute, one in zip(COMPUTE, found[name], strict=True):
            here = np.log10([one.width, one.horizon, one.loss])
            slope = np.full(3, np.nan) if before is None else here - before
            before = here
            floor = law(name, one.width).spectrum_to(one.horizon).floor
            print(
                f"{compute:>6.0e} {one.width:>9} {one.horizon:>11} {one.loss:>10.4g} "
                + " ".join(f"{x:>7.3f}" for x in slope) + f" {floor / one.loss:>10.3f}",
                flush=True,
            )  # fmt: skip
    return found


def figure(curves: dict, split: dict[str, list[Allocation]]):
    """Loss against horizon in both phases, and the chosen width and horizon against compute."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    made = make_subplots(
        rows=1,
        cols=3,
        subplot_titles=("hard phase", "easy phase", "compute-optimal width and horizon"),
        horizontal_spacing=0.075,
    )
    for col, name in ((1, "hard"), (2, "easy")):
        made.add_trace(
            go.Scatter(x=HORIZONS, y=curves[name, None, "all"], name="all features",
                       line={"color": "#64748b", "dash": "dot"}, showlegend=col == 1),
            1, col,
        )  # fmt: skip
        for width in WIDTHS:
            color = {"color": COLORS[width]}
            show = {"showlegend": col == 1, "legendgroup": str(width)}
            made.add_trace(
                go.Scatter(x=HORIZONS, y=curves[name, width, "top"], name=f"the {width} largest",
                           line=color | {"dash": "dash"}, mode="lines", **show),
                1, col,
            )  # fmt: skip
            made.add_trace(
                go.Scatter(x=HORIZONS, y=curves[name, width, "equivalent"], mode="lines",
                           name=f"{width} mixtures, equivalent", line=color, **show),
                1, col,
            )  # fmt: skip
            drawn = curves[name, width, "projected"]
            made.add_trace(
                go.Scatter(x=np.tile(HORIZONS, len(drawn)), y=drawn.ravel(), mode="markers",
                           marker=color | {"size": 5, "opacity": 0.5},
                           name=f"{width} mixtures, drawn", **show),
                1, col,
            )  # fmt: skip
    for name, dash in (("hard", "dash"), ("easy", "solid")):
        for key, color in (("width", "#6366f1"), ("horizon", "#db2777")):
            values = [getattr(one, key) for one in split[name]]
            made.add_trace(
                go.Scatter(x=COMPUTE, y=values, line={"color": color, "dash": dash},
                           mode="lines+markers", name=f"{key}, {name} phase"),
                1, 3,
            )  # fmt: skip
    grid = {"gridcolor": "rgba(148,163,184,0.3)", "zeroline": False}
    log: dict = {"type": "log", "exponentformat": "power"}
    made.update_layout(
        template="none",
        width=1080,
        height=520,
        margin={"l": 60, "r": 10, "t": 35, "b": 170},
        font={"size": 12, "color": "#64748b", "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "y": -0.18, "x": 0},
    )
    made.update_annotations(font_size=13)
    made.update_xaxes(**grid, **log, dtick=2, title_text="updates")
    made.update_xaxes(title_text="compute [multiply-adds]", col=3)
    made.update_yaxes(**grid, **log)
    made.update_yaxes(dtick=1)
    made.update_yaxes(dtick=2, col=3)
    made.update_yaxes(title_text="excess loss", col=1)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Finite width and compute.")
    parser.add_argument("--seeds", type=int, default=32)
    parser.add_argument("--figure", type=Path, help="SVG file to write (needs kaleido)")
    given = parser.parse_args()
    curves = against_horizon(given.seeds)
    floors()
    split = allocations()
    if given.figure:
        figure(curves, split).write_image(given.figure)


if __name__ == "__main__":
    main()
