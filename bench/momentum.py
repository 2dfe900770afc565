"""Does momentum improve the loss exponent in the hard phase, and not in the easy one?

    python bench/momentum.py --longest 1000 --figure momentum.html

LR and momentum are optimised together by `solve`, for horizons from 250 to 256,000, through the
exact recursion of the three moments. Prints loss, slope and its standard error beside
the optimum of plain SGD, and 1 - mu in the middle of the run. Batch 8; label noise 0.25, and none
at a = 2, s = 0.25.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np

from etastar.control import Solution, solve
from etastar.model import PowerLaw

TASKS = {
    "hard, a = 1.5, s = 0.2": PowerLaw(1.5, 0.2, 0.25, 8),
    "hard, a = 2, s = 0.25, no noise": PowerLaw(2.0, 0.25, 0.0, 8),
    "easy, a = 1.5, s = 1": PowerLaw(1.5, 1.0, 0.25, 8),
}
HORIZONS = (250, 500, 1000, 2000, 4000, 8000, 16_000, 32_000, 64_000, 128_000, 256_000)


def slope(horizons, losses) -> tuple[float, float]:
    """Least-squares slope of the logarithms and its standard error."""
    (value, _), covariance = np.polyfit(np.log(horizons), np.log(losses), 1, cov=True)
    return float(value), float(np.sqrt(covariance[0, 0]))


def measure(horizons: tuple[int, ...]) -> dict[str, list[tuple[int, float, Solution]]]:
    found = {}
    for name, model in TASKS.items():
        print(f"\n{name}")
        head = ("T", "plain", "momentum", "ratio", "1-mu middle", "gap", "s")
        widths = (6, 11, 11, 8, 13, 9, 6)
        print("".join(f"{word:>{width}}" for word, width in zip(head, widths, strict=True)))
        rows = []
        for horizon in horizons:
            plain = solve(model, horizon, compare=False)
            both = solve(model, horizon, controls="lr,momentum", compare=False)
            rows.append((horizon, plain.loss, both))
            assert both.momentum is not None
            middle = 1.0 - float(both.momentum(horizon // 2))
            print(
                f"{horizon:6d}{plain.loss:11.5g}{both.loss:11.5g}{both.loss / plain.loss:8.3f}"
                f"{middle:13.2g}{both.gap:9.1e}{both.seconds:6.0f}",
                flush=True,
            )
        losses = {"plain": [row[1] for row in rows], "momentum": [row[2].loss for row in rows]}
        for label, values in losses.items():
            for first in (0, len(rows) // 2 - 1):
                value, error = slope(horizons[first:], values[first:])
                begin = f"{label:9} slope from T = {horizons[first]}"
                print(f"  {begin}: {value:.4f} +- {error:.4f}")
        found[name] = rows
    return found


def figure(found: dict):
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    names = list(found)
    drawn = make_subplots(
        rows=2,
        cols=len(names),
        subplot_titles=names,
        vertical_spacing=0.16,
        horizontal_spacing=0.08,
    )
    for col, name in enumerate(names, start=1):
        rows = found[name]
        horizon = [row[0] for row in rows]
        for label, loss, color in (
            ("LR alone", lambda row: row[1], "#64748b"),
            ("LR and momentum", lambda row: row[2].loss, "#0d9488"),
        ):
            line = go.Scatter(
                x=horizon, y=[loss(row) for row in rows], name=label, mode="lines+markers",
                line={"color": color, "width": 2.5}, showlegend=col == 1,
            )  # fmt: skip
            drawn.add_trace(line, row=1, col=col)
        for row, color in (
            (rows[0], "#c4b5fd"),
            (rows[len(rows) // 2], "#8b5cf6"),
            (rows[-1], "#5b21b6"),
        ):
            step = np.arange(row[0])
            line = go.Scatter(
                x=step / row[0], y=1.0 - row[2].momentum(step), name=f"1 - mu, T = {row[0]}",
                mode="lines",
                line={"color": color, "width": 2.5}, showlegend=col == 1,
            )  # fmt: skip
            drawn.add_trace(line, row=2, col=col)
        drawn.update_xaxes(type="log", title_text="horizon T", dtick=1, row=1, col=col)
        drawn.update_xaxes(title_text="t / T", row=2, col=col)
        drawn.update_yaxes(type="log", row=1, col=col)
        drawn.update_yaxes(type="log", row=2, col=col)
    drawn.update_yaxes(title_text="excess loss", row=1, col=1)
    drawn.update_yaxes(title_text="1 - momentum", row=2, col=1)
    return drawn.update_layout(
        template="plotly_white", width=1080, height=640, legend={"orientation": "h", "y": -0.12},
        font={"size": 12, "color": "#334155"}, margin={"l": 60, "r": 15, "t": 40, "b": 40},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Optimal momentum in both phases.")
    parser.add_argument("--figure", type=Path, help="SVG or HTML file to write")
    parser.add_argument("--longest", type=int, default=HORIZONS[-1])
    given = parser.parse_args()
    found = measure(tuple(h for h in HORIZONS if h <= given.longest))
    if given.figure and given.figure.suffix == ".html":
        figure(found).write_html(given.figure)
    elif given.figure:
        figure(found).write_image(given.figure)


if __name__ == "__main__":
    main()
