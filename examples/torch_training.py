"""Train a small byte model in PyTorch under a planned schedule, with a log and a checkpoint.

    python examples/torch_training.py --schedule cosine:peak=4e-3,horizon=3000,warmup=100 --out runs

Ends within a minute on two cores. After Ctrl-C or a kill the same command goes on from the last
checkpoint. `--schedule` takes a spec, a `schedule.json` or the folder of a plan; the log in `runs`
is what `etastar plan runs --horizon ...` reads. The data are the sources of Python's own library.
"""

from __future__ import annotations

import argparse
import os
import sys
from pathlib import Path

import torch
from torch import nn

from etastar.integrations.torch import RampedBatchSampler, RunLog, ScheduledLR
from etastar.runs import read_runs
from etastar.schedule import InputError
from etastar.train.corpus import load_corpus

CONTEXT, BATCH, EVERY = 8, 64, 100


def contexts(text: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Every run of `CONTEXT` bytes, and the byte after it."""
    windows = text.long().unfold(0, CONTEXT + 1, 1)
    return windows[:, :CONTEXT], windows[:, CONTEXT]


def make_model() -> nn.Module:
    torch.manual_seed(0)
    return nn.Sequential(
        nn.Embedding(256, 16),
        nn.Flatten(),
        nn.Linear(16 * CONTEXT, 256),
        nn.GELU(),
        nn.Linear(256, 256),
    )


def main(schedule: str, out: Path, name: str) -> None:
    torch.set_num_threads(1)
    corpus = load_corpus(allow_missing=True)
    inputs, targets = contexts(torch.from_numpy(corpus.train[:500_000].copy()))
    held = contexts(torch.from_numpy(corpus.validation[:8_000].copy()))
    loss_of = nn.functional.cross_entropy

    model = make_model()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0, fused=True)
    scheduler = ScheduledLR(optimizer, schedule)
    horizon = scheduler.schedule.horizon
    sampler = RampedBatchSampler(len(inputs), BATCH, horizon=horizon)

    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / f".{name}.pt"
    if checkpoint.exists():
        saved = torch.load(checkpoint, weights_only=True)
        model.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        sampler.load_state_dict(saved["sampler"])
        print(f"goes on from update {sampler.step}")

    with RunLog(out / f"{name}.jsonl", scheduler, batch_size=BATCH, optimizer=optimizer) as log:
        for step, batch in enumerate(sampler, start=sampler.step + 1):
            loss = loss_of(model(inputs[batch]), targets[batch])
            optimizer.zero_grad()
            loss.backward()
            lr = optimizer.param_groups[0]["lr"]
            optimizer.step()
            scheduler.step()
            if step % EVERY == 0 or step == horizon:
                with torch.no_grad():
                    val_loss = loss_of(model(held[0]), held[1])
                log.add(step, val_loss, lr=lr, train_loss=loss)
                states = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(),
                    "sampler": sampler.state_dict(step),
                }
                torch.save(states, checkpoint.with_suffix(".new"))
                os.replace(checkpoint.with_suffix(".new"), checkpoint)
            if step % (10 * EVERY) == 0:
                print(f"update {step} of {horizon}, lr {lr:.2e}, loss {float(val_loss):.4f}")

    (run,) = read_runs(out / f"{name}.jsonl")
    print(f"{run.name}: {run.schedule.spec}, final loss {run.final_loss:.4f} nats a byte")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small training under a planned schedule.")
    parser.add_argument("--schedule", default="cosine:peak=0.004,horizon=3000,warmup=100")
    parser.add_argument("--out", type=Path, default=Path("out/torch"))
    parser.add_argument("--name", default="pilot")
    asked = parser.parse_args()
    try:
        main(asked.schedule, asked.out, asked.name)
    except InputError as error:  # such as a checkpoint of another schedule
        sys.exit(f"torch_training: {error}")
