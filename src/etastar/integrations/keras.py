"""A schedule inside Keras 3, on its torch and JAX backends, with a run log.

from etastar.integrations.keras import ScheduledRate, RunLogCallback

optimizer = keras.optimizers.AdamW(ScheduledRate("plan/schedule.json"))
model.compile(optimizer, loss)
model.fit(x, y, callbacks=[RunLogCallback("runs/planned.jsonl", batch_size=32)])
"""

from __future__ import annotations

import os
from collections.abc import Mapping
from functools import cached_property
from typing import Any

import numpy as np

try:
    import keras
except ModuleNotFoundError as missing:
    # Without KERAS_BACKEND Keras asks for TensorFlow, which may well not be there.
    fix = (
        "pip install 'etastar[keras]' torch"
        if missing.name == "keras"
        else f"Keras's backend {missing.name} is not installed; set KERAS_BACKEND=torch or jax"
    )
    raise ModuleNotFoundError(f"etastar.integrations.keras needs Keras 3: {fix}") from None

from etastar._checks import whole
from etastar._errors import InputError

from ._horizon import check_horizon
from ._log import RunLog
from ._source import control_of, controls_of, one_of_group, schedule_of
from ._watch import Watch

__all__ = ["MomentumCallback", "RunLog", "RunLogCallback", "ScheduledRate", "WatchCallback"]

TABLE_LIMIT = 2**22
"""Longest horizon, in updates, kept as a table on compiled backends: 16 MiB of float32."""

MOMENTA = ("momentum", "beta_1")
"""Attributes of Keras optimisers that hold their momentum."""


