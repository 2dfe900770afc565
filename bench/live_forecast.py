"""How much better is the forecast of a run under way than that of its pilots alone?

    python bench/live_forecast.py [--task NAME ...] [--alarms] [--out FILE.csv]
    python bench/live_forecast.py --cases N [--group NAME ...]

Fits the pilots of each task, and forecasts the final loss of every long run when 25, 50 and 75% of
its steps are done: by the pilots alone (`Law.predict`), and by the pilots and the run's own log so
far (`forecast_running`). Tasks:

- `gpt`: the pilots and the long runs of `examples/gpt`, four times as long as the longest pilot.
- `mpl25m`, `mpl100m`, `llama124m`: the splits of `bench/laws.py` of the published curves, their
  longer runs. A WSD run of `llama124m` gets the log of the constant run that it was branched off.

Columns: mean absolute error and mean half-width of the 90% interval, in percent of the measured
loss; how many measured losses lie inside; and in how many runs the forecast with the own log is
nearer. The seconds are CPU time of one forecast with the own log.

`--cases N` takes N test runs of each of the 218 cases of `bench/interval_tasks.py` in their place,
a row a group of tasks.

`--alarms` counts false alarms instead: looks at every tenth of each run at which `find_alarms` says
anything, none of which is a spike, a divergence or a plateau of a run that failed.
"""

from __future__ import annotations

import argparse
import csv
import time
import zlib
from collections.abc import Iterator
from dataclasses import astuple, dataclass, fields, replace
from pathlib import Path

import numpy as np
from backtest_published import FOLDER
from interval_tasks import GROUPS, cases
from laws import joined, splits

from etastar.law import Law, fit, forecast_running
from etastar.runs import Run, read_runs
from etastar.schedule import InputError
from etastar.watch import report_on

EXAMPLE = Path(__file__).parents[1] / "examples/gpt"
TASKS = ("gpt", "mpl25m", "mpl100m", "llama124m")
PARTS = (0.25, 0.5, 0.75)
FEWEST = 4


@dataclass(frozen=True)
class Row:
    """A run at a part of its steps: relative errors and half-widths of the two forecasts."""

    task: str
    run: str
    part: float
    measured: float
    alone: float
    alone_half: float
    own: float
    own_half: float
    seconds: float


def tasks(names: list[str]) -> Iterator[tuple[str, list[Run], list[Run]]]:
    """Name, pilots and long runs."""
    for name in names:
        if name == "gpt":
            yield name, read_runs(EXAMPLE / "pilots"), read_runs(EXAMPLE / "check")
            continue
        runs = read_runs(FOLDER / name)
        trunk = {run.schedule.peak: run for run in runs if run.schedule.shape.name == "constant"}
        for split in splits(FOLDER / name):
            if name == "llama124m" and not split.name.endswith("pilots"):
                continue
            longest = max(run.final_step for run in split.fitted)
            tested = [
                joined(trunk[run.schedule.peak], run) if branched(name, run) else run
                for run in split.tested
                if run.final_step > 1.05 * longest
            ]
            yield split.name, split.fitted, tested or split.tested


def rows_of_cases(count: int, groups: list[str] | None) -> Iterator[Row]:
    """Rows of some test runs of each case, by the group of its task."""
    for case in cases(groups, tested_points=100):
        rng = np.random.default_rng(zlib.crc32(case.name.encode()))
        fitted = {run.name for run in case.fitted}
        chosen = [case.tested[i] for i in rng.permutation(len(case.tested))[:count]]
        try:
            law = fit(case.fitted)
        except InputError:  # too few points in all
            continue
        for run in chosen:
            if run.name not in fitted:
                yield from rows_of(case.group, law, run)


def branched(task: str, run: Run) -> bool:
    return task == "llama124m" and run.schedule.shape.name == "wsd"


