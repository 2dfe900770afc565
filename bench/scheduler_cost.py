"""What does a step of `ScheduledLR` cost beside PyTorch's own schedulers, and a row of a `RunLog`?

    python bench/scheduler_cost.py

First table: microseconds of one `scheduler.step()`, the optimiser's step not included. Every number
is the median over rounds; in each round all schedulers make the same number of steps, in an order
drawn anew, so that a busy machine slows all alike. The last columns are the ratios to `LambdaLR`
and to `CosineAnnealingLR` in the same round, median and range of the middle half. Then: a whole
update of the smallest training there is, and a row of a `RunLog`.
"""

from __future__ import annotations

import argparse
import math
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch
from torch.optim import lr_scheduler

from etastar.integrations.torch import RunLog, ScheduledLR

STEPS = 10_000
SPECS = {
    "cosine": f"cosine:peak=0.1,horizon={STEPS},warmup=100",
    "wsd, sqrt": f"wsd:peak=0.1,horizon={STEPS},warmup=100,cooldown=0.2,decay=sqrt",
    "power 0.37": f"power:peak=0.1,horizon={STEPS},warmup=100,chi=0.37",
    "200 knots": "table:knots=" + "/".join(f"{50 * i}:{1 / (1 + i)!r}" for i in range(201)),
}
KNOTS = f"table:knots=0:0.95/{STEPS}:0.8"


def cosine(step: int) -> float:
    """The cosine with its warmup, as one writes it for `LambdaLR`."""
    if step < 100:
        return step / 100
    return 0.5 * (1.0 + math.cos(math.pi * (step - 100) / (STEPS - 100)))


def makers() -> dict[str, Callable[[torch.optim.Optimizer], lr_scheduler.LRScheduler]]:
    ours = {
        f"ScheduledLR, {name}": lambda o, spec=spec: ScheduledLR(o, spec)
        for name, spec in SPECS.items()
    }
    return {
        "LambdaLR": lambda o: lr_scheduler.LambdaLR(o, cosine),
        "CosineAnnealingLR": lambda o: lr_scheduler.CosineAnnealingLR(o, STEPS),
        **ours,
        "ScheduledLR, in samples": lambda o: ScheduledLR(
            o, SPECS["cosine"], unit="samples", batch_size=32
        ),
        "OneCycleLR, with momentum": lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=0.1, total_steps=STEPS + 1
        ),
        "ScheduledLR, with momentum": lambda o: ScheduledLR(o, SPECS["cosine"], momentum=KNOTS),
    }


def optimizer_of(groups: int, tensor: bool) -> torch.optim.Optimizer:
    lr = torch.tensor(0.1) if tensor else 0.1
    parameters = [{"params": [torch.zeros(1, requires_grad=True)]} for _ in range(groups)]
    return torch.optim.AdamW(parameters, lr=lr, foreach=False)


def seconds(make: Callable, groups: int, tensor: bool) -> float:
    optimizer = optimizer_of(groups, tensor)
    scheduler = make(optimizer)
    optimizer.step()
    step = scheduler.step
    began = time.perf_counter()
    for _ in range(STEPS):
        step()
    return (time.perf_counter() - began) / STEPS


def table(groups: int, tensor: bool, rounds: int, random: np.random.Generator) -> None:
    makes = makers()
    times = {name: np.empty(rounds) for name in makes}
    for i in range(rounds):
        for name in random.permutation(list(makes)):
            times[name][i] = seconds(makes[name], groups, tensor)
    kind = "a tensor" if tensor else "a number"
    print(f"\n{groups} parameter group{'s' * (groups > 1)}, the LR {kind}")
    print(f"{'scheduler':28}{'us a step':>10}{'/ LambdaLR':>22}{'/ CosineAnnealingLR':>24}")
    for name, found in times.items():
        cells = [f"{name:28}{1e6 * np.median(found):10.2f}"]
        for base, width in (("LambdaLR", 22), ("CosineAnnealingLR", 24)):
            low, middle, high = np.quantile(found / times[base], (0.25, 0.5, 0.75))
            cells.append(f"{middle:.2f} ({low:.2f}-{high:.2f})".rjust(width))
        print("".join(cells), flush=True)


def training(rounds: int) -> None:
    """A whole update of a model of one weight, where a scheduler weighs most."""
    names = ("LambdaLR", "ScheduledLR, cosine")
    times = {name: np.empty(rounds) for name in names}
    for i in range(rounds):
        for name in names if i % 2 else reversed(names):
            weight = torch.zeros(1, requires_grad=True)
            optimizer = torch.optim.AdamW([weight], lr=0.1)
            scheduler = makers()[name](optimizer)
            began = time.perf_counter()
            for _ in range(1000):
                weight.sum().backward()
                optimizer.step()
                scheduler.step()
                optimizer.zero_grad()
            times[name][i] = (time.perf_counter() - began) / 1000
    print(f"\n{'a whole update of one weight with AdamW':40}{'us':>8}{'/ LambdaLR':>12}")
    for name, found in times.items():
        ratio = np.median(found / times["LambdaLR"])
        print(f"{name:40}{1e6 * np.median(found):8.1f}{ratio:12.2f}")


def logging() -> None:
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder) / "run.jsonl"
        with RunLog(path, SPECS["cosine"], batch_size=32) as log:
            began = time.perf_counter()
            for step in range(STEPS):
                log.add(step, 3.0 + 1.0 / (1 + step), lr=0.1)
            took = (time.perf_counter() - began) / STEPS
        size = path.stat().st_size / STEPS
    print(f"\na row of a RunLog: {1e6 * took:.1f} us, {size:.0f} bytes")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Cost of a scheduler's step.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--seed", type=int, default=0)
    asked = parser.parse_args()
    torch.set_num_threads(1)
    random = np.random.default_rng(asked.seed)
    for groups, tensor in ((1, False), (4, False), (1, True)):
        table(groups, tensor, asked.rounds, random)
    training(asked.rounds)
    logging()
