"""The optimal schedule without label noise: how it warms up, and where the phase boundary lies.

    python bench/zero_noise.py [--figure docs/figures/zero_noise.svg]

Capacity 2 and 1.5, source 0.25 to 4.5, batch 1, horizons 1e4 to 1e10: final losses of the free
optimum, of the best schedule that never rises, and of cosine and WSD at their best peaks (and
cooldown), as slopes per decade beside theory: s, up to 3 - 1/a for the free ones and up to 2 - 1/a
for the others. `bound` is the loss of the free optimum over a lower bound (noise fed by the loss of
gradient flow alone). Then the shape of the free optimum: how the LR grows with intrinsic time, and
the parts of the run spent below half the cap at its beginning and its end; and checks of the losses
by the exact recursion.
"""

from __future__ import annotations

import argparse
from functools import cache
from pathlib import Path
from typing import NamedTuple

import numpy as np

from etastar.control import best_member, solve
from etastar.model import PowerLaw, exact_losses, phase
from etastar.schedule import InputError, Schedule

CAPACITIES = (2.0, 1.5)
SOURCES = (0.25, 1.0, 1.5, 2.0, 2.5, 3.0, 3.5, 4.5)
HORIZONS = (10**4, 10**6, 10**8, 10**10)
KINDS = ("free", "monotone", "wsd", "cosine")
SHOWN = 10**8
COLORS = ("#64748b", "#d97706", "#0d9488", "#6366f1", "#db2777", "#0284c7", "#65a30d", "#b91c1c")


class Found(NamedTuple):
    """A schedule, its final loss, the solver's gap and lower bound (nan where it has none)."""

    schedule: Schedule
    loss: float
    gap: float
    bound: float


@cache
def found(capacity: float, source: float, kind: str, horizon: int) -> Found | None:
    """The best schedule of a kind; None where even the loose tolerance is not reached."""
    model = PowerLaw(capacity, source, 0.0, 1)
    try:
        if kind in ("wsd", "cosine"):
            member = best_member(model, kind, horizon)
            return Found(member.schedule, member.loss, np.nan, np.nan)
        end = solve(model, horizon, monotone=kind == "monotone", compare=False)
        return Found(end.schedule, end.loss, end.gap, end.lower_bound or np.nan)
    except InputError as error:
        if "tolerance" not in str(error):
            raise
        return None


def loss_of(*case) -> float:
    one = found(*case)
    return np.nan if one is None else one.loss


def slopes(capacity: float, source: float, kind: str) -> np.ndarray:
    """Minus the slope of the loss from horizon to horizon."""
    values = [loss_of(capacity, source, kind, horizon) for horizon in HORIZONS]
    return -np.diff(np.log(values)) / np.diff(np.log(HORIZONS))


def print_slopes() -> None:
    print(f"minus the slope of the loss between horizons {', '.join(f'{h:.0e}' for h in HORIZONS)}")
    print(
        f"{'a':>4} {'s':>5} "
        + " ".join(f"{kind:>18} {'theory':>6}" for kind in KINDS)
        + f" {'bound at each':>22} {'largest gap':>11}"
    )
    for capacity in CAPACITIES:
        for source in SOURCES:
            cells = []
            for kind in KINDS:
                most = (3.0 if kind == "free" else 2.0) - 1 / capacity
                measured = " ".join(f"{x:5.3f}" for x in slopes(capacity, source, kind))
                cells.append(f"{measured:>18} {min(source, most):>6.3f}")
            free = [found(capacity, source, "free", horizon) for horizon in HORIZONS]
            ratio = " ".join(f"{x.loss / x.bound:5.3g}" if x else "    -" for x in free)
            gap = max((x.gap for x in free if x), default=np.nan)
            print(f"{capacity:>4} {source:>5} {' '.join(cells)} {ratio:>22} {gap:>11.0e}")


