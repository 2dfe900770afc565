"""Does a fit get dearer with longer logs, and a plan with longer horizons?

    python bench/fit_scaling.py

Logs are made from the law itself with known constants and noise of 5e-4, six pilots of 20,000 and
40,000 steps. The first table fits the same pilots logged at 40 points a run, and at 4, 20 and 100
times as many. The second plans horizons from 1e4 to 1e12 steps from the first pilots. CPU seconds
sum over threads; they say more than wall seconds where other processes run.
"""

from __future__ import annotations

import resource
import time
from collections.abc import Callable

import jax
import numpy as np

from etastar.law import Law, Posterior, fit
from etastar.law._points import Units
from etastar.planning import plan
from etastar.runs import Run
from etastar.schedule import parse_schedule

POINTS = 40
SPECS = (
    "cosine:peak=1e-3,horizon=40000,warmup=500",
    "cosine:peak=2e-3,horizon=20000,warmup=500",
    "cosine:peak=5e-4,horizon=40000,warmup=500",
    "wsd:peak=2e-3,horizon=40000,warmup=500,cooldown=0.2",
    "wsd:peak=1e-3,horizon=20000,warmup=500,cooldown=0.2",
    "wsd:peak=4e-3,horizon=40000,warmup=500,cooldown=0.2",
)
TRUTH = Law(
    theta=np.array([0.6, 0.2, -7.0, 1.8, -6.0, 1.0, 0.5, 1.0, 1.0]),
    linear=np.array([2.6, 0.15, 0.3]),
    posterior=Posterior.known(12),
    units=Units(rate=4e-3, steps=40000.0),
    spread=0.0,
    trend=0.0,
    run_count=10,
    steps_fitted=40000.0,
    peak_range=(5e-4, 4e-3),
    residuals={},
    seconds=0.0,
)


def pilots(points: int) -> list[Run]:
    """The six pilots with `points` rows each."""
    runs = []
    for seed, spec in enumerate(SPECS):
        schedule = parse_schedule(spec)
        step = np.unique(np.round(np.linspace(schedule.warmup, schedule.horizon, points)))
        noise = np.random.default_rng(seed).standard_normal(len(step))
        loss = TRUTH.predict(schedule, at=step).mean * np.exp(5e-4 * noise)
        runs.append(Run(spec, step, loss, schedule))
    return runs


def timed(work: Callable[[], object]) -> tuple[float, float]:
    """Wall and CPU seconds of one call."""
    wall, cpu = time.perf_counter(), time.process_time()
    work()
    return time.perf_counter() - wall, time.process_time() - cpu


def peak_memory() -> float:
    """Largest resident memory of this process so far, in MiB (Linux counts KiB)."""
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    # What an earlier process compiled is not to be loaded.
    jax.config.update("jax_enable_compilation_cache", False)
    print("fit against points a run, six runs; 'first' includes compilation")
    print(f"{'points':>7} {'first s':>8} {'again s':>8} {'again CPU s':>12} {'ratio':>6}")
    base = None
    for factor in (1, 4, 20, 100):
        runs = pilots(POINTS * factor)
        first, _ = timed(lambda runs=runs: fit(runs))
        again, cpu = timed(lambda runs=runs: fit(runs))
        base = base or cpu
        print(f"{POINTS * factor:>7} {first:>8.1f} {again:>8.1f} {cpu:>12.1f} {cpu / base:>6.2f}")
    print("ratio: of the CPU seconds of the second fit to those at 1x")
    print()
    print("plan against horizon, fit included; memory is the peak of the process so far")
    print(f"{'horizon':>8} {'s':>6} {'CPU s':>6} {'MiB':>6}")
    runs = pilots(POINTS)
    plan(runs, 8000)  # compiles
    for horizon in (10**4, 10**6, 10**8, 10**10, 10**12):
        wall, cpu = timed(lambda horizon=horizon: plan(runs, horizon))
        print(f"{horizon:>8.0e} {wall:>6.1f} {cpu:>6.1f} {peak_memory():>6.0f}")


if __name__ == "__main__":
    main()
