"""What is trained to answer whether a plan is worth its pilots, and what the disk holds of it.

A `Place` is the folder of one training of `bench/value_trainings.py`: its pilots, its plan and its
long runs. `contenders` and `grids` say which long runs there are: the next one to make is the first
that the disk lacks, and may depend on the losses before it.

Every way of choosing a schedule gets the same pilots and the seeds 0, 1 and 2 of weights and data;
the pilots have other seeds. The ways, beside the plan and the standard schedule nearest to it:

- `carried_*`: the peak LR of the best pilot (lowest final loss) unchanged, with cosine, with WSD
  of a cooldown of 20 % and with linear decay.
- `root_cosine`: that peak times sqrt(pilot's horizon / horizon), with cosine.
- `bound_linear`: the last-iterate bound of convex optimisation moves a peak between shapes and
  horizons (arXiv 2501.18965). The best pilot is taken for the best of its shape and horizon; the
  peak of a linear decay, the best shape by the bound, then follows (`etastar.robust`).
- `schedule_free`: the published optimiser (PyPI schedulefree) by its defaults and with the warmup
  of all runs. Its page says that LRs 1 to 10 times those with a schedule seem to work for AdamW,
  and 10 to 50 times for SGD: so the pilot's peak times 1, 2, 4, 8, or 10, 20, 40, the best at
  seed 0. That is a choice made at full length, in its favour, and is counted in its cost.
- `prodigy`: the published optimiser (PyPI prodigyopt) by its defaults with cosine to zero, one of
  the two schedules that its page recommends, and without warmup, of which the page warns.
- `grid_*`: the reference, the best peak of cosine and of WSD-20 % at full length in ratio 2: with
  seed 0 all of the range of `Kind.peaks`, extended until the best is inside; with the others the
  best and its neighbours.
"""

from __future__ import annotations

import csv
import json
import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path
from typing import NamedTuple

import numpy as np
from value_trainings import KINDS, Kind

from etastar.robust import last_iterate
from etastar.runs import Run, read_runs
from etastar.schedule import Schedule, parse_schedule
from etastar.train.loop import read_table

SEEDS = (0, 1, 2)
PILOT_SEED = 100
BUDGET = 0.6
"""Updates that all pilots may take together, over those of one long run."""

UNTOUCHED = ("gru", "denoiser")
"""Nothing of the law, the design or the plan has been changed after these were seen."""

FACTORS = {False: (1, 2, 4, 8), True: (10, 20, 40)}
"""LRs of schedule-free over the pilot's peak: of AdamW, and of SGD."""


class LongRun(NamedTuple):
    """A training of full length: its name, a spec or the path of a schedule.json, and the rest."""

    name: str
    schedule: str
    seed: int
    optimizer: str = "own"


class Contender(NamedTuple):
    """A way of choosing the schedule, with the run of each seed.

    `cost` is the number of updates that one pays for a trained model in this way, the final run
    included.
    """

    name: str
    runs: list[LongRun]
    cost: float


@dataclass(frozen=True)
class Place:
    """The folder of one training.

    Attributes:
        name: of `KINDS`.
        root: the folder of all trainings.
        scale: of the horizon and the warmup, 1 but for a trial of the whole chain.
    """

    name: str
    root: Path
    scale: float = 1.0

    @cached_property
    def kind(self) -> Kind:
        kind = KINDS[self.name]
        horizon, warmup = (round(n * self.scale) for n in (kind.horizon, kind.warmup))
        return replace(kind, horizon=horizon, warmup=warmup)

    @property
    def folder(self) -> Path:
        return self.root / self.name

    @property
    def pilots(self) -> Path:
        return self.folder / "pilots"

    @property
    def plan(self) -> Path:
        return self.folder / "plan"

    @property
    def long(self) -> Path:
        return self.folder / "long"

    @property
    def budget(self) -> int:
        return int(BUDGET * self.kind.horizon)

    @property
    def planned(self) -> bool:
        return (self.plan / "plan.json").exists()

    def pilot_runs(self) -> list[Run]:
        return read_runs([self.pilots])

    @cached_property
    def paid(self) -> int:
        """Updates of all pilots together."""
        return round(sum(run.final_step for run in self.pilot_runs()))

    @cached_property
    def best_pilot(self) -> Schedule:
        """The schedule of the pilot with the lowest final loss."""
        ended = [r for r in self.pilot_runs() if r.final_step == r.schedule.horizon]
        return min(ended, key=lambda run: run.final_loss).schedule

    def losses(self) -> dict[str, float]:
        """Final validation losses of the long runs that ended; infinite of those that diverged."""
        found = {}
        for row in read_table(self.long / "runs.csv")[1]:
            if row["status"] == "diverged":
                found[row["run"]] = math.inf
            elif row["status"] == "finished":
                with (self.long / f"{row['run']}.csv").open(encoding="utf-8") as file:
                    found[row["run"]] = float(list(csv.DictReader(file))[-1]["loss"])
        return found

    def spec(self, shape: str, peak: float, warmup: bool = True) -> str:
        cooldown = ",cooldown=0.2" if shape == "wsd" else ""
        ramp = f",warmup={self.kind.warmup}" if warmup else ""
        return f"{shape}:peak={peak:.6g},horizon={self.kind.horizon}{ramp}{cooldown}"


