"""Joined schedules are their pieces, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

from etastar.schedule import InputError, Schedule, join, parse_schedule
from tests.helpers.schedules import joined, schedules

LINE = parse_schedule("linear:peak=0.1,horizon=100,warmup=10")
FLAT = parse_schedule("constant:peak=0.3,horizon=50")


@given(joined())
def test_a_join_is_its_pieces_to_the_last_bit(schedule: Schedule) -> None:
    start, last = 0, np.nan
    for piece, until in schedule.shape.pieces:  # type: ignore[attr-defined]
        steps = np.arange(start, until)
        assert np.array_equal(schedule(steps), piece(steps - start))
        last, start = piece(until - start), until
    assert schedule.horizon == start
    assert schedule(start) == last


@given(joined(), schedules())
def test_joining_a_join_is_joining_its_pieces(first: Schedule, second: Schedule) -> None:
    for cut in {first.horizon, (first.horizon + 1) // 2}:
        whole = join([(first, cut), (second, cut + second.horizon)])
        before, after = np.arange(cut), np.arange(second.horizon + 1)
        assert np.array_equal(whole(before), first(before))
        assert np.array_equal(whole(cut + after), second(after))


def test_peak_horizon_warmup_and_final_of_a_join() -> None:
    whole = join([(LINE, 100), (FLAT, 150)])
    assert (whole.peak, whole.horizon, whole.warmup, whole.final) == (0.3, 150, 10, 1.0)
    assert whole.breakpoints == (0.0, 10.0, 100.0, 150.0)


def test_a_curve_that_starts_just_after_a_step_is_not_rounded_onto_it() -> None:
    """Far out a cooldown's fractional start is no longer a double; sqrt would see a negative y."""
    late = 10**9
    piece = parse_schedule(f"wsd:peak=0.1,horizon=1000,cooldown={0.5 - 1e-14},decay=sqrt")
    assert 500.0 < piece.breakpoints[1] < 500.0 + 1e-9
    whole = join(
        [(parse_schedule(f"constant:peak=0.1,horizon={late}"), late), (piece, late + 1000)]
    )
    assert [whole(late + t) for t in (499, 500, 501)] == [piece(t) for t in (499, 500, 501)]


def test_a_piece_is_cut_short_or_held_as_asked() -> None:
    whole = join([(LINE, 55), (FLAT, 200)])
    assert whole(54) == LINE(54)
    assert whole(55) == whole(199) == whole(200) == 0.3


def test_a_warmup_cut_short_by_the_next_piece_counts_as_far_as_it_goes() -> None:
    whole = join([(LINE, 5), (FLAT, 55)])
    assert whole.warmup == 5
    assert whole.stretched(horizon=550).warmup == 10


def test_a_join_stretches_piece_by_piece() -> None:
    whole = join([(LINE, 100), (FLAT, 150)]).stretched(horizon=300)
    assert whole == join([(LINE.stretched(horizon=200), 200), (FLAT.stretched(horizon=100), 300)])


def test_a_spec_may_leave_until_to_the_horizons() -> None:
    spec = "join:linear:peak=0.1,horizon=100,warmup=10 then constant:peak=0.3,horizon=50"
    assert parse_schedule(spec) == join([(LINE, 100), (FLAT, 150)])


@pytest.mark.parametrize(
    ("pieces", "message"),
    [
        ([], "join got no pieces"),
        ([(LINE, 0)], "until must be at least 1"),
        ([(LINE, 10.5)], "until must be a whole number"),
        ([(LINE, float("nan"))], "until must be a finite number"),
        ([(LINE, 100), (FLAT, 100)], "until must increase from piece to piece, got 100 after 100"),
        ([LINE], "join takes pairs"),
        ([("linear", 3)], "join takes pairs"),
        ([(join([(LINE, 10)]), 100)], "joined piece ends after 10 steps"),
    ],
)
def test_bad_joins_are_refused(pieces: list, message: str) -> None:
    with pytest.raises(InputError) as caught:
        join(pieces)
    assert message in str(caught.value)


def test_a_join_too_short_for_its_pieces_is_refused() -> None:
    with pytest.raises(InputError, match="horizon 1 leaves no step"):
        join([(FLAT, 50), (FLAT, 100)]).stretched(horizon=1)


def test_rounding_does_not_put_a_step_into_a_curve_that_starts_just_after_it():
    # The piece drops just after its step 5; a million steps later that start has no float of its
    # own above 1,000,005.
    long = parse_schedule("constant:peak=1,horizon=1000000")
    drop = parse_schedule("step:peak=1,horizon=10,at=5.00000000001,factor=0.25")
    whole = join([(long, 1_000_000), (drop, 1_000_010)])
    steps = np.arange(11)
    np.testing.assert_array_equal(whole(1_000_000 + steps), drop(steps))
    assert whole(1_000_005) == 1.0
    assert whole(1_000_006) == 0.25
