"""What does the schedule cost inside Optax, Keras, Transformers and Lightning, beside their own?

    python bench/scheduler_cost_frameworks.py

Each line compares the cost of one step with the schedule to that with the framework's own cosine
with warmup, in the same round: `microseconds` and `own` are medians over rounds, `ratio` the median
and the middle half of the rounds' ratios. In every round both are timed, in an order drawn anew.
Below, what a run log adds to a step of the smallest training. Keras takes its backend when it is
imported, so each of its two runs in a process of its own.
"""

from __future__ import annotations

import argparse
import logging
import os
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np

HORIZON, WARMUP = 10_000, 100
COSINE = f"cosine:peak=0.1,horizon={HORIZON},warmup={WARMUP}"
WSD = f"wsd:peak=0.1,horizon={HORIZON},warmup={WARMUP},cooldown=0.2,decay=sqrt"
KNOTS = "table:knots=" + "/".join(f"{200 * i}:{1 / (1 + i)!r}" for i in range(51))
SPECS = {"cosine": COSINE, "wsd, sqrt": WSD, "51 knots": KNOTS}


def compare(name: str, ours: Callable[[], float], own: Callable[[], float], rounds: int) -> None:
    """Print a line; both functions return the seconds of one step."""
    random = np.random.default_rng(0)
    times = {ours: np.empty(rounds), own: np.empty(rounds)}
    for timed in (ours, own):
        timed()  # compiles
    for i in range(rounds):
        for at in random.permutation(2):
            timed = (ours, own)[at]
            times[timed][i] = timed()
    low, middle, high = np.quantile(times[ours] / times[own], (0.25, 0.5, 0.75))
    mine, theirs = (1e6 * np.median(found) for found in times.values())
    print(f"{name:44}{mine:13.3f}{theirs:9.3f}{middle:9.2f} ({low:.2f}-{high:.2f})", flush=True)


def per_call(function: Callable[[Any], Any], arguments: list, wait: Callable = lambda _: None):
    """A function that times calls of another, seconds a call."""

    def timed() -> float:
        began = time.perf_counter()
        result = None
        for argument in arguments:
            result = function(argument)
        wait(result)
        return (time.perf_counter() - began) / len(arguments)

    return timed


def header(framework: str) -> None:
    print(f"\n{framework:44}{'microseconds':>13}{'own':>9}{'ratio':>9}", flush=True)


def optax_costs(rounds: int) -> None:
    import jax
    import jax.numpy as jnp
    import optax

    from etastar.integrations.optax import schedule

    header("Optax, own: warmup_cosine_decay_schedule")
    own = optax.warmup_cosine_decay_schedule(0.0, 0.1, WARMUP, HORIZON)
    counts = [jnp.int32(step) for step in range(0, HORIZON, 20)]

    def alone(rate):
        return per_call(jax.jit(rate), counts * 4, jax.block_until_ready)

    def scanned(rate):
        """The rate alone, 10,000 steps inside one compiled scan."""

        @jax.jit
        def total(first):
            add = lambda carry, _: ((carry[0] + 1, carry[1] + rate(carry[0])), None)  # noqa: E731
            return jax.lax.scan(add, (first, 0.0), length=HORIZON)[0][1]

        timed = per_call(total, [jnp.int32(0)] * 40, jax.block_until_ready)
        return lambda: timed() / HORIZON

    def updates(rate, size=1000):
        """A jitted Adam update of 1,000 weights."""
        optimizer = optax.adam(rate)
        params = jnp.ones(size)

        @jax.jit
        def update(params, state):
            change, state = optimizer.update(params, state, params)
            return optax.apply_updates(params, change), state

        def timed() -> float:
            now, state = params, optimizer.init(params)
            began = time.perf_counter()
            for _ in range(2000):
                now, state = update(now, state)
            jax.block_until_ready(now)
            return (time.perf_counter() - began) / 2000

        return timed

    for name, spec in SPECS.items():
        ours = schedule(spec)
        compare(f"a jitted call, {name}", alone(ours), alone(own), rounds)
        compare(f"a step of a scan, {name}", scanned(ours), scanned(own), rounds)
        compare(f"an update of 1,000 weights, {name}", updates(ours), updates(own), rounds)


