"""How long does each stage of a plan take, and how good is the estimate of what is left?

    python bench/plan_stages.py [RUNS] [--horizon STEPS] [--law NAME ...]

Plans for RUNS (default: the bundled pilots) and prints for each law the seconds of every stage of
`etastar.planning.STAGES` and of writing the report, and after each stage what the command would say
is left beside what was. The weights of the stages are the seconds of our own law; copy them from
here. Of other laws the command says no such number, and the table shows why. Programs that an
earlier process compiled are used where there are any, as a command does: run it twice.
"""

from __future__ import annotations

import argparse
import tempfile
import time
from pathlib import Path

from etastar.cli._plan import WRITING, WRITING_WEIGHT
from etastar.cli._stages import Stages
from etastar.law import FORMS
from etastar.planning import STAGES, plan
from etastar.report import write_plan
from etastar.runs import Run, read_runs

PILOTS = Path(__file__).parents[1] / "examples/gpt/pilots"


def measure(runs: list[Run], horizon: int, law: str) -> tuple[dict[str, float], dict[str, float]]:
    """The time at which every stage ended, and what was said then of what is left."""
    started = time.monotonic()
    stages = Stages({**STAGES, WRITING: WRITING_WEIGHT})
    ended: dict[str, float] = {}
    said: dict[str, float] = {}

    def progress(stage: str, done: int, total: int, /) -> None:
        stages(stage, done, total)
        if done == total:
            ended[stage] = time.monotonic() - started
            said[stage] = stages.left() or 0.0

    found = plan(runs, horizon, form=law, progress=progress)
    with tempfile.TemporaryDirectory() as folder:
        progress(WRITING, 0, 1)
        write_plan(found, folder)
        progress(WRITING, 1, 1)
    return ended, said


def main() -> None:
    parser = argparse.ArgumentParser(description="The seconds of the stages of a plan.")
    parser.add_argument("runs", nargs="?", default=PILOTS)
    parser.add_argument("--horizon", type=int, default=56_000)
    parser.add_argument("--law", action="append", choices=list(FORMS), help="default: etastar")
    given = parser.parse_args()
    runs = read_runs(given.runs)
    for law in given.law or ["etastar"]:
        ended, said = measure(runs, given.horizon, law)
        print(f"{law}, {len(runs)} runs")
        print(f"  {'stage':<28} {'s':>6} {'said to be left':>16} {'was left':>9}")
        before, end = 0.0, max(ended.values())
        for stage, at in ended.items():
            print(f"  {stage:<28} {at - before:>6.2f} {said[stage]:>16.1f} {end - at:>9.1f}")
            before = at


if __name__ == "__main__":
    main()
