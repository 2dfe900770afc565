"""Trainings of two processes on gloo, resumed by another number of them.

    python distributed_training.py FOLDER

prints what every process saw as one JSON object: {name: [[update, ...], ...]} by rank.
"""

from __future__ import annotations

import hashlib
import json
import multiprocessing
import os
import sys
from functools import partial
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # or every child imports it for itself
import torch.distributed as dist
from torch.distributed.checkpoint.state_dict import StateDictOptions, get_state_dict, set_state_dict
from torch.distributed.device_mesh import init_device_mesh
from torch.distributed.fsdp import fully_shard
from torch.nn.parallel import DistributedDataParallel

from etastar.integrations.torch import RampedBatchSampler, RunLog, ScheduledLR

HORIZON = 24
LR = f"wsd:peak=0.1,horizon={HORIZON},warmup=4,cooldown=8"
PER_PROCESS = 4
SAMPLES = HORIZON * 2 * PER_PROCESS
RAMP = f"table:knots=0:4/{SAMPLES}:16"
"""Samples of an update, by the samples seen."""


def data() -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(101, 6, generator=torch.Generator().manual_seed(0))
    return inputs, (inputs[:, :1] * inputs[:, 1:2]).tanh()


def make_model() -> torch.nn.Module:
    torch.manual_seed(0)
    return torch.nn.Sequential(torch.nn.Linear(6, 16), torch.nn.Tanh(), torch.nn.Linear(16, 1))


def update(model: Any, optimizer: Any, scheduler: ScheduledLR, batch: list[int]) -> float:
    x, y = data()
    loss = torch.nn.functional.mse_loss(model(x[batch]), y[batch])
    optimizer.zero_grad()
    loss.backward()
    optimizer.step()
    scheduler.step()
    return float(loss.detach())


def train_ddp(folder: Path, unit: str, batch: int | str, stop: int, resume: str, save: str) -> dict:
    """DDP from the checkpoint `resume` on to update `stop`; rank 0 writes the checkpoint `save`.

    In steps the global batch stays as it was; in samples it is that of the processes there are, or
    the ramp's.
    """
    model = DistributedDataParallel(make_model()) if dist.is_initialized() else make_model()
    bare = getattr(model, "module", model)
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    saved = torch.load(folder / resume, weights_only=True) if resume else None
    horizon = HORIZON if unit == "steps" else SAMPLES
    ramped = isinstance(batch, str)
    sampler = RampedBatchSampler(
        101,
        batch,
        horizon=horizon,
        unit=unit,
        # The same batches for one process and for two, so that a resume changes nothing.
        multiple_of=2 if ramped else None,
        on_change=None if ramped else "replace",
    )
    planned = 2 * PER_PROCESS if ramped else batch
    samples: dict[str, Any] = (
        {"unit": "samples", "batch_size": planned} if unit == "samples" else {}
    )
    scheduler = ScheduledLR(optimizer, LR, **samples)
    if saved:
        bare.load_state_dict(saved["model"])
        optimizer.load_state_dict(saved["optimizer"])
        scheduler.load_state_dict(saved["scheduler"])
        sampler.load_state_dict(saved["sampler"])
    log = RunLog(folder / f"{'ramp' if ramped else unit}.jsonl", scheduler, optimizer=optimizer)
    rows = []
    for step, places in enumerate(sampler, start=sampler.step):
        if step == stop:
            break
        rows.append([step, scheduler.samples, optimizer.param_groups[0]["lr"], places])
        if ramped:
            scheduler.batch_size = sampler.batch_size_of(step)
        log.add(step + 1, update(model, optimizer, scheduler, places))
    if save and (not dist.is_initialized() or dist.get_rank() == 0):
        states = {"model": bare.state_dict(), "optimizer": optimizer.state_dict()}
        states |= {"scheduler": scheduler.state_dict(), "sampler": sampler.state_dict(stop)}
        torch.save(states, folder / save)
    weights = b"".join(p.detach().numpy().tobytes() for p in bare.parameters())
    return {"rows": rows, "weights": hashlib.sha256(weights).hexdigest()}


