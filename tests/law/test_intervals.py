"""The 90% interval of a forecast holds the measured loss about as often as it says."""

from dataclasses import replace

import numpy as np
import pytest

from etastar.law import fit
from tests.helpers.laws import make_run

OFFSET = 4e-3
"""What runs of one law differ by, relative: as two seeds of one training do."""

SPECS = [
    f"{shape}:peak={peak},horizon={horizon},warmup=100{rest}"
    for shape, rest in (("cosine", ""), ("wsd", ",cooldown=0.25"), ("linear", ""))
    for peak in (5e-4, 7e-4, 1e-3, 1.4e-3, 2e-3)
    for horizon in (2000, 3000, 4000)
]


@pytest.fixture(scope="module")
def sweep():
    """Runs each moved as a whole by an offset of its own."""
    offset = np.exp(OFFSET * np.random.default_rng(3).standard_normal(len(SPECS)))
    runs = [make_run(spec, seed) for seed, spec in enumerate(SPECS)]
    return [replace(run, loss=run.loss * by) for run, by in zip(runs, offset, strict=True)]


@pytest.fixture(scope="module")
def forecasts(sweep):
    """Measured final losses of the runs not fitted, with their forecasts."""
    law = fit(sweep[::3])
    tested = [run for i, run in enumerate(sweep) if i % 3]
    found = [law.predict(run.schedule, at=[run.final_step]).final for run in tested]
    return np.array([run.final_loss for run in tested]), np.array(found).T


def test_the_interval_holds_nine_of_ten_measured_losses(forecasts):
    measured, (_, low, high) = forecasts
    covered = np.mean((low <= measured) & (measured <= high))
    assert 0.85 <= covered < 1.0


def test_the_interval_is_as_wide_as_the_runs_differ(forecasts):
    _, (mean, low, high) = forecasts
    half = np.median((high - low) / 2 / mean)
    # The 90% quantile is at 1.645 of a normal spread; of fifteen runs that spread is known to a
    # fifth, and the constants add to it.
    assert 1.645 * 0.8 * OFFSET <= half <= 1.645 * 1.8 * OFFSET


def test_a_wider_level_gives_a_wider_interval(sweep):
    law = fit(sweep[::3])
    run = sweep[1]
    halves = [
        np.ptp(law.predict(run.schedule, at=[run.final_step], level=level).final[1:])
        for level in (0.5, 0.9, 0.99)
    ]
    assert halves[0] < 0.5 * halves[1] < 0.5 * halves[2]
