"""Does momentum improve the loss exponent in the hard phase, and not in the easy one?

    python bench/momentum.py --figure docs/figures/momentum.svg

LR and momentum are optimised together through the exact recursion of the three moments, which JAX
differentiates, for horizons from 250 to 8000: 33 knots, linear in between, of eta / (1 - mu) and of
1 - mu, L-BFGS from the optimum without momentum and from a momentum that grows. Prints loss, slope
and its standard error beside the optimum of plain SGD, and mu along the run. Batch 8; label noise
0.25, and none at a = 2, s = 0.25.
"""

from __future__ import annotations

import argparse
import time
from functools import partial
from pathlib import Path

import jax
import jax.numpy as jnp
import numpy as np
from scipy.optimize import minimize

from etastar.control import solve
from etastar.model import PowerLaw, exact_losses, modes_of
from etastar.schedule import table

TASKS = {
    "hard, a = 1.5, s = 0.2": PowerLaw(1.5, 0.2, 0.25, 8),
    "hard, a = 2, s = 0.25, no noise": PowerLaw(2.0, 0.25, 0.0, 8),
    "easy, a = 1.5, s = 1": PowerLaw(1.5, 1.0, 0.25, 8),
}
HORIZONS = (250, 500, 1000, 2000, 4000, 8000)
KNOTS = 33
LEAST = np.log(1e-4)
"""log(1 - mu) of the largest momentum allowed."""


@partial(jax.jit, static_argnums=3)
def log_loss(modes, noise, limits, horizon, place, spread_left, spread_part, x):
    """Log of the exact final loss for knots of log eta / (1 - mu), in caps, and of log(1 - mu)."""
    cap, batch = limits
    pace, slow = jnp.exp(x[:KNOTS]), jnp.exp(x[KNOTS:])
    fast = pace * slow
    rates = cap * fast * (1.0 + fast**6) ** (-1.0 / 6.0)

    def along(knots):
        return knots[spread_left] * (1 - spread_part) + knots[spread_left + 1] * spread_part

    def update(state, control):
        share, cross, velocity = state
        eta, mu = control
        loss = share.sum()
        e = modes.eigenvalue
        new = mu * mu * velocity + 2.0 * mu * e * cross + e * e * (1.0 + 1.0 / batch) * share
        new = new + modes.square / batch * (loss + noise)
        drift = mu * cross + e * share
        return (share - 2.0 * eta * drift + eta * eta * new, drift - eta * new, new), None

    zero = jnp.zeros_like(modes.target)
    controls = (along(rates), 1.0 - along(slow))
    (share, _, _), _ = jax.lax.scan(jax.checkpoint(update), (modes.target, zero, zero), controls)
    return jnp.log(share.sum())


def optimise(model: PowerLaw, horizon: int, begun: list[tuple]) -> tuple[float, tuple]:
    """The best of several starts; returns the loss and (knots, eta, 1 - mu)."""
    modes = type(modes_of(model.spectrum_to(1)))(
        *(jnp.asarray(values) for values in modes_of(model.spectrum_to(100 * horizon)))
    )
    half = np.linspace(-1.0, 1.0, KNOTS)
    growth = np.log1p(horizon / 8.0)
    near = np.expm1(growth * (1.0 - np.abs(half))) / np.expm1(growth) / 2.0
    place = horizon * np.where(half < 0, near, 1.0 - near)
    step = np.arange(horizon)
    left = np.clip(np.searchsorted(place, step, side="right") - 1, 0, KNOTS - 2)
    part = (step - place[left]) / (place[left + 1] - place[left])
    limits = (model.max_rate, model.batch_size)
    value_and_slope = jax.jit(
        jax.value_and_grad(
            lambda x: log_loss(
                modes,
                model.noise,
                limits,
                horizon,
                place,
                left,
                part,
                x,
            )
        )
    )

    def objective(x: np.ndarray) -> tuple[float, np.ndarray]:
        value, slope = value_and_slope(x)
        if not np.isfinite(value):
            return 1e2, np.zeros_like(x)
        return float(value), np.nan_to_num(np.asarray(slope))

    plain = solve(model, horizon, compare=False).schedule
    room = np.log(np.clip(plain(place) / model.max_rate, 1e-6, 0.95))
    ended = []
    for slow in starts(place / horizon, horizon):
        x = np.concatenate([room, slow])
        ended.append((x, objective(x)[0]))
    for knots, x in begun:
        ends = [np.interp(place / horizon, knots, row) for row in (x[:KNOTS], x[KNOTS:])]
        x = np.concatenate(ends)
        ended.append((x, objective(x)[0]))
    bounds = [(np.log(1e-6), -LEAST)] * KNOTS + [(LEAST, 0.0)] * KNOTS
    best = None
    for x, value in sorted(ended, key=lambda each: each[1])[:2]:
        if value > 50:
            continue
        options = {"maxiter": 250, "maxcor": 40, "ftol": 1e-9, "gtol": 1e-7}
        end = minimize(objective, x, jac=True, method="L-BFGS-B", bounds=bounds, options=options)
        if best is None or end.fun < best.fun:
            best = end
    assert best is not None
    fast = np.exp(best.x[:KNOTS] + best.x[KNOTS:])
    eta = model.max_rate * fast * (1.0 + fast**6) ** (-1.0 / 6.0)
    return float(np.exp(best.fun)), (place / horizon, best.x, eta, np.exp(best.x[KNOTS:]))