class Shape(NamedTuple):
    """Steps, intrinsic times and LRs of a schedule at many steps, and the parts it is low."""

    step: np.ndarray
    time: np.ndarray
    rate: np.ndarray

    @classmethod
    def of(cls, schedule: Schedule) -> Shape:
        half = np.geomspace(1.0, schedule.horizon / 2, 3000)
        step = np.unique(np.round(np.concatenate([[0.0], half, schedule.horizon - half])))
        rate = np.asarray(schedule(step))
        passed = np.cumsum(np.diff(step) * (rate[1:] + rate[:-1]) / 2)
        return cls(step, np.append(0.0, passed), rate)

    def low(self) -> tuple[int, int]:
        """The first and the last place with half of the largest LR or more."""
        high = np.flatnonzero(self.rate >= 0.5 * self.rate.max())
        return int(high[0]), int(high[-1])

    def growth(self) -> float:
        """The power of intrinsic time with which the LR grows in the decades before half of it."""
        end = self.time[self.low()[0]]
        part = (self.time > max(3.0, end**0.4)) & (self.time < 0.3 * end)
        if part.sum() < 10 or end < 100:
            return np.nan
        return float(np.polyfit(np.log(self.time[part]), np.log(self.rate[part]), 1)[0])

    @property
    def parts(self) -> tuple[float, float]:
        """Parts of the run before and after."""
        first, last = self.low()
        return self.step[first] / self.step[-1], 1 - self.step[last] / self.step[-1]


def warmup_exponent(capacity: float, source: float) -> float:
    """The part of the run spent warming up is T to minus this power."""
    inverse = 1 / capacity
    if source <= 2:
        return (1 - inverse) / source if source > 1 - inverse else np.nan
    return max((3 - inverse - source) / 2, 0.0)


def print_shapes() -> None:
    print("\nshape of the free optimum: power of its growth in intrinsic time at the last horizons")
    print(
        "(theory s/2), first LR over the largest, parts of the run below half of the largest LR at"
    )
    print("its beginning and its end, and minus their slopes over the last two horizons (theory)")
    print(
        f"{'a':>4} {'s':>5} {'growth':>13} {'s/2':>5} {'first LR':>9} {'warmup':>8} "
        f"{'slope':>15} {'annealed':>9} {'slope':>15}"
    )
    for capacity in CAPACITIES:
        annealing = phase(capacity, 1.0, noise=False).annealed_exponent
        for source in SOURCES:
            both = [found(capacity, source, "free", horizon) for horizon in HORIZONS[-2:]]
            if None in both:
                print(f"{capacity:>4} {source:>5}   not solved")
                continue
            shapes = [Shape.of(one.schedule) for one in both if one]
            growth = " ".join(f"{shape.growth():6.3f}" for shape in shapes)
            parts = np.array([shape.parts for shape in shapes])
            with np.errstate(divide="ignore", invalid="ignore"):
                slope = -np.log(parts[1] / parts[0]) / np.log(HORIZONS[-1] / HORIZONS[-2])
            print(
                f"{capacity:>4} {source:>5} {growth:>13} {source / 2:>5.2f} "
                f"{shapes[-1].rate[0] / shapes[-1].rate.max():>9.1e} {parts[-1, 0]:>8.1e} "
                f"{slope[0]:>6.3f} ({warmup_exponent(capacity, source):>6.3f}) "
                f"{parts[-1, 1]:>9.1e} {slope[1]:>6.3f} ({annealing:>6.3f})"
            )


def print_checks() -> None:
    print("\nthe free optimum's loss against the exact recursion")
    print(f"{'a':>4} {'s':>5} {'T':>6} {'loss':>10} {'relative error':>14} {'gap':>8}")
    for capacity in CAPACITIES:
        for source in (1.0, 2.5, 3.5, 4.5):
            for horizon in (10**5, 10**6):
                one = found(capacity, source, "free", horizon)
                if one is None:
                    continue
                exact = exact_losses(PowerLaw(capacity, source, 0.0, 1), one.schedule)[0]
                print(
                    f"{capacity:>4} {source:>5} {horizon:>6.0e} {exact:>10.3e} "
                    f"{one.loss / exact - 1:>14.1e} {one.gap:>8.0e}"
                )


