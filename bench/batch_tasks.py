"""Sweeps over batch size, peak LR and budget, on which to test a law: `sweeps()` makes them.

    python bench/batch_tasks.py [--group NAME ...]      # makes them, and shows what they hold

A sweep is one task trained at five batch sizes, at five peak LRs of each and at three budgets of
samples, and a few of these once more with another seed. Cosines to zero alternate with WSD that
cools down over a quarter, and a warmup counted in samples with one counted in updates. Groups:

- `exact`: the solvable model under SGD. A log is the exact excess loss and a floor; every point
  is off by 0.1% (standard deviation), and a whole run by another 0.1%, the luck of its seed.
- `adam`: trainings with Adam in NumPy (`bench/batch_trainings.py`): regression on power-law
  features that are rotated at random, and a classifier with normalised layers under AdamW.
- `gpt`: the runs of `bench/runs/gpt_batch` that are done, those of the three smaller budgets as one
  task and those of the three larger ones as another, `gpt32`.

Of the first two the loss that no training goes below is known: there an excess loss is measured.
What is simulated or trained is kept in `bench/.cache`, under a name that depends on all that it was
made from. All of it takes about a quarter of an hour on one core, the next time a second.
"""

from __future__ import annotations

import argparse
import csv
import itertools
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any

import batch_trainings
import numpy as np

from etastar.model import PowerLaw, loss
from etastar.runs import Run, read_runs
from etastar.schedule import parse_schedule

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "bench/.cache/batch_tasks"
GPT = ROOT / "bench/runs/gpt_batch"
GROUPS = ("exact", "adam", "gpt")
EXACT_TASKS = 6
POINTS = 50
JITTER, LUCK = 1e-3, 1e-3
FLOOR = 0.2
"""Below the exact excess losses: a label noise of 2 would drown them in a tenth of a percent."""
WARMUP_UPDATES = 20
REPEATED = {(0, 2, 0), (1, 2, 1), (2, 2, 0), (2, 2, 2), (3, 2, 1), (4, 2, 0)}
"""Places of batch size, peak and budget that are run with two seeds."""


