"""A schedule that equals a standard one at every update is exported as that, however it is made."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from etastar.export import TARGETS, export_schedule
from etastar.schedule import Schedule, join, parse_schedule, table

from .frameworks import READ

T, W = 200, 20
STANDARD = [
    f"constant:peak=0.3,horizon={T}",
    f"constant:peak=0.3,horizon={T},warmup={W}",
    f"constant:peak=0.3,horizon={T},warmup={T}",
    f"linear:peak=0.3,horizon={T},warmup={W}",
    f"linear:peak=0.123456789012345,horizon={T},final=0.1",
    f"cosine:peak=3e-05,horizon={T},warmup=1",
    f"cosine:peak=0.3,horizon={T},warmup={W},final=0.1",
    f"polynomial:peak=0.3,horizon={T},warmup={W},power=2,final=0.1",
    f"polynomial:peak=0.3,horizon={T},power=1.7",
    f"inverse_sqrt:peak=0.3,horizon={T},warmup={W}",
    f"wsd:peak=0.3,horizon={T},warmup={W},cooldown=0.3",
    f"wsd:peak=0.3,horizon={T},cooldown=1,final=0.5",
    f"wsd:peak=0.3,horizon={T},warmup={W},cooldown=0.2525",
    f"wsd:peak=0.3,horizon={T},warmup={W},cooldown=61,decay=sqrt",
    f"wsd:peak=0.3,horizon={T},cooldown=61,decay=cosine,final=0.1",
    f"wsd:peak=0.3,horizon={T},warmup={W},cooldown={T - W},decay=sqrt,final=1e-3",
]


def as_table(schedule: Schedule) -> Schedule:
    steps = np.arange(schedule.horizon + 1)
    return table(steps, schedule(steps))


def as_table_with_another_end(schedule: Schedule) -> Schedule:
    """The rate at the horizon is no update's."""
    steps = np.arange(schedule.horizon)
    return table(steps, schedule(steps), horizon=schedule.horizon)


def as_join(schedule: Schedule) -> Schedule:
    return join([(schedule, schedule.horizon)])


def as_knots(schedule: Schedule) -> Schedule:
    """Only where lines between breakpoints are all of it."""
    points = list(schedule.breakpoints)
    return table(points, schedule(points))


def assert_exported_as(spec: str, disguised: Schedule) -> None:
    wanted = parse_schedule(spec)
    takers = [name for name in READ if TARGETS[name].takes(wanted)]
    assert takers
    for to in takers:
        result = export_schedule(disguised, to)
        assert (result.exact, result.regret) == (True, None), (to, result.notes)
        steps = np.arange(wanted.horizon)
        np.testing.assert_allclose(result.schedule(steps), wanted(steps), rtol=0, atol=1e-9)
        # What the framework itself reads: rounding of a cooldown and warmups are notes.
        assert READ[to](result.text) == pytest.approx(READ[to](export_schedule(wanted, to).text))


@pytest.mark.parametrize("spec", STANDARD)
@pytest.mark.parametrize("disguise", [as_table, as_table_with_another_end, as_join])
def test_every_standard_schedule_is_recognised(spec: str, disguise) -> None:
    if disguise is as_table_with_another_end and f"={T},warmup={T}" in spec:
        pytest.skip("without the rate at the horizon it is a warmup of one update less")
    assert_exported_as(spec, disguise(parse_schedule(spec)))


def test_pieces_and_knots_that_make_a_standard_schedule() -> None:
    wsd = f"wsd:peak=0.3,horizon={T},warmup={W},cooldown=50"
    for disguised in (
        as_knots(parse_schedule(wsd)),
        parse_schedule(
            f"join:constant:peak=0.3,horizon=150,warmup={W} then linear:peak=0.3,horizon=50"
        ),
        parse_schedule(
            f"join:table:knots=0:0/{W}:0.3 then constant:peak=0.3,horizon=90 then "
            "constant:peak=0.3,horizon=40 then linear:peak=0.3,horizon=50"
        ),
    ):
        assert_exported_as(wsd, disguised)
        assert export_schedule(disguised, "megatron").schedule == parse_schedule(wsd)
    assert_exported_as(
        f"inverse_sqrt:peak=0.3,horizon={T},warmup={W}",
        parse_schedule(f"power:peak=0.3,horizon={T},warmup={W},chi=0.5"),
    )
    assert_exported_as(
        f"constant:peak=0.3,horizon={T}",
        parse_schedule(f"step:peak=0.3,horizon={T},at=90,factor=1"),
    )


def test_horizons_too_long_to_look_at_every_update() -> None:
    long = 10**12
    wsd = f"wsd:peak=0.3,horizon={long},warmup=2000,cooldown={2 * 10**11}"
    joined = (
        f"join:constant:peak=0.3,horizon={8 * 10**11},warmup=2000 then "
        f"linear:peak=0.3,horizon={2 * 10**11}"
    )
    result = export_schedule(parse_schedule(joined), "megatron")
    assert (result.exact, result.schedule) == (True, parse_schedule(wsd))


def test_one_update_that_differs_is_another_schedule() -> None:
    steps = np.arange(T + 1)
    for spec in STANDARD[:4]:
        for at in (0, 5, 77, T - 1):
            rates = parse_schedule(spec)(steps)
            rates[at] += 1e-6 * rates.max()
            result = export_schedule(table(steps, rates), "megatron")
            differ = np.abs(result.schedule(steps[:-1]) - rates[:-1]) > 1e-9
            assert result.exact == (not differ.any())
            assert not result.exact


@settings(max_examples=40, deadline=None)
@given(
    name=st.sampled_from(["linear", "cosine", "sqrt"]),
    horizon=st.integers(3, 3000),
    data=st.data(),
)
def test_any_wsd_is_recognised_from_its_rates(name: str, horizon: int, data) -> None:
    warmup = data.draw(st.integers(0, horizon - 2))
    cooldown = data.draw(st.integers(2, horizon - warmup))
    peak = data.draw(st.floats(1e-6, 10))
    final = data.draw(st.sampled_from([0.0, 0.1, 1 / 3]))
    spec = f"wsd:peak={peak!r},horizon={horizon},warmup={warmup},cooldown={cooldown},decay={name}"
    wanted = parse_schedule(f"{spec},final={final!r}")
    result = export_schedule(as_table(wanted), "megatron")
    assert result.exact
    steps = np.arange(horizon)
    np.testing.assert_allclose(result.schedule(steps), wanted(steps), rtol=0, atol=1e-9 * peak)
