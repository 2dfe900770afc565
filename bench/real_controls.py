"""Do the solvable model's momentum and batch ramp help a real training? Drawn images, SGD.

    python bench/real_controls.py plan
    python bench/run_queue.py momentum ramp_images
    python bench/real_controls.py table [--figure FILE.svg]

`plan` fits the loss law to the pilots in `bench/runs/images`, annealed and of the two shortest
horizons, and solves the model for 4000 updates of 16 images. The fit and the best LRs of the longer
runs disagree on the phase, so there are two readings. *Fitted*: the capacity and source of the fit,
and as label noise the fitted floor over what the loss falls to it. *Hard*: a task of the hard
phase, in which the best LR does not move with the horizon, as it does not there; its source is
about the slope of those losses if there is no floor. In the fitted reading momentum and ramps gain
nothing worth having, so the plans are those of the hard one. They give the shape of each control;
how large the LR is in the network's unit is found by a grid, as for every rival.

`table` prints, for each arm at its best LR of five, the final validation loss of three seeds and
its difference from that of the best arm that no model planned, paired by seed; beside it the loss
that the model has in both readings for the same controls at their best LR. Arms that spend the
same updates, samples or modelled seconds are compared.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import plotly.graph_objects as go
from loss_exponents import styled, write
from plotly.subplots import make_subplots
from real_arms import (
    BATCH,
    LARGEST_BATCH,
    LATENCY,
    PLANS,
    SECONDS,
    SEEDS,
    UPDATES,
    WARMUP,
    Arm,
    Controls,
    compared,
    plans,
    seconds_of,
)
from scipy.optimize import minimize_scalar

from etastar import fit, read_runs
from etastar.control import Solution, solve
from etastar.law import exponents_of
from etastar.model import PowerLaw, exact_losses
from etastar.schedule import InputError, Schedule, make_schedule

RUNS = Path(__file__).parent / "runs"
PILOT_HORIZONS = (2000, 4000)
HARD = (1.5, 0.27, 0.25)
"""Capacity, source and label noise."""

FACTORS = (1e-3, 30.0)
"""Between these the model's best LR is looked for, as factors of an arm's own."""


# ---------------------------------------------------------------------------------------- plan


def fitted_reading(folder: Path) -> tuple[float, float, float]:
    """Capacity, source and label noise of the model, from the law fitted to pilots.

    The model's loss starts at sum k^-(a s + 1), the training's at log 10 nats, and both end at the
    label noise or the floor: noise over the first fall is the same in both.
    """
    pilots = [
        run
        for run in read_runs(folder)
        if run.schedule.horizon in PILOT_HORIZONS
        and run.metadata["label_noise"] == 0
        and not run.schedule.spec.startswith("constant")
    ]
    law = fit(pilots)
    found = exponents_of(law, 0.9)
    parts = [
        f"{name} {value:.2f} ({low:.2f} to {high:.2f})"
        for name in ("capacity", "source")
        for value, low, high in (getattr(found, name),)
    ]
    floor = law.constants["floor"]
    print(f"{len(pilots)} pilots: {found.name}; {', '.join(parts)}; floor {floor:.3f} nats")
    capacity, source = found.capacity[0], found.source[0]
    start = PowerLaw(capacity, source, 0.0, BATCH)
    nothing = make_schedule("constant", peak=1e-9, horizon=1)
    first = float(exact_losses(start, nothing, 0)[0])
    return capacity, source, first * floor / (math.log(10) - floor)


def solved(model: PowerLaw, controls: str, **budget) -> Solution:
    found = solve(model, controls=controls, compare=False, **budget)
    print(f"{controls}: loss {found.loss:.4f}, gap {found.gap:.1e}, {found.seconds:.0f} s")
    return found


def make_plans(folder: Path) -> dict:
    """Both readings, and the hard one's optimal controls as specs."""
    model = PowerLaw(*HARD, BATCH)
    warm = {"horizon": UPDATES, "warmup": WARMUP}
    ramp = solved(
        PowerLaw(*HARD, 1), "lr,batch", seconds=SECONDS, step_time=(LATENCY, 1.0),
        max_batch=LARGEST_BATCH,
    )  # fmt: skip
    found = {
        "lr": solved(model, "lr", **warm),
        "two rates": solved(model, "lr,velocity,momentum", **warm),
        "heavy ball": solved(model, "lr,momentum", **warm),
        "ramp": ramp,
    }
    names = {"lr": "schedule", "momentum": "momentum", "velocity": "velocity"}
    names["batch"] = "batch_size"
    return {
        "readings": {"fitted": fitted_reading(folder), "hard": HARD},
        "plans": {
            name: {
                key: getattr(each, attribute).spec
                for key, attribute in names.items()
                if getattr(each, attribute) is not None
            }
            for name, each in found.items()
        },
    }


