"""A small training that kills itself with SIGKILL at given updates and is started again.

    python resumable_training.py FOLDER SEED KILLS

trains with each kind of optimiser once without interruption and once with that many kills at random
updates, each in a child process, and prints what all did as one JSON object.
"""

from __future__ import annotations

import hashlib
import json
import os
import random
import signal
import sys
from collections.abc import Callable
from functools import partial
from pathlib import Path

import torch
import torch._dynamo  # or every child imports it for itself
from torch.utils.data import DataLoader, TensorDataset

from etastar.integrations.torch import RampedBatchSampler, RunLog, ScheduledLR

HORIZON = 140
LR = f"wsd:peak=0.05,horizon={HORIZON},warmup=20,cooldown=0.3"
MOMENTUM = f"table:knots=0:0.95/{HORIZON}:0.6"
RAMP = f"table:knots=0:2/35:2/{HORIZON}:13.7"
CHECKPOINT_EVERY = 7


def make_optimizer(model: torch.nn.Module, kind: str) -> torch.optim.Optimizer:
    groups = [
        {"params": [p for p in model.parameters() if p.dim() > 1], "lr": 1.0},
        {"params": [p for p in model.parameters() if p.dim() == 1], "lr": 0.3},
    ]
    if kind == "SGD":
        return torch.optim.SGD(groups, momentum=0.5)
    if kind == "AdamW":
        return torch.optim.AdamW(groups, fused=True)
    return torch.optim.Adam(
        [{**group, "lr": torch.tensor(group["lr"])} for group in groups], foreach=False
    )


def train(folder: Path, kind: str, scheduler_first: bool, killed: Callable[[int, str], bool]):
    """The training, from its checkpoint where there is one; `killed` says where it dies."""
    torch.manual_seed(0)
    inputs = torch.randn(97, 6)
    data = TensorDataset(inputs, (inputs[:, :1] * inputs[:, 1:2]).tanh())
    model = torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))
    optimizer = make_optimizer(model, kind)
    sampler = RampedBatchSampler(data, RAMP, seed=1)
    checkpoint = folder / "checkpoint.pt"
    saved = torch.load(checkpoint, weights_only=True) if checkpoint.exists() else None
    if saved and not scheduler_first:
        optimizer.load_state_dict(saved["optimizer"])
    scheduler = ScheduledLR(optimizer, LR, momentum=MOMENTUM)
    if saved:
        if scheduler_first:
            optimizer.load_state_dict(saved["optimizer"])
        model.load_state_dict(saved["model"])
        scheduler.load_state_dict(saved["scheduler"])
        sampler.load_state_dict(saved["sampler"])

    def die(step: int, place: str) -> None:
        if killed(step, place):
            os.kill(os.getpid(), signal.SIGKILL)

    step = sampler.step
    log = RunLog(folder / "run.jsonl", scheduler, optimizer=optimizer, batch_size=RAMP)
    with open(folder / "trace.jsonl", "a", buffering=1) as trace:
        for places, (x, y) in zip(
            RampedBatchSampler.__iter__(sampler),
            DataLoader(data, batch_sampler=sampler),
            strict=True,
        ):
            group = optimizer.param_groups[0]
            momentum = group["momentum"] if kind == "SGD" else group["betas"][0]
            row = {"step": step, "momentum": momentum, "batch": places}
            row["lr"] = [float(group["lr"]) for group in optimizer.param_groups]
            trace.write(json.dumps(row) + "\n")
            loss = torch.nn.functional.mse_loss(model(x), y)
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
            die(step, "before the scheduler's step")
            scheduler.step()
            step += 1
            log.add(step, loss.detach(), lr=optimizer.param_groups[0]["lr"])
            die(step - 1, "before the checkpoint")
            if step % CHECKPOINT_EVERY == 0:
                states = {
                    "model": model.state_dict(),
                    "optimizer": optimizer.state_dict(),
                    "scheduler": scheduler.state_dict(),
                    "sampler": sampler.state_dict(step),
                }
                torch.save(states, folder / "next.pt")
                os.replace(folder / "next.pt", checkpoint)
                die(step - 1, "after the checkpoint")
    log.close()
    weights = b"".join(p.detach().numpy().tobytes() for p in model.parameters())
    (folder / "weights").write_text(hashlib.sha256(weights).hexdigest())


def in_child(work: Callable[[], None]) -> int:
    """Run in a forked process; returns the signal that ended it, 0 for none."""
    child = os.fork()
    if child == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            os._exit(code)
    status = os.waitpid(child, 0)[1]
    if os.WIFSIGNALED(status):
        return os.WTERMSIG(status)
    assert os.WEXITSTATUS(status) == 0
    return 0


def due(target: int, place: str, step: int, where: str) -> bool:
    """Whether to die here; only every seventh update has a checkpoint after which to die."""
    return step >= target and where == place


def result(folder: Path) -> dict[str, object]:
    rows = [json.loads(line) for line in (folder / "trace.jsonl").read_text().splitlines()]
    by_step = {row["step"]: row for row in rows}
    return {
        "weights": (folder / "weights").read_text(),
        "rows": [by_step[step] for step in sorted(by_step)],
        "updates": len(rows),
    }


def with_and_without_kills(folder: Path, kind: str, chance: random.Random, kills: int) -> dict:
    calm, stormy = folder / "calm", folder / "stormy"
    calm.mkdir(parents=True)
    stormy.mkdir()
    in_child(partial(train, calm, kind, True, lambda *_: False))
    places = ["before the scheduler's step", "before the checkpoint", "after the checkpoint"]
    died = []
    for target in sorted(chance.sample(range(HORIZON), kills)):
        killed = partial(due, target, chance.choice(places))
        if in_child(partial(train, stormy, kind, chance.random() < 0.5, killed)) == signal.SIGKILL:
            died.append(target)
    in_child(partial(train, stormy, kind, False, lambda *_: False))
    return {"calm": result(calm), "stormy": result(stormy), "died": died}


def main(folder: Path, seed: int, kills: int) -> None:
    torch.set_num_threads(1)
    chance = random.Random(seed)
    found = {
        kind: with_and_without_kills(folder / kind, kind, chance, kills)
        for kind in ("SGD", "AdamW", "tensor")
    }
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]))
