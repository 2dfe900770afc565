"""A schedule inside Hugging Face's Trainer, and a run log from it.

    from etastar.integrations.transformers import RunLogCallback, ScheduledLR

    scheduler = ScheduledLR(optimizer, "plan/schedule.json")
    trainer = Trainer(
        model, arguments, optimizers=(optimizer, scheduler), callbacks=[RunLogCallback("run.jsonl")]
    )

The scheduler is that of PyTorch: Trainer steps it once an update, whatever the gradient
accumulation, saves it with its checkpoints and brings it back from them.
"""

from __future__ import annotations

import os
import warnings
from collections.abc import Mapping
from typing import Any

try:
    from transformers import TrainerCallback, TrainerControl, TrainerState, TrainingArguments
except ModuleNotFoundError:
    raise ModuleNotFoundError(
        "etastar.integrations.transformers needs them: pip install 'etastar[transformers]'"
    ) from None

from etastar._errors import InputError

from ._horizon import check_horizon
from ._log import RunLog
from ._source import schedule_of
from ._watch import Watch, listed
from .torch import ScheduledLR

__all__ = ["RunLog", "RunLogCallback", "ScheduledLR", "WatchCallback"]


class RunLogCallback(TrainerCallback):
    """Writes a run log that `etastar plan` reads, and checks the horizon against the training.

    `path` ends in `.jsonl`. Each time the Trainer logs `loss`, a row takes it: its "loss" is the
    mean training loss since the log before, "eval_loss" that of an evaluation, which then stands
    beside the latest training loss. So `logging_steps`, or `eval_steps`, say how many rows there
    are. The schedule is that of the Trainer's `ScheduledLR` unless `source` gives another; the
    batch size that of the arguments, over all devices and accumulated batches, unless `batch_size`
    does; the momentum that of the `ScheduledLR` unless `momentum` does, a number or a schedule; the
    optimiser's name is the Trainer's. Other keywords are kept as metadata.

    `on_mismatch` says what to do where the training is shorter or longer than the schedule:
    "error", "warn" or "ignore". The main process alone writes. A training that goes on from a
    checkpoint goes on with its log.

    Raises: InputError, when the training starts, where there is no schedule, the horizon differs,
    or the file is another run's.

    >>> import pathlib, tempfile, torch
    >>> from transformers import PrinterCallback, Trainer, TrainingArguments
    >>> class Line(torch.nn.Linear):
    ...     def forward(self, x):
    ...         return {"loss": super().forward(x).square().mean()}
    >>> model, folder = Line(1, 1), pathlib.Path(tempfile.mkdtemp())
    >>> optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    >>> scheduler = ScheduledLR(optimizer, "linear:peak=0.1,horizon=4")
    >>> arguments = TrainingArguments(
    ...     folder, max_steps=4, per_device_train_batch_size=2, logging_steps=2, disable_tqdm=True,
    ...     use_cpu=True, save_strategy="no", report_to=[],
    ... )
    >>> trainer = Trainer(
    ...     model, arguments, train_dataset=[{"x": torch.ones(1)}] * 8,
    ...     optimizers=(optimizer, scheduler), callbacks=[RunLogCallback(folder / "run.jsonl")],
    ... )
    >>> trainer.remove_callback(PrinterCallback)
    >>> _ = trainer.train()
    >>> from etastar.runs import read_runs
    >>> (run,) = read_runs(folder / "run.jsonl")
    >>> run.step, run.batch_size, run.schedule.spec
    (array([2., 4.]), 2.0, 'linear:peak=0.1,horizon=4')
    """

    def __init__(
        self,
        path: str | os.PathLike[str],
        source: Any = None,
        *,
        batch_size: Any = None,
        momentum: Any = None,
        loss: str = "loss",
        on_mismatch: str = "error",
        **metadata: Any,
    ) -> None:
        self.path, self.source, self.loss, self.on_mismatch = path, source, loss, on_mismatch
        self._declared = {"batch_size": batch_size, "momentum": momentum, **metadata}
        self._rows, self._train_loss = 0, None
        self.run_log: RunLog | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Check the horizon and open the log."""
        scheduler = kwargs.get("lr_scheduler")
        follows = scheduler if isinstance(scheduler, ScheduledLR) else None
        source = follows if self.source is None else self.source
        if source is None:
            raise InputError(
                f"the Trainer's scheduler is {type(scheduler).__name__}: give it "
                "optimizers=(optimizer, ScheduledLR(optimizer, ...)), or give RunLogCallback the "
                "schedule that it follows"
            )
        schedule = schedule_of(source)
        check_horizon(schedule.horizon, state.max_steps, self.on_mismatch, "max_steps")
        declared = dict(self._declared)
        if declared["batch_size"] is None:
            devices = args.train_batch_size * args.world_size
            declared["batch_size"] = devices * args.gradient_accumulation_steps
        if declared["momentum"] is None and follows is not None:
            declared["momentum"] = follows.momentum
        changed = follows is not None and bool(follows.changes)
        self.run_log = RunLog(
            self.path,
            source,  # it may hold schedules of several groups
            optimizer=_name(kwargs.get("optimizer")),
            from_step=state.global_step if changed else None,
            rank=0 if state.is_world_process_zero else 1,
            **declared,
        )
        self._rows, self._train_loss = 0, None

    def on_log(
        self,
        args: TrainingArguments,
        state: TrainerState,
        control: TrainerControl,
        logs: Mapping[str, float] | None = None,
        **kwargs: Any,
    ) -> None:
        """Write a row."""
        logs = logs or {}
        if self.run_log is None:
            return
        if self.loss in logs:
            more = {"lr": logs.get("learning_rate")}
            if self.loss != "loss":
                more["train_loss"] = self._train_loss
            self.run_log.add(state.global_step, logs[self.loss], **more)
            self._rows += 1
        self._train_loss = logs.get("loss", self._train_loss)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the log."""
        if self.run_log is not None:
            self.run_log.close()
            self.run_log = None
            if self._rows == 0:
                warnings.warn(
                    f"{self.path}: the Trainer logged no {self.loss}: set logging_steps, or "
                    "eval_strategy='steps' with an eval_dataset for eval_loss",
                    stacklevel=2,
                )