# --------------------------------------------------------------------------------- the long runs


def bound_peak(pilot: Schedule, target: Schedule) -> float:
    """The peak of the target's shape that belongs to a pilot at its best peak, by the bound.

    The best peak of a schedule is D/G times a number of the schedule's alone; the pilot says D/G.

    >>> short, long = (parse_schedule(f"linear:peak=1,horizon={n}") for n in (1000, 4000))
    >>> round(bound_peak(short, long), 3)
    0.5
    """
    own, other = (last_iterate(s).best_scale() * s.peak for s in (pilot, target))
    return pilot.peak * other / own


def chosen_peaks(place: Place) -> Iterator[tuple[str, str, float]]:
    """Name, shape and peak of each way that only needs the best pilot."""
    pilot = place.best_pilot
    for shape in ("cosine", "wsd", "linear"):
        yield f"carried_{shape}", shape, pilot.peak
    yield "root_cosine", "cosine", pilot.peak * (pilot.horizon / place.kind.horizon) ** 0.5
    linear = parse_schedule(place.spec("linear", 1.0))
    yield "bound_linear", "linear", bound_peak(pilot, linear)


def contenders(place: Place, losses: dict[str, float]) -> Iterator[Contender]:
    """All ways but the grid, with what is known so far; their first unknown run is the next."""
    horizon = place.kind.horizon
    paid = place.paid + horizon
    nearest = json.loads((place.plan / "plan.json").read_text("utf-8"))["nearest"]["spec"]
    schedules = {"plan": str(place.plan / "schedule.json"), "nearest": nearest}
    schedules |= {name: place.spec(shape, peak) for name, shape, peak in chosen_peaks(place)}
    for name, schedule in schedules.items():
        yield Contender(name, [LongRun(f"{name}_s{s}", schedule, s) for s in SEEDS], paid)
    yield from schedule_free(place, losses)
    spec = place.spec("cosine", 1.0, warmup=False)
    runs = [LongRun(f"prodigy_s{s}", spec, s, "prodigy") for s in SEEDS]
    yield Contender("prodigy", runs, horizon)


def schedule_free(place: Place, losses: dict[str, float]) -> Iterator[Contender]:
    """Its candidates at seed 0, each a contender of one run, and then the best of them."""
    factors = FACTORS[place.kind.sgd]

    def run(factor: int, seed: int) -> LongRun:
        spec = place.spec("constant", factor * place.best_pilot.peak, warmup=False)
        return LongRun(f"schedule_free_x{factor}_s{seed}", spec, seed, "schedule-free")

    tried = [run(factor, SEEDS[0]) for factor in factors]
    cost = place.paid + len(factors) * place.kind.horizon
    if any(each.name not in losses for each in tried):
        yield Contender("schedule_free", tried, cost)
        return
    best = factors[int(np.argmin([losses[each.name] for each in tried]))]
    yield Contender("schedule_free", [run(best, seed) for seed in SEEDS], cost)


def grid_run(place: Place, shape: str, peak: float, seed: int) -> LongRun:
    return LongRun(f"{shape}_p{peak:.4g}_s{seed}", place.spec(shape, peak), seed)


def grid_peaks(place: Place, shape: str, losses: dict[str, float]) -> list[float]:
    """Peaks of the grid at seed 0, with the next one where the best known is at an end."""
    peaks, highest = [place.kind.peaks[0]], place.kind.peaks[1]
    while peaks[-1] * 1.5 < highest:
        peaks.append(peaks[-1] * 2)
    while True:
        names = [grid_run(place, shape, peak, SEEDS[0]).name for peak in peaks]
        if any(name not in losses for name in names):
            return peaks
        best = int(np.argmin([losses[name] for name in names]))
        if 0 < best < len(peaks) - 1:
            return peaks
        peaks = [peaks[0] / 2, *peaks] if best == 0 else [*peaks, peaks[-1] * 2]


def grid(place: Place, shape: str, losses: dict[str, float]) -> list[list[LongRun]]:
    """The runs of each peak, rising: one seed of most, all seeds near the best of seed 0."""
    peaks = grid_peaks(place, shape, losses)
    first = [grid_run(place, shape, peak, SEEDS[0]) for peak in peaks]
    table = [[run] for run in first]
    if all(run.name in losses for run in first):
        best = int(np.argmin([losses[run.name] for run in first]))
        for i in range(best - 1, best + 2):
            table[i] += [grid_run(place, shape, peaks[i], seed) for seed in SEEDS[1:]]
    return table


GRID_SHAPES = ("cosine", "wsd")


def wanted(place: Place, losses: dict[str, float]) -> Iterator[LongRun]:
    """All long runs, in the order to make them, as far as the losses tell; the grid first."""
    for shape in GRID_SHAPES:
        table = grid(place, shape, losses)
        for seed in SEEDS:
            yield from (run for runs in table for run in runs if run.seed == seed)
    if place.planned:
        for contender in contenders(place, losses):
            yield from contender.runs