def so_far(run: Run, part: float) -> Run | None:
    """The run when a part of its steps was done; None where that is no log."""
    done = run.step <= part * run.schedule.horizon
    if done.sum() < FEWEST:
        return None
    return replace(run, step=run.step[done], loss=run.loss[done])


def rows_of(task: str, law: Law, run: Run) -> Iterator[Row]:
    """A row a part."""
    end, measured = [run.final_step], run.final_loss
    mean, low, high = law.predict(run.schedule, end, batch_size=run.batch_size).final
    for part in PARTS:
        known = so_far(run, part)
        if known is None:
            continue
        began = time.process_time()
        own, own_low, own_high = forecast_running(known, law, end).final
        yield Row(
            task, run.name, part, measured,
            mean / measured - 1, (high - low) / 2 / measured,
            own / measured - 1, (own_high - own_low) / 2 / measured,
            time.process_time() - began,
        )  # fmt: skip


def print_table(rows: list[Row]) -> None:
    head = ("task", "done", "runs", "alone |err| %", "half %", "inside")
    head += ("with own |err| %", "half %", "inside", "nearer", "cpu s")
    print("| " + " | ".join(head) + " |\n|" + " --- |" * len(head))
    for task in dict.fromkeys(row.task for row in rows):
        for part in PARTS:
            here = [row for row in rows if (row.task, row.part) == (task, part)]
            if not here:
                continue
            alone, alone_half, own, own_half, seconds = (
                np.array([getattr(row, name) for row in here])
                for name in ("alone", "alone_half", "own", "own_half", "seconds")
            )
            cells = [task, f"{part:.0%}", str(len(here))]
            for error, half in ((alone, alone_half), (own, own_half)):
                cells += [f"{100 * abs(error).mean():.2f}", f"{100 * half.mean():.2f}"]
                cells += [f"{(abs(error) <= half).sum()}/{len(here)}"]
            cells += [f"{(abs(own) < abs(alone)).sum()}/{len(here)}", f"{seconds.mean():.2f}"]
            print("| " + " | ".join(cells) + " |", flush=True)


def print_alarms(name: str, law: Law, runs: list[Run]) -> None:
    """The looks at which there is an alarm, and at which the run is off its plan."""
    looks = alarms = off = 0
    for run in runs:
        for part in np.arange(0.1, 1.01, 0.1):
            known = so_far(run, part)
            if known is None:
                continue
            found = report_on(known, law)
            looks += 1
            alarms += bool(found.alarms)
            off += not found.on_plan
            for alarm in found.alarms:
                print(f"  {run.name} at {part:.0%}: {alarm.message}")
    print(f"{name}: {len(runs)} runs, {looks} looks, {alarms} with an alarm, {off} off the plan")


def main() -> None:
    parser = argparse.ArgumentParser(description="Test the forecasts of runs under way.")
    parser.add_argument("--task", action="append", choices=TASKS, help="default: all")
    parser.add_argument("--alarms", action="store_true", help="count false alarms")
    parser.add_argument("--out", type=Path, help="CSV file with every forecast")
    parser.add_argument("--cases", type=int, help="test runs of each case of interval_tasks.py")
    parser.add_argument(
        "--group", action="append", choices=GROUPS, help="of its tasks; default all"
    )
    given = parser.parse_args()
    rows: list[Row] = []
    if given.cases:
        rows += rows_of_cases(given.cases, given.group)
    for name, pilots, runs in [] if given.cases else tasks(given.task or list(TASKS)):
        law = fit(pilots)
        if given.alarms:
            print_alarms(name, law, runs)
        else:
            rows += [row for run in runs for row in rows_of(name, law, run)]
    if rows:
        print_table(rows)
    if given.out:
        with given.out.open("w", newline="", encoding="utf-8") as file:
            writer = csv.writer(file)
            writer.writerow(field.name for field in fields(Row))
            writer.writerows(astuple(row) for row in rows)


if __name__ == "__main__":
    main()
