"""Logs made by the law's own definition, with noise: what a fit should find again."""

from typing import Any

import numpy as np

from etastar.law import Form, Law
from etastar.law._forms import NORMALISED, OWN
from etastar.law._points import Units, place
from etastar.runs import Run
from etastar.schedule import parse_schedule

TRUTH = np.array([0.6, 0.2, -7.0, 1.8, -6.0, 1.0, 0.5, 1.05, 1.5])
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


# Several batch sizes, under an optimiser that normalises its update: log c and k of that law.

BATCH_UNITS = Units(2e-3, 4000.0, 32.0)
NORMALISED_TRUTH = np.append(TRUTH, [1.2, 0.9, -3.0])


def true_law(form: Form = NORMALISED, theta=NORMALISED_TRUTH, linear=LINEAR) -> Law:
    """The law itself as if it were fitted, with nothing open about it."""
    nothing: Any = None
    return Law(theta, linear, nothing, BATCH_UNITS, 0.0, 0.0, 9, 4000.0, (5e-4, 2e-3), {}, 0.0, (),
               form)  # fmt: skip


def make_batch_run(spec, size, seed=0, noise=5e-4, law=None) -> Run:
    """A run of a law at a batch size, with 40 points."""
    law, schedule = law or true_law(), parse_schedule(spec)
    step = np.unique(np.round(np.linspace(0, schedule.horizon, 41)[1:]))
    points = place([schedule], [step], law.units, [size])
    loss = points.columns(law.form, law.theta) @ law.linear
    jitter = np.exp(noise * np.random.default_rng(seed).standard_normal(len(step)))
    return Run(f"b{size} {spec}", step, loss * jitter, schedule, batch_size=size)


def make_batch_pilots(law=None, sizes=(8, 32, 128)):
    """Runs of two lengths in samples, at three peaks, at each batch size."""
    specs = [
        (f"{shape}:peak={peak},horizon={samples // size},warmup=50{rest}", size)
        for size in sizes
        for samples in (64_000, 128_000)
        for (shape, rest), peak in (
            (("cosine", ""), 5e-4),
            (("wsd", ",cooldown=0.25"), 1e-3),
            (("wsd", ",cooldown=0.25"), 2e-3),
        )
    ]
    return [make_batch_run(spec, size, i, law=law) for i, (spec, size) in enumerate(specs)]
