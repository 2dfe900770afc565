"""Train a small network in Keras under a planned schedule, with a log and a checkpoint.

    KERAS_BACKEND=jax python examples/keras_training.py --schedule wsd:peak=3e-3,horizon=3000,\
cooldown=0.2 --out runs

Ends within a minute on two cores, on the torch and on the JAX backend. After a kill the same
command goes on from the last epoch. `--schedule` takes a spec, a `schedule.json` or the folder of a
plan; the log in `runs` is what `etastar plan runs --horizon ...` reads. The data are drawn: a
random network's answers to random questions, with noise.
"""

from __future__ import annotations

import argparse
import os
from pathlib import Path

os.environ.setdefault("KERAS_BACKEND", "torch")

import keras
import numpy as np

from etastar.integrations.keras import RunLogCallback, ScheduledRate
from etastar.runs import read_runs

WIDTH, BATCH, EPOCH, EVERY, NOISE = 32, 64, 500, 100, 0.1


def data(updates: int) -> tuple[np.ndarray, np.ndarray]:
    """Fresh samples for every update, in directions of falling power."""
    random = np.random.default_rng(0)
    first = random.normal(size=(WIDTH, 64)) / np.sqrt(WIDTH)
    second = random.normal(size=(64, 1)) / 8
    x = random.normal(size=(updates * BATCH, WIDTH)) * np.arange(1, WIDTH + 1) ** -0.5
    y = np.tanh(x @ first) @ second + NOISE * random.normal(size=(len(x), 1))
    return x.astype("float32"), y.astype("float32")


def main(source: str, out: Path, name: str) -> None:
    keras.utils.set_random_seed(0)
    rate = ScheduledRate(source)
    horizon = rate.schedule.horizon
    if horizon % EPOCH:
        raise SystemExit(
            f"--schedule: give a horizon that {EPOCH}, the updates of an epoch, divide"
        )
    x, y = data(horizon)

    out.mkdir(parents=True, exist_ok=True)
    checkpoint = out / f".{name}.keras"
    if checkpoint.exists():
        model = keras.saving.load_model(checkpoint)
        rate = model.optimizer._learning_rate
        print(f"goes on from update {int(model.optimizer.iterations)}")
    else:
        layers = [keras.layers.Dense(128, "tanh"), keras.layers.Dense(1)]
        model = keras.Sequential([keras.Input((WIDTH,)), *layers])
        model.compile(keras.optimizers.Adam(rate), "mse")

    log = RunLogCallback(out / f"{name}.jsonl", batch_size=BATCH, every=EVERY, on_mismatch="ignore")
    done = int(model.optimizer.iterations) // EPOCH
    for epoch in range(done, horizon // EPOCH):
        part = slice(epoch * EPOCH * BATCH, (epoch + 1) * EPOCH * BATCH)
        history = model.fit(
            x[part], y[part], batch_size=BATCH, shuffle=False, verbose=0, callbacks=[log]
        )
        model.save(checkpoint.with_suffix(".new.keras"))
        checkpoint.with_suffix(".new.keras").replace(checkpoint)
        update = int(model.optimizer.iterations)
        loss = history.history["loss"][0]
        lr = float(rate(update - 1))
        print(f"update {update} of {horizon}, lr {lr:.2e}, loss {loss:.5f}")

    (run,) = read_runs(out / f"{name}.jsonl")
    print(f"{run.name}: {run.schedule.spec}, final loss {run.final_loss:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small training under a planned schedule.")
    parser.add_argument("--schedule", default="wsd:peak=3e-3,horizon=3000,warmup=100,cooldown=0.2")
    parser.add_argument("--out", type=Path, default=Path("out/keras"))
    parser.add_argument("--name", default="pilot")
    asked = parser.parse_args()
    main(asked.schedule, asked.out, asked.name)
