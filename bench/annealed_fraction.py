"""Does the solver's schedule have the shape, and the annealing the length, of the closed form?

    python bench/annealed_fraction.py [--figure FILE.svg] [--shapes FILE.svg]

The solver knows no formula beyond its start: it minimises the loss of the segments over 65 knots.
Here closed forms are computed anew, from the spectrum alone. With u the intrinsic time to go and
K(u) = sum_k lambda_k^2 exp(-2 lambda_k u), the noise left at the end is int eta K n du / B, n the
noise that acts, and pointwise stationarity at int du / eta = T gives

    plain   n = sigma^2:                              eta(u) = min(cap, sqrt(nu / K))
    bias    n = sigma^2 + bias(tau - u):              eta(u) = min(cap, sqrt(nu / (K n)))
    fed     the same over 1 - g(eta):                 eta^2 d/deta(eta / (1 - g)) = nu / (K n)

where tau minimises the loss and g(eta) = sum_k eta lambda_k / (B (2 - eta lambda_k (1 + 1/B))) is
the gain with which noise feeds itself while the LR changes slowly (at g = 1 SGD diverges). Prints

1. hard phase: the annealed fraction, the updates after the LR has fallen below half its plateau
   over T, and its slope beside -(1 - 1/a - s) / (2 - 1/a);
2. both phases: the largest distance between solver and closed form, over the peak LR, after the
   first hundredth of the run; and the first LR over the peak, beside its limit, which is
   sqrt(sigma^2 / (sigma^2 + L(0))) in the easy phase by the form with bias;
3. the effective delta, the slope of log LR against log of the updates to go while these are 5% to
   50% of the run (of the annealing in the hard phase), beside the closed form's and delta = 2a - 1.

`--figure` draws 1 and 3, `--shapes` schedules (SVG needs kaleido; HTML does not).
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from loss_exponents import BATCH, EASY, HARD, NOISE, styled, write
from plotly.subplots import make_subplots
from rich.console import Console
from rich.progress import track
from scipy.optimize import brentq, minimize_scalar

from etastar.control import solve
from etastar.model import PowerLaw, phase

HORIZONS = tuple(10**k for k in range(3, 14))
COMPARED = (10**3, 10**5, 10**8, 10**12)
COLORS = ("#d97706", "#6366f1", "#0d9488", "#db2777")

Rate = Callable[[np.ndarray], np.ndarray]
"""The LR as a function of the updates still to go."""


@dataclass(frozen=True)
class Shapes:
    """One task at one horizon: the LR of the solver and of the closed forms."""

    horizon: int
    cap: float
    solved: Rate
    plain: Rate
    bias: Rate
    fed: Rate

    @property
    def to_go(self) -> np.ndarray:
        """Updates to go, fine at both ends of the run."""
        half = np.geomspace(1.0, self.horizon / 2, 3000)
        return np.unique(np.append(half, self.horizon - half))


def shapes(task: tuple[float, float], horizon: int) -> Shapes:
    model = PowerLaw(*task, NOISE, BATCH)
    schedule = solve(model, horizon, compare=False).schedule
    return Shapes(
        horizon,
        model.max_rate,
        lambda to_go: schedule(horizon - to_go),
        closed_form(model, horizon, biased=False, fed=False),
        closed_form(model, horizon, biased=True, fed=False),
        closed_form(model, horizon, biased=True, fed=True),
    )


def closed_form(model: PowerLaw, horizon: int, *, biased: bool, fed: bool) -> Rate:
    """The optimum of bias(tau) + int eta K n du / B, tau as a logit of tau / (cap T)."""
    spectrum, cap, batch = model.spectrum_to(horizon), model.max_rate, model.batch_size
    place = np.geomspace(1e-6, 4 * cap * horizon, 1500)
    pull = np.geomspace(1e-16, 1.0, 3000) * cap
    share = np.multiply.outer(pull, spectrum.eigenvalue)
    gain = (share / (2 - share * (1 + 1 / batch))) @ spectrum.multiplicity / batch
    missing = spectrum.trace - float(spectrum.multiplicity @ spectrum.eigenvalue)
    gain = (gain + pull * missing / (2 * batch)) * fed
    # eta / (1 - g) and what stationarity asks of its slope, both tabulated in log eta.
    cost = pull / (1 - gain)
    pressure = np.log(pull**2 * np.gradient(cost, pull, edge_order=2))

    def interpolated(function: Rate) -> Rate:
        logs = np.log(np.maximum(function(place), 1e-300))
        return lambda u: np.exp(np.interp(np.log(np.maximum(u, 1e-6)), np.log(place), logs))

    bias, kernel = interpolated(spectrum.bias), interpolated(spectrum.kernel)

    def at(logit: float) -> tuple[float, np.ndarray, np.ndarray]:
        tau = cap * horizon / (1 + np.exp(-logit))
        half = np.geomspace(1e-3, tau / 2, 1500)
        u = np.unique(np.concatenate([[0.0], half, tau - half, [tau]]))
        noise = kernel(u) * (model.noise + (bias(tau - u) if biased else 0.0)) / batch

        def rate(log_nu: float) -> np.ndarray:
            return np.exp(np.interp(log_nu - np.log(noise), pressure, np.log(pull)))

        def excess(log_nu: float) -> float:
            return float(np.log(np.trapezoid(1 / rate(log_nu), u) / horizon))

        low = pressure[0] + np.log(noise.min())
        high = pressure[-1] + np.log(noise.max())
        eta = rate(float(brentq(excess, low, high)))  # type: ignore[arg-type]
        left = np.trapezoid(np.interp(eta, pull, cost) * noise, u)
        to_go = np.append(0.0, np.cumsum(np.diff(u) * (1 / eta[1:] + 1 / eta[:-1]) / 2))
        return float(bias(np.array(tau)) + left), to_go, eta

    span = np.log(horizon)
    grid = np.linspace(-span, span, 33)
    values = [value_or_infinity(at, x) for x in grid]
    i = int(np.argmin(values))
    best = minimize_scalar(
        lambda x: np.log(value_or_infinity(at, x)),
        bounds=(grid[max(i - 1, 0)], grid[min(i + 1, 32)]),
        method="bounded",
        options={"xatol": 1e-6},
    )
    _, to_go, eta = at(float(best.x))  # type: ignore[attr-defined]
    return lambda left: np.interp(left, to_go, eta)


def value_or_infinity(at, logit: float) -> float:
    """The loss; infinite where the run is too short for the intrinsic time."""
    try:
        return at(logit)[0]
    except ValueError:  # no last rate brings it to the horizon
        return 1e300


def annealed(rate: Rate, one: Shapes) -> float:
    """The part of the run after the LR has fallen below half its plateau."""
    to_go = one.to_go
    i = int(np.argmax(rate(to_go) >= one.cap / 2))
    between = to_go[[i - 1, i]]
    crossing = np.interp(one.cap / 2, rate(between), between)
    return float(crossing / one.horizon)


def effective_delta(rate: Rate, one: Shapes) -> float:
    """The slope of log LR against log updates to go, over 5% to 50% of what is annealed."""
    to_go = one.to_go
    below = rate(to_go) < 0.99 * one.cap
    length = one.horizon if below.all() else to_go[int(np.argmin(below))]
    part = length * np.geomspace(0.05, 0.5, 60)
    return float(np.polyfit(np.log(part), np.log(rate(part)), 1)[0])


def distance(rate: Rate, one: Shapes) -> float:
    """The largest |solver - closed form| over the peak, after a hundredth of the run."""
    to_go = one.to_go[one.to_go <= 0.99 * one.horizon]
    solved = one.solved(to_go)
    return float(np.max(np.abs(solved - rate(to_go))) / solved.max())


def slope(values: np.ndarray, low: float, high: float) -> float:
    horizon = np.array(HORIZONS, dtype=float)
    inside = (horizon >= low) & (horizon <= high)
    return float(np.polyfit(np.log(horizon[inside]), np.log(values[inside]), 1)[0])


Found = dict[tuple[float, float], list[Shapes]]


def fractions(found: Found) -> dict[tuple[float, float], list[np.ndarray]]:
    """The annealed fraction at all horizons: of the solver, and of the forms fed and bias."""
    kinds = ("solved", "fed", "bias")
    return {
        task: [
            np.array([annealed(getattr(one, kind), one) for one in found[task]]) for kind in kinds
        ]
        for task in HARD
    }


def print_fractions(found: Found) -> None:
    print("annealed fraction in the hard phase: solver (closed forms fed, bias)")
    print(f"{'T':>7} " + " ".join(f"{f'a = {a:g}, s = {s:g}':>27}" for a, s in HARD))
    table = fractions(found)
    for i, horizon in enumerate(HORIZONS):
        cells = [f"{x[i]:.5f} ({y[i]:.5f}, {z[i]:.5f})" for x, y, z in table.values()]
        print(f"{horizon:>7.0e} " + " ".join(f"{cell:>27}" for cell in cells))
    for low, high in ((1e3, 1e6), (1e6, 1e10), (1e9, 1e13)):
        cells = [
            f"{slope(x, low, high):.4f} ({slope(y, low, high):.4f}, {slope(z, low, high):.4f})"
            for x, y, z in table.values()
        ]
        print(f"slope {low:.0e} to {high:.0e}  ".replace("+", "") + "   ".join(cells))
    theory = [-phase(*task).annealed_exponent for task in HARD]
    print("theory              " + "   ".join(f"{value:<25.4f}" for value in theory))


def print_distances(found: Found) -> None:
    print("\nlargest |solver - closed form| over the peak LR: plain, bias, fed; first LR / peak")
    print(
        f"{'a':>5} {'s':>5} {'phase':>6} {'T':>7} {'plain':>7} {'bias':>7} {'fed':>7} {'first':>7} "
        f"{'limit':>7}"
    )
    for task, runs in found.items():
        initial = PowerLaw(*task, NOISE, BATCH).spectrum_to(1).initial_loss
        limit = 1.0 if task in HARD else np.sqrt(NOISE / (NOISE + initial))
        for one in (run for run in runs if run.horizon in COMPARED):
            cells = [distance(rate, one) for rate in (one.plain, one.bias, one.fed)]
            solved = one.solved(one.to_go)
            cells += [float(solved[-1] / solved.max()), float(limit)]
            print(
                f"{task[0]:>5g} {task[1]:>5g} {phase(*task).name:>6} {one.horizon:>7.0e} "
                + " ".join(f"{cell:>7.4f}" for cell in cells)
            )


def print_deltas(found: Found) -> None:
    print("\neffective delta: solver (closed form, fed), and the limit")
    print(f"{'T':>7} " + " ".join(f"{f'a={a:g}, s={s:g}':>15}" for a, s in found))
    for i, horizon in enumerate(HORIZONS):
        cells = [
            f"{effective_delta(runs[i].solved, runs[i]):.3f} "
            f"({effective_delta(runs[i].fed, runs[i]):.3f})"
            for runs in found.values()
        ]
        print(f"{horizon:>7.0e} " + " ".join(f"{cell:>15}" for cell in cells))
    print(f"{'2a - 1':>7} " + " ".join(f"{2 * a - 1:>15g}" for a, _ in found))


def figure(found: Found) -> go.Figure:
    """Annealed fraction, and effective delta over its limit, against the horizon."""
    titles = ("annealed fraction, hard phase", "effective delta / (2a - 1), easy phase")
    made = make_subplots(rows=1, cols=2, subplot_titles=titles, horizontal_spacing=0.09)
    horizon = np.array(HORIZONS, dtype=float)
    for color, (task, (solved, form, _)) in zip(COLORS, fractions(found).items(), strict=False):
        limit = solved[-1] * (horizon / horizon[-1]) ** -phase(*task).annealed_exponent
        for y, name, style in (
            (solved, f"hard: a = {task[0]:g}, s = {task[1]:g}", {"mode": "markers"}),
            (form, "closed form", {"mode": "lines"}),
            (0.9 * limit, "slope of theory", {"mode": "lines", "line_dash": "dot"}),
        ):
            made.add_trace(
                go.Scatter(x=horizon, y=y, name=name, marker_color=color, line_color=color,
                           showlegend=y is solved or task == HARD[0], legendgroup=name,
                           **style), row=1, col=1,
            )  # fmt: skip
    for color, symbol, task in zip(COLORS, ("square", "diamond", "x", "cross"), EASY, strict=True):
        limit = 2 * task[0] - 1
        for kind, style in (("solved", {"mode": "markers"}), ("fed", {"mode": "lines"})):
            y = [effective_delta(getattr(one, kind), one) / limit for one in found[task]]
            made.add_trace(
                go.Scatter(x=horizon, y=y, name=f"easy: a = {task[0]:g}, s = {task[1]:g}",
                           marker={"color": color, "symbol": symbol}, line_color=color,
                           showlegend=kind == "solved", **style), row=1, col=2,
            )  # fmt: skip
    styled(made, 940, 400)
    powers = (3, 5, 7, 9, 11, 13)
    made.update_xaxes(
        type="log",
        tickvals=[10.0**k for k in powers],
        ticktext=[f"10<sup>{k}</sup>" for k in powers],
        title_text="horizon [updates]",
    )
    values = [0.003, 0.01, 0.03, 0.1, 0.3]
    made.update_yaxes(type="log", tickvals=values, ticktext=[str(v) for v in values], col=1)
    made.update_yaxes(range=[0, 1.05], col=2)
    return made


def shapes_figure(found: Found) -> go.Figure:
    """Schedules of both phases at growing horizons, solver and closed form."""
    easy, hard = EASY[0], HARD[0]
    titles = (
        f"easy: a = {easy[0]:g}, s = {easy[1]:g}",
        f"the same, logarithmic; dotted: power {2 * easy[0] - 1:g}",
        f"hard: a = {hard[0]:g}, s = {hard[1]:g}",
    )
    made = make_subplots(rows=1, cols=3, subplot_titles=titles, horizontal_spacing=0.07)
    for color, horizon in zip(COLORS, COMPARED, strict=True):
        for col, task in ((1, easy), (2, easy), (3, hard)):
            one = found[task][HORIZONS.index(horizon)]
            part = np.geomspace(1e-4, 1, 300) if col == 2 else np.linspace(1, 1e-4, 300)
            if col == 3:
                part = np.linspace(0.4, 1e-4, 300)
            part = part[part * horizon >= 1]
            peak = one.solved(one.to_go).max()
            x = part if col == 2 else 1 - part
            power = f"10<sup>{round(np.log10(horizon))}</sup>"
            made.add_trace(
                go.Scatter(x=x, y=one.fed(part * horizon) / peak, mode="lines",
                           line={"color": color, "width": 1.3}, name="closed form, fed",
                           showlegend=horizon == COMPARED[-1] and col == 1), row=1, col=col,
            )  # fmt: skip
            if col == 3:
                made.add_trace(
                    go.Scatter(x=x, y=one.bias(part * horizon) / peak, mode="lines",
                               line={"color": color, "width": 1.2, "dash": "dash"},
                               name="without feedback", showlegend=horizon == COMPARED[-1]),
                    row=1, col=col,
                )  # fmt: skip
            thin = slice(None, None, 15)
            made.add_trace(
                go.Scatter(x=x[thin], y=one.solved(part * horizon)[thin] / peak, mode="markers",
                           marker={"color": color, "size": 5}, name=f"solver, T = {power}",
                           showlegend=col == 1), row=1, col=col,
            )  # fmt: skip
    part = np.geomspace(0.006, 1, 60)
    limit = part ** (2 * easy[0] - 1)
    style = {"color": "#94a3b8", "dash": "dot"}
    for col, x in ((1, 1 - part), (2, part)):
        made.add_trace(
            go.Scatter(x=x, y=limit, mode="lines", line=style, name="(1 - t/T)<sup>2a-1</sup>",
                       showlegend=col == 1), row=1, col=col,
        )  # fmt: skip
    styled(made, 1000, 400)
    made.update_xaxes(title_text="t / T")
    made.update_xaxes(range=[0.6, 1.0], col=3)
    made.update_xaxes(type="log", title_text="1 - t / T", dtick=1, exponentformat="power", col=2)
    made.update_yaxes(range=[0, 1.05])
    made.update_yaxes(type="log", range=[-6.8, 0.2], dtick=1, exponentformat="power", col=2)
    made.update_yaxes(title_text="LR / peak LR", col=1)
    made.update_layout(legend={"orientation": "h", "y": -0.2, "x": 0.0, "yanchor": "top"})
    return made.update_layout(margin_b=100)


def main() -> None:
    parser = argparse.ArgumentParser(description="Shapes of optimal schedules, closed and solved.")
    parser.add_argument("--figure", type=Path, help="SVG or HTML file: annealed fraction, delta")
    parser.add_argument("--shapes", type=Path, help="SVG or HTML file: schedules")
    given = parser.parse_args()
    tasks = track((*EASY, *HARD), "solving", console=Console(stderr=True))
    found = {task: [shapes(task, horizon) for horizon in HORIZONS] for task in tasks}
    print_fractions(found)
    print_distances(found)
    print_deltas(found)
    if given.figure:
        write(figure(found), given.figure)
    if given.shapes:
        write(shapes_figure(found), given.shapes)


if __name__ == "__main__":
    main()