@keras.saving.register_keras_serializable(package="etastar")
class ScheduledRate(keras.optimizers.schedules.LearningRateSchedule):
    """The learning rate of a Keras optimiser: eta(t) for update t = 0, 1, ..., from a schedule.

    `source` is what `etastar.integrations` takes as a schedule: a `Schedule`, a spec, the path of a
    schedule.json or of a plan, or a `Plan`. `accumulation` must be the optimiser's
    `gradient_accumulation_steps`: Keras counts every batch, this counts updates. A Keras optimiser
    has one learning rate; `group` names the one of a source with several.

    Values: on the torch backend a float64 tensor with the bits of `schedule(t)`; Keras casts it to
    the dtype of the weights. On JAX (and TensorFlow) `schedule(t)` rounded to Keras's float, looked
    up in a table; beyond 2^22 updates, on JAX, computed in float32 to a few roundings.

    An optimiser's state holds the count, so that a saved model resumes the schedule; the schedule
    itself is saved with the model and comes back to the last bit.

    Raises: InputError where the source is no schedule, or holds several and none of them is named,
    or `accumulation` is no whole number above 0.

    >>> import keras
    >>> rate = ScheduledRate("linear:peak=0.5,horizon=100")
    >>> float(rate(25))
    0.375
    >>> back = keras.optimizers.schedules.deserialize(keras.optimizers.schedules.serialize(rate))
    >>> back.schedule.spec
    'linear:peak=0.5,horizon=100'
    """

    def __init__(self, source: Any, accumulation: int = 1, *, group: str | None = None) -> None:
        super().__init__()
        self.schedule = one_of_group(source, group).schedule
        self.accumulation = whole(
            "accumulation", accumulation, 1, hint="give the optimiser's gradient_accumulation_steps"
        )

    def __call__(self, step: Any) -> Any:
        if keras.backend.backend() == "torch":
            # Eager: one number on the host costs less than any arithmetic on tensors.
            import torch

            count = step.value if isinstance(step, keras.Variable) else step
            rate = self.schedule(int(count) // self.accumulation)
            return torch.tensor(rate, dtype=torch.float64)
        update = keras.ops.floor_divide(step, self.accumulation)
        return self._compiled(keras.ops.cast(update, "int32"))

    @cached_property
    def _compiled(self) -> Any:
        """The rate as a function of a traced update count."""
        horizon = self.schedule.horizon
        if horizon <= TABLE_LIMIT:
            kind = "float64" if keras.config.floatx() == "float64" else "float32"
            table = self.schedule(np.arange(horizon + 1)).astype(kind)
            return lambda update: keras.ops.take(table, keras.ops.clip(update, 0, horizon))
        if keras.backend.backend() != "jax":
            raise InputError(
                f"a schedule of {horizon} updates is too long for the {keras.backend.backend()} "
                f"backend, which takes {TABLE_LIMIT}: use the torch or the jax backend"
            )
        from ._traced import schedule

        return schedule(self.schedule)

    def get_config(self) -> dict[str, Any]:
        """What `from_config` needs: the schedule's spec, which is exact, and `accumulation`."""
        return {"source": self.schedule.spec, "accumulation": self.accumulation}


class MomentumCallback(keras.callbacks.Callback):
    """Sets the optimiser's momentum, or Adam's beta_1, before every batch.

    `momentum` is a schedule, or a plan or solution that holds one. Works where Keras runs the
    updates eagerly: on the torch backend without `jit_compile`, or with `run_eagerly=True`. A
    compiled step has the momentum of its first call built in.

    Raises: InputError for a number, and, when training starts, for an optimiser without momentum or
    a compiled step.

    >>> import keras
    >>> optimizer = keras.optimizers.SGD(0.1, momentum=0.5)
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer, "mse", run_eagerly=True)
    >>> momentum = MomentumCallback("linear:peak=0.8,horizon=4")
    >>> x = np.ones((8, 1))
    >>> _ = model.fit(x, x, batch_size=2, verbose=0, callbacks=[momentum])
    >>> round(optimizer.momentum, 3)  # that of the last update, t = 3
    0.2
    """

    def __init__(self, momentum: Any) -> None:
        super().__init__()
        if isinstance(momentum, int | float):
            raise InputError(
                f"momentum is {momentum!r}: give a schedule here; a number goes to the optimiser"
            )
        controls = controls_of(momentum)
        self.momentum = controls.momentum or controls.schedule
        control_of("momentum", self.momentum)
        self._name = ""

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        model, optimizer = _model(self), _model(self).optimizer
        name = next((name for name in MOMENTA if hasattr(optimizer, name)), None)
        if name is None:
            raise InputError(
                f"{type(optimizer).__name__} has no momentum or beta_1: take SGD or an Adam"
            )
        if not getattr(optimizer, name):
            raise InputError(
                f"{type(optimizer).__name__} was made with {name}=0 and keeps no momentum: make it"
                f" with {name}={self.momentum(0) or 0.5:g}"
            )
        eager = keras.backend.backend() == "torch" and not model.jit_compile
        if not (eager or model.run_eagerly):
            raise InputError(
                f"the {keras.backend.backend()} backend compiles the momentum into its step:"
                " compile the model with run_eagerly=True, or train with PyTorch or Optax"
            )
        self._name = name

    def on_train_batch_begin(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        setattr(_model(self).optimizer, self._name, self.momentum(_updates(_model(self).optimizer)))


class RunLogCallback(keras.callbacks.Callback):
    """Writes a run log that `etastar plan` reads, and checks the horizon against the training.

    `path` ends in `.jsonl`. The schedule is that of the optimiser's `ScheduledRate` unless `source`
    gives another. Every `every` updates a row says the mean training loss since the row before
    (from Keras's running mean; batches weigh alike); with `loss="val_loss"`, or any other name in
    Keras's logs, a row says that number at the end of every epoch instead, beside the training
    loss. Give `batch_size`, that of one update, and `momentum` (Adam's beta_1), each a number or a
    schedule; further keywords are those of `RunLog`, such as `from_step` where the schedule
    changed, and metadata.

    `on_mismatch` says what to do where the training is shorter or longer than the schedule:
    "error", "warn" or "ignore". Under `keras.distribution`, or a RANK other than 0, one process
    writes.

    Raises: InputError where there is no schedule, the horizon differs, or the file is of another
    run.

    >>> import keras, pathlib, tempfile
    >>> optimizer = keras.optimizers.SGD(ScheduledRate("linear:peak=0.1,horizon=4"))
    >>> model = keras.Sequential([keras.Input((1,)), keras.layers.Dense(1)])
    >>> model.compile(optimizer, "mse")
    >>> path = pathlib.Path(tempfile.mkdtemp()) / "run.jsonl"
    >>> log = RunLogCallback(path, batch_size=2, momentum=0.0, every=2)
    >>> x = np.ones((8, 1))
    >>> _ = model.fit(x, x, batch_size=2, verbose=0, callbacks=[log])
    >>> from etastar.runs import read_runs
    >>> (run,) = read_runs(path)
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
        every: int = 50,
        loss: str = "loss",
        on_mismatch: str = "error",
        **metadata: Any,
    ) -> None:
        super().__init__()
        self._make = lambda schedule, **own: RunLog(
            path, schedule, batch_size=batch_size, momentum=momentum, **own, **metadata
        )
        self.every = whole("every", every, 1, unit="update")
        self.source, self.loss, self.on_mismatch = source, loss, on_mismatch
        self.run_log: RunLog | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        optimizer = _model(self).optimizer
        self._accumulation = optimizer.gradient_accumulation_steps or 1
        self._done = _count(optimizer._iterations)  # batches
        self._batches = self._counted = 0
        self._sum = self._mean = 0.0
        self._at = _updates(optimizer)

    def on_epoch_begin(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self.run_log is None:
            rate = getattr(_model(self).optimizer, "_learning_rate", None)
            source = self.source
            if source is None and isinstance(rate, ScheduledRate):
                source = rate.schedule
            if source is None:
                raise InputError(
                    "the optimiser's learning rate is no ScheduledRate: make it one, or give"
                    " RunLogCallback the schedule that it follows"
                )
            schedule = schedule_of(source)
            self._check(schedule.horizon, rate, epoch)
            self.run_log = self._make(schedule, optimizer=type(_model(self).optimizer).__name__)
        self._epoch_start = self._done
        self._batches = 0

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        # Keras's loss is the mean over the epoch's batches so far; differences of its sums give
        # the mean over those since the row before.
        mean, count = float((logs or {})["loss"]), batch + 1
        self._sum += count * mean - self._batches * self._mean
        self._counted += count - self._batches
        self._batches, self._mean = count, mean
        self._done = self._epoch_start + count
        update = self._done // self._accumulation
        if self.loss == "loss" and update >= self._at + self.every:
            self._row(update, self._take_mean())

    def on_epoch_end(self, epoch: int, logs: Mapping[str, Any] | None = None) -> None:
        if self.loss == "loss":
            return
        if self.loss not in (logs or {}):
            raise InputError(
                f"Keras's logs have no {self.loss}, only {', '.join(logs or {})}: give fit"
                " validation_data, or name one of these"
            )
        value = (logs or {})[self.loss]
        self._row(self._done // self._accumulation, value, train_loss=self._take_mean())

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        update = self._done // self._accumulation
        if self.loss == "loss" and self._counted and update > self._at:
            self._row(update, self._take_mean())
        if self.run_log is not None:
            self.run_log.close()
            self.run_log = None

    def _row(self, update: int, loss: float, **more: float) -> None:
        assert self.run_log is not None
        self.run_log.add(update, loss, **more)
        self._at = update

    def _take_mean(self) -> float:
        mean = self._sum / max(self._counted, 1)
        self._sum, self._counted = 0.0, 0
        return mean

    def _check(self, horizon: int, rate: Any, epoch: int) -> None:
        counted = getattr(rate, "accumulation", self._accumulation)
        if counted != self._accumulation:
            raise InputError(
                f"the optimiser accumulates {self._accumulation} batches and ScheduledRate counts "
                f"{counted}: give both the same number"
            )
        fit: Any = self.params
        epochs, steps = fit.get("epochs"), fit.get("steps")
        if epochs and steps:
            updates = (self._done + (epochs - epoch) * steps) // self._accumulation
            check_horizon(horizon, updates, self.on_mismatch, "epochs or steps_per_epoch of fit")


class WatchCallback(keras.callbacks.Callback):
    """Tells, while Keras trains, what final loss to expect and whether the run is on its plan.

    `log` is the run's own log, such as that of a `RunLogCallback`; keywords are those of `Watch`:
    `pilots`, `every`, `writer`, and so on.

    Attributes: `watch`, the `Watch` while training; `options`, those keywords.

    >>> WatchCallback("runs/long.jsonl", pilots="runs/pilots", every=500).watch is None
    True
    """

    def __init__(self, log: str | os.PathLike[str], **options: Any) -> None:
        super().__init__()
        self.log, self.options = log, options
        self.watch: Watch | None = None

    def on_train_begin(self, logs: Mapping[str, Any] | None = None) -> None:
        optimizer = _model(self).optimizer
        self._accumulation = optimizer.gradient_accumulation_steps or 1
        # Counted here from now on: the optimiser's own count may wait for an accelerator.
        self._done = _count(optimizer._iterations)
        self.watch = Watch(self.log, **self.options)

    def on_train_batch_end(self, batch: int, logs: Mapping[str, Any] | None = None) -> None:
        self._done += 1
        if self.watch is not None:
            self.watch(self._done // self._accumulation)

    def on_train_end(self, logs: Mapping[str, Any] | None = None) -> None:
        if self.watch is not None:
            self.watch.close()


def _model(callback: keras.callbacks.Callback) -> Any:
    return callback.model


def _updates(optimizer: Any) -> int:
    """Updates done, where the optimiser's own count is of batches."""
    return _count(optimizer.iterations)


def _count(variable: Any) -> int:
    return int(np.asarray(keras.ops.convert_to_numpy(variable)).item())
