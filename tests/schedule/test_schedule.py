"""Calling, scaling, stretching and cutting schedules."""

from __future__ import annotations

import copy
import dataclasses
import pickle
import subprocess
import sys
import timeit
import tracemalloc
from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etastar.schedule import InputError, Schedule, make_schedule, parse_schedule
from tests.helpers.schedules import named, peaks, schedules


@given(schedules(), st.lists(st.floats(0.0, 1.1), max_size=40))
def test_scalar_and_array_calls_agree_to_the_last_bit(schedule: Schedule, x: list[float]) -> None:
    steps = np.floor(np.array(x) * schedule.horizon)
    values = schedule(steps)
    assert values.dtype == np.float64
    assert [schedule(int(step)) for step in steps] == values.tolist()
    assert [schedule(float(step)) for step in steps] == values.tolist()
    # The loops inside numpy differ with length and stride.
    assert np.array_equal(schedule(np.repeat(steps, 3)[::3]), values)
    assert np.array_equal(schedule(steps[::-1])[::-1], values)


@given(schedules())
def test_every_scalar_type_gives_the_same_float(schedule: Schedule) -> None:
    step = schedule.horizon // 2
    kinds = [int, float, np.int32, np.int64, np.float64, np.uint16, np.array]
    values = [schedule(kind(step)) for kind in kinds]
    assert all(type(value) is float for value in values)
    assert len(set(values)) == 1


def test_arrays_keep_their_shape() -> None:
    schedule = parse_schedule("cosine:peak=1,horizon=100,warmup=10")
    steps = np.arange(12).reshape(3, 4)
    assert schedule(steps).shape == (3, 4)
    assert np.array_equal(schedule(steps).ravel(), schedule(steps.ravel()))
    assert schedule([]).shape == (0,)
    assert schedule.intrinsic_time(steps).shape == (3, 4)


@pytest.mark.parametrize("step", [-1, -0.5, float("nan"), [3, -1], [1.0, float("nan")], np.inf])
@pytest.mark.parametrize("method", ["__call__", "intrinsic_time"])
def test_negative_and_missing_steps_are_refused(method: str, step: object) -> None:
    schedule = parse_schedule("cosine:peak=1,horizon=100")
    with pytest.raises(InputError, match="at least 0"):
        getattr(schedule, method)(step)


@pytest.mark.parametrize("step", ["3", True, None, [True], ["a"], [[1], [1, 2]], 1j, object()])
@pytest.mark.parametrize("method", ["__call__", "intrinsic_time"])
def test_steps_that_are_no_numbers_are_refused(method: str, step: object) -> None:
    schedule = parse_schedule("cosine:peak=1,horizon=100")
    with pytest.raises(InputError, match="must be numbers"):
        getattr(schedule, method)(step)


@given(schedules(), peaks)
def test_scaling_is_linear(schedule: Schedule, peak: float) -> None:
    scaled = schedule.scaled(peak=peak)
    steps = np.linspace(0, schedule.horizon, 50)
    expected = schedule(steps) * (peak / schedule.peak)
    np.testing.assert_allclose(scaled(steps), expected, rtol=1e-12, atol=1e-300)
    assert scaled.peak == peak
    assert scaled.breakpoints == pytest.approx(schedule.breakpoints)


@given(schedules())
def test_scaling_and_stretching_to_itself_changes_nothing(schedule: Schedule) -> None:
    assert schedule.scaled(peak=schedule.peak) == schedule
    assert schedule.stretched(horizon=schedule.horizon) == schedule


def test_stretching_keeps_step_counts_and_moves_parts_of_the_horizon() -> None:
    def stretched(spec: str) -> str:
        return parse_schedule(spec).stretched(horizon=1000).spec

    start = "peak=0.1,horizon=100,warmup=5"
    end = "peak=0.1,horizon=1000,warmup=5"
    assert stretched(f"cosine:{start},final=0.1") == f"cosine:{end},final=0.1"
    assert stretched(f"wsd:{start},cooldown=0.2") == f"wsd:{end},cooldown=0.2,decay=linear"
    assert stretched(f"wsd:{start},cooldown=20") == f"wsd:{end},cooldown=20,decay=linear"
    assert stretched(f"step:{start},at=60,factor=0.1") == f"step:{end},at=600,factor=0.1"
    assert stretched("table:knots=0:0.1/50:0.2/100:0.0") == (
        "table:horizon=1000,knots=0.0:0.1/500:0.2/1000:0.0"
    )


@given(named(("constant", "linear", "cosine", "exponential")), st.integers(2, 9))
def test_stretching_is_a_change_of_units_of_progress(schedule: Schedule, times: int) -> None:
    """eta depends on (t - warmup)/(horizon - warmup) alone after the warmup."""
    span = schedule.horizon - schedule.warmup
    longer = schedule.stretched(horizon=schedule.warmup + times * span)
    steps = np.arange(span + 1)
    left, right = schedule(schedule.warmup + steps), longer(schedule.warmup + times * steps)
    np.testing.assert_allclose(left, right, rtol=1e-12, atol=1e-15 * schedule.peak)


