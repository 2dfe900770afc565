"""What does a batch ramp save in wall-clock, and what in updates at the same data?

    python bench/batch_ramps.py [--figure docs/figures/batch_ramps.svg]

The solvable model with label noise 0.25, capacity 1.5, source 1 (easy phase) and 0.2 (hard phase);
an update of batch size B takes 1 + 0.01 B seconds. At each budget of seconds the lowest loss of
fixed  a fixed batch size, the best one, with the optimal LR;
ramp   a fixed LR, the best one, with its optimal batch sizes: the noise int eta K / B du at a given
       cost int (t0 + t1 B) / eta du is least for B = max(least stable, b sqrt(K(u)));
joint  LR and batch size optimised together.
`part` is the wall-clock of ramp and joint over what `fixed` needs for their loss. The second table
compares LR decay with a ramp at the same number of samples: losses, and numbers of updates.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
from scipy.interpolate import PchipInterpolator
from scipy.optimize import minimize, minimize_scalar

from etastar.control import solve
from etastar.model import PowerLaw, loss
from etastar.schedule import InputError, Schedule, make_schedule, table

CAPACITY, NOISE = 1.5, 0.25
SOURCES = {"easy": 1.0, "hard": 0.2}
STEP_TIME = (1.0, 0.01)
BUDGETS = (1e4, 1e5, 1e6, 1e7)
DENSE = np.geomspace(3e3, 6e7, 11)
SAMPLES = (10**5, 10**6, 10**7, 10**8)
SHOWN = 1e6
COLORS = {"fixed": "#64748b", "ramp": "#d97706", "joint": "#0d9488"}


class Found(NamedTuple):
    """A pair of schedules, by update, and their final loss."""

    loss: float
    rate: Schedule
    batch: Schedule


def model_of(phase: str, batch_size: float = 1.0) -> PowerLaw:
    return PowerLaw(CAPACITY, SOURCES[phase], NOISE, batch_size)


@cache
def fixed(phase: str, seconds: float) -> Found:
    """The best fixed batch size with its optimal LR."""

    def at(log_batch: float):
        model = model_of(phase, float(np.exp(log_batch)))
        return solve(model, seconds=seconds, step_time=STEP_TIME, compare=False)

    most = np.log(seconds / 100.0)
    best = minimize_scalar(
        lambda x: np.log(at(x).loss), bounds=(0.0, most), method="bounded", options={"xatol": 0.06}
    )
    found = at(float(best.x))  # type: ignore[attr-defined]
    batch = float(np.exp(best.x))  # type: ignore[attr-defined]
    size = make_schedule("constant", peak=batch, horizon=found.schedule.horizon)
    return Found(found.loss, found.schedule, size)


@cache
def joint(phase: str, seconds: float) -> Found:
    found = solve(
        model_of(phase),
        seconds=seconds,
        step_time=STEP_TIME,
        controls="lr,batch",
        max_batch=1e7,
        compare=False,
    )
    assert found.batch_size is not None
    print(
        f"  joint, {phase}, {seconds:g} s: gap {found.gap:.1e}, {found.seconds:.0f} s", flush=True
    )
    return Found(found.loss, found.schedule, found.batch_size)


@cache
def ramp(
    phase: str, budget: float, step_time: tuple[float, float], rate: float | None = None
) -> Found:
    """A fixed LR, the best or `rate`, with its optimal batch sizes, rising as sqrt(K(u))."""
    model = model_of(phase)
    spectrum = model.spectrum_to(1e12)

    def least(eta: float) -> float:
        """The smallest batch size at which `eta` is stable."""
        room = 2.0 / eta - spectrum.eigenvalue.max()
        return max((spectrum.trace + spectrum.eigenvalue.max()) / room, 1.0)

    def made(eta: float, last: float) -> Found:
        # Updates still to go, and the batch size there; the budget says how far back they reach.
        to_go = np.append(0.0, np.geomspace(0.5, 2 * budget / sum(step_time), 400))
        size = np.maximum(
            last * np.sqrt(spectrum.kernel(eta * to_go) / spectrum.kernel(0.0)), least(eta)
        )
        cost = step_time[0] + step_time[1] * size
        total = np.append(0.0, np.cumsum(np.diff(to_go) * (cost[1:] + cost[:-1]) / 2))
        horizon = int(np.interp(budget, total, to_go))
        step = np.unique(np.round(horizon - to_go[to_go < horizon]))
        step = np.unique(np.append(0, step)).astype(int)
        batch = table(step, np.interp(horizon - step, to_go, size))
        rate = make_schedule("constant", peak=eta, horizon=horizon)
        return Found(loss(model, rate, batch_size=batch, tolerance=3e-4), rate, batch)

    most = budget / 30.0 / step_time[1]

    def value(logs) -> float:
        eta, last = np.exp(logs)
        if not (1e-9 < eta < 1.98 and 1.0 <= last < most):
            return 1e3
        try:
            return float(np.log(made(eta, last).loss))
        except InputError:  # unstable, or too few updates
            return 1e3

    if rate is not None:
        only = minimize_scalar(
            lambda x: value((np.log(rate), x)),
            bounds=(np.log(most) - 0.8 * np.log(budget), np.log(most) - 0.01),
            method="bounded",
            options={"xatol": 0.01},
        )
        return made(rate, float(np.exp(only.x)))  # type: ignore[attr-defined]
    starts = [(np.log(eta), np.log(last)) for eta in (0.3, 1.2) for last in (30.0, 1e3, 3e4)]
    begun = min(starts, key=value)
    simplex = np.array(begun) + np.array([[0.0, 0.0], [-0.4, 0.0], [0.0, 0.7]])
    best = minimize(
        value,
        begun,
        method="Nelder-Mead",
        options={"initial_simplex": simplex, "xatol": 0.01, "fatol": 1e-5, "maxfev": 90},
    )
    return made(*np.exp(best.x))


def part_of_fixed(phase: str, seconds: float, value: float) -> float:
    """`seconds` over the wall-clock that a fixed batch size needs for the loss `value`."""
    times = needed(phase)
    return float(seconds / np.exp(times(np.log(value))))


@cache
def needed(phase: str) -> Callable:
    """The log wall-clock that the best fixed batch size needs, as a function of the log loss."""
    reached = np.log([fixed(phase, float(seconds)).loss for seconds in DENSE])
    return PchipInterpolator(reached[::-1], np.log(DENSE)[::-1])


def wall_clock() -> dict:
    rows = {}
    for phase in SOURCES:
        for seconds in BUDGETS:
            found = {
                "fixed": fixed(phase, seconds),
                "ramp": ramp(phase, seconds, STEP_TIME),
                "joint": joint(phase, seconds),
            }
            part = {name: part_of_fixed(phase, seconds, f.loss) for name, f in found.items()}
            rows[phase, seconds] = found, part
    print("\nloss at the same wall-clock; part: wall-clock over what `fixed` needs for that loss")
    print("batch sizes are first-last, LRs as parts of 2 / lambda_1")
    print(
        f"{'phase':<5} {'seconds':>8} {'fixed':>10} {'B':>6} {'ramp/fixed':>10} {'LR':>6} {'B':>14}"
        f" {'part':>6} {'joint/fixed':>11} {'B':>14} {'part':>6} {'check':>6}"
    )
    for (phase, seconds), (found, part) in rows.items():
        base = found["fixed"].loss
        print(
            f"{phase:<5} {seconds:>8.0e} {base:>10.4g} {found['fixed'].batch.peak:>6.1f} "
            f"{found['ramp'].loss / base:>10.4f} {found['ramp'].rate.peak / 2:>6.3f} "
            f"{sizes(found['ramp'].batch):>14} {part['ramp']:>6.3f} "
            f"{found['joint'].loss / base:>11.4f} {sizes(found['joint'].batch):>14} "
            f"{part['joint']:>6.3f} {part['fixed']:>6.3f}"
        )
    return rows


def sizes(batch: Schedule) -> str:
    return f"{batch(0):.1f}-{batch(batch.horizon - 1):.0f}"


def data_time() -> None:
    """LR decay and a batch ramp at the same samples: the same loss in fewer updates."""
    print("\nsame samples: LR decay at a fixed batch size, and ramps of the batch size")
    print("ramp: from batch 8, at the LR with which the decay at batch 8 begins")
    print(f"updates: of the ramp over those of the decay at batch 8 (theory, easy phase: "
          f"1 / (2a) = {1 / (2 * CAPACITY):.3f})")  # fmt: skip
    print(
        f"{'phase':<5} {'samples':>8} {'decay B=1':>10} {'B=8/B=1':>8} {'LR':>7} {'ramp/B=8':>9} "
        f"{'B':>11} {'updates':>8}"
    )
    for phase in SOURCES:
        for samples in SAMPLES:
            one = solve(model_of(phase, 1), samples, compare=False).loss
            eight = solve(model_of(phase, 8), samples // 8, compare=False)
            peak = min(eight.schedule.peak, 0.999 * model_of(phase, 8).max_rate)
            slow = ramp(phase, float(samples), (0.0, 1.0), peak)
            print(
                f"{phase:<5} {samples:>8.0e} {one:>10.4g} {eight.loss / one:>8.4f} {peak:>7.3f} "
                f"{slow.loss / eight.loss:>9.4f} {sizes(slow.batch):>11} "
                f"{8 * slow.rate.horizon / samples:>8.3f}",
                flush=True,
            )


def spent(found: Found) -> tuple[np.ndarray, np.ndarray]:
    """Updates, and the wall-clock spent before each."""
    horizon = found.rate.horizon
    half = np.geomspace(1.0, horizon / 2, 300)
    step = np.unique(np.round(np.concatenate([[0.0], half, horizon - half])))
    cost = STEP_TIME[0] + STEP_TIME[1] * found.batch(step)
    return step, np.append(0.0, np.cumsum(np.diff(step) * (cost[1:] + cost[:-1]) / 2))


def figure(rows: dict):
    """The part of the wall-clock needed, and the schedules at one budget in both phases."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    made = make_subplots(
        rows=2,
        cols=3,
        specs=[[{"rowspan": 2}, {}, {}], [None, {}, {}]],
        column_widths=[0.38, 0.31, 0.31],
        horizontal_spacing=0.085,
        vertical_spacing=0.12,
        subplot_titles=(
            "wall-clock over that of the best fixed batch",
            f"easy phase, {SHOWN:g} s",
            f"hard phase, {SHOWN:g} s",
        ),
    )
    for phase, dash in (("easy", "solid"), ("hard", "dash")):
        for name in ("ramp", "joint"):
            made.add_trace(
                go.Scatter(
                    x=BUDGETS,
                    y=[rows[phase, seconds][1][name] for seconds in BUDGETS],
                    mode="lines+markers",
                    line={"color": COLORS[name], "dash": dash},
                    showlegend=False,
                ),
                1,
                1,
            )
    for col, phase in ((2, "easy"), (3, "hard")):
        for name, found in rows[phase, SHOWN][0].items():
            step, time = spent(found)
            style = {"line": {"color": COLORS[name]}, "name": name, "legendgroup": name}
            x = time / time[-1]
            made.add_trace(
                go.Scatter(x=x, y=found.rate(step), showlegend=col == 2, **style), 1, col
            )
            made.add_trace(go.Scatter(x=x, y=found.batch(step), showlegend=False, **style), 2, col)
    grid = {"gridcolor": "rgba(148,163,184,0.3)", "zeroline": False}
    log = {"type": "log", "dtick": 1, "exponentformat": "power"}
    made.update_layout(
        template="none",
        width=1080,
        height=470,
        margin={"l": 65, "r": 10, "t": 40, "b": 85},
        font={"size": 12, "color": "#64748b", "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0.69, "xanchor": "center", "y": -0.2},
    )
    made.update_annotations(font_size=13)
    made.update_xaxes(**grid)
    made.update_yaxes(**grid)
    made.update_xaxes(title_text="budget [s] (solid: easy phase, dashed: hard phase)", col=1, **log)
    made.update_yaxes(title_text="part of the wall-clock", col=1, rangemode="tozero")
    made.update_xaxes(title_text="part of the wall-clock spent", row=2)
    made.update_yaxes(**log, row=1, col=2, title_text="LR")
    made.update_yaxes(**log, row=1, col=3)
    made.update_yaxes(**log, row=2, col=2, title_text="batch size")
    made.update_yaxes(**log, row=2, col=3)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Batch ramps against fixed batch sizes.")
    parser.add_argument("--figure", type=Path, help="SVG file to write (needs kaleido)")
    given = parser.parse_args()
    rows = wall_clock()
    if given.figure:
        figure(rows).write_image(given.figure)
    data_time()


if __name__ == "__main__":
    main()