@dataclass(frozen=True)
class Cell:
    """One run before it is made."""

    name: str
    spec: str
    batch: int
    seed: int

    @property
    def steps(self) -> np.ndarray:
        """The updates after which the loss is measured: about `POINTS`, evenly, and the last."""
        horizon = parse_schedule(self.spec).horizon
        every = max(1, horizon // POINTS)
        return np.unique(np.append(np.arange(every, horizon, every), horizon))


@dataclass(frozen=True)
class Sweep:
    """The runs of one task.

    Attributes:
        name, group: of the task; the group is one of `GROUPS`.
        half: "A" serves to choose a form, "B" to test it.
        optimiser: "sgd" or "normalised", as for `etastar.law.fit`.
        floor: the loss that no training goes below; None where it is not known.
        runs: each with a batch size; `metadata` has "samples", the budget, and "seed".
    """

    name: str
    group: str
    half: str
    optimiser: str
    floor: float | None
    runs: list[Run]

    @cached_property
    def budgets(self) -> list[int]:
        return sorted({budget_of(run) for run in self.runs})

    @cached_property
    def batches(self) -> list[float]:
        return sorted({run.batch_size for run in self.runs if run.batch_size})


def budget_of(run: Run) -> int:
    """The samples that a run is meant to see."""
    return int(str(run.metadata["samples"]))


def sweeps(
    groups: Sequence[str] = GROUPS, names: Sequence[str] | None = None, folder: Path = GPT
) -> Iterator[Sweep]:
    """The sweeps of some groups, or those with the names asked for; made where they are missing.

    `folder` has the runs of the group `gpt`.

    Raises: ValueError for a group that is not there.
    """
    makers: dict[str, Callable[[Sequence[str] | None], Iterator[Sweep]]] = {
        "exact": exact, "adam": adam, "gpt": lambda names: gpt(names, folder),
    }  # fmt: skip
    if unknown := set(groups) - set(makers):
        raise ValueError(f"group {sorted(unknown)[0]!r} is not there; choose from {GROUPS}")
    for group in groups:
        yield from makers[group](names)


def grid(
    batches: Sequence[int], peaks: Sequence[Sequence[float]], budgets: Sequence[int]
) -> list[Cell]:
    """All cells of a sweep, `peaks` one list a batch size."""
    cells = []
    places = itertools.product(range(len(batches)), range(len(peaks[0])), range(len(budgets)))
    for i, j, k in places:
        batch, budget, turn = batches[i], budgets[k], i + j + k
        shape, cooldown = ("cosine", "") if turn % 2 else ("wsd", ",cooldown=0.25")
        of_samples = budgets[0] // 16
        warmup, label = max(1, of_samples // batch), "ws"
        if turn // 2 % 2:
            warmup, label = WARMUP_UPDATES, "wu"
        peak = float(f"{peaks[i][j]:.3g}")
        spec = f"{shape}:peak={peak!r},horizon={budget // batch},warmup={warmup}{cooldown}"
        for seed in (0, 1) if (i, j, k) in REPEATED else (0,):
            name = f"b{batch}_{shape}_p{peak:g}_n{budget}_{label}_s{seed}"
            cells.append(Cell(name, spec, batch, seed))
    return cells


# The solvable model


def exact(names: Sequence[str] | None) -> Iterator[Sweep]:
    """Random exponents, noise and batch sizes; peaks around the best at the middle budget."""
    for index in range(EXACT_TASKS):
        name = f"exact{index}"
        if names is not None and name not in names:
            continue
        rng = np.random.default_rng(zlib.crc32(f"batch {name}".encode()))
        model = PowerLaw(
            capacity=round(rng.uniform(1.3, 2.2), 2),
            source=round(rng.uniform(0.2, 0.5), 2),
            noise=round(10 ** rng.uniform(-0.3, 0.8), 2),
            batch_size=1,
        )
        first = int(rng.integers(1, 3))
        batches = [first * times for times in (1, 3, 8, 24, 64)]
        budgets = [500 * batches[-1] * times for times in ((1, 4, 16), (1, 2, 8))[index % 2]]

        def make(
            model: PowerLaw = model,
            batches: Sequence[int] = batches,
            budgets: Sequence[int] = budgets,
        ) -> list[Run]:
            peaks = [around_best(model, batch, budgets[1] // batch) for batch in batches]
            return simulated(model, grid(batches, peaks, budgets))

        key = (model, batches, budgets, JITTER, LUCK, POINTS, FLOOR)
        yield Sweep(name, "exact", half(index), "sgd", FLOOR, cached(name, key, make))


def with_batch(model: PowerLaw, batch: int) -> PowerLaw:
    return PowerLaw(model.capacity, model.source, model.noise, batch_size=batch)


def around_best(model: PowerLaw, batch: int, horizon: int) -> list[float]:
    """Five peaks in ratio 2, the middle one the best of a cosine, all well within stability."""
    model = with_batch(model, batch)
    ladder = [0.6 * model.max_rate * 0.5**m for m in range(12)]
    spec = "cosine:peak={!r},horizon={},warmup={}"
    losses = [
        loss(model, parse_schedule(spec.format(peak, horizon, horizon // 50)), tolerance=1e-3)
        for peak in ladder
    ]
    best = min(max(int(np.argmin(losses)), 2), len(ladder) - 3)
    return ladder[best - 2 : best + 3][::-1]


def simulated(model: PowerLaw, cells: Sequence[Cell]) -> list[Run]:
    """Logs of the solvable model."""
    rng = np.random.default_rng(0)
    runs = []
    for cell in cells:
        at = with_batch(model, cell.batch)
        clean = loss(at, parse_schedule(cell.spec), at=cell.steps) + FLOOR
        luck = LUCK * rng.standard_normal() + JITTER * rng.standard_normal(len(clean))
        runs.append(as_run(cell, clean * np.exp(luck)))
    return runs


# Trainings


def adam(names: Sequence[str] | None) -> Iterator[Sweep]:
    """Trainings in NumPy, the runs of one batch size side by side."""
    for index, (name, task) in enumerate(batch_trainings.TASKS.items()):
        if names is not None and name not in names:
            continue
        peaks = [task.peaks(batch) for batch in task.batches]
        cells = grid(task.batches, peaks, task.budgets)

        def make(
            task: batch_trainings.Task = task, cells: Sequence[Cell] = cells, name: str = name
        ) -> list[Run]:
            return trained(task, cells, name)

        source = Path(batch_trainings.__file__).read_text()
        runs = cached(name, (task, cells, source), make)
        yield Sweep(name, "adam", half(index), "normalised", task.floor, runs)


def trained(task: batch_trainings.Task, cells: Sequence[Cell], name: str) -> list[Run]:
    """Logs of trainings."""
    runs: list[Run] = []
    for batch in task.batches:
        here = [cell for cell in cells if cell.batch == batch]
        schedules = [parse_schedule(cell.spec) for cell in here]
        rates = [one(np.arange(one.horizon)) for one in schedules]
        seed = zlib.crc32(f"{name} {batch}".encode())
        losses = batch_trainings.train(task, batch, rates, [cell.steps for cell in here], seed)
        runs += [as_run(cell, values) for cell, values in zip(here, losses, strict=True)]
    return runs


# A small GPT


def gpt(names: Sequence[str] | None, folder: Path) -> Iterator[Sweep]:
    """The finished runs of a folder; the budgets are in bytes, the batch sizes in sequences."""
    wanted = names is None or {"gpt", "gpt32"} & set(names)
    if not wanted or not (folder / "runs.csv").exists():
        return
    runs = []
    for run in read_runs(folder):
        if run.metadata.get("status") == "finished" and run.final_step == run.schedule.horizon:
            label = run.name.split("_n")[1].split("_")
            found = {"samples": int(label[0]), "warmup": "wu" if label[1] == "w20" else "ws"}
            found["seed"] = int(label[2][1:])
            runs.append(Run(run.name, run.step, run.loss, run.schedule, run.batch_size,
                            metadata={**run.metadata, **found}))  # fmt: skip
    budgets = sorted({budget_of(run) for run in runs})
    for name, few in (("gpt", budgets[:3]), ("gpt32", budgets[-3:])):
        if len(budgets) >= 3 and (names is None or name in names):
            of_these = [run for run in runs if budget_of(run) in few]
            yield Sweep(name, "gpt", "B", "normalised", None, of_these)


# What was made before


def half(index: int) -> str:
    return "AB"[index % 2]


def as_run(cell: Cell, losses: np.ndarray) -> Run:
    """A log up to where it stops being a number, if it does."""
    last = len(losses) if np.all(np.isfinite(losses)) else int(np.argmin(np.isfinite(losses)))
    samples, warmup = cell.name.split("_n")[1].split("_")[:2]
    found = {"samples": int(samples), "warmup": warmup, "seed": cell.seed}
    last = max(last, 1)
    losses = np.where(np.isfinite(losses), losses, 1e9)
    return Run(cell.name, cell.steps[:last], losses[:last], parse_schedule(cell.spec),
               cell.batch, metadata=found)  # fmt: skip


def cached(name: str, key: Any, make: Callable[[], list[Run]]) -> list[Run]:
    """What `make` returns, read where it was made before from the same `key`."""
    file = CACHE / f"{name}_{zlib.crc32(repr(key).encode()):08x}.npz"
    if not file.exists():
        started = time.perf_counter()
        keep(file, make(), started)
    with np.load(file, allow_pickle=False) as data:
        rows = zip(data["name"], data["spec"], data["batch"], data["seed"], strict=True)
        cells = [Cell(str(n), str(spec), int(b), int(seed)) for n, spec, b, seed in rows]
        return [as_run(cell, data[f"loss{i}"]) for i, cell in enumerate(cells)]


def keep(file: Path, runs: Sequence[Run], started: float) -> None:
    """Write runs under a temporary name, and rename; notes the seconds they took."""
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays: dict[str, np.ndarray] = {
        "name": np.array([run.name for run in runs]),
        "spec": np.array([run.schedule.spec for run in runs]),
        "batch": np.array([run.batch_size for run in runs]),
        "seed": np.array([run.metadata["seed"] for run in runs]),
    }
    for i, run in enumerate(runs):
        of = len(Cell(run.name, str(run.schedule.spec), 1, 0).steps)
        arrays[f"loss{i}"] = np.append(run.loss, np.full(of - len(run.loss), np.nan))
    temporary = file.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(file)
    with (file.parent / "seconds.csv").open("a", newline="") as out:
        csv.writer(out).writerow([file.stem, round(time.perf_counter() - started, 1)])


def main() -> None:
    parser = argparse.ArgumentParser(description="Make the sweeps over batch sizes.")
    parser.add_argument("--group", action="append", choices=GROUPS)
    parser.add_argument("--task", action="append", metavar="NAME")
    given = parser.parse_args()
    for sweep in sweeps(given.group or GROUPS, given.task):
        print(f"{sweep.name}: {len(sweep.runs)} runs, batch sizes {sweep.batches}, "
              f"budgets {sweep.budgets}, floor {sweep.floor}")  # fmt: skip
        show(sweep)


def show(sweep: Sweep) -> None:
    """The final losses at the largest budget, a row a batch size, the peaks from low to high."""
    for batch in sweep.batches:
        runs = [run for run in sweep.runs if run.batch_size == batch]
        for budget in sweep.budgets:
            here = [r for r in runs if budget_of(r) == budget and r.metadata["seed"] == 0]
            here.sort(key=lambda run: run.schedule.peak)
            row = "".join(
                f"  {run.schedule.peak:8.3g} " + ("diverged" if run.diverged else
                f"{run.final_loss - (sweep.floor or 0.0):8.4f}") for run in here
            )  # fmt: skip
            print(f"{batch:>6g} {budget:>9}{row}")


if __name__ == "__main__":
    main()
