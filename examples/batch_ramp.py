"""A batch ramp beside LR decay at a fixed batch size, for the same samples.

    python examples/batch_ramp.py

To first order a step of SGD adds noise as LR / batch size, so that an LR that falls linearly in the
samples seen and a batch size that grows as 1 / (1 - samples / total) at the first LR anneal alike,
the ramp in fewer updates (docs/controls.md). A byte model on the sources of Python's library is
trained both ways, and with neither, and a table of the losses is printed. The ramp ends at
`LARGEST` samples: beyond it, its LR falls.
"""

from __future__ import annotations

import argparse
import time

import numpy as np
import torch
from torch import nn

from etastar.integrations.torch import RampedBatchSampler, ScheduledLR
from etastar.schedule import Schedule, parse_schedule, table
from etastar.train.corpus import load_corpus

CONTEXT, SMALL, LARGEST = 8, 16, 256


def ramp(total: int) -> tuple[Schedule, Schedule]:
    """Batch size and LR factor by the samples seen, whose ratio falls linearly to 0."""
    seen = np.unique(np.round(total * (1.0 - np.geomspace(1.0, 1e-3, 400))))
    wanted = SMALL / (1.0 - seen / total)
    sizes = np.minimum(wanted, LARGEST)
    rates = np.append(sizes / wanted, 0.0)
    return table(seen, sizes, horizon=total), table(np.append(seen, total), rates)


def train(seed: int, lr: Schedule, batch: Schedule, data: dict[str, torch.Tensor]) -> dict:
    """Both schedules by the samples seen; the mean validation loss at the end, and its cost."""
    torch.manual_seed(seed)
    hidden = nn.Linear(16 * CONTEXT, 64)
    model = nn.Sequential(
        nn.Embedding(256, 16), nn.Flatten(), hidden, nn.GELU(), nn.Linear(64, 256)
    )
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0, momentum=0.9)
    sampler = RampedBatchSampler(len(data["inputs"]), batch, unit="samples", seed=seed)
    scheduler = ScheduledLR(optimizer, lr, unit="samples", batch_size=1)
    began, seen, updates = time.perf_counter(), 0, 0
    for places in sampler:
        loss = nn.functional.cross_entropy(model(data["inputs"][places]), data["targets"][places])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        scheduler.batch_size = len(places)
        scheduler.step()
        seen, updates = seen + len(places), updates + 1
    seconds = time.perf_counter() - began
    with torch.no_grad():
        final = nn.functional.cross_entropy(model(data["held inputs"]), data["held targets"])
    return {"loss": float(final), "updates": updates, "samples": seen, "seconds": seconds}


def load(total: int) -> dict[str, torch.Tensor]:
    corpus = load_corpus(allow_missing=True)
    data = {}
    for prefix, text in (
        ("", corpus.train[: total + CONTEXT]),
        ("held ", corpus.validation[:20_000]),
    ):
        windows = torch.from_numpy(text.copy()).long().unfold(0, CONTEXT + 1, 1)
        data |= {f"{prefix}inputs": windows[:, :CONTEXT], f"{prefix}targets": windows[:, CONTEXT]}
    return data


def main(total: int, peak: float, seeds: int) -> None:
    torch.set_num_threads(1)
    data = load(total)
    size, factor = ramp(total)
    fixed = parse_schedule(f"constant:peak={SMALL},horizon={total}")
    arms = {
        "fixed batch, constant LR": (
            parse_schedule(f"constant:peak={peak},horizon={total}"),
            fixed,
        ),
        "fixed batch, LR decays": (parse_schedule(f"linear:peak={peak},horizon={total}"), fixed),
        "batch ramp": (factor.scaled(peak=peak), size),
    }
    print(
        f"{'':26}{'loss':>8}{'sd':>8}{'updates':>9}{'samples':>9}{'batch sizes':>13}{'seconds':>9}"
    )
    for name, (lr, batch) in arms.items():
        found = [train(seed, lr, batch, data) for seed in range(seeds)]
        losses = [each["loss"] for each in found]
        one = found[0]
        sizes = f"{batch(0):.0f} to {batch(total):.0f}"
        print(
            f"{name:26}{np.mean(losses):8.4f}{np.std(losses, ddof=1):8.4f}{one['updates']:9d}"
            f"{one['samples']:9d}{sizes:>13}{np.mean([each['seconds'] for each in found]):9.1f}",
            flush=True,
        )


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A batch ramp beside LR decay.")
    parser.add_argument("--samples", type=int, default=60_000)
    parser.add_argument("--peak", type=float, default=0.03)
    parser.add_argument("--seeds", type=int, default=3)
    asked = parser.parse_args()
    main(asked.samples, asked.peak, asked.seeds)
