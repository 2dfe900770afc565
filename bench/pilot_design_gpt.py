"""Do designed pilots forecast a real training better than a grid of cosines that costs the same?

    python bench/pilot_design_gpt.py OUT [--peaks 5e-4,4e-3] [--example examples/gpt]

Measured are the trainings of `etastar.train.gpt` over 56,000 updates in the example's `check/`. On
one side four cosines of 14,000 updates, peaks even in the logarithm; on the other what
`make_designer` proposes before any run, for at most as many updates and in the same range. Runs of
the example's `pilots/` serve where they have the schedule asked for; the others are trained into
OUT, one at a time. Each side is fitted by the same law. Killed, the same command goes on.
"""

from __future__ import annotations

import argparse
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from etastar.law import fit
from etastar.pilot import make_designer
from etastar.runs import Run, read_runs
from etastar.schedule import Schedule, make_schedule

HORIZON = 56_000
LONGEST = HORIZON // 4
WARMUP = 200
RUNS = 4
EVERY = 200


def made(folder: Path, schedules: Sequence[Schedule], known: Sequence[Run]) -> list[Run]:
    """The runs of the schedules: those known, the others trained."""
    found = {run.schedule.spec: run for run in known}
    for seed, schedule in enumerate(schedules):
        if schedule.spec in found:
            print(f"{folder.name}: {schedule.spec} is known")
            continue
        print(f"{folder.name}: {schedule.spec}", flush=True)
        shape, *constants = schedule.spec.replace(",", ":").split(":")
        name = "_".join([shape, *(text.rpartition("=")[2] for text in constants)])
        command = [sys.executable, "-m", "etastar.train.gpt", "--schedule", schedule.spec]
        command += ["--out", str(folder), "--name", name, "--eval-every", str(EVERY)]
        subprocess.run([*command, "--seed", str(20 + seed)], check=True, stdout=subprocess.DEVNULL)
    if folder.exists():
        found |= {run.schedule.spec: run for run in read_runs([folder])}
    return [found[schedule.spec] for schedule in schedules]


def main() -> None:
    parser = argparse.ArgumentParser(description="Designed pilots against cosines, on a GPT.")
    parser.add_argument("out", type=Path)
    parser.add_argument("--peaks", default="5e-4,4e-3")
    parser.add_argument("--example", type=Path, default=Path(__file__).parents[1] / "examples/gpt")
    given = parser.parse_args()
    budget = RUNS * LONGEST
    low, high = (float(peak) for peak in given.peaks.split(","))
    designer = make_designer(HORIZON, budget, peaks=(low, high), warmup=WARMUP)
    proposal = designer.propose([], [], budget)
    print(proposal.reason)
    peaks = [float(f"{peak:.3g}") for peak in np.geomspace(low, high, RUNS)]
    sides = {
        "grid": [make_schedule("cosine", peak=p, horizon=LONGEST, warmup=WARMUP) for p in peaks],
        "designed": [pilot.schedule for pilot in proposal.pilots],
    }
    known = read_runs([given.example / "pilots"])
    laws = {}
    for name, side in sides.items():
        runs = made(given.out / name, side, known)
        laws[name] = fit(runs)
        known += runs  # what both sides ask for is trained once
    groups: dict[str, list[Run]] = {}
    for run in read_runs([given.example / "check"]):
        if run.schedule.shape.name in ("cosine", "wsd"):
            groups.setdefault(run.schedule.spec, []).append(run)
    print(f"\n{'':<12} {'measured':>9}" + "".join(f"{name:>10}   90% interval" for name in sides))
    errors: dict[str, list[float]] = {name: [] for name in sides}
    for runs in sorted(groups.values(), key=lambda runs: runs[0].schedule.spec):
        schedule = runs[0].schedule
        measured = float(np.mean([run.final_loss for run in runs]))
        line = f"{schedule.shape.name:<6} {schedule.peak:<7g} {measured:>7.4f}"
        for name, law in laws.items():
            mean, bottom, top = law.predict(schedule).final
            errors[name].append(mean - measured)
            line += f"{mean:>10.4f} {bottom:>6.3f} to {top:.3f}"
        print(line)
    for name, values in errors.items():
        updates = sum(schedule.horizon for schedule in sides[name])
        print(
            f"{name}: {updates:,} updates in {len(sides[name])} runs, mean absolute error "
            f"{np.mean(np.abs(values)):.4f}, largest {np.max(np.abs(values)):.4f} nats"
        )


if __name__ == "__main__":
    main()
