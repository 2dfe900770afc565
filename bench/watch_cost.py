"""What do the scheduler and the watch of a run cost beside a step of the bundled GPT?

    python bench/watch_cost.py [--steps 6000] [--rounds 2]

Trains the GPT of `etastar.train.gpt` (two layers of width 64, batch 4, one thread) with
`ScheduledLR`, a `RunLog` and, in every second half of a round, a `Watch` with the pilots of
`examples/gpt`. Prints microseconds of one update, and of the calls of the scheduler, the log and
the watch in it, as measured around each call; the CPU time that the process beside it took; and the
time of an update with the watch over that without. On a machine whose cores are all busy the last
one says what the machine is doing.
"""

from __future__ import annotations

import argparse
import resource
import tempfile
import time
from pathlib import Path

import numpy as np
import torch

from etastar.integrations.torch import RunLog, ScheduledLR, Watch
from etastar.schedule import parse_schedule
from etastar.train.corpus import load_corpus
from etastar.train.gpt import GPT, Batches, Settings, make_optimizer, update
from etastar.train.loop import Log, State

PILOTS = Path(__file__).parents[1] / "examples/gpt/pilots"
EVERY = 50


def trained(steps: int, folder: Path, watched: bool, text: np.ndarray) -> dict[str, float]:
    """Mean seconds of an update, and of the calls in it."""
    settings = Settings(schedule=parse_schedule(f"cosine:peak=1e-3,horizon={steps},warmup=200"))
    torch.manual_seed(0)
    model = GPT(settings.layers, settings.width, settings.heads, settings.context)
    state = State(model, make_optimizer(model, settings), Log(folder / "unused.csv"))
    scheduler = ScheduledLR(state.optimizer, settings.schedule)
    batches, path = Batches(text, settings), folder / f"run_{watched}.jsonl"
    path.unlink(missing_ok=True)
    of_scheduler = of_watch = of_log = total = 0.0
    clock = time.perf_counter
    watch = Watch(path, pilots=PILOTS, say=None, rank=0 if watched else 1)
    with RunLog(path, scheduler, batch_size=settings.batch) as log, watch:
        began = clock()
        for step in range(1, steps + 1):
            total += update(state, batches(step - 1), settings, float(scheduler.get_last_lr()[0]))
            before = clock()
            scheduler.step()
            after = clock()
            if step % EVERY == 0:
                log.add(step, total / EVERY)
                total = 0.0
            logged = clock()
            watch(step)
            of_scheduler += after - before
            of_log += logged - after
            of_watch += clock() - logged
        seconds = clock() - began
    parts = {"update": seconds, "scheduler": of_scheduler, "log": of_log, "watch": of_watch}
    return {name: value / steps for name, value in parts.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description="Cost of the watch beside the bundled GPT.")
    parser.add_argument("--steps", type=int, default=6000)
    parser.add_argument("--rounds", type=int, default=2)
    given = parser.parse_args()
    torch.set_num_threads(1)
    text = load_corpus(allow_missing=True).train
    found: dict[bool, list[dict[str, float]]] = {False: [], True: []}
    beside = []
    with tempfile.TemporaryDirectory() as folder:
        for round_ in range(given.rounds):
            for watched in (False, True) if round_ % 2 else (True, False):
                before = resource.getrusage(resource.RUSAGE_CHILDREN)
                found[watched].append(trained(given.steps, Path(folder), watched, text))
                after = resource.getrusage(resource.RUSAGE_CHILDREN)
                if watched:
                    used = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
                    beside.append(used)
    print(f"{'':12}{'us a step':>12}{'of a step':>12}")
    update_time = np.median([each["update"] for each in found[True]])
    for name in ("update", "scheduler", "log", "watch"):
        value = np.median([each[name] for each in found[True]])
        print(f"{name:12}{1e6 * value:12.2f}{value / update_time:12.4%}")
    ratio = np.median(
        [a["update"] / b["update"] for a, b in zip(found[True], found[False], strict=True)]
    )
    seconds = given.steps * update_time
    used = np.median(beside)
    print(f"process beside: {used:.1f} s of CPU in {seconds:.0f} s, its start included")
    print(f"an update with the watch over one without: {ratio:.3f}")


if __name__ == "__main__":
    main()
