"""The table of `bench/value.py`: what each way of choosing a schedule costs and reaches.

A final loss is the validation loss after the last update. Losses are compared with the reference,
the best peak and shape of the grid at full length, seed by seed: a pair shares weights and data.
The reference is the lowest of several means over the same seeds, so that luck is in its favour.
"""

from __future__ import annotations

import json
import math
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import plotly.graph_objects as go
from loss_exponents import styled, write
from plotly.subplots import make_subplots
from rich.console import Console
from rich.table import Table
from scipy.stats import t as student
from value_places import GRID_SHAPES, SEEDS, UNTOUCHED, LongRun, Place, contenders, grid

from etastar._files import write_text
from etastar._json import json_text
from etastar.law import fit
from etastar.schedule import Schedule, parse_schedule

LEVEL = 0.9


@dataclass(frozen=True)
class Compared:
    """One number minus another, seed by seed, over the mean of the other.

    Attributes:
        mean: of the differences.
        error: standard error of the mean; NaN of a single seed.
        seeds: how many pairs.
    """

    mean: float
    error: float
    seeds: int

    @property
    def sure(self) -> bool:
        """Whether the 90 % interval of the mean, by Student's t, leaves out zero."""
        if self.seeds < 2:
            return False
        return bool(abs(self.mean) > student.ppf(0.5 + LEVEL / 2, self.seeds - 1) * self.error)


def compared(losses: dict[int, float], reference: dict[int, float]) -> Compared:
    """Losses by seed against others by seed.

    >>> compared({0: 1.1, 1: 2.2}, {0: 1.0, 1: 2.0, 2: 5.0})
    Compared(mean=0.1, error=0.033333333333333354, seeds=2)
    """
    seeds = sorted(losses.keys() & reference.keys())
    if not seeds:
        return Compared(math.nan, math.nan, 0)
    ours, theirs = (np.array([d[s] for s in seeds]) for d in (losses, reference))
    if not np.all(np.isfinite(ours)):
        return Compared(math.inf, math.nan, len(seeds))
    parts = (ours - theirs) / theirs.mean()
    error = parts.std(ddof=1) / math.sqrt(len(seeds)) if len(seeds) > 1 else math.nan
    return Compared(round(float(parts.mean()), 12), float(error), len(seeds))


@dataclass(frozen=True)
class Row:
    """One schedule at full length.

    Attributes:
        name: of the way in which it was chosen.
        schedule: its spec, or the name of its file.
        losses: final losses by seed.
        cost: updates paid for a trained model, over the horizon; NaN for a point of the grid.
        forecast: mean, low and high of the final loss, from the pilots alone; None for another
            optimiser.
        over_best: the losses against the reference.
        over_plan: the losses against the plan's.
    """

    name: str
    schedule: str
    losses: dict[int, float]
    cost: float
    forecast: tuple[float, float, float] | None
    over_best: Compared
    over_plan: Compared

    @property
    def measured(self) -> list[float]:
        return [loss for loss in self.losses.values() if math.isfinite(loss)]

    @property
    def held(self) -> int:
        """How many of the measured losses lie in the interval."""
        if self.forecast is None:
            return 0
        return sum(self.forecast[1] <= loss <= self.forecast[2] for loss in self.measured)


@dataclass(frozen=True)
class Result:
    """What is measured of one training.

    Attributes:
        name: of the training.
        horizon: updates of a long run.
        rows: the ways of choosing a schedule, the grid's best of each shape last.
        points: every schedule of the grid.
        complete: whether nothing is missing.
    """

    name: str
    horizon: int
    rows: list[Row]
    points: list[Row]
    complete: bool


def results_of(places: Sequence[Place]) -> list[Result]:
    """Of the trainings that have a plan."""
    return [result_of(place) for place in places if place.planned]


def result_of(place: Place) -> Result:
    known, horizon = place.losses(), place.kind.horizon

    def losses_of(runs: Sequence[LongRun]) -> dict[int, float]:
        return {run.seed: known[run.name] for run in runs if run.name in known}

    ways = list(contenders(place, known))
    grids = {shape: grid(place, shape, known) for shape in GRID_SHAPES}
    cells = [cell for table in grids.values() for cell in table if losses_of(cell)]
    repeated = [cell for cell in cells if len(losses_of(cell)) == len(SEEDS)]
    best = min(repeated, key=lambda cell: mean_of(losses_of(cell)), default=[])
    reference = losses_of(best)
    plan = losses_of(ways[0].runs)
    forecast = Forecasts(place)

    def row(name: str, runs: Sequence[LongRun], cost: float) -> Row:
        losses = losses_of(runs)
        return Row(
            name, Path(runs[0].schedule).name, losses, cost / horizon, forecast(runs[0], name),
            compared(losses, reference), compared(losses, plan),
        )  # fmt: skip

    rows = [row(way.name, way.runs, way.cost) for way in ways if losses_of(way.runs)]
    for shape, table in grids.items():
        ended = [cell for cell in table if cell in repeated]
        if ended:
            chosen = min(ended, key=lambda cell: mean_of(losses_of(cell)))
            rows.append(row(f"grid_{shape}", chosen, len(table) * horizon))
    points = [row("point", cell, math.nan) for cell in cells]
    runs = [run for way in ways for run in way.runs]
    runs += [run for table in grids.values() for cell in table for run in cell]
    complete = len(repeated) >= 2 * len(SEEDS) and all(run.name in known for run in runs)
    return Result(place.name, horizon, rows, points, complete)


