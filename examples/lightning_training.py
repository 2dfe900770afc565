"""Train a small classifier in Lightning under a planned schedule, with a log and a checkpoint.

    python examples/lightning_training.py --schedule cosine:peak=0.05,horizon=2000,warmup=100

Ends within a minute on two cores. After a kill the same command goes on from the last checkpoint.
`--schedule` takes a spec, a `schedule.json` or the folder of a plan; the log in the folder `--out`
is what `etastar plan` reads. The data are drawn: points of ten classes, in clouds that overlap.
"""

from __future__ import annotations

import argparse
import logging
import warnings
from pathlib import Path

import torch
from lightning.pytorch import LightningModule, Trainer, seed_everything
from lightning.pytorch.callbacks import ModelCheckpoint
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from etastar.integrations.lightning import RunLogCallback, optimizer_config
from etastar.runs import read_runs

CLASSES, WIDTH, BATCH, EPOCH = 10, 20, 64, 250


class Classifier(LightningModule):
    def __init__(self, source: str) -> None:
        super().__init__()
        self.source = source
        layers = [nn.Linear(WIDTH, 128), nn.ReLU(), nn.Linear(128, CLASSES)]
        self.model = nn.Sequential(*layers)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        return nn.functional.cross_entropy(self.model(batch[0]), batch[1])

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_loss", self.training_step(batch, index))

    def configure_optimizers(self):
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
        return optimizer_config(optimizer, self.source, momentum=0.9)


def samples(count: int, seed: int) -> TensorDataset:
    centres = torch.randn(CLASSES, WIDTH, generator=torch.Generator().manual_seed(0))
    random = torch.Generator().manual_seed(seed)
    labels = torch.randint(0, CLASSES, (count,), generator=random)
    points = centres[labels] + 1.5 * torch.randn(count, WIDTH, generator=random)
    return TensorDataset(points, labels)


def main(source: str, out: Path) -> None:
    torch.set_num_threads(1)
    seed_everything(0)
    warnings.filterwarnings("ignore", ".*does not have many workers.*")
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    model = Classifier(source)
    horizon = model.configure_optimizers()["lr_scheduler"]["scheduler"].schedule.horizon

    saved = ModelCheckpoint(out, save_last=True, save_top_k=0)
    trainer = Trainer(
        max_steps=horizon,
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        callbacks=[
            RunLogCallback(out / "run.jsonl", loss="val_loss", batch_size=BATCH),
            saved,
        ],
    )
    last = out / "last.ckpt"
    trainer.fit(
        model,
        DataLoader(samples(EPOCH * BATCH, seed=1), BATCH),
        DataLoader(samples(4096, seed=2), 4096),
        ckpt_path=str(last) if last.exists() else None,
    )

    (run,) = read_runs(out / "run.jsonl")
    print(f"{run.name}: {run.schedule.spec}, final loss {run.final_loss:.4f} nats")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small training under a planned schedule.")
    parser.add_argument("--schedule", default="cosine:peak=0.05,horizon=2000,warmup=100")
    parser.add_argument("--out", type=Path, default=Path("out/lightning"))
    asked = parser.parse_args()
    main(asked.schedule, asked.out)