def keras_costs(rounds: int) -> None:
    import keras

    from etastar.integrations.keras import RunLogCallback, ScheduledRate

    backend = keras.backend.backend()
    header(f"Keras on {backend}, own: CosineDecay")
    own = keras.optimizers.schedules.CosineDecay(
        0.0, HORIZON - WARMUP, warmup_target=0.1, warmup_steps=WARMUP
    )
    wait: Callable = lambda _: None  # noqa: E731
    if backend == "jax":
        import jax

        jitted, wait, repeats = jax.jit, jax.block_until_ready, 8
        counts = [jax.numpy.int32(step) for step in range(0, HORIZON, 20)]
    else:
        jitted, repeats = lambda rate: rate, 1
        counts = [keras.ops.convert_to_tensor(step) for step in range(0, HORIZON, 20)]
    for name, spec in SPECS.items():
        ours = ScheduledRate(spec)
        mine, theirs = (
            per_call(jitted(rate.__call__), counts * repeats, wait) for rate in (ours, own)
        )
        compare(f"a call, {name}", mine, theirs, rounds)

    x, y = np.ones((32 * 200, 4), "float32"), np.ones((32 * 200, 1), "float32")

    def training(rate: Any, *callbacks: Any) -> Callable[[], float]:
        model: Any = keras.Sequential([keras.Input((4,)), keras.layers.Dense(1)])
        model.compile(keras.optimizers.SGD(rate), "mse")

        def timed() -> float:
            began = time.perf_counter()
            model.fit(x, y, batch_size=32, verbose=0, callbacks=list(callbacks))
            return (time.perf_counter() - began) / 200

        return timed

    ours = ScheduledRate(COSINE)
    compare("an update of 5 weights in fit", training(ours), training(own), rounds)
    with tempfile.TemporaryDirectory() as folder:
        log = RunLogCallback(Path(folder) / "run.jsonl", on_mismatch="ignore")
        compare("the same with a run log / without", training(ours, log), training(ours), rounds)


def torch_costs(rounds: int) -> None:
    import torch
    from lightning.pytorch import LightningModule, Trainer
    from transformers import get_cosine_schedule_with_warmup

    from etastar.integrations.lightning import RunLogCallback, ScheduledLR, optimizer_config

    torch.set_num_threads(1)
    logging.getLogger("lightning.pytorch").setLevel(logging.ERROR)
    header("Transformers, own: get_cosine_schedule_with_warmup")

    def steps(make: Callable) -> Callable[[], float]:
        def timed() -> float:
            optimizer = torch.optim.AdamW([torch.zeros(1, requires_grad=True)], lr=0.1)
            scheduler = make(optimizer)
            optimizer.step()
            began = time.perf_counter()
            for _ in range(HORIZON):
                scheduler.step()
            return (time.perf_counter() - began) / HORIZON

        return timed

    own = steps(lambda o: get_cosine_schedule_with_warmup(o, WARMUP, HORIZON))
    for name, spec in SPECS.items():
        compare(
            f"scheduler.step(), {name}", steps(lambda o, s=spec: ScheduledLR(o, s)), own, rounds
        )

    header("Lightning, own: LambdaLR with the same cosine")
    data = torch.utils.data.TensorDataset(torch.ones(1000, 4), torch.ones(1000, 1))

    class Line(LightningModule):
        def __init__(self, ours: bool) -> None:
            super().__init__()
            self.layer, self.ours = torch.nn.Linear(4, 1), ours

        def training_step(self, batch, index):
            return torch.nn.functional.mse_loss(self.layer(batch[0]), batch[1])

        def configure_optimizers(self) -> Any:
            optimizer = torch.optim.SGD(self.parameters(), lr=0.1)
            if self.ours:
                return optimizer_config(optimizer, COSINE)
            scheduler = get_cosine_schedule_with_warmup(optimizer, WARMUP, HORIZON)
            return [optimizer], [{"scheduler": scheduler, "interval": "step"}]

    def training(ours: bool, *callbacks: Any) -> Callable[[], float]:
        def timed() -> float:
            trainer = Trainer(
                max_steps=1000,
                accelerator="cpu",
                logger=False,
                enable_checkpointing=False,
                enable_progress_bar=False,
                enable_model_summary=False,
                callbacks=list(callbacks),
            )
            began = time.perf_counter()
            trainer.fit(Line(ours), torch.utils.data.DataLoader(data))
            return (time.perf_counter() - began) / 1000

        return timed

    compare("an update of 5 weights in fit", training(True), training(False), rounds)
    with tempfile.TemporaryDirectory() as folder:
        log = RunLogCallback(Path(folder) / "run.jsonl", on_mismatch="ignore")
        compare("the same with a run log / without", training(True, log), training(True), rounds)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Cost of the schedule in each framework.")
    parser.add_argument("--rounds", type=int, default=15)
    parser.add_argument("--only", choices=("optax", "keras", "torch"))
    asked = parser.parse_args()
    warnings.simplefilter("ignore")
    if asked.only is not None:
        costs = {"optax": optax_costs, "keras": keras_costs, "torch": torch_costs}
        costs[asked.only](asked.rounds)
        sys.exit()
    for only, backend in (("optax", "jax"), ("keras", "torch"), ("keras", "jax"), ("torch", "")):
        command = [sys.executable, __file__, "--only", only, "--rounds", str(asked.rounds)]
        environment = {**os.environ, "KERAS_BACKEND": backend or "torch"}
        subprocess.run(command, env=environment, check=True)
