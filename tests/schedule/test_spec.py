"""Spec strings come back exactly, and bad ones say what is wrong."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from etastar.schedule import InputError, Schedule, make_schedule, parse_schedule
from tests.helpers.schedules import schedules


@given(schedules(10**12))
def test_specs_come_back_to_the_last_bit(schedule: Schedule) -> None:
    again = parse_schedule(schedule.spec)
    assert again == schedule
    assert again.spec == schedule.spec


@given(st.floats(1e-300, 1e100), st.floats(0.0, 1.0))
def test_any_float_survives_a_spec(peak: float, final: float) -> None:
    schedule = parse_schedule(make_schedule("cosine", peak=peak, horizon=9, final=final).spec)
    assert (schedule.peak, schedule.final) == (peak, final)


def test_blanks_order_and_number_formats_do_not_matter() -> None:
    spec = " cosine : final = 0.1, horizon=1e3 ,peak=3e-4 "
    assert parse_schedule(spec) == parse_schedule("cosine:peak=0.0003,horizon=1000,final=1e-1")


def test_given_horizon_and_peak_stand_in_only_for_missing_keys() -> None:
    assert parse_schedule("linear", horizon=10, peak=0.1).spec == "linear:peak=0.1,horizon=10"
    spec = "linear:peak=0.2,horizon=20"
    assert parse_schedule(spec, horizon=10, peak=0.1).spec == spec
    table = parse_schedule("table:knots=0:0.3/5:0.1", horizon=10, peak=0.1)
    assert (table.peak, table.horizon) == (0.3, 10)


def test_a_table_given_a_peak_is_scaled_to_it() -> None:
    schedule = parse_schedule("table:knots=0:0.3/10:0.15,peak=0.6")
    assert [schedule(t) for t in (0, 10)] == [0.6, 0.3]


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("cosin:peak=1,horizon=9", "unknown schedule 'cosin': did you mean 'cosine'?"),
        ("Cosine:peak=1,horizon=9", "did you mean 'cosine'?"),
        ("", "unknown schedule '': known: constant, linear"),
        (":", "unknown schedule ''"),
        ("cosine:peak=1,horizn=9", "unknown key 'horizn' for cosine: did you mean 'horizon'?"),
        ("cosine:peak=1,horizon=9,at=3", "unknown key 'at' for cosine: "),
        ("cosine:peak=1,horizon=9,peak=2", "key 'peak' is given twice"),
        ("cosine:peak", "cannot read 'peak': write key=value"),
        ("cosine:peak=,horizon=9", "cannot read 'peak='"),
        ("cosine:peak=1,,horizon=9", "cannot read ''"),
        ("cosine peak=1", "unknown schedule 'cosine peak=1'"),
        ("cosine:peak=__import__('os'),horizon=9", "peak must be a number"),
        ("table:knots=", "cannot read 'knots='"),
        ("table:knots=1", "knots must be pairs"),
        ("table:knots=1:2:3", "knots must be pairs"),
        ("table:knots=a:1", "step of a knot must be a number, got 'a'"),
        ("table:knots=0:nan", "must be a finite number"),
        ("table:horizon=9", "table needs knots"),
        ("join:", "unknown schedule ''"),
        ("join:linear:peak=1,horizon=9,until=x", "until must be a number"),
        ("join:linear:peak=1,horizon=9 then lin:peak=1", "did you mean 'linear'?"),
    ],
)
def test_bad_specs_say_what_is_wrong(spec: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_schedule(spec)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("spec", [None, 3, b"cosine", ["cosine"]])
def test_specs_must_be_text(spec: object) -> None:
    with pytest.raises(InputError, match="must be text"):
        parse_schedule(spec)  # type: ignore[arg-type]


@given(st.text(max_size=60) | st.text("cosinewdtablejp:=,/.0123456789 ", max_size=60))
def test_any_text_is_a_schedule_or_an_input_error(text: str) -> None:
    message = None
    try:
        schedule = parse_schedule(text)
    except InputError as error:
        message = str(error)
    else:
        assert parse_schedule(schedule.spec) == schedule
    assert message is None or len(message.splitlines()) == 1
