"""How does the loss fall where the velocity has an LR of its own?

    python bench/velocity.py [--longest 1e7] [--figure docs/figures/momentum.svg]

Solves for the LRs of gradient and velocity and the momentum together (`solve` with
"lr,velocity,momentum"), a horizon a decade, beside the LR alone and beside the closed form of the
optimal LR without a cap on it, which is exact in the limit of small LRs.
Prints losses, the slope of each decade, gap and processor seconds, and the derived exponent.
Batch 8; a = 1.5 and label noise 4 in the first two tasks.
"""

from __future__ import annotations

import argparse
import math
import time
from pathlib import Path
from typing import NamedTuple

import numpy as np

from etastar.control import solve
from etastar.control._budget import Budget
from etastar.control._limits import Limits
from etastar.control._model_problem import ControlProblem, Ranges
from etastar.model import PowerLaw, phase

TASKS = {
    "hard, a = 1.5, s = 0.2, noise 4": PowerLaw(1.5, 0.2, 4.0, 8),
    "hard, a = 1.5, s = 0.05, noise 4": PowerLaw(1.5, 0.05, 4.0, 8),
    "hard, a = 1.5, s = 0.2, no noise": PowerLaw(1.5, 0.2, 0.0, 8),
    "easy, a = 1.5, s = 1, noise 0.25": PowerLaw(1.5, 1.0, 0.25, 8),
}


class Row(NamedTuple):
    horizon: int
    plain: float
    velocity: float
    free: float
    gap: float
    seconds: float


def uncapped(model: PowerLaw, horizon: int) -> float:
    """The closed form of the optimal loss without a cap on the LR."""
    budget, limits = Budget(float(horizon)), Limits(math.inf, 0.0, 0, False)
    ranges = Ranges(65536.0, 1.0 - 1e-9)
    problem = ControlProblem.checked(model, "lr,momentum", budget, limits, ranges)
    return problem.closed_form(float(horizon), float(model.batch_size), 1e6).loss


def measure(model: PowerLaw, longest: float) -> list[Row]:
    rows: list[Row] = []
    print(f"{'T':>10}{'LR alone':>11}{'velocity':>11}{'no cap':>11}{'gap':>9}{'cpu s':>7}  slopes")
    for decade in range(2, round(math.log10(longest)) + 1):
        horizon = 10**decade
        began = time.process_time()
        found = solve(model, horizon, controls="lr,velocity,momentum", compare=False)
        took = time.process_time() - began
        plain = solve(model, horizon, compare=False).loss
        row = Row(horizon, plain, found.loss, uncapped(model, horizon), found.gap, took)
        slopes = (
            [np.log10(b / a) for a, b in zip(rows[-1][1:4], row[1:4], strict=True)] if rows else []
        )
        print(
            f"{horizon:10d}{row.plain:11.5g}{row.velocity:11.5g}{row.free:11.5g}{row.gap:9.1e}"
            f"{row.seconds:7.1f}  " + " ".join(f"{slope:.4f}" for slope in slopes),
            flush=True,
        )
        rows.append(row)
    return rows


def derived(model: PowerLaw) -> float:
    return phase(model.capacity, model.source, model.noise > 0).velocity_loss_exponent


def draw(found: dict[str, list[Row]], path: Path) -> None:
    from plotly.subplots import make_subplots

    figure = make_subplots(1, len(found), subplot_titles=list(found), horizontal_spacing=0.06)
    names = (("plain", "LR alone", "#64748b"), ("velocity", "and velocity", "#0d9488"))
    for col, (name, rows) in enumerate(found.items(), start=1):
        horizon = [row.horizon for row in rows]
        for field, label, color in names:
            figure.add_scatter(
                x=horizon, y=[getattr(row, field) for row in rows], name=label, row=1, col=col,
                mode="lines+markers", line={"color": color, "width": 2.5}, showlegend=col == 1,
            )  # fmt: skip
        last = rows[-1]
        line = [last.velocity * (last.horizon / x) ** derived(TASKS[name]) for x in horizon]
        figure.add_scatter(
            x=horizon, y=line, name="derived power", row=1, col=col, mode="lines",
            line={"color": "#8b5cf6", "width": 1.5, "dash": "dot"}, showlegend=col == 1,
        )  # fmt: skip
    figure.update_xaxes(type="log", title_text="horizon T", dtick=2)
    figure.update_yaxes(type="log")
    figure.update_yaxes(title_text="excess loss", row=1, col=1)
    figure.update_layout(
        template="plotly_white", width=1120, height=360, legend={"orientation": "h", "y": -0.3},
        font={"size": 12, "color": "#334155"}, margin={"l": 60, "r": 15, "t": 40, "b": 40},
    )  # fmt: skip
    figure.write_image(path)


def main() -> None:
    parser = argparse.ArgumentParser(description="Exponents with a velocity of its own LR.")
    parser.add_argument("--longest", type=float, default=1e7)
    parser.add_argument("--figure", type=Path, help="SVG file to write")
    given = parser.parse_args()
    found = {}
    for name, model in TASKS.items():
        print(f"\n{name}: derived exponent {derived(model):.4f}")
        found[name] = measure(model, given.longest)
    if given.figure:
        draw(found, given.figure)


if __name__ == "__main__":
    main()
