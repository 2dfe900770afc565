"""Logs made by the law's own definition, with noise: what a fit should find again."""

import numpy as np

from etastar.law._forms import OWN
from etastar.law._points import Units, place
from etastar.runs import Run
from etastar.schedule import parse_schedule

TRUTH = np.array([0.6, 0.2, -7.0, 1.8, -6.0, 1.5, 0.5, 1.05, 1.5])
LINEAR = np.array([2.6, 0.15, 0.3])
UNITS = Units(2e-3, 4000.0)


def true_losses(schedule, step):
    return place([schedule], [step], UNITS).columns(OWN, TRUTH) @ LINEAR


def make_run(spec, seed=0, noise=5e-4, every=50):
    schedule = parse_schedule(spec)
    step = np.arange(every, schedule.horizon + 1, every, dtype=float)
    jitter = np.exp(noise * np.random.default_rng(seed).standard_normal(len(step)))
    return Run(spec, step, true_losses(schedule, step) * jitter, schedule, batch_size=8)


def make_pilots():
    specs = [
        f"{shape}:peak={peak},horizon={horizon},warmup=100{rest}"
        for shape, rest in (("cosine", ""), ("wsd", ",cooldown=0.25"))
        for peak in (5e-4, 1e-3, 2e-3)
        for horizon in (2000, 4000)
    ]
    return [make_run(spec, seed) for seed, spec in enumerate(specs)]


def compilations(compiled) -> int:
    """How many array shapes a jitted function has been compiled for."""
    return compiled._cache_size()
