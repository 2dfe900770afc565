"""A batch ramp planned from logs, trained for real against the best constant batch size.

    python bench/ramp.py [--seeds N] [--out FOLDER]

The byte model of `examples/batch_ramp.py` is trained by SGD with momentum at three batch sizes,
four peak LRs and two lengths: 24 pilots. From their logs a plan is made for four times the samples
of the longest pilot, once in samples and once in seconds of a modelled machine, on which an update
takes as long as 32 samples and each sample one unit more. Both solutions of the plan, with the best
constant batch size and with a batch size that may rise, are trained at several seeds, driven by
`RampedBatchSampler` and `ScheduledLR`. Some ten minutes on one core; a log that is there is kept.
"""

from __future__ import annotations

import argparse
import csv
import time
from pathlib import Path

import numpy as np
import torch
from torch import nn

from etastar import read_runs
from etastar.control import Budget, Limits, optimal_controls
from etastar.integrations.torch import RampedBatchSampler, ScheduledLR
from etastar.law import AverageLaw, fit
from etastar.runs import Run
from etastar.schedule import Schedule, make_schedule, parse_schedule
from etastar.train.corpus import load_corpus

OUT = Path(__file__).parent / "runs" / "ramp"
CONTEXT, POINTS = 8, 40
SAMPLES, LENGTHS = 1_000_000, (4, 16)
"""Samples of the planned runs, and how many times fewer the pilots take."""

SIZES, PEAKS = (16, 48, 128), (0.02, 0.04, 0.08, 0.16)
"""Batch sizes of the pilots; their peak LRs at 48, elsewhere times the root of the batch size."""

LATENCY = 32.0
"""What an update takes whatever its size, in the time that one sample takes."""

WARMUP = 50


def data() -> dict[str, torch.Tensor]:
    """Inputs and targets of training and validation, windows of bytes one apart."""
    corpus, found = load_corpus(), {}
    for name, text, every in (("train", corpus.train, 1), ("held", corpus.validation, 23)):
        windows = np.lib.stride_tricks.sliding_window_view(text, CONTEXT + 1)[::every]
        chosen = windows[:8192] if name == "held" else windows
        found[name] = torch.from_numpy(np.array(chosen[:SAMPLES]))
    return found


def trained(
    lr: Schedule, batch: Schedule, seed: int, windows: dict[str, torch.Tensor], path: Path
) -> list[tuple[int, float, float]]:
    """Steps, LRs and validation losses of a run, from its log where that is there."""
    if not path.exists():
        rows = _train(lr, batch, seed, windows)
        part = path.with_suffix(".part")
        with part.open("w", newline="") as file:
            csv.writer(file).writerows([("step", "lr", "val_loss"), *rows])
        part.replace(path)
    with path.open() as file:
        return [
            (int(r["step"]), float(r["lr"]), float(r["val_loss"])) for r in csv.DictReader(file)
        ]


def _train(
    lr: Schedule, batch: Schedule, seed: int, windows: dict[str, torch.Tensor]
) -> list[tuple[int, float, float]]:
    torch.manual_seed(seed)
    model = nn.Sequential(
        nn.Embedding(256, 16), nn.Flatten(), nn.Linear(16 * CONTEXT, 64), nn.GELU(),
        nn.Linear(64, 256),
    )  # fmt: skip
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    scheduler = ScheduledLR(optimizer, lr)
    order = RampedBatchSampler(len(windows["train"]), batch, seed=seed)
    ends = set(np.unique(np.round(np.linspace(0, lr.horizon, POINTS + 1)[1:])).astype(int).tolist())
    rows = []
    for done, places in enumerate(order, start=1):
        text = windows["train"][places].long()
        loss = nn.functional.cross_entropy(model(text[:, :-1]), text[:, -1])
        optimizer.zero_grad()
        loss.backward()
        rate = optimizer.param_groups[0]["lr"]
        optimizer.step()
        scheduler.step()
        if done in ends:
            with torch.no_grad():
                held = windows["held"].long()
                value = float(nn.functional.cross_entropy(model(held[:, :-1]), held[:, -1]))
            rows.append((done, rate, value))
            if not np.isfinite(value):
                break
    return rows


