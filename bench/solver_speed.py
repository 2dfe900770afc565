"""Does a solve cost the same at any horizon, and how much faster is it than the exact recursion?

    python bench/solver_speed.py

First table: warm solves of an easy and a hard task from T = 1e3 to 1e12 in one process, best and
median of repeated runs, with the peak memory after each. Second: at T = 1e4 the solve against
gradient descent (Adam on the log LR of every update) through the exact recursion, which JAX
differentiates, until it has taken a hundred times as long or reached the solve's loss. Third: 200
different problems, with what was compiled on the way and the memory.
"""

from __future__ import annotations

import argparse
import resource
import statistics
import time

import jax
import jax.numpy as jnp
import numpy as np

from etastar.control import solve
from etastar.control._model_objective import log_loss
from etastar.model import PowerLaw, exact_losses, modes_of

TASKS = {"easy": PowerLaw(1.5, 1.0, 0.25, 8), "hard": PowerLaw(1.5, 0.2, 0.25, 8)}
HORIZONS = (10**3, 10**4, 10**6, 10**8, 10**10, 10**12)


def compiled() -> int:
    return log_loss._cache_size()  # type: ignore[attr-defined]


def memory() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def horizons(repeats: int) -> None:
    print(f"{'task':6}{'horizon':>9}{'best s':>9}{'median s':>10}{'peak MiB':>10}{'gap':>10}")
    for name, model in TASKS.items():
        for horizon in HORIZONS:
            solve(model, horizon, compare=False)
        best = {}
        for horizon in HORIZONS:
            found = [solve(model, horizon, compare=False) for _ in range(repeats)]
            seconds = [each.seconds for each in found]
            best[horizon] = min(seconds)
            print(
                f"{name:6}{horizon:9.0e}{min(seconds):9.3f}{statistics.median(seconds):10.3f}"
                f"{memory():10.0f}{found[0].gap:10.1e}"
            )
        print(f"{name}: T = 1e12 over T = 1e3: {best[10**12] / best[10**3]:.2f}\n")


def exact_descent(model: PowerLaw, horizon: int, goal: float, limit: float) -> None:
    """Adam through the exact recursion, the usual way to optimise a schedule."""
    import optax

    modes = modes_of(model.spectrum_to(horizon))
    eigenvalue, square, target = (jnp.asarray(values) for values in modes[:3])
    batch, top = model.batch_size, model.max_rate

    def log_final(logs):
        def update(share, eta):
            x = eta * eigenvalue
            shrink = x * (2.0 - x * (1.0 + 1.0 / batch))
            noise = eta * eta / batch * square * (share.sum() + model.noise)
            return share - shrink * share + noise, None

        share, _ = jax.lax.scan(update, target, jnp.minimum(jnp.exp(logs), top))
        return jnp.log(share.sum())

    optimiser = optax.adam(optax.cosine_decay_schedule(0.05, 4000))

    @jax.jit
    def step(logs, state):
        value, slope = jax.value_and_grad(log_final)(logs)
        move, state = optimiser.update(slope, state)
        return optax.apply_updates(logs, move), state, value

    # The start that is natural without the closed form: the best constant of a few.
    flat = [jnp.full(horizon, np.log(top * 4.0**-i)) for i in range(8)]
    logs = min(flat, key=lambda each: float(log_final(each)))
    state = optimiser.init(logs)
    step(logs, state)
    began, value, count = time.perf_counter(), np.inf, 0
    while np.exp(value) > goal and time.perf_counter() - began < limit:
        logs, state, value = step(logs, state)
        value, count = float(value), count + 1
    took = time.perf_counter() - began
    reached = float(np.exp(value))
    print(f"descent: {count} updates of the schedule in {took:.1f} s, loss {reached / goal:.5f} of")
    print(f"the solve's; time over the solve's limit/100: {100 * took / limit:.0f}")


def against_descent(limit_ratio: float) -> None:
    for name, model in TASKS.items():
        solve(model, 10**4, compare=False)
        seconds = min(solve(model, 10**4, compare=False).seconds for _ in range(5))
        found = solve(model, 10**4, compare=False)
        exact = float(exact_losses(model, found.schedule)[0])
        print(f"{name}, T = 1e4: solve {seconds:.3f} s, exact loss {exact:.6g}")
        exact_descent(model, 10**4, exact, limit_ratio * seconds)


def many(count: int) -> None:
    random = np.random.default_rng(0)
    print(f"\n{'solves':>7}{'compiled':>10}{'peak MiB':>10}")
    for i in range(count + 1):
        if i in (0, 5, 10, 20, 50, 100, 150, count):
            print(f"{i:7d}{compiled():10d}{memory():10.0f}", flush=True)
        capacity, source = random.uniform(1.1, 3.0), random.uniform(0.1, 2.0)
        model = PowerLaw(
            capacity, source, 10 ** random.uniform(-2, 0), float(random.integers(1, 65))
        )
        solve(model, int(10 ** random.uniform(3, 12)), compare=False)


if __name__ == "__main__":
    parser = argparse.ArgumentParser(description="Cost of a solve.")
    parser.add_argument("--repeats", type=int, default=7)
    parser.add_argument("--solves", type=int, default=200)
    parser.add_argument("--limit-ratio", type=float, default=300.0)
    asked = parser.parse_args()
    horizons(asked.repeats)
    against_descent(asked.limit_ratio)
    many(asked.solves)
