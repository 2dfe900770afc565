"""Is a plan worth its pilots? Seven trainings, each way of choosing a schedule trained for real.

    python bench/value.py run [--name TRAINING ...] [--out FOLDER] [--scale PART]
    python bench/value.py table [--name TRAINING ...] [--out FOLDER] [--json FILE] [--figure FILE]

`run` makes all that is missing, one process at a time: of each training the long runs of a grid,
which need no plan; the pilots, with `etastar pilot`; the plan, as `etastar plan` makes it; and the
long runs of it and of the other ways (`bench/value_places.py`). After Ctrl-C or kill -9 the
same command goes on. It takes about 50 minutes of one core a training. `bench/run_queue.py value`
calls it. `--scale 0.05` tries the whole chain at a twentieth of the length, in a folder of its own.

`table` prints what is measured so far, and what the plan and the law said before
(`bench/value_table.py`).

`pip install 'etastar[torch,bench]'` brings what the trainings need: PyTorch, two optimisers to
compare with, and the English text.
"""

from __future__ import annotations

import argparse
import signal
import subprocess
import sys
from pathlib import Path

import value_trainings
from value_places import PILOT_SEED, Place, wanted
from value_table import print_results, results_of, write_figure, write_json
from value_trainings import KINDS

from etastar import InputError, plan
from etastar._files import write_text
from etastar.train.loop import csv_text, declare_run, read_table

ROOT = Path(__file__).parent
OUT = ROOT / "runs" / "value"
ROWS = 20
"""Rows in the log of a long run; a trial has two, as evaluations would take most of its time."""


def run_pilots(place: Place) -> int:
    """Make the pilots of a training; returns the exit code of `etastar pilot`."""
    kind, script = place.kind, ROOT / "value_trainings.py"
    low, high = kind.peaks
    command = [sys.executable, "-m", "etastar.cli", "pilot", "--out", str(place.pilots)]
    command += ["--horizon", str(kind.horizon), "--budget", str(place.budget)]
    command += ["--peak", f"{low},{high}", "--warmup", str(kind.warmup)]
    command += ["--seed", str(PILOT_SEED), "--", sys.executable, str(script), place.name]
    command += ["--schedule", "{schedule}", "--seed", "{seed}", "--out", "{out}"]
    command += ["--name", "{name}"]
    with subprocess.Popen(command) as process:
        try:
            return process.wait()
        except KeyboardInterrupt:
            process.terminate()  # it ends its pilots
            process.wait()
            return 130


def make_plan(place: Place) -> None:
    plan(place.pilot_runs(), place.kind.horizon).save(place.plan)


def run_long(place: Place) -> int:
    """Make the long runs that are missing; returns an exit code."""
    while True:
        losses = place.losses()
        keep_journal(place, losses)
        run = next((run for run in wanted(place, losses) if run.name not in losses), None)
        if run is None:
            return 0
        arguments = [place.name, "--schedule", run.schedule, "--seed", str(run.seed)]
        arguments += ["--optimizer", run.optimizer, "--out", str(place.long), "--name", run.name]
        rows = ROWS if place.scale == 1.0 else 2
        arguments += ["--eval-every", str(max(1, place.kind.horizon // rows))]
        code = value_trainings.main(arguments)
        if code:
            return code


def keep_journal(place: Place, losses: dict[str, float]) -> None:
    """Write FOLDER/TRAINING.csv: updates done after each long run, for the queue's estimate."""
    rows, done = [["step", "loss", "run"]], place.paid if place.planned else 0
    for name, loss in losses.items():
        done += place.kind.horizon
        rows.append([str(done), f"{loss:.6f}", name])
    if losses:
        write_text(place.root / f"{place.name}.csv", csv_text(rows))


def run(place: Place) -> int:
    """Make all of a training; returns an exit code, 130 if interrupted."""
    row = {"run": place.name, "horizon": str(place.kind.horizon)}
    before = [r for r in read_table(place.root / "runs.csv")[1] if r["run"] == place.name]
    if before and before[0]["status"] == "finished":
        return 0
    place.folder.mkdir(parents=True, exist_ok=True)
    declare_run(place.root, {**row, "status": "running"})
    code = run_long(place)
    if code == 0 and not place.planned:
        code = run_pilots(place)
        if code == 0:
            make_plan(place)
            code = run_long(place)
    if code == 0:
        rows = read_table(place.long / "runs.csv")[1]
        seconds = sum(float(each["seconds"]) for each in rows)
        declare_run(place.root, {**row, "status": "finished", "seconds": f"{seconds:.0f}"})
    return code


def main() -> int:
    parser = argparse.ArgumentParser(description="Is a plan worth its pilots?")
    parser.add_argument("action", choices=("run", "table"))
    parser.add_argument(
        "--name", action="append", choices=list(KINDS), help="of a training; all without it"
    )
    parser.add_argument("--out", type=Path, default=OUT, help="folder of the trainings")
    parser.add_argument("--scale", type=float, default=1.0, help="of every horizon, for a trial")
    parser.add_argument("--json", type=Path, help="file to write the table to")
    parser.add_argument("--figure", type=Path, help="SVG or HTML file to write")
    given = parser.parse_args()
    if given.scale != 1.0 and given.out == OUT:
        parser.error("--scale is for a trial: give it an --out of its own")
    places = [Place(name, given.out, given.scale) for name in given.name or KINDS]
    if given.action == "run":
        signal.signal(signal.SIGTERM, signal.default_int_handler)
        try:
            return next((code for place in places if (code := run(place))), 0)
        except KeyboardInterrupt:
            return 130
        except InputError as error:
            print(f"value: {error}", file=sys.stderr)
            return 2
    results = results_of(places)
    print_results(results)
    if given.json:
        write_json(results, given.json)
    if given.figure:
        write_figure(results, given.figure)
    return 0


if __name__ == "__main__":
    sys.exit(main())
