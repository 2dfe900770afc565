"""Train a small network in JAX with Optax under a planned schedule, with a log and a checkpoint.

    python examples/optax_training.py --schedule cosine:peak=0.01,horizon=3000,warmup=100 --out runs

Ends within a minute on two cores. After Ctrl-C or a kill the same command goes on from the last
checkpoint. `--schedule` takes a spec, a `schedule.json` or the folder of a plan; the log in `runs`
is what `etastar plan runs --horizon ...` reads. The data are drawn: a random network's answers to
random questions, with noise.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax

from etastar.integrations.optax import RunLog, scheduled
from etastar.runs import read_runs

WIDTH, BATCH, EVERY, NOISE = 32, 64, 100, 0.1


def network(sizes: list[int], key: jax.Array) -> list[dict[str, jax.Array]]:
    keys = jax.random.split(key, len(sizes) - 1)
    return [
        {"w": jax.random.normal(key, (n, m)) / np.sqrt(n), "b": jnp.zeros(m)}
        for key, n, m in zip(keys, sizes[:-1], sizes[1:], strict=True)
    ]


def answer(layers: Any, x: jax.Array) -> jax.Array:
    for layer in layers[:-1]:
        x = jnp.tanh(x @ layer["w"] + layer["b"])
    return x @ layers[-1]["w"] + layers[-1]["b"]


def batch(teacher: Any, step: jax.Array, size: int) -> tuple[jax.Array, jax.Array]:
    """The samples of an update, the same whenever it is made."""
    first, second = jax.random.split(jax.random.fold_in(jax.random.key(1), step))
    # Directions of falling power, as in real data.
    x = jax.random.normal(first, (size, WIDTH)) * jnp.arange(1, WIDTH + 1) ** -0.5
    return x, answer(teacher, x) + NOISE * jax.random.normal(second, (size, 1))


def loss_of(layers: Any, x: jax.Array, y: jax.Array) -> jax.Array:
    return jnp.mean((answer(layers, x) - y) ** 2)


def main(source: str, out: Path, name: str) -> None:
    teacher = network([WIDTH, 64, 1], jax.random.key(0))
    model = network([WIDTH, 128, 1], jax.random.key(2))
    held = batch(teacher, jnp.int32(2**31 - 1), 4096)

    optimizer = scheduled(optax.adam, source)
    state = optimizer.init(model)

    @jax.jit
    def update(model: Any, state: Any, step: jax.Array) -> tuple[Any, Any]:
        grads = jax.grad(loss_of)(model, *batch(teacher, step, BATCH))
        changes, state = optimizer.update(grads, state, model)
        return optax.apply_updates(model, changes), state

    with RunLog(out / f"{name}.jsonl", source, batch_size=BATCH, optimizer="adam") as log:
        checkpoint = out / f".{name}.npz"
        leaves, shape = jax.tree.flatten((model, state))
        first = 0
        if checkpoint.exists():
            saved = np.load(checkpoint)
            leaves = [jnp.asarray(saved[f"arr_{i}"]) for i in range(len(leaves))]
            model, state = jax.tree.unflatten(shape, leaves)
            first = int(saved["step"])
            print(f"goes on from update {first}")
        horizon = log.schedule.horizon
        for step in range(first + 1, horizon + 1):
            model, state = update(model, state, jnp.int32(step))
            if step % EVERY == 0 or step == horizon:
                loss = loss_of(model, *held)
                log.add(step, loss, lr=state.hyperparams["learning_rate"])
                arrays = [np.asarray(leaf) for leaf in jax.tree.leaves((model, state))]
                np.savez(checkpoint.with_suffix(".new.npz"), *arrays, step=step)
                checkpoint.with_suffix(".new.npz").replace(checkpoint)
            if step % (10 * EVERY) == 0:
                lr = float(state.hyperparams["learning_rate"])
                print(f"update {step} of {horizon}, lr {lr:.2e}, loss {float(loss):.5f}")

    (run,) = read_runs(out / f"{name}.jsonl")
    print(f"{run.name}: {run.schedule.spec}, final loss {run.final_loss:.5f}")


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="A small training under a planned schedule.")
    parser.add_argument("--schedule", default="cosine:peak=0.01,horizon=3000,warmup=100")
    parser.add_argument("--out", type=Path, default=Path("out/optax"))
    parser.add_argument("--name", default="pilot")
    asked = parser.parse_args()
    main(asked.schedule, asked.out, asked.name)