def pilots(windows: dict[str, torch.Tensor], out: Path) -> list[Run]:
    """Train what is missing of the pilots, and read their logs."""
    folder = out / "pilots"
    folder.mkdir(parents=True, exist_ok=True)
    rows = []
    for i, size in enumerate(SIZES):
        for j, peak in enumerate(PEAKS):
            for k, part in enumerate(LENGTHS):
                horizon, lr = SAMPLES // part // size, peak * (size / 48) ** 0.5
                shape = ("cosine", "") if (i + j + k) % 2 else ("wsd", ",cooldown=0.25")
                spec = f"{shape[0]}:peak={lr:.4g},horizon={horizon},warmup={WARMUP}{shape[1]}"
                name = f"b{size}_p{lr:.4g}_n{horizon}"
                rows.append((name, spec, size))
                batch = make_schedule("constant", peak=float(size), horizon=horizon)
                began = time.perf_counter()
                log = trained(parse_schedule(spec), batch, 100 + len(rows), windows,
                              folder / f"{name}.csv")  # fmt: skip
                print(
                    f"{name:24} {log[-1][2]:.4f}  {time.perf_counter() - began:5.1f} s", flush=True
                )
    with (folder / "runs.csv").open("w", newline="") as file:
        csv.writer(file).writerows([("run", "schedule", "batch_size"), *rows])
    return read_runs(folder)


def stable(size: float) -> Limits:
    """What the LR may be at a batch size: up to the highest peak of the pilots."""
    return Limits(PEAKS[-1] * (size / 48) ** 0.5, warmup=WARMUP)


def main() -> None:
    parser = argparse.ArgumentParser(description="A planned batch ramp, trained for real.")
    parser.add_argument("--seeds", type=int, default=3)
    parser.add_argument("--out", type=Path, default=OUT)
    given = parser.parse_args()
    torch.set_num_threads(1)
    windows = data()
    law = fit(pilots(windows, given.out))
    average = AverageLaw(law, (law, *law.draws(32)))
    budgets = {
        "samples": Budget.of(None, SAMPLES, None, (1.0, 0.0)),
        "seconds": Budget.of(None, None, 2.0 * SAMPLES, (LATENCY, 1.0)),
    }
    widths = {"budget": -9, "batch size": 22, "peak LR": 9, "updates": 9, "samples": 10}
    widths |= {"seconds": 10, "forecast": 10, "measured": 10, "sd": 8}
    print("".join(f"{word:<{-w}}" if w < 0 else f"{word:>{w}}" for word, w in widths.items()))
    for name, budget in budgets.items():
        found = optimal_controls(average, budget, (SIZES[0], SIZES[-1]), stable)
        for arm, each in (("constant", found.fixed), ("ramp", found.ramp)):
            if each is None or each.batch_size is None:
                print(f"{name:9}{'no ramp is better':>22}")
                continue
            lr, size, folder = each.schedule, each.batch_size, given.out / f"{name}_{arm}"
            folder.mkdir(parents=True, exist_ok=True)
            lr.save(folder / "schedule.json", batch_size=size)
            ends = [
                trained(lr, size, seed, windows, folder / f"s{seed}.csv")[-1][2]
                for seed in range(given.seeds)
            ]
            steps = " to ".join(f"{float(size(step)):g}" for step in size.breakpoints[:-1])
            samples = float(size.intrinsic_time(lr.horizon))
            print(f"{name:9}{steps:>22}{lr.peak:9.4f}{lr.horizon:9d}{samples:10.0f}"
                  f"{samples + LATENCY * lr.horizon:10.0f}{each.loss:10.4f}"
                  f"{np.mean(ends):10.4f}{np.std(ends, ddof=1):8.4f}", flush=True)  # fmt: skip


if __name__ == "__main__":
    main()