def train_fsdp(folder: Path, stop: int = HORIZON, interrupted: bool = False) -> dict:
    """FSDP with a batch ramp to update `stop`; rank 0 writes the checkpoint `fsdp.pt`.

    Where interrupted, a second model goes on from the states of the first. A single process goes on
    from the checkpoint, without FSDP.
    """
    sharded = dist.is_initialized()
    whole = StateDictOptions(full_state_dict=True)
    rows: list[Any] = []

    def fresh() -> tuple[Any, Any, ScheduledLR, RampedBatchSampler]:
        model = make_model()
        if sharded:
            mesh = init_device_mesh("cpu", (dist.get_world_size(),))
            for layer in (model[0], model[2], model):  # type: ignore[index]
                fully_shard(layer, mesh=mesh)
        optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
        ramp = f"table:knots=0:4/{HORIZON}:16"
        sampler = RampedBatchSampler(101, ramp, horizon=HORIZON, multiple_of=2)
        beta = "linear:peak=0.9,horizon=24"
        return model, optimizer, ScheduledLR(optimizer, LR, momentum=beta), sampler

    def states(model: Any, optimizer: Any, scheduler: Any, sampler: Any, step: int) -> dict:
        weights, moments = get_state_dict(model, optimizer, options=whole)
        position = json.loads(json.dumps([scheduler.state_dict(), sampler.state_dict(step)]))
        return {"weights": weights, "moments": moments, "position": position}

    def bring_back(saved: dict, model: Any, optimizer: Any, scheduler: Any, sampler: Any) -> None:
        both: dict[str, Any] = {"model_state_dict": saved["weights"]}
        set_state_dict(model, optimizer, **both, optim_state_dict=saved["moments"], options=whole)
        scheduler.load_state_dict(saved["position"][0])
        sampler.load_state_dict(saved["position"][1])

    model, optimizer, scheduler, sampler = fresh()
    if not sharded:
        saved = torch.load(folder / "fsdp.pt", weights_only=True)
        bring_back(saved, model, optimizer, scheduler, sampler)
    for step, places in enumerate(sampler, start=sampler.step):
        if step == stop:
            break
        if interrupted and step == 11:
            saved = states(model, optimizer, scheduler, sampler, step)
            model, optimizer, scheduler, second = fresh()
            bring_back(saved, model, optimizer, scheduler, second)
            assert next(iter(second)) == places
        group = optimizer.param_groups[0]
        rows.append([step, scheduler.samples, group["lr"], places, group["betas"][0]])
        update(model, optimizer, scheduler, places)
    if sharded:
        saved = states(model, optimizer, scheduler, sampler, min(stop, HORIZON))
        if dist.get_rank() == 0 and stop < HORIZON:
            torch.save(saved, folder / "fsdp.pt")
    full = [getattr(p, "full_tensor", lambda p=p: p)().detach() for p in model.parameters()]
    return {"rows": rows, "weights": [value for p in full for value in p.flatten().tolist()]}


def process(rank: int, world: int, folder: Path, name: str, work: Any) -> None:
    torch.set_num_threads(1)
    if world > 1:
        store = f"file://{folder / name}.store"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world)
    found = work(folder)
    (folder / f"{name}.{rank}.json").write_text(json.dumps(found))
    if world > 1:
        dist.barrier()
        dist.destroy_process_group()


def run(world: int, folder: Path, name: str, work: Any) -> list[Any]:
    """The work in `world` processes; returns what each found."""
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=process, args=(rank, world, folder, name, work))
        for rank in range(world)
    ]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
        if each.exitcode:
            sys.exit(f"{name}: a process ended with {each.exitcode}")
    return [json.loads((folder / f"{name}.{rank}.json").read_text()) for rank in range(world)]


def main(folder: Path) -> None:
    for name in ("RANK", "WORLD_SIZE"):
        os.environ.pop(name, None)
    found = {}

    def ddp(name: str, world: int, *arguments: Any) -> None:
        work = partial(train_ddp, folder=folder)
        found[name] = run(
            world, folder, name, lambda _: work(**dict(zip(KEYS, arguments, strict=True)))
        )

    both = 2 * PER_PROCESS
    ddp("whole", 2, "steps", both, HORIZON, "", "")
    (folder / "steps.jsonl").unlink()
    ddp("first half", 2, "steps", both, 12, "", "steps.pt")
    ddp("second half", 2, "steps", both, HORIZON, "steps.pt", "")
    ddp("second half alone, in steps", 1, "steps", both, HORIZON, "steps.pt", "")
    ddp("first half, in samples", 2, "samples", both, 12, "", "samples.pt")
    ddp("second half alone, in samples", 1, "samples", PER_PROCESS, HORIZON * 2, "samples.pt", "")
    for first, second in ((2, 1), (1, 2)):
        name = f"ramp, {first} then {second}"
        (folder / "ramp.jsonl").unlink(missing_ok=True)
        ddp(f"{name}: first", first, "samples", RAMP, 9, "", f"ramp{first}.pt")
        ddp(f"{name}: second", second, "samples", RAMP, 10**6, f"ramp{first}.pt", "")
    (folder / "ramp.jsonl").rename(folder / "ramp, 1 then 2.jsonl")
    ddp("ramp", 2, "samples", RAMP, 10**6, "", "")
    found["FSDP"] = run(2, folder, "FSDP", train_fsdp)
    found["FSDP resumed"] = run(2, folder, "FSDP resumed", partial(train_fsdp, interrupted=True))
    found["FSDP begun"] = run(2, folder, "FSDP begun", partial(train_fsdp, stop=11))
    found["FSDP, then one"] = run(1, folder, "FSDP, then one", train_fsdp)
    print(json.dumps(found))


KEYS = ("unit", "batch", "stop", "resume", "save")

if __name__ == "__main__":
    main(Path(sys.argv[1]))
