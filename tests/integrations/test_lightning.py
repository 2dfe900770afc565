"""The schedule and the run log inside Lightning."""

from __future__ import annotations

import json
import logging
from pathlib import Path
from typing import Any

import pytest
import torch
from lightning.pytorch import Callback, LightningModule, Trainer
from lightning.pytorch.callbacks import ModelCheckpoint
from torch.utils.data import DataLoader, TensorDataset

from etastar.integrations.lightning import RunLogCallback, optimizer_config
from etastar.runs import read_runs
from etastar.schedule import InputError, parse_schedule

UPDATES = 24
SPEC = f"wsd:peak=0.05,horizon={UPDATES},warmup=3,cooldown=12"
BETA = f"linear:peak=0.9,horizon={UPDATES},final=0.5"

pytestmark = pytest.mark.filterwarnings("ignore:.*does not have many workers")
logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)


class Line(LightningModule):
    """A linear regression that notes LR and momentum of every update."""

    def __init__(self, source: Any = SPEC, **options: Any) -> None:
        super().__init__()
        torch.manual_seed(0)
        self.layer = torch.nn.Linear(4, 1)
        self.source, self.options = source, options
        self.seen: list[tuple[int, float, float]] = []

    def training_step(self, batch, index):
        return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

    def validation_step(self, batch, index):
        self.log("val_loss", self.training_step(batch, index))

    def on_before_optimizer_step(self, optimizer):
        group = optimizer.param_groups[0]
        self.seen.append((self.trainer.global_step, group["lr"], group["momentum"]))

    def configure_optimizers(self) -> Any:
        optimizer = torch.optim.SGD(self.parameters(), lr=1.0, momentum=0.1)
        if self.source is None:
            return optimizer
        config = optimizer_config(optimizer, self.source, momentum=BETA)
        config["lr_scheduler"].update(self.options)
        return config


def loader() -> DataLoader:
    generator = torch.Generator().manual_seed(0)
    x = torch.randn(64, 4, generator=generator)
    return DataLoader(TensorDataset(x, x.sum(1, keepdim=True) + 0.5), batch_size=4)


def fit(model: Line, *callbacks: Callback, resume: Path | None = None, **settings: Any) -> Trainer:
    options = {"max_steps": UPDATES, "accumulate_grad_batches": 2, **settings}
    trainer = Trainer(
        accelerator="cpu",
        logger=False,
        enable_progress_bar=False,
        enable_model_summary=False,
        enable_checkpointing=any(isinstance(one, ModelCheckpoint) for one in callbacks),
        callbacks=list(callbacks),
        **options,
    )
    trainer.fit(model, loader(), loader(), ckpt_path=resume, weights_only=False)
    return trainer


def steps_and_losses(path: Path) -> list[tuple[int, float]]:
    rows = [json.loads(line) for line in path.read_text().splitlines()]
    return [(row["step"], row["loss"]) for row in rows if "loss" in row]


def test_updates_have_the_schedules_lr_and_checkpoints_resume_it(tmp_path: Path) -> None:
    saved = ModelCheckpoint(
        tmp_path, every_n_train_steps=1, save_top_k=-1, filename="{step}", monitor=None
    )
    whole = Line()
    fit(whole, saved, RunLogCallback(tmp_path / "run.jsonl", batch_size=8, every=4))
    schedule, beta = parse_schedule(SPEC), parse_schedule(BETA)
    wanted = [(step, schedule(step), beta(step)) for step in range(UPDATES)]
    assert whole.seen == wanted  # of 48 batches
    for start in (1, 8, 13, 16, 23):
        resumed = Line()
        fit(resumed, resume=tmp_path / f"step={start}.ckpt")
        assert resumed.seen == wanted[start:]
        # Within an epoch Lightning cannot go back to a plain loader's place: other batches follow.
        if start in (8, 16):
            assert torch.equal(resumed.layer.weight, whole.layer.weight)


def test_the_run_log_holds_the_mean_loss_and_goes_on_after_a_resume(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    saved = ModelCheckpoint(tmp_path, every_n_train_steps=8, save_top_k=-1, filename="{step}")
    losses: list[float] = []

    class Losses(Callback):
        def on_train_batch_end(self, trainer, pl_module, outputs: Any, batch, batch_idx):
            losses.append(2 * float(outputs["loss"]))

    fit(Line(), saved, Losses(), RunLogCallback(path, batch_size=8, every=4, data="line"))
    means = [sum(losses[k : k + 8]) / 8 for k in range(0, 48, 8)]
    rows = steps_and_losses(path)
    assert [step for step, _ in rows] == [4, 8, 12, 16, 20, 24]
    assert [loss for _, loss in rows] == pytest.approx(means, rel=1e-6)
    again = RunLogCallback(path, batch_size=8, every=4, data="line")
    fit(Line(), again, resume=tmp_path / "step=8.ckpt")
    assert steps_and_losses(path) == rows + rows[2:]
    (run,) = read_runs([path])
    assert run.schedule == parse_schedule(SPEC)
    assert (run.batch_size, run.metadata["optimizer"], run.metadata["data"]) == (8, "SGD", "line")
    assert run.step.tolist() == [4, 8, 12, 16, 20, 24]


def test_the_loss_of_a_log_may_be_the_validations(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    trainer = fit(Line(), RunLogCallback(path, loss="val_loss", batch_size=8))
    rows = steps_and_losses(path)
    assert [step for step, _ in rows] == [
        8,
        16,
        24,
    ]  # epochs of 16 batches; none in the sanity check
    assert rows[-1][1] == pytest.approx(float(trainer.callback_metrics["val_loss"]))
    with pytest.raises(InputError, match="logs no valid_loss, only val_loss"):
        fit(Line(), RunLogCallback(tmp_path / "b.jsonl", loss="valid_loss"))


def test_a_log_without_rows_is_a_warning(tmp_path: Path) -> None:
    silent = RunLogCallback(tmp_path / "run.jsonl", loss="val_loss", batch_size=8)
    with pytest.warns(UserWarning, match="no row was written, as no validation logged val_loss"):
        fit(Line(), silent, limit_val_batches=0)


def test_a_run_log_declares_the_ratios_of_named_groups(tmp_path: Path) -> None:
    class Named(Line):
        def configure_optimizers(self) -> Any:
            groups = [
                {"params": [self.layer.weight], "name": "weight"},
                {"params": [self.layer.bias], "name": "bias"},
            ]
            source = {"weight": SPEC, "bias": 0.5}
            return optimizer_config(torch.optim.SGD(groups, lr=1.0, momentum=0.1), source)

    path = tmp_path / "run.jsonl"
    fit(Named(), RunLogCallback(path, batch_size=8, every=4))
    (run,) = read_runs(path)
    assert run.groups == {"weight": 1.0, "bias": 0.5}


def test_bad_input_is_refused_with_a_way_out(tmp_path: Path) -> None:
    log = RunLogCallback(tmp_path / "run.jsonl")
    with pytest.raises(
        InputError, match=r"makes 10 updates and its schedule has 24: change max_st"
    ):
        fit(Line(), log, max_steps=10)
    with pytest.raises(InputError, match="makes 16 updates"):
        fit(Line(), log, max_steps=-1, max_epochs=2)
    with pytest.raises(InputError, match="has no ScheduledLR"):
        fit(Line(None), log)
    with pytest.raises(InputError, match="every 1 epoch, not every update"):
        fit(Line(interval="epoch"), log)
    with pytest.raises(InputError, match="every must be at least 1 update, got 0"):
        RunLogCallback(tmp_path / "run.jsonl", every=0)
    assert not (tmp_path / "run.jsonl").exists()