class WatchCallback(TrainerCallback):
    """Tells, while the Trainer trains, what final loss to expect and whether it is on its plan.

    `log` is the run's own log, such as that of a `RunLogCallback`; keywords are those of `Watch`:
    `pilots`, `every`, `writer`, and so on. Where the attribute `trainer` is set, its numbers go
    through the Trainer's own `log` too, and with it to whatever `report_to` names. The main process
    alone watches.

    Attributes: `watch`, the `Watch` while training; `options`, those keywords; `trainer`.

    >>> callback = WatchCallback("runs/long.jsonl", pilots="runs/pilots", every=500)
    >>> callback.trainer is None  # set it when the Trainer is made: callback.trainer = trainer
    True
    """

    def __init__(self, log: str | os.PathLike[str], **options: Any) -> None:
        self.log, self.options = log, options
        self.trainer: Any = None
        self.watch: Watch | None = None

    def on_train_begin(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Begin to watch."""
        options = dict(self.options)
        if self.trainer is not None:
            to_trainer = [lambda numbers, _: self.trainer.log(dict(numbers))]
            options["writer"] = [*to_trainer, *listed(options.get("writer"))]
        self.watch = Watch(self.log, rank=0 if state.is_world_process_zero else 1, **options)

    def on_step_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """Tell what there is to tell."""
        if self.watch is not None:
            self.watch(state.global_step)

    def on_train_end(
        self, args: TrainingArguments, state: TrainerState, control: TrainerControl, **kwargs: Any
    ) -> None:
        """End the watch."""
        if self.watch is not None:
            self.watch.close()


def _name(optimizer: Any) -> str | None:
    """The class of the optimiser inside Accelerate's wrapper."""
    inner = getattr(optimizer, "optimizer", optimizer)
    return None if inner is None else type(inner).__name__
