"""Where in the plane of capacity and source does the base LR move with the horizon, and how fast?

    python bench/phase_diagram.py [--figure FILE.svg]

Solves the model at ten capacities a from 1.1 to 4 and ten sources s from 0.05 to 2 (label
noise 0.25, batch 8) for T = 1e4, 1e8 and 1e12. The measured xi is minus the slope of log LR
against log T between two of these, the LR taken at t = T/4; theory: (s - 1 + 1/a) / (s + 1/a) where
s > 1 - 1/a, and 0 elsewhere. Prints the deviations and draws xi from 1e8 to 1e12 as a heat map
under the theory's contours (`--figure`; SVG needs kaleido, HTML does not).
"""

from __future__ import annotations

import argparse
from itertools import pairwise
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from loss_exponents import BATCH, NOISE, styled, write
from rich.console import Console
from rich.progress import track

from etastar.control import solve
from etastar.model import PowerLaw, phase
from etastar.schedule import InputError

CAPACITIES = (1.1, 1.25, 1.5, 1.75, 2.0, 2.4, 2.8, 3.2, 3.6, 4.0)
SOURCES = (0.05, 0.15, 0.3, 0.45, 0.6, 0.8, 1.0, 1.3, 1.6, 2.0)
HORIZONS = (10**4, 10**8, 10**12)
NEAR = 0.1
"""Distance of the source from the boundary below which a task counts as near it."""


def quarter_rates() -> np.ndarray:
    """LR at t = T/4 of every optimum: (sources, capacities, horizons); NaN where a solve fails."""
    rates = np.full((len(SOURCES), len(CAPACITIES), len(HORIZONS)), np.nan)
    console = Console(stderr=True)
    for j in track(range(len(CAPACITIES)), "solving", console=console):
        for i, source in enumerate(SOURCES):
            model = PowerLaw(CAPACITIES[j], source, NOISE, BATCH)
            for k, horizon in enumerate(HORIZONS):
                try:
                    rates[i, j, k] = solve(model, horizon, compare=False).schedule(horizon / 4)
                except InputError as error:  # the final loss to 1e-4 may ask too many segments
                    console.print(
                        f"a = {model.capacity:g}, s = {source:g}, T = {horizon:.0e}: {error}"
                    )
    return rates


def print_deviations(measured: np.ndarray) -> None:
    theory = np.array([[phase(a, s).xi for a in CAPACITIES] for s in SOURCES])
    distance = np.array([[phase(a, s).distance for a in CAPACITIES] for s in SOURCES])
    for k, (low, high) in enumerate(pairwise(HORIZONS)):
        error = measured[:, :, k] - theory
        solved = np.isfinite(error)
        failed = f"; {(~solved).sum()} tasks not solved" if not solved.all() else ""
        print(f"xi from T = {low:.0e} to {high:.0e}".replace("+", "") + failed)
        for name, part in (
            (f"easy, s - (1 - 1/a) above {NEAR}", distance > NEAR),
            (f"within {NEAR} of the boundary", np.abs(distance) <= NEAR),
            (f"hard, s - (1 - 1/a) below -{NEAR}", distance < -NEAR),
        ):
            part = part & solved
            size = np.where(part, np.abs(error), -1.0)
            i, j = np.unravel_index(int(size.argmax()), size.shape)
            print(
                f"  {name:<33} {part.sum():>4} tasks: largest |measured - theory| "
                f"{size[i, j]:.4f} at a = {CAPACITIES[j]:g}, s = {SOURCES[i]:g} "
                f"({measured[i, j, k]:.4f} for {theory[i, j]:.4f}), mean {np.mean(size[part]):.4f}"
            )
    print("\nmeasured - theory, last decades; rows s, columns a")
    print(f"{'':>5} " + " ".join(f"{a:>7g}" for a in CAPACITIES))
    for i, source in enumerate(SOURCES):
        cells = " ".join(f"{value:>7.4f}" for value in measured[i, :, -1] - theory[i])
        print(f"{source:>5g} {cells}")


def figure(measured: np.ndarray) -> go.Figure:
    """xi as a heat map over capacity and source, the theory's contours on it."""
    xi = measured[:, :, -1]
    made = go.Figure(
        go.Heatmap(
            x=edges(CAPACITIES),
            y=edges(SOURCES),
            z=xi,
            zmin=0,
            zmax=0.7,
            colorscale=[[0, "#e2e8f0"], [0.001, "#ccfbf1"], [1, "#0f766e"]],
            colorbar={"title": "xi", "thickness": 14, "tickvals": np.arange(0, 0.71, 0.1)},
        )
    )
    capacity = np.linspace(CAPACITIES[0], CAPACITIES[-1], 200)
    for level in (0.0, 0.1, 0.2, 0.3, 0.4, 0.5, 0.6):
        # xi = (s - 1 + 1/a) / (s + 1/a) = 1 - 1 / (s + 1/a)
        source = 1 / (1 - level) - 1 / capacity
        inside = (source > edges(SOURCES)[0]) & (source < edges(SOURCES)[-1] - 0.06)
        color = "#be123c" if level == 0 else "#1e293b"
        made.add_trace(
            go.Scatter(
                x=capacity[inside],
                y=source[inside],
                mode="lines",
                line={"color": color, "width": 3 if level == 0 else 1.3},
                showlegend=False,
            )
        )
        at = np.flatnonzero(inside)[-1]
        made.add_annotation(
            x=capacity[at],
            y=source[at],
            text="s = 1 - 1/a" if level == 0 else f"{level:.1f}",
            showarrow=False,
            xanchor="right",
            yanchor="bottom",
            font={"color": color, "size": 13},
        )
    for text, x, y in (("hard: xi = 0", 3.3, 0.3), ("easy: xi > 0", 2.9, 1.2)):
        made.add_annotation(x=x, y=y, text=text, showarrow=False, font={"color": "#1e293b"})
    styled(made, 720, 480)
    made.update_xaxes(title_text="capacity exponent a", showgrid=False)
    made.update_yaxes(
        title_text="source exponent s", showgrid=False, range=[SOURCES[0], SOURCES[-1]]
    )
    return made.update_layout(margin_t=15)


def edges(values: tuple[float, ...]) -> np.ndarray:
    """The ends of the cells around values."""
    middle = (np.array(values[1:]) + np.array(values[:-1])) / 2
    return np.concatenate([[values[0]], middle, [values[-1]]])


def main() -> None:
    parser = argparse.ArgumentParser(description="xi over capacity and source.")
    parser.add_argument("--figure", type=Path, help="SVG or HTML file to write")
    given = parser.parse_args()
    rates = quarter_rates()
    ratio = np.diff(np.log(rates), axis=2) / np.diff(np.log(np.array(HORIZONS, dtype=float)))
    print_deviations(-ratio)
    if given.figure:
        write(figure(-ratio), given.figure)


if __name__ == "__main__":
    main()
