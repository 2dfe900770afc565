"""Schedules given in tokens, samples or epochs are those given in updates."""

from __future__ import annotations

import pytest

from etastar.schedule import InputError, Unit, make_schedule, parse_schedule, table

EQUAL = [
    ("cosine:peak=1,horizon=20B,warmup=1B,unit=tokens,batch_size=0.5M",
     "cosine:peak=1,horizon=40000,warmup=2000"),
    ("cosine:peak=1,horizon=20B,unit=tokens,batch_size=512,sequence_length=1k",
     "cosine:peak=1,horizon=39062"),
    ("wsd:peak=1,horizon=6400,cooldown=640,unit=samples,batch_size=64,sequence_length=99",
     "wsd:peak=1,horizon=100,cooldown=10"),
    ("wsd:peak=1,horizon=6.4k,cooldown=0.2,unit=samples,batch_size=64",
     "wsd:peak=1,horizon=100,cooldown=0.2"),
    ("step:peak=1,horizon=3,at=1.5,factor=0.1,unit=epochs,batch_size=100,epoch_size=50k",
     "step:peak=1,horizon=1500,at=750,factor=0.1"),
    ("table:knots=0:1/10k:0.5,unit=samples,batch_size=100", "table:knots=0:1/100:0.5"),
    ("join:constant:peak=1,horizon=9k,until=5k,unit=tokens,batch_size=10 then linear:peak=1,"
     "horizon=500", "join:constant:peak=1,horizon=900,until=500 then linear:peak=1,horizon=500"),
    ("linear:peak=1,horizon=16k,warmup=1.5e3", "linear:peak=1,horizon=16000,warmup=1500"),
]  # fmt: skip


@pytest.mark.parametrize(("spec", "updates"), EQUAL)
def test_a_spec_in_another_unit_is_the_same_schedule(spec: str, updates: str) -> None:
    assert parse_schedule(spec) == parse_schedule(updates)


def test_arguments_stand_in_for_keys() -> None:
    wanted = parse_schedule("linear:peak=1,horizon=100")
    assert parse_schedule("linear:peak=1,horizon=6400", unit="samples", batch_size=64) == wanted
    assert parse_schedule("linear:peak=1", horizon=6400, unit="samples", batch_size=64) == wanted
    assert parse_schedule("linear:peak=1,horizon=6400,batch_size=64", unit="samples") == wanted
    assert make_schedule("linear", peak=1, horizon=6400, unit="tokens", batch_size=64) == wanted
    knots = make_schedule("table", knots=((0, 1.0), (640, 0.5)), unit="tokens", batch_size=64)
    assert knots == table([0, 10], [1.0, 0.5])


@pytest.mark.parametrize(
    ("spec", "message"),
    [
        ("linear:peak=1,horizon=2k,unit=tokens", "batch_size is missing: unit tokens"),
        ("linear:peak=1,horizon=2,unit=epochs,batch_size=8", "epoch_size is missing"),
        ("linear:peak=1,horizon=2k,batch_size=8", "says nothing without a unit"),
        ("linear:peak=1,horizon=2k,unit=words,batch_size=8", "unit must be one of"),
        ("linear:peak=1,horizon=2k,unit=tokens,batch_size=0", "batch_size must be above 0"),
        ("linear:peak=1,horizon=2k,unit=tokens,batch_size=8k", "horizon must be at least 1 step"),
        ("linear:peak=1,horizon=2G", "horizon must be a number, got '2G'"),
    ],
)
def test_a_wrong_unit_is_refused(spec: str, message: str) -> None:
    with pytest.raises(InputError, match=message):
        parse_schedule(spec)
    with pytest.raises(TypeError, match="hroizon"):
        parse_schedule("linear:peak=1", hroizon=5)


def test_whole_updates_fit_in_a_horizon_despite_rounding() -> None:
    # 0.3 / 0.1 is 2.9999999999999996 in binary.
    assert Unit("epochs", 1, 10).whole("horizon", 0.3) == 3
    assert Unit("tokens", 3).whole("horizon", 11) == 3
    assert Unit("tokens", 3).whole("warmup", 11, within=False) == 4