def mean_of(losses: dict[int, float]) -> float:
    return float(np.mean(list(losses.values())))


class Forecasts:
    """The final losses that the pilots alone foretell."""

    def __init__(self, place: Place) -> None:
        self.law = fit(place.pilot_runs())
        self.plan = json.loads((place.plan / "plan.json").read_text("utf-8"))["loss"]

    def __call__(self, run: LongRun, name: str) -> tuple[float, float, float] | None:
        """Mean, low and high; for the plan those that it promised when it was made."""
        if run.optimizer != "own":
            return None
        if name == "plan":
            return self.plan["mean"], self.plan["low"], self.plan["high"]
        is_file = run.schedule.endswith(".json")
        schedule = Schedule.load(run.schedule) if is_file else parse_schedule(run.schedule)
        return self.law.predict(schedule, at=[schedule.horizon]).final


# ---------------------------------------------------------------------------------- the numbers


@dataclass(frozen=True)
class Calibration:
    """How forecasts and intervals did.

    Attributes:
        runs, schedules: how many were measured.
        held: part of the runs whose loss lies in the 90 % interval.
        error: mean distance of forecast and measured loss, over the loss.
        bias: mean of forecast minus measured loss, over the loss.
        reach: mean half width of the intervals over the mean distance.
    """

    runs: int
    schedules: int
    held: float
    error: float
    bias: float
    reach: float


def calibration(rows: Sequence[Row]) -> Calibration | None:
    """Of all rows with a forecast; None where there is none."""
    rows = [row for row in rows if row.forecast is not None and row.measured]
    if not rows:
        return None
    pairs = [(loss, *row.forecast) for row in rows for loss in row.measured if row.forecast]
    loss, mean, low, high = np.array(pairs).T
    distance = np.abs(mean - loss) / loss
    return Calibration(
        len(loss), len(rows), float(np.mean((low <= loss) & (loss <= high))),
        float(distance.mean()), float(np.mean((mean - loss) / loss)),
        float(np.mean((high - low) / 2 / loss) / distance.mean()),
    )  # fmt: skip


def forecast_rows(result: Result) -> list[Row]:
    """Each schedule once: the ways but the grid's bests, and all points of the grid."""
    return [row for row in result.rows if not row.name.startswith("grid_")] + result.points


@dataclass(frozen=True)
class Summary:
    """One way over several trainings.

    Attributes:
        trainings: how many have it.
        over_best: mean of the losses over the reference, by training.
        error: its standard error between trainings.
        cost: mean updates over the horizon.
        beats_plan, loses_to_plan: trainings in which it is surely better or worse than the plan.
    """

    trainings: int
    over_best: float
    error: float
    cost: float
    beats_plan: int
    loses_to_plan: int


def summaries(results: Sequence[Result]) -> dict[str, Summary]:
    """Of each way, over the trainings that have a reference."""
    found: dict[str, list[Row]] = {}
    for row in (row for result in results for row in result.rows):
        if math.isfinite(row.over_best.mean):
            found.setdefault(row.name, []).append(row)
    made = {}
    for name, rows in found.items():
        values = np.array([row.over_best.mean for row in rows])
        error = values.std(ddof=1) / math.sqrt(len(rows)) if len(rows) > 1 else math.nan
        sure = [row.over_plan.mean for row in rows if row.over_plan.sure]
        made[name] = Summary(
            len(rows), float(values.mean()), float(error),
            float(np.mean([row.cost for row in rows])),
            sum(each < 0 for each in sure), sum(each > 0 for each in sure),
        )  # fmt: skip
    return made


def groups(results: Sequence[Result]) -> dict[str, list[Result]]:
    """The trainings that the work may have been tuned on, and the others."""
    return {
        "touched": [r for r in results if r.name not in UNTOUCHED],
        "untouched": [r for r in results if r.name in UNTOUCHED],
    }


def to_dict(results: Sequence[Result]) -> dict[str, Any]:
    """All numbers, as the JSON file has them."""

    def of_row(row: Row) -> dict[str, Any]:
        return {**vars(row), "over_best": vars(row.over_best), "over_plan": vars(row.over_plan)}

    def of_calibration(rows: Sequence[Row]) -> dict[str, Any] | None:
        found = calibration(rows)
        return None if found is None else vars(found)

    trainings = {
        result.name: {
            "horizon": result.horizon,
            "complete": result.complete,
            "ways": [of_row(row) for row in result.rows],
            "grid": [of_row(row) for row in result.points],
            "forecasts": of_calibration(forecast_rows(result)),
        }
        for result in results
    }
    together = {
        name: {
            "ways": {way: vars(each) for way, each in summaries(group).items()},
            "forecasts": of_calibration([row for r in group for row in forecast_rows(r)]),
        }
        for name, group in groups(results).items()
        if group
    }
    return {"trainings": trainings, "together": together}


