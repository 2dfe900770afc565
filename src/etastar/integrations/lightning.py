"""A schedule inside Lightning, and a run log from it.

    from etastar.integrations.lightning import RunLogCallback, optimizer_config

    class Model(lightning.LightningModule):
        def configure_optimizers(self):
            return optimizer_config(torch.optim.AdamW(self.parameters()), "plan/schedule.json")

    Trainer(max_steps=40_000, callbacks=[RunLogCallback("runs/planned.jsonl", batch_size=32)])

The scheduler is that of PyTorch: Lightning steps it once an update and saves it with its
checkpoints.
"""

from __future__ import annotations

import math
import os
import warnings
from collections.abc import Mapping
from typing import Any

import torch

try:
    from lightning.pytorch import Callback, LightningModule, Trainer
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "etastar.integrations.lightning needs it: pip install 'etastar[lightning]'"
    ) from None

from etastar._checks import whole
from etastar._errors import InputError

from ._horizon import check_horizon
from ._log import RunLog
from ._watch import Watch, listed
from .torch import ScheduledLR

__all__ = ["RunLog", "RunLogCallback", "ScheduledLR", "WatchCallback", "optimizer_config"]


def optimizer_config(
    optimizer: torch.optim.Optimizer, source: Any, **options: Any
) -> dict[str, Any]:
    """What `configure_optimizers` returns: the optimiser and its schedule, stepped every update.

    `source` and `options` are those of `ScheduledLR`. Lightning by itself steps a scheduler once an
    epoch; this says interval "step".

    Raises: InputError as `ScheduledLR`.

    >>> import torch
    >>> optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
    >>> config = optimizer_config(optimizer, "linear:peak=0.5,horizon=4")
    >>> config["lr_scheduler"]["interval"], optimizer.param_groups[0]["lr"]
    ('step', 0.5)
    """
    scheduler = ScheduledLR(optimizer, source, **options)
    return {
        "optimizer": optimizer,
        "lr_scheduler": {"scheduler": scheduler, "interval": "step", "frequency": 1},
    }


class RunLogCallback(Callback):
    """Writes a run log that `etastar plan` reads, and checks the horizon against the training.

    `path` ends in `.jsonl`. The schedule is that of the module's `ScheduledLR`, the first one where
    there are several. Every `every` updates a row says the mean training loss since the row before;
    with `loss="val_loss"`, or any other metric that the module logs, a row says that metric after
    every validation instead, beside the training loss. Give `batch_size`, that of one update over
    all devices. `momentum` is a number or a schedule, that of the `ScheduledLR` where it is left
    out; other keywords are kept as metadata.

    `on_mismatch` says what to do where the training is shorter or longer than the schedule:
    "error", "warn" or "ignore". The process of rank 0 alone writes. A training that goes on from a
    checkpoint goes on with its log.

    Raises: InputError, when the training starts, where no `ScheduledLR` is stepped every update,
    the horizon differs, or the file is another run's.

    >>> import pathlib, tempfile
    >>> class Line(LightningModule):
    ...     def __init__(self):
    ...         super().__init__()
    ...         self.line = torch.nn.Linear(1, 1)
    ...     def training_step(self, x):
    ...         return self.line(x).square().mean()
    ...     def configure_optimizers(self):
    ...         optimizer = torch.optim.SGD(self.parameters(), lr=1.0)
    ...         return optimizer_config(optimizer, "linear:peak=0.1,horizon=4")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.jsonl"
    >>> trainer = Trainer(
    ...     max_steps=4, callbacks=[RunLogCallback(path, batch_size=2, every=2)],
    ...     accelerator="cpu", logger=False, barebones=True,
    ... )
    >>> trainer.fit(Line(), torch.utils.data.DataLoader(torch.ones(8, 1), batch_size=2))
    >>> from etastar.runs import read_runs
    >>> (run,) = read_runs(path)
    >>> run.step, run.batch_size, run.schedule.spec
    (array([2., 4.]), 2.0, 'linear:peak=0.1,horizon=4')
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        *,
        batch_size: Any = None,
        momentum: Any = None,
        every: int = 50,
        loss: str = "loss",
        on_mismatch: str = "error",
        **metadata: Any,
    ) -> None:
        self.every = whole("every", every, 1, unit="update")
        self.path, self.loss, self.on_mismatch = path, loss, on_mismatch
        self._declared = {"batch_size": batch_size, "momentum": momentum, **metadata}
        self.run_log: RunLog | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Check the schedule and open the log."""
        self._scheduler = scheduler = _scheduler(trainer)
        updates = _updates(trainer)
        if updates is not None:
            option = "max_steps or max_epochs"
            check_horizon(scheduler.schedule.horizon, updates, self.on_mismatch, option)
        self._at, self._rows = scheduler.last_epoch, 0
        self._sum, self._count = None, 0
        declared = dict(self._declared)
        if declared["momentum"] is None:
            declared["momentum"] = scheduler.momentum
        self.run_log = RunLog(
            self.path,
            scheduler,
            optimizer=type(scheduler.optimizer).__name__,
            from_step=self._at if scheduler.changes else None,
            rank=trainer.global_rank,
            **declared,
        )

    def on_train_batch_end(
        self,
        trainer: Trainer,
        pl_module: LightningModule,
        outputs: Any,
        batch: Any,
        batch_idx: int,
    ) -> None:
        """Add a batch's loss; write a row where one is due."""
        loss = outputs.get("loss") if isinstance(outputs, Mapping) else outputs
        if loss is not None:
            # Summed where it is: reading its value would make every update wait for the device.
            loss = loss.detach()
            if pl_module.automatic_optimization:  # Lightning has divided it
                loss = loss * trainer.accumulate_grad_batches
            self._sum = loss if self._sum is None else self._sum + loss
            self._count += 1
        update = self._scheduler.last_epoch
        if self.loss == "loss" and self._count and update >= self._at + self.every:
            self._row(update, self._take_mean())

    def on_validation_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write a row where the loss is a validation's."""
        if self.run_log is None or self.loss == "loss" or trainer.sanity_checking:
            return
        value = trainer.callback_metrics.get(self.loss)
        if value is None:
            known = ", ".join(trainer.callback_metrics)
            raise InputError(
                f"the module logs no {self.loss}, only {known or 'nothing'}: log it with "
                f"self.log({self.loss!r}, ...), or name one of these"
            )
        self._row(self._scheduler.last_epoch, value, train_loss=self._take_mean())

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Write what is left and end the log."""
        if self.loss == "loss" and self._count and self._scheduler.last_epoch > self._at:
            self._row(self._scheduler.last_epoch, self._take_mean())
        if self.run_log is not None and self._rows == 0:
            warnings.warn(
                f"{self.path}: no row was written, as no validation logged {self.loss}: give the"
                " Trainer a validation loader, and validate within the training"
                if self.loss != "loss"
                else f"{self.path}: no row was written: training_step returned no loss",
                stacklevel=2,
            )
        self._close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End the log."""
        self._close()

    def _close(self) -> None:
        if self.run_log is not None:
            self.run_log.close()
            self.run_log = None

    def _row(self, update: int, loss: Any, **more: Any) -> None:
        assert self.run_log is not None
        self.run_log.add(update, loss, **more)
        self._at, self._rows = update, self._rows + 1

    def _take_mean(self) -> float | None:
        mean = None if self._sum is None else float(self._sum) / self._count
        self._sum, self._count = None, 0
        return mean


