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
def law(sweep):
    """The law fitted to every second run."""
    return fit(sweep[::2])


def forecasts(law, sweep):
    """Measured final losses of the runs not fitted, and their forecasts (3, runs)."""
    tested = sweep[1::2]
    found = [law.predict(run.schedule, at=[run.final_step]).final for run in tested]
    return np.array([run.final_loss for run in tested]), np.array(found).T


def test_the_interval_holds_at_least_nine_of_ten_measured_losses(law, sweep):
    measured, (_, low, high) = forecasts(law, sweep)
    assert np.mean((low <= measured) & (measured <= high)) >= 0.9


def test_with_constants_that_are_known_it_is_as_wide_as_the_runs_differ(law, sweep):
    # The covariance of the constants comes on top, and is larger than it need be.
    known = replace(law, covariance=np.zeros_like(law.covariance))
    measured, (mean, low, high) = forecasts(known, sweep)
    half = (high - low) / 2 / mean
    # 1.714 is the 90% quantile of Student's t with 23 degrees of freedom; so many runs know their
    # spread to a sixth.
    assert np.all(np.abs(half / (1.714 * OFFSET) - 1) < 0.4)
    covered = np.mean((low <= measured) & (measured <= high))
    assert 0.8 <= covered < 1.0


def test_the_covariance_and_the_reach_beyond_the_pilots_widen_it(law, sweep):
    known = replace(law, covariance=np.zeros_like(law.covariance), trend=0.01)
    run = sweep[2]
    longer = run.schedule.stretched(horizon=4 * int(law.steps_fitted))
    near, far = (
        np.ptp(known.predict(one, at=[one.horizon]).final[1:]) for one in (run.schedule, longer)
    )
    assert far > 3 * near
    assert np.ptp(law.predict(run.schedule).final[1:]) > near


def test_a_wider_level_gives_a_wider_interval(law, sweep):
    run = sweep[1]
    halves = [
        np.ptp(law.predict(run.schedule, at=[run.final_step], level=level).final[1:])
        for level in (0.5, 0.9, 0.99)
    ]
    assert halves[0] < 0.5 * halves[1] < 0.5 * halves[2]