def model_losses(arms: list[Arm], readings: Mapping[str, Sequence[float]]) -> dict:
    """The model's final loss of each arm at its best LR, by reading and arm."""
    losses = {}
    for reading, (capacity, source, noise) in readings.items():
        model = PowerLaw(capacity, source, noise, BATCH)
        losses[reading] = {arm.name: best_model_loss(model, arm.controls) for arm in arms}
    return losses


def best_model_loss(model: PowerLaw, controls: Controls) -> float:
    """The least final loss of the model over the size of the LRs."""

    def loss(log_factor: float) -> float:
        scaled = controls.scaled(math.exp(log_factor))
        try:
            return math.log(
                exact_losses(
                    model, scaled.lr, momentum=scaled.momentum, velocity=scaled.velocity,
                    batch_size=scaled.batch,
                )[0]
            )  # fmt: skip
        except InputError:  # it overflows
            return 1e3

    grid = np.log(np.geomspace(*FACTORS, 16))
    at = int(np.argmin([loss(x) for x in grid]))
    around = (grid[max(at - 1, 0)], grid[min(at + 1, len(grid) - 1)])
    found = minimize_scalar(loss, bounds=around, method="bounded", options={"xatol": 0.01})
    return math.exp(min(found.fun, loss(grid[at])))  # type: ignore[attr-defined]


# --------------------------------------------------------------------------------------- table


@dataclass(frozen=True)
class Ends:
    """Final losses of an arm.

    Attributes:
        factors: of its LRs that have all seeds.
        table: (factors, seeds); infinite for a run that diverged.
    """

    factors: np.ndarray
    table: np.ndarray

    @property
    def best(self) -> int:
        """Place of the factor whose mean over seeds is the lowest."""
        return int(np.argmin(self.table.mean(axis=1)))

    @property
    def losses(self) -> np.ndarray:
        """Of the seeds, at the best factor."""
        return self.table[self.best]

    @property
    def at_edge(self) -> bool:
        return self.best in (0, len(self.factors) - 1)


def read_ends(arm: Arm, folder: Path) -> Ends | None:
    """What is trained of an arm; None where no LR has all its seeds."""
    path = folder / arm.group / "runs.csv"
    if not path.exists():
        return None
    with path.open(encoding="utf-8", newline="") as file:
        csv.field_size_limit(2**30)  # a schedule of many knots is one long cell
        status = {row["run"]: row["status"] for row in csv.DictReader(file)}
    rows, factors = [], []
    for factor in arm.factors:
        names = [arm.run_name(factor, seed) for seed in range(SEEDS)]
        if all(status.get(name) in ("finished", "diverged") for name in names):
            logs = [path.with_name(f"{name}.csv") for name in names]
            rows.append(
                [
                    last_loss(log) if status[name] == "finished" else math.inf
                    for name, log in zip(names, logs, strict=True)
                ]
            )
            factors.append(factor)
    return Ends(np.array(factors), np.array(rows)) if rows else None


def last_loss(log: Path) -> float:
    with log.open(encoding="utf-8", newline="") as file:
        return float(list(csv.DictReader(file))[-1]["loss"])


def paired(losses: np.ndarray, rival: np.ndarray) -> str:
    """Mean difference over seeds, and its standard error; empty against itself."""
    difference = losses - rival
    if not np.isfinite(difference).all():
        return "diverged"
    if not difference.any():
        return ""
    return f"{difference.mean():+.4f} +- {standard_error(difference):.4f}"


def standard_error(values: np.ndarray) -> float:
    return float(values.std(ddof=1) / math.sqrt(len(values)))


