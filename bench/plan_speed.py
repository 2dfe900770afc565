"""How long does a plan take, in a fresh process, and does memory stay flat?

    python bench/plan_speed.py [--repeat N]

Plans from the 10 pilots of `examples/gpt`, from the 76 published runs of `llama124m`, and from 300
rows of a sweep's summary made by the law itself. Each in a process of its own, imports and whatever
is compiled included; then ten plans in one process, with the memory after each. Run it on an idle
machine.
"""

from __future__ import annotations

import argparse
import json
import subprocess
import sys
from pathlib import Path

ROOT = Path(__file__).parents[1]
COMMON = """
import json, resource, sys, time
begin, cpu = time.perf_counter(), time.process_time()
sys.path[:0] = [{root!r}]
import etastar
{read}
def plan():
    return etastar.plan(runs, horizon={horizon})
"""
ONCE = """
plan()
peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024
print(json.dumps([time.perf_counter() - begin, time.process_time() - cpu, peak]))
"""
MANY = """
import psutil
memory = []
for _ in range(10):
    plan()
    memory.append(psutil.Process().memory_info().rss / 2**20)
print(json.dumps(memory))
"""
ROWS = """
import numpy as np
from etastar.schedule import parse_schedule
from tests.helpers.laws import true_losses
rng, runs = np.random.default_rng(0), []
for i in range(300):
    shape = ["cosine", "linear", "wsd"][i % 3]
    end = int(rng.uniform(1500, 4000))
    spec = f"{shape}:peak={2e-3 * 2 ** -rng.uniform(0, 3):.3g},horizon={end},warmup=100"
    spec += ",cooldown=0.25" if shape == "wsd" else ""
    schedule = parse_schedule(spec)
    step = np.array([float(end)])
    loss = true_losses(schedule, step) * np.exp(1e-3 * rng.standard_normal())
    runs.append(etastar.Run(str(i), step, loss, schedule))
"""
TASKS = {
    "10 runs (examples/gpt)": ("runs = etastar.read_runs('examples/gpt/pilots')", 56000),
    "76 runs (llama124m)": ("runs = etastar.read_runs('tests/data/curves/llama124m')", 70000),
    "300 summary rows": (ROWS, 16000),
}


def in_process(read: str, horizon: int, rest: str) -> list[float]:
    """What a fresh Python prints after reading runs and planning."""
    code = COMMON.format(root=str(ROOT), read=read, horizon=horizon) + rest
    done = subprocess.run(
        [sys.executable, "-c", code], cwd=ROOT, capture_output=True, text=True, check=True
    )
    return json.loads(done.stdout.splitlines()[-1])


def main() -> int:
    parser = argparse.ArgumentParser(description="Time plans in fresh processes.")
    parser.add_argument("--repeat", type=int, default=3)
    given = parser.parse_args()
    print(f"{'plan from':<24} {'wall s':>14} {'CPU s':>14} {'peak MiB':>9}")
    for name, (read, horizon) in TASKS.items():
        found = [in_process(read, horizon, ONCE) for _ in range(given.repeat)]
        wall, cpu, peak = zip(*found, strict=True)
        spans = (f"{min(x):.2f} to {max(x):.2f}" for x in (wall, cpu))
        print(f"{name:<24} {next(spans):>14} {next(spans):>14} {max(peak):>9.0f}", flush=True)
    memory = in_process(*TASKS["10 runs (examples/gpt)"], MANY)
    print("memory after each of ten plans in one process [MiB]:", *(f"{m:.0f}" for m in memory))
    return 0


if __name__ == "__main__":
    sys.exit(main())
