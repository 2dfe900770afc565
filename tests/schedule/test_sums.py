"""Intrinsic time is the sum of the rates before a step, at any horizon."""

from __future__ import annotations

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etastar.schedule import Schedule, parse_schedule
from tests.helpers.schedules import schedules


def brute_force(schedule: Schedule, stop: int) -> np.ndarray:
    """tau at 0, 1, ..., stop: the rates added one by one, in more than double precision."""
    rates = schedule(np.arange(stop)).astype(np.longdouble)
    return np.concatenate(([0.0], np.cumsum(rates))).astype(np.float64)


@given(schedules())
@settings(max_examples=200)
def test_intrinsic_time_is_the_sum_of_the_rates(schedule: Schedule) -> None:
    stop = schedule.horizon + 3
    times = schedule.intrinsic_time(np.arange(stop + 1))
    np.testing.assert_allclose(times, brute_force(schedule, stop), rtol=1e-12, atol=1e-300)
    assert times[0] == 0.0


@pytest.mark.parametrize("power", [0.01, 0.5, 1.3, 7.0, 40.0, 300.0, 1000.0])
@pytest.mark.parametrize("horizon", [1, 2, 16, 17, 33, 400, 30011])
def test_power_sums_hold_over_the_whole_range_of_powers(power: float, horizon: int) -> None:
    for spec in (f"polynomial:power={power}", f"power:chi={power},final=1e-3"):
        for warmup in (0, horizon // 3):
            schedule = parse_schedule(f"{spec},warmup={warmup}", peak=0.3, horizon=horizon)
            times = schedule.intrinsic_time(np.arange(horizon + 1))
            np.testing.assert_allclose(times, brute_force(schedule, horizon), rtol=1e-12)


@given(schedules(), st.lists(st.floats(0.0, 1.3), min_size=2, max_size=30))
def test_intrinsic_time_grows_with_the_steps(schedule: Schedule, x: list[float]) -> None:
    steps = np.sort(np.array(x)) * schedule.horizon
    times = schedule.intrinsic_time(steps)
    assert np.all(np.diff(times) >= -1e-13 * times[-1])
    assert [schedule.intrinsic_time(float(step)) for step in steps] == pytest.approx(
        times.tolist(), rel=1e-14
    )


@given(schedules(), st.integers(0, 4000), st.floats(0.0, 0.999))
def test_between_whole_steps_intrinsic_time_is_linear(
    schedule: Schedule, step: int, part: float
) -> None:
    expected = schedule.intrinsic_time(step) + part * schedule(step)
    assert schedule.intrinsic_time(step + part) == pytest.approx(expected, rel=1e-11)


T = 10**13  # far beyond what could be summed term by term


@pytest.mark.parametrize(
    ("spec", "expected"),
    [
        ("constant", float(T)),
        ("linear", float(Fraction(T + 1, 2))),
        ("cosine", float(Fraction(T + 1, 2))),
        ("polynomial:power=2", float(Fraction((T + 1) * (2 * T + 1), 6 * T))),
        ("polynomial:power=3", float(Fraction((T + 1) ** 2, 4 * T))),
        ("exponential:final=0.5", -0.5 / math.expm1(-math.log(2) / T)),
        ("power:chi=1", math.log(T) + 0.577215664901532861 + 1 / (2 * T)),
        ("power:chi=2", math.pi**2 / 6 - 1 / T),
        ("inverse_sqrt", 2 * math.sqrt(T) - 1.4603545088095868129),
        ("step:at=1e12,factor=0.5", float(Fraction(T + 10**12, 2))),
        ("table:knots=0:1/1e13:0", float(Fraction(T + 1, 2))),
        # sum of sqrt(j/C) for j < C is 2C/3 - 1/2 + zeta(-1/2)/sqrt(C) + ...
        ("wsd:cooldown=1e12,decay=sqrt", T - 10**12 * 2 / 3 + 0.5),
    ],
)
def test_long_sums_have_their_known_values(spec: str, expected: float) -> None:
    """Faulhaber's sums, harmonic numbers and zeta values, at a horizon of 1e13."""
    schedule = parse_schedule(spec, peak=1.0, horizon=T)
    assert schedule.intrinsic_time(T) == pytest.approx(expected, rel=1e-13)


@pytest.mark.parametrize("steps", [1, 10, 1000])
def test_short_ranges_of_long_schedules_lose_no_digits(steps: int) -> None:
    """Differences of integrals over 1e13 steps would keep nothing of the first ten."""
    for spec in ("polynomial:power=1.7", "cosine", "exponential:final=0.1", "linear"):
        schedule = parse_schedule(spec, peak=1.0, horizon=T)
        expected = math.fsum(schedule(np.arange(steps)))
        assert schedule.intrinsic_time(steps) == pytest.approx(expected, rel=1e-14)


def test_a_table_loses_no_digits_to_knots_within_the_warmup() -> None:
    schedule = parse_schedule("table:knots=0:1/10:1e-9/1000:2e-9,warmup=20")
    times = schedule.intrinsic_time(np.arange(1001))
    np.testing.assert_allclose(times, brute_force(schedule, 1000), rtol=1e-13)
