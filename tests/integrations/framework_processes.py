"""Trainings of Transformers and Lightning in two processes, resumed by one, and the other way.

    python framework_processes.py FOLDER transformers|lightning

prints what every process saw as one JSON object: {name: [[[update, LR], ...], ...]} by rank. The
processes find each other as those that torchrun starts.
"""

from __future__ import annotations

import contextlib
import json
import logging
import multiprocessing
import os
import socket
import sys
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import torch
import torch._dynamo  # or every child imports it for itself

HORIZON, HALF = 12, 6
LR = f"wsd:peak=0.1,horizon={HORIZON},warmup=3,cooldown=4"
BATCH = 8
"""Samples of an update, over all processes."""

Rows = list[tuple[int, float]]


def data() -> tuple[torch.Tensor, torch.Tensor]:
    inputs = torch.randn(BATCH * HORIZON, 4, generator=torch.Generator().manual_seed(0))
    return inputs, inputs.sum(1, keepdim=True)


def train_transformers(folder: Path, world: int, log: Path, stop: int, resume: str) -> Rows:
    from transformers import Trainer, TrainerCallback, TrainingArguments

    from etastar.integrations.transformers import RunLogCallback, ScheduledLR

    class Line(torch.nn.Module):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(4, 1)

        def forward(self, x: torch.Tensor, y: torch.Tensor) -> dict[str, torch.Tensor]:
            return {"loss": torch.nn.functional.mse_loss(self.layer(x), y)}

    class Seen(TrainerCallback):
        def __init__(self) -> None:
            self.rows: Rows = []

        def on_pre_optimizer_step(self, args, state, control, **kwargs):
            self.rows.append((state.global_step, kwargs["optimizer"].param_groups[0]["lr"]))

        def on_step_end(self, args, state, control, **kwargs):
            control.should_training_stop = state.global_step >= stop
            control.should_save = state.global_step >= stop

    model = Line()
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    arguments = TrainingArguments(
        str(folder),
        max_steps=HORIZON,
        per_device_train_batch_size=BATCH // world // 2,
        gradient_accumulation_steps=2,
        logging_steps=1,
        save_strategy="no",
        disable_tqdm=True,
        use_cpu=True,
        report_to=[],
        dataloader_pin_memory=False,
    )
    seen = Seen()
    optimizers: Any = (optimizer, ScheduledLR(optimizer, LR))  # its types know LambdaLR alone
    trainer = Trainer(
        model,
        arguments,
        train_dataset=[{"x": x, "y": y} for x, y in zip(*data(), strict=True)],
        optimizers=optimizers,
        callbacks=[RunLogCallback(log), seen],
    )
    trainer.train(resume_from_checkpoint=resume or None)
    assert trainer.args.world_size == world
    return seen.rows


def train_lightning(folder: Path, world: int, log: Path, stop: int, resume: str) -> Rows:
    from lightning.pytorch import Callback, LightningModule, Trainer
    from torch.utils.data import DataLoader, TensorDataset

    from etastar.integrations.lightning import RunLogCallback, optimizer_config

    class Line(LightningModule):
        def __init__(self) -> None:
            super().__init__()
            torch.manual_seed(0)
            self.layer = torch.nn.Linear(4, 1)
            self.rows: Rows = []

        def training_step(self, batch, index):
            return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

        def on_before_optimizer_step(self, optimizer):
            self.rows.append((self.trainer.global_step, optimizer.param_groups[0]["lr"]))

        def configure_optimizers(self) -> Any:
            return optimizer_config(torch.optim.AdamW(self.parameters(), lr=1.0), LR)

    class Stop(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs, batch, batch_idx) -> None:
            if trainer.global_step >= stop:
                trainer.should_stop = True

    model = Line()
    trainer = Trainer(
        max_steps=HORIZON,
        min_epochs=0,
        accelerator="cpu",
        devices=world,
        strategy="ddp" if world > 1 else "auto",
        accumulate_grad_batches=2,
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=False,
        callbacks=[RunLogCallback(log, batch_size=BATCH, every=1), Stop()],
    )
    loader = DataLoader(TensorDataset(*data()), batch_size=BATCH // world // 2)
    trainer.fit(model, loader, ckpt_path=resume or None, weights_only=False)
    assert trainer.world_size == world
    trainer.save_checkpoint(folder / f"checkpoint-{stop}")
    return model.rows


TRAIN: dict[str, Callable[..., Rows]] = {
    "transformers": train_transformers,
    "lightning": train_lightning,
}


def process(rank: int, world: int, port: int, folder: Path, arguments: tuple[Any, ...]) -> None:
    torch.set_num_threads(1)
    kind, name, *rest = arguments
    if world > 1:
        os.environ.update(
            RANK=str(rank),
            LOCAL_RANK=str(rank),
            WORLD_SIZE=str(world),
            LOCAL_WORLD_SIZE=str(world),
            MASTER_ADDR="127.0.0.1",
            MASTER_PORT=str(port),
            TORCHELASTIC_RUN_ID="test",
            GLOO_SOCKET_IFNAME="lo",
        )
    with contextlib.redirect_stdout(sys.stderr):
        rows = TRAIN[kind](folder / f"{name}", world, *rest)
    (folder / f"{name}.{rank}.json").write_text(json.dumps(rows))


def run(world: int, folder: Path, kind: str, name: str, *rest: Any) -> list[Any]:
    """A training in `world` processes; returns what each saw."""
    (folder / name).mkdir(exist_ok=True)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    context = multiprocessing.get_context("fork")
    processes = [
        context.Process(target=process, args=(rank, world, port, folder, (kind, name, *rest)))
        for rank in range(world)
    ]
    for each in processes:
        each.start()
    for each in processes:
        each.join()
        if each.exitcode:
            sys.exit(f"{name}: a process ended with {each.exitcode}")
    return [json.loads((folder / f"{name}.{rank}.json").read_text()) for rank in range(world)]


def main(folder: Path, kind: str) -> None:
    warnings.simplefilter("ignore")
    logging.disable(logging.WARNING)
    # Once, and not in every child.
    if kind == "transformers":
        from transformers import Trainer
    else:
        from lightning.pytorch import Trainer
    assert Trainer is not None
    found = {}
    for first, second in ((2, 1), (1, 2)):
        log = folder / f"{first} then {second}.jsonl"
        for world, name, stop in ((first, f"{first}", HALF), (second, f"{first}{second}", HORIZON)):
            resume = "" if stop == HALF else str(folder / f"{first}" / f"checkpoint-{HALF}")
            found[name] = run(world, folder, kind, name, log, stop, resume)
    print(json.dumps(found))


if __name__ == "__main__":
    main(Path(sys.argv[1]), sys.argv[2])
