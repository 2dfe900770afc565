"""Schedules from knots, in arrays and in files."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from hypothesis import given

from etastar.schedule import InputError, Schedule, parse_schedule, table
from tests.helpers.schedules import tables


@given(tables())
def test_values_are_the_linear_interpolation_of_the_knots(schedule: Schedule) -> None:
    knots = np.array(schedule.shape.knots)  # type: ignore[attr-defined]
    steps = np.linspace(0, schedule.horizon, 101)
    expected = np.interp(steps, knots[:, 0], knots[:, 1])
    np.testing.assert_allclose(schedule(steps), expected, rtol=1e-13, atol=1e-15)
    assert np.array_equal(schedule(knots[:, 0]), knots[:, 1])
    assert set(knots[:, 0]) <= set(schedule.breakpoints)


def test_peak_horizon_and_final_are_those_of_the_knots() -> None:
    schedule = table([0, 10, 99.5], [0.1, 0.4, 0.2])
    assert (schedule.peak, schedule.horizon, schedule.final) == (0.4, 100, 0.5)
    assert table([0, 10], [1.0, 0.5], horizon=50)(50) == 0.5


def test_a_warmup_rises_to_the_value_of_the_table() -> None:
    schedule = table([0, 20, 40], [0.4, 0.2, 0.1], warmup=10)
    assert [schedule(t) for t in (0, 5, 10, 20)] == pytest.approx([0.0, 0.15, 0.3, 0.2])


@pytest.mark.parametrize(
    ("steps", "lrs", "message"),
    [
        ([], [], "knots are empty"),
        ([0, 1], [1.0], "steps has 2 values and lrs 1"),
        ([[0, 1]], [[1.0, 2.0]], "steps must be a flat list"),
        (["a"], [1.0], "steps must be numbers"),
        ([0, 5, 5], [1, 1, 1], "knots must go up in step, got step 5.0 after 5.0"),
        ([0, 5, 3], [1, 1, 1], "knots must go up in step, got step 3.0 after 5.0"),
        ([-1, 5], [1, 1], "must not be negative"),
        ([0, 5], [1, -1], "must not be negative"),
        ([0, 5], [0, 0], "knots have lr 0 everywhere"),
        ([0, np.nan], [1, 1], "must be a finite number"),
        ([0, 5], [1, np.inf], "lr of the knot at step 5.0 must be a finite number"),
    ],
)
def test_bad_knots_are_refused(steps: list[float], lrs: list[float], message: str) -> None:
    with pytest.raises(InputError) as caught:
        table(steps, lrs)
    assert message in str(caught.value)


def test_knots_beyond_the_horizon_are_refused() -> None:
    with pytest.raises(InputError, match="horizon 50 is before the last of the knots"):
        table([0, 100], [1, 0], horizon=50)


def test_a_file_gives_the_same_schedule_as_its_numbers(tmp_path: Path) -> None:
    (tmp_path / "knots.csv").write_text("\ufeffloss,step , lr\n3,0,1e-3\n\n2,100,5e-4\n")
    schedule = parse_schedule("table:file=knots.csv", folder=tmp_path)
    assert schedule == table([0, 100], [1e-3, 5e-4])
    absolute = parse_schedule(f"table:file={tmp_path / 'knots.csv'},horizon=200")
    assert absolute == table([0, 100], [1e-3, 5e-4], horizon=200)


@pytest.mark.parametrize(
    ("content", "message"),
    [
        ("", "knots.csv:1: no column 'step'"),
        ("step,rate\n0,1\n", "knots.csv:1: no column 'lr'"),
        ("step,lr\n", "knots.csv: knots are empty"),
        ("step,lr\n0,1\n5\n", "knots.csv:3: the row ends before column 'lr'"),
        ("step,lr\n0,1\n5,abc\n", "knots.csv:3: lr is not a number: 'abc'"),
        ("step,lr\n0,1\n5,nan\n", "knots.csv: lr of the knot at step 5.0 must be a finite"),
        ("step,lr\n5,1\n0,1\n", "knots.csv: knots must go up in step"),
        (b"step,lr\n\xff,1\n", "knots.csv: is not text in UTF-8 (byte 8)"),
    ],
)
def test_bad_files_are_named(tmp_path: Path, content: str | bytes, message: str) -> None:
    path = tmp_path / "knots.csv"
    path.write_bytes(content if isinstance(content, bytes) else content.encode())
    with pytest.raises(InputError) as caught:
        parse_schedule("table:file=knots.csv", folder=tmp_path)
    assert message in str(caught.value)


def test_a_missing_file_is_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"none\.csv: no such file"):
        parse_schedule("table:file=none.csv", folder=tmp_path)


def test_a_long_table_is_quick() -> None:
    steps = np.arange(0, 10**6, 10)
    schedule = table(steps, 1.0 + np.cos(steps / 1e5))
    assert schedule(np.arange(10**6)).shape == (10**6,)
    assert schedule.intrinsic_time(10**6 - 10) == pytest.approx(
        float(np.sum(schedule(np.arange(10**6 - 10)))), rel=1e-12
    )