def starts(part: np.ndarray, horizon: int) -> list[np.ndarray]:
    grown = [np.log(np.clip((1 + horizon * part) ** -k + part**8, 0.02, 0.98)) for k in (0.2, 0.4)]
    return [np.full(KNOTS, np.log(0.8)), *grown]


def slope(horizons, losses) -> tuple[float, float]:
    """Least-squares slope of the logarithms and its standard error."""
    (value, _), covariance = np.polyfit(np.log(horizons), np.log(losses), 1, cov=True)
    return float(value), float(np.sqrt(covariance[0, 0]))


def measure(horizons: tuple[int, ...]) -> dict:
    found = {}
    for name, model in TASKS.items():
        print(f"\n{name}")
        print(f"{'T':>6}{'plain':>11}{'momentum':>11}{'ratio':>8}{'1-mu middle':>13}{'s':>7}")
        rows, begun = [], []
        for horizon in horizons:
            began = time.perf_counter()
            plain = solve(model, horizon, compare=False)
            loss, controls = optimise(model, horizon, begun)
            begun = [(controls[0], controls[1])]
            place, _, eta, slow = controls
            steps = np.unique(np.round(place * horizon))
            at = steps / horizon
            lr = table(steps, np.interp(at, place, eta))
            mu = table(steps, 1.0 - np.interp(at, place, slow))
            checked = float(exact_losses(model, lr, momentum=mu)[0])
            rows.append((horizon, plain.loss, checked, controls))
            middle = float(np.interp(0.5, place, slow))
            took = time.perf_counter() - began
            print(
                f"{horizon:6d}{plain.loss:11.5g}{checked:11.5g}{checked / plain.loss:8.3f}"
                f"{middle:13.3f}{took:7.0f}   (knots {loss:.5g})",
                flush=True,
            )
        horizon, plain, fast = (np.array([row[i] for row in rows]) for i in range(3))
        for label, losses in (("plain", plain), ("momentum", fast)):
            for first in (0, len(horizon) // 2 - 1):
                value, error = slope(horizon[first:], losses[first:])
                print(
                    f"  {label:9} slope from T = {horizon[first]:.0f}: {value:.4f} +- {error:.4f}"
                )
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
        for label, i, color in (("LR alone", 1, "#64748b"), ("LR and momentum", 2, "#0d9488")):
            line = go.Scatter(
                x=horizon, y=[row[i] for row in rows], name=label, mode="lines+markers",
                line={"color": color, "width": 2.5}, showlegend=col == 1,
            )  # fmt: skip
            drawn.add_trace(line, row=1, col=col)
        for row, color in (
            (rows[0], "#c4b5fd"),
            (rows[len(rows) // 2], "#8b5cf6"),
            (rows[-1], "#5b21b6"),
        ):
            place, _, _, slow = row[3]
            line = go.Scatter(
                x=place, y=slow, name=f"1 - mu, T = {row[0]}", mode="lines",
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