def test_stretching_below_the_warmup_is_refused() -> None:
    with pytest.raises(InputError, match="warmup 50 is longer than horizon 20"):
        parse_schedule("cosine:peak=1,horizon=100,warmup=50").stretched(horizon=20)


@given(schedules(600))
@settings(max_examples=150)
def test_breakpoints_contain_every_kink(schedule: Schedule) -> None:
    """Between two breakpoints a smooth curve agrees with its own interpolation.

    Away from the ends of an interval, second differences at spacing h and h/2 then differ by a
    factor of four; a jump of the value or slope would make them differ by one or two.
    """
    points = schedule.breakpoints
    assert points[0] == 0.0
    assert points[-1] == schedule.horizon
    assert list(points) == sorted(set(points))
    for left, right in pairwise(points):
        if right - left < 1.0:
            continue
        # From an inner point on, away from square roots at the ends.
        inner = np.linspace(left, right, 4097)[256:-256]
        bends = np.abs(np.diff(schedule(inner), 2))
        typical = np.max(bends[np.argsort(bends)[:-8]])
        assert np.max(bends) <= 1.5 * typical + 1e-12 * schedule.peak


@given(schedules())
def test_a_schedule_is_a_value(schedule: Schedule) -> None:
    twin = parse_schedule(schedule.spec)
    assert twin == schedule
    assert hash(twin) == hash(schedule)
    assert copy.deepcopy(schedule) == schedule
    assert pickle.loads(pickle.dumps(schedule)) == schedule
    assert schedule.scaled(peak=2 * schedule.peak) != schedule


def test_a_schedule_cannot_be_changed() -> None:
    schedule = parse_schedule("cosine:peak=1,horizon=100")
    with pytest.raises(dataclasses.FrozenInstanceError):
        schedule.peak = 2.0  # type: ignore[misc]


EXAMPLES = [
    "constant:peak=0.1,horizon={T},warmup=100",
    "linear:peak=0.1,horizon={T},warmup=100",
    "cosine:peak=0.1,horizon={T},warmup=100,final=0.1",
    "polynomial:peak=0.1,horizon={T},power=1.7",
    "exponential:peak=0.1,horizon={T},final=0.01",
    "power:peak=0.1,horizon={T},chi=0.7,final=0.01",
    "inverse_sqrt:peak=0.1,horizon={T},warmup=100",
    "wsd:peak=0.1,horizon={T},cooldown=0.2,decay=sqrt",
    "step:peak=0.1,horizon={T},at=500,factor=0.1",
    "table:knots=0:0.1/700:0.3/900:0.0,horizon={T}",
    "join:constant:peak=0.1,horizon=500 then cosine:peak=0.1,horizon={T}",
]


@pytest.mark.parametrize("example", EXAMPLES)
def test_scalar_and_array_calls_agree_at_every_step(example: str) -> None:
    """`math.pow` and `numpy.power` differ in the last bit at one step in twenty."""
    schedule = parse_schedule(example.format(T=3000))
    steps = np.arange(schedule.horizon + 1)
    assert [schedule(step) for step in steps.tolist()] == schedule(steps).tolist()


@pytest.mark.parametrize("example", EXAMPLES)
def test_memory_and_time_do_not_grow_with_the_horizon(example: str) -> None:
    tracemalloc.start()
    schedule = parse_schedule(example.format(T=10**14))
    assert schedule.intrinsic_time(schedule.horizon) > 0
    assert schedule(schedule.horizon // 3) >= 0
    assert len(schedule.breakpoints) < 10
    _, highest = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert highest < 2_000_000


@pytest.mark.parametrize("example", EXAMPLES)
def test_calls_are_cheap(example: str) -> None:
    """A training calls once an update: about a microsecond, tested with room for a busy machine."""
    schedule = parse_schedule(example.format(T=10**6))
    each = min(timeit.repeat(lambda: schedule(654321), number=200, repeat=20)) / 200
    assert each < 20e-6
    steps = np.arange(10**6)
    assert min(timeit.repeat(lambda: schedule(steps), number=1, repeat=2)) < 1.0


def test_importing_schedules_needs_numpy_alone() -> None:
    code = (
        "import sys, etastar.schedule as s; s.parse_schedule('cosine:peak=1,horizon=9')(3);"
        "print([m for m in ('jax', 'scipy', 'polars', 'torch', 'pandas') if m in sys.modules])"
    )
    run = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)
    assert run.stdout.strip() == "[]"


def test_keys_may_be_given_by_name() -> None:
    schedule = make_schedule("wsd", peak=0.1, horizon=1000, cooldown=0.1, decay="sqrt")
    assert schedule == parse_schedule("wsd:peak=0.1,horizon=1000,cooldown=0.1,decay=sqrt")