def figure():
    """The LR against intrinsic time, and the loss slopes against the source."""
    import plotly.graph_objects as go
    from plotly.subplots import make_subplots

    made = make_subplots(
        rows=1,
        cols=3,
        column_widths=[0.4, 0.3, 0.3],
        horizontal_spacing=0.075,
        subplot_titles=(
            f"optimal LR, a = 2, T = {SHOWN:.0e}",
            "loss slope, a = 2",
            "loss slope, a = 1.5",
        ),
    )
    for source, color in zip(SOURCES, COLORS, strict=True):
        one = found(2.0, source, "free", SHOWN)
        if one is not None:
            shape = Shape.of(one.schedule)
            made.add_trace(
                go.Scatter(
                    x=shape.time[1:],
                    y=shape.rate[1:],
                    line={"color": color},
                    name=f"s = {source:g}",
                    legend="legend",
                ),
                1,
                1,
            )
    marks = {"free": "circle", "monotone": "diamond", "wsd": "x-thin", "cosine": "cross-thin"}
    tones = {"free": "#0d9488", "monotone": "#d97706", "wsd": "#6366f1", "cosine": "#db2777"}
    for col, capacity in ((2, 2.0), (3, 1.5)):
        x = np.array([0.0, 2 - 1 / capacity, 3 - 1 / capacity, SOURCES[-1]])
        for most, name in ((3.0, "free"), (2.0, "monotone")):
            made.add_trace(
                go.Scatter(
                    x=x,
                    y=np.minimum(x, most - 1 / capacity),
                    mode="lines",
                    line={"color": tones[name], "width": 1},
                    showlegend=False,
                ),
                1,
                col,
            )
        for kind in KINDS:
            made.add_trace(
                go.Scatter(
                    x=SOURCES,
                    y=[slopes(capacity, source, kind)[1] for source in SOURCES],
                    mode="markers",
                    marker={
                        "symbol": marks[kind],
                        "size": 8,
                        "color": tones[kind],
                        "line": {"width": 1.5, "color": tones[kind]},
                    },
                    name=kind,
                    showlegend=col == 2,
                    legend="legend2",
                ),
                1,
                col,
            )
    grid = {"gridcolor": "rgba(148,163,184,0.3)", "zeroline": False}
    log: dict = {"type": "log", "exponentformat": "power"}
    made.update_layout(
        template="none",
        width=1080,
        height=450,
        margin={"l": 65, "r": 10, "t": 40, "b": 110},
        font={"size": 12, "color": "#64748b", "family": "system-ui, sans-serif"},
        paper_bgcolor="rgba(0,0,0,0)",
        plot_bgcolor="rgba(0,0,0,0)",
        legend={"orientation": "h", "x": 0, "y": -0.22, "entrywidth": 65},
        legend2={"orientation": "h", "x": 0.5, "y": -0.27},
    )
    made.update_annotations(font_size=13)
    made.update_xaxes(**grid)
    made.update_yaxes(**grid)
    made.update_xaxes(title_text="intrinsic time", dtick=2, range=[-2, 8], col=1, **log)
    made.update_yaxes(title_text="LR", dtick=1, col=1, **log)
    for col in (2, 3):
        made.update_xaxes(title_text="source s", col=col, range=[0, 4.7])
        made.update_yaxes(range=[0, 3.2], col=col)
    made.update_yaxes(title_text="minus the slope of the loss, T = 1e6 to 1e8", col=2)
    return made


def main() -> None:
    parser = argparse.ArgumentParser(description="Optimal schedules without label noise.")
    parser.add_argument("--figure", type=Path, help="SVG file to write (needs kaleido)")
    given = parser.parse_args()

    print_slopes()
    print_shapes()
    print_checks()
    if given.figure:
        figure().write_image(given.figure)


if __name__ == "__main__":
    main()
