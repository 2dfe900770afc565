"""A schedule's segments are all of it: what each says is the schedule, step by step."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given

import etastar.schedule
from etastar.schedule import Curve, Flat, Knots, Ramp, Schedule, Segment, join, parse_schedule
from tests.helpers.schedules import schedules


def in_force(schedule: Schedule, step: float) -> Segment:
    return next(segment for segment in reversed(schedule.segments) if segment.start <= step)


@given(schedules())
def test_the_curve_in_force_gives_the_rate_of_every_step(schedule: Schedule) -> None:
    steps = np.unique(np.linspace(0, schedule.horizon, 60).round())
    for step in steps.tolist():
        segment = in_force(schedule, step)
        assert segment.curve.value(step - segment.origin) == schedule(step)


@given(schedules())
def test_segments_are_in_order_and_begin_at_step_0(schedule: Schedule) -> None:
    starts = [segment.start for segment in schedule.segments]
    assert starts[0] == 0.0
    assert starts == sorted(starts)
    assert set(starts) <= {*schedule.breakpoints, schedule.horizon}


@given(schedules())
def test_the_sums_of_the_segments_add_up_to_the_intrinsic_time(schedule: Schedule) -> None:
    firsts = [np.ceil(segment.start) for segment in schedule.segments] + [schedule.horizon]
    total = sum(
        float(segment.curve.total(first - segment.origin, np.asarray(until - first)))
        for segment, first, until in zip(schedule.segments, firsts, firsts[1:], strict=False)
        if until > first
    )
    assert total == pytest.approx(schedule.intrinsic_time(schedule.horizon), rel=1e-12)


def test_a_joined_piece_keeps_its_own_curves_and_moves_their_origin() -> None:
    piece = parse_schedule("table:knots=0:0.1/50:0.2")
    whole = join([(parse_schedule("constant:peak=0.1,horizon=30,warmup=9"), 30), (piece, 80)])
    assert [(s.start, s.origin, type(s.curve)) for s in whole.segments] == [
        (0.0, 0.0, Ramp),
        (9.0, 0.0, Flat),
        (30.0, 30.0, Knots),
    ]
    assert whole.segments[-1].curve == piece.segments[-1].curve


def test_every_kind_of_curve_is_public() -> None:
    def kinds(kind: type) -> set[type]:
        return {kind}.union(*map(kinds, kind.__subclasses__()))

    for kind in kinds(Curve):
        assert getattr(etastar.schedule, kind.__name__) is kind
        assert kind.__name__ in etastar.schedule.__all__