def write_json(results: Sequence[Result], path: Path) -> None:
    write_text(path, json_text(to_dict(results), indent=2) + "\n")


# ------------------------------------------------------------------------------ text and figure


def percent(value: float, error: float = math.nan) -> str:
    """A ratio in per cent, with its standard error where it is known."""
    if not math.isfinite(value):
        return "diverged" if value == math.inf else ""
    return f"{value:+.2%}" + (f" ± {error:.2%}" if math.isfinite(error) else "")


def print_results(results: Sequence[Result]) -> None:
    console = Console(width=120)
    if not results:
        console.print("no plan yet; make what is missing: python bench/value.py run")
    for result in results:
        print_training(console, result)
    for name, group in groups(results).items():
        if group:
            print_group(console, f"{name}: {', '.join(r.name for r in group)}", group)


def print_training(console: Console, result: Result) -> None:
    state = "" if result.complete else ", unfinished"
    table = Table(title=f"{result.name}, {result.horizon:,} updates{state}")
    for column in (
        "way", "schedule", "loss", "over the grid's best", "cost / T", "forecast", "interval",
        "held",
    ):  # fmt: skip
        table.add_column(column)
    for row in result.rows:
        loss = f"{np.mean(row.measured):.4f}" if row.measured else "diverged"
        mean, low, high = row.forecast or (math.nan,) * 3
        known = row.forecast is not None
        table.add_row(
            row.name, row.schedule.split(",horizon")[0], loss,
            percent(row.over_best.mean, row.over_best.error), f"{row.cost:.1f}",
            f"{mean:.4f}" if known else "", f"{low:.3f} to {high:.3f}" if known else "",
            f"{row.held}/{len(row.measured)}" if known else "",
        )  # fmt: skip
    console.print(table)
    print_calibration(console, forecast_rows(result))
    better = [row for row in result.rows if row.over_plan.mean < 0]
    for row in sorted(better, key=lambda row: row.over_plan.mean):
        how = "surely" if row.over_plan.sure else "within the noise of seeds"
        gain = percent(row.over_plan.mean, row.over_plan.error)
        console.print(f"the plan lost to {row.name}, {how}: {gain}")


def print_calibration(console: Console, rows: Sequence[Row]) -> None:
    found = calibration(rows)
    if found is not None:
        console.print(
            f"forecasts of {found.runs} runs of {found.schedules} schedules: off by"
            f" {found.error:.2%} (mean {found.bias:+.2%}); the 90 % interval held {found.held:.0%}"
            f" and reaches {found.reach:.1f} times the mean error"
        )


def print_group(console: Console, title: str, group: Sequence[Result]) -> None:
    table = Table(title=title)
    columns = ("way", "trainings", "over the grid's best", "cost / T", "beats plan", "loses to it")
    for column in columns:
        table.add_column(column)
    for name, each in summaries(group).items():
        table.add_row(
            name, str(each.trainings), percent(each.over_best, each.error), f"{each.cost:.1f}",
            str(each.beats_plan), str(each.loses_to_plan),
        )  # fmt: skip
    console.print(table)
    print_calibration(console, [row for result in group for row in forecast_rows(result)])


COLORS = ("#0f766e", "#1d4ed8", "#b45309", "#be123c", "#7c3aed", "#4d7c0f", "#0e7490")


def figure(results: Sequence[Result]) -> go.Figure:
    """Left: every way against the reference. Right: measured losses within their intervals."""
    made = make_subplots(1, 2, horizontal_spacing=0.18, column_widths=[0.6, 0.4])
    for color, result in zip(COLORS, results, strict=False):
        rows = [row for row in result.rows if math.isfinite(row.over_best.mean)]
        made.add_trace(
            go.Scatter(
                x=[100 * row.over_best.mean for row in rows], y=[row.name for row in rows],
                error_x={"array": [100 * row.over_best.error for row in rows]},
                mode="markers", name=result.name, marker={"color": color},
            ), 1, 1,
        )  # fmt: skip
        places = [
            2 * (loss - row.forecast[0]) / (row.forecast[2] - row.forecast[1])
            for row in forecast_rows(result)
            for loss in row.measured
            if row.forecast
        ]
        made.add_trace(
            go.Scatter(
                x=places, y=[result.name] * len(places), mode="markers", showlegend=False,
                marker={"color": color, "opacity": 0.5},
            ), 1, 2,
        )  # fmt: skip
    styled(made, 1000, 480)
    made.update_xaxes(title_text="final loss over the grid's best, %", row=1, col=1)
    made.update_xaxes(title_text="measured minus forecast, in half widths", row=1, col=2)
    for end in (-1, 1):
        made.add_vline(x=end, line={"dash": "dot", "color": "#64748b"}, row=1, col=2)  # type: ignore
    made.update_yaxes(autorange="reversed")
    return made


def write_figure(results: Sequence[Result], path: Path) -> None:
    write(figure(results), path)