def print_table(budget: str, arms: list[Arm], found: Mapping[str, Ends], model: Mapping) -> None:
    """Losses of arms that spend the same, and their paired differences."""
    arms = [arm for arm in arms if arm.name in found]
    rivals = [arm for arm in arms if not arm.planned]
    if not rivals:
        print(f"\nat the same {budget}: no rival has all its seeds at any LR")
        return
    rival = min(rivals, key=lambda arm: found[arm.name].losses.mean())
    print(f"\nat the same {budget}; +- standard error over {SEEDS} seeds; * best LR at the edge")
    print(
        f"{'arm':<16}{'factor':>8}{'updates':>9}{'samples':>9}{'seconds':>9}{'loss':>19}"
        f"{'minus ' + rival.name:>26}" + "".join(f"{'model, ' + name:>15}" for name in model)
    )
    for arm in arms:
        ends = found[arm.name]
        factor = f"{ends.factors[ends.best]:g}" + ("*" if ends.at_edge else "")
        loss = f"{ends.losses.mean():.4f} +- {standard_error(ends.losses):.4f}"
        spent = arm.controls
        print(
            f"{arm.name:<16}{factor:>8}{spent.lr.horizon:>9}{spent.samples:>9}"
            f"{seconds_of(spent):>9.0f}{loss:>19}"
            f"{paired(ends.losses, found[rival.name].losses):>26}"
            + "".join(f"{losses[arm.name]:>15.5f}" for losses in model.values())
        )


def figure(arms: list[Arm], found: Mapping[str, Ends]) -> go.Figure:
    """Final loss against the LR over its best, and the controls that the model plans."""
    made = make_subplots(
        1, 3, horizontal_spacing=0.09,
        subplot_titles=("Final loss", "Planned momentum", "Planned batch size"),
    )  # fmt: skip
    for number, arm in enumerate(arm for arm in arms if arm.name in found):
        ends = found[arm.name]
        color = f"hsl({number * 360 // len(arms)}, 60%, 45%)"
        bars = {"array": ends.table.std(axis=1, ddof=1) / math.sqrt(SEEDS), "thickness": 1}
        line = go.Scatter(
            x=ends.factors / ends.factors[ends.best], y=ends.table.mean(axis=1), error_y=bars,
            mode="lines+markers", name=arm.name.replace("_", " "),
            line={"color": color, "dash": "solid" if arm.planned else "dot"},
        )  # fmt: skip
        made.add_trace(line, 1, 1)
        for column, control in ((2, arm.controls.momentum), (3, arm.controls.batch)):
            if isinstance(control, Schedule):
                step = np.arange(control.horizon)
                value = np.asarray(control(step))
                made.add_trace(
                    go.Scatter(
                        x=step, y=1 - value if column == 2 else value, showlegend=False,
                        line={"color": color},
                    ), 1, column,
                )  # fmt: skip
    styled(made, 1100, 480)
    made.update_xaxes(type="log", title_text="LR over its best", row=1, col=1)
    made.update_yaxes(type="log")
    made.update_yaxes(title_text="nats an image", row=1, col=1)
    for column, title in ((2, "1 - momentum"), (3, "images an update")):
        made.update_xaxes(title_text="update", row=1, col=column)
        made.update_yaxes(title_text=title, row=1, col=column)
    return made


def main() -> int:
    parser = argparse.ArgumentParser(description="Momentum and batch ramps of a real training.")
    parser.add_argument("what", choices=("plan", "table"))
    parser.add_argument("--figure", type=Path, help="SVG or HTML file to write, with table")
    given = parser.parse_args()
    if given.what == "plan":
        PLANS.parent.mkdir(parents=True, exist_ok=True)
        PLANS.write_text(json.dumps(make_plans(RUNS / "images"), indent=1) + "\n", "utf-8")
        everything = {arm.name: arm for arms in compared().values() for arm in arms}
        losses = model_losses(list(everything.values()), plans()["readings"])
        PLANS.write_text(json.dumps({**plans(), "losses": losses}, indent=1) + "\n", "utf-8")
        print(f"written: {PLANS}")
        return 0
    budgets = compared()
    everything = {arm.name: arm for arms in budgets.values() for arm in arms}
    read = {name: read_ends(arm, RUNS) for name, arm in everything.items()}
    found = {name: ends for name, ends in read.items() if ends is not None}
    for budget, arms in budgets.items():
        print_table(budget, arms, found, plans()["losses"])
    if given.figure:
        write(figure(list(everything.values()), found), given.figure)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