class WatchCallback(Callback):
    """Tells, while Lightning trains, what final loss to expect and whether the run is on its plan.

    `log` is the run's own log, such as that of a `RunLogCallback`; keywords are those of `Watch`:
    `pilots`, `every`, `writer`, and so on. The numbers go to all loggers of the Trainer too. The
    process of rank 0 alone watches.

    Attributes: `watch`, the `Watch` while training; `options`, those keywords.

    >>> WatchCallback("runs/long.jsonl", pilots="runs/pilots", every=500).watch is None
    True
    """

    def __init__(self, log: str | os.PathLike[str], **options: Any) -> None:
        self.log_path, self.options = log, options
        self.watch: Watch | None = None

    def on_train_start(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """Begin to watch."""
        to_loggers = [logger.log_metrics for logger in trainer.loggers]
        writer = [*to_loggers, *listed(self.options.get("writer"))]
        options = {**self.options, "writer": writer}
        self.watch = Watch(self.log_path, rank=trainer.global_rank, **options)

    def on_train_batch_end(
        self, trainer: Trainer, pl_module: LightningModule, outputs: Any, batch: Any, batch_idx: int
    ) -> None:
        """Tell what there is to tell."""
        if self.watch is not None:
            self.watch(trainer.global_step)

    def on_train_end(self, trainer: Trainer, pl_module: LightningModule) -> None:
        """End the watch."""
        if self.watch is not None:
            self.watch.close()

    def on_exception(
        self, trainer: Trainer, pl_module: LightningModule, exception: BaseException
    ) -> None:
        """End the watch."""
        if self.watch is not None:
            self.watch.close()


def _scheduler(trainer: Trainer) -> ScheduledLR:
    for config in trainer.lr_scheduler_configs:
        if isinstance(config.scheduler, ScheduledLR):
            if config.interval != "step" or config.frequency != 1:
                raise InputError(
                    f"the schedule is stepped every {config.frequency} {config.interval}, not every"
                    " update: return optimizer_config(optimizer, ...) from configure_optimizers"
                )
            return config.scheduler
    raise InputError(
        "the module has no ScheduledLR: return optimizer_config(optimizer, ...) from"
        " configure_optimizers"
    )


def _updates(trainer: Trainer) -> int | None:
    """Updates that the training makes in all; None where Lightning does not know."""
    updates = trainer.estimated_stepping_batches
    return None if math.isinf(updates) else int(updates) // max(len(trainer.optimizers), 1)
