"""Tables and figure of `bench/robust_wide_resnet.py`: the best loss on a coarse grid of base LRs.

On a grid of ratio r every log2(r)-th base LR is tried. Where the grid begins is chance, so a table
gives the mean over its beginnings of the best loss on the grid over the best of all: of the mean
over seeds, with the jackknife's standard error over seeds, and in brackets the same of the
last-iterate bound (docs/robust.md). The bound grows with a base LR that is rho times the best like
rho^(1/(2p+1)) where the LR ends like the p-th power of the updates to go, and like rho where it
does not fall to 0. So the last tables have the loss at rho times the best base LR over the loss at
the best, beside the bound's.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
from loss_exponents import styled
from plotly.subplots import make_subplots
from robust_logistic import jackknife, predicted, with_error

from etastar.robust import last_iterate
from etastar.schedule import Schedule

RATIOS = (2, 4, 8, 16, 32, 64)
LOSSES = ("training loss", "test loss")
LARGE = 100
"""A loss so many times the best is that of a net that no longer learns: only this is printed."""

COLORS = {
    "fixed": "#64748b",
    "inverse sqrt": "#d97706",
    "linear": "#0d9488",
    "cosine": "#6366f1",
    "cubic": "#0284c7",
}


@dataclass(frozen=True)
class Grid:
    """What was measured under one schedule.

    Attributes:
        schedule: at a base LR of 1.
        lrs: logs to base 2 of the base LRs, rising by 1, (LRs,).
        losses: final losses (seeds, LRs) by name; infinite where a run diverged.
        accuracy: on the test images, (seeds, LRs).
    """

    schedule: Schedule
    lrs: np.ndarray
    losses: Mapping[str, np.ndarray]
    accuracy: np.ndarray


def inflated(losses: np.ndarray, best: int, octaves: int) -> tuple[float, float]:
    """Loss `octaves` above the base LR at place `best` over the loss there, and its standard error.

    Losses are (seeds, LRs); of their means over seeds. NaN where no such LR was tried, infinite
    where a seed diverged.
    """
    if best + octaves >= losses.shape[1]:
        return np.nan, np.nan
    if not np.isfinite(losses[:, best + octaves]).all():  # a seed diverged
        return np.inf, np.nan

    def ratio(rows: np.ndarray) -> np.ndarray:
        mean = rows.mean(axis=0)
        return mean[best + octaves] / mean[best]

    value, error = jackknife(losses, ratio)
    return float(value), float(error)


def print_grids(grids: Mapping[str, Grid]) -> None:
    """Best base LR, the best on coarse grids, and the slope of the loss above the best LR."""
    first = next(iter(grids.values()))
    seeds = len(first.accuracy)
    print(
        f"{seeds} seeds, {first.schedule.horizon} updates, base LRs 2^{first.lrs[0]} to "
        f"2^{first.lrs[-1]}; +- standard error over seeds"
    )
    for kind in LOSSES:
        print(f"\nbest base LR by {kind}, the loss there, test accuracy there")
        for name, grid in grids.items():
            at = int(grid.losses[kind].mean(axis=0).argmin())
            cells = [mean_error(part[:, at]) for part in (grid.losses[kind], grid.accuracy)]
            edge = "" if 0 < at < len(grid.lrs) - 1 else "  at the edge of what was tried"
            print(f"  {name:<13} 2^{grid.lrs[at]:<4} {cells[0]:>18} {cells[1]:>18}{edge}")
    for kind in LOSSES:
        print(f"\n{kind}, best on the grid over the best (bound), mean over beginnings")
        print(f"{'ratio':>6} " + " ".join(f"{name:>23}" for name in grids))
        for ratio in RATIOS:
            cells = [cell(grid, kind, ratio) for grid in grids.values()]
            print(f"{ratio:>6} " + " ".join(f"{each:>23}" for each in cells))
    for kind in LOSSES:
        print(f"\n{kind} at rho times the best base LR over that at the best (bound)")
        print(f"{'rho':>6} " + " ".join(f"{name:>24}" for name in grids))
        for rho in RATIOS:
            cells = [inflation_cell(grid, kind, rho) for grid in grids.values()]
            print(f"{rho:>6} " + " ".join(f"{each:>24}" for each in cells))
    exponents = (f"{last_iterate(grid.schedule).exponent:.3f}" for grid in grids.values())
    print("exponent of rho in the bound, rho large")
    print(" " * 7 + " ".join(f"{each:>24}" for each in exponents))


def mean_error(values: np.ndarray) -> str:
    return f"{values.mean():.4f} +- {values.std(ddof=1) / np.sqrt(len(values)):.4f}"


def cell(grid: Grid, kind: str, ratio: int) -> str:
    stride = ratio.bit_length() - 1
    (mean, _), (error, _) = with_error(grid.losses[kind], stride)
    bound, _ = predicted(grid.schedule, stride, per_octave=1)
    return f"{mean:.3f} +- {error:.3f} ({bound:.2f})"


def inflation_cell(grid: Grid, kind: str, rho: int) -> str:
    losses = grid.losses[kind]
    best = int(losses.mean(axis=0).argmin())
    value, error = inflated(losses, best, rho.bit_length() - 1)
    if np.isnan(value):
        return "not tried"
    bound = float(last_iterate(grid.schedule).inflation(float(rho)))
    shown = f"{value:.2f} +- {error:.2f}" if value < LARGE else f"above {LARGE}"
    return f"{shown} ({bound:.2f})"


def figure(grids: Mapping[str, Grid]) -> go.Figure:
    """Best on the grid over the best, against the grid's ratio: both losses and the bound."""
    titles = [kind.capitalize() for kind in LOSSES] + ["The bound"]
    made = make_subplots(1, 3, subplot_titles=titles, shared_yaxes=True, horizontal_spacing=0.04)
    for name, grid in grids.items():
        style = {"name": name, "legendgroup": name, "line": {"color": COLORS[name]}}
        strides = [ratio.bit_length() - 1 for ratio in RATIOS]
        for column, kind in enumerate(LOSSES, start=1):
            found = [with_error(grid.losses[kind], stride) for stride in strides]
            bars = {"array": [error[0] for _, error in found], "thickness": 1}
            line = go.Scatter(
                x=RATIOS, y=[mean[0] for mean, _ in found], error_y=bars, mode="lines+markers",
                showlegend=column == 1, **style,
            )  # fmt: skip
            made.add_trace(line, 1, column)
        bound = [predicted(grid.schedule, stride, per_octave=1)[0] for stride in strides]
        made.add_trace(go.Scatter(x=RATIOS, y=bound, showlegend=False, **style), 1, 3)
    styled(made, 940, 400)
    made.update_xaxes(type="log", tickvals=RATIOS, title_text="ratio of the base-LR grid")
    made.update_yaxes(type="log", tickvals=(1, 1.2, 1.5, 2, 3, 5, 10))
    return made.update_yaxes(title_text="best on grid / best", col=1)
