"""Each shape has the values of its formula, and keeps within its bounds."""

from __future__ import annotations

import math
import re
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etastar.schedule import InputError, Schedule, make_schedule, parse_schedule
from etastar.schedule._shapes import SHAPES
from tests.helpers.schedules import falling, named

PEAK, HORIZON, WARMUP, FINAL = 0.3, 1000, 40, 0.07


def formula(name: str, step: int, **keys: float | str) -> float:
    """The formulas of the documentation, written with `math` and without any shared code."""
    if step < WARMUP:
        return PEAK * step / WARMUP
    x = (step - WARMUP) / (HORIZON - WARMUP)
    if name == "constant":
        return PEAK
    if name == "linear":
        return PEAK * (FINAL + (1 - FINAL) * (1 - x))
    if name == "cosine":
        return PEAK * (FINAL + (1 - FINAL) * (1 + math.cos(math.pi * x)) / 2)
    if name == "polynomial":
        return PEAK * (FINAL + (1 - FINAL) * (1 - x) ** float(keys["power"]))
    if name == "exponential":
        return PEAK * FINAL**x
    if name in ("power", "inverse_sqrt"):
        chi = float(keys.get("chi", 0.5))
        return PEAK * max((step / WARMUP) ** -chi, FINAL)
    if name == "step":
        return PEAK * (float(keys["factor"]) if step >= float(keys["at"]) else 1.0)
    cooldown = float(keys["cooldown"])
    length = cooldown * HORIZON if cooldown < 1 else cooldown
    y = (step - (HORIZON - length)) / length
    if y < 0:
        return PEAK
    fall = {
        "linear": FINAL + (1 - FINAL) * (1 - y),
        "sqrt": FINAL + (1 - FINAL) * (1 - math.sqrt(y)),
        "cosine": FINAL + (1 - FINAL) * (1 + math.cos(math.pi * y)) / 2,
        "exponential": FINAL**y,
    }
    return PEAK * fall[str(keys["decay"])]


CASES = [
    ("constant", {}),
    ("linear", {}),
    ("cosine", {}),
    ("polynomial", {"power": 1.7}),
    ("polynomial", {"power": 2.0}),
    ("exponential", {}),
    ("power", {"chi": 0.8}),
    ("power", {"chi": 0.0}),
    ("inverse_sqrt", {}),
    ("step", {"at": 500, "factor": 0.25}),
    *(("wsd", {"cooldown": c, "decay": d}) for c in (0.2, 333) for d in ("linear", "sqrt")),
    *(("wsd", {"cooldown": c, "decay": d}) for c in (0.2, 333) for d in ("cosine", "exponential")),
]


def test_every_shape_is_tested_and_described() -> None:
    """Here, in the integrations, in the guide, in the reference, and where specs are read."""
    assert {name for name, _ in CASES} == set(SHAPES) - {"table"}
    specs = Path("tests/integrations/specs.txt").read_text(encoding="utf-8").splitlines()
    assert {spec.split(":")[0] for spec in specs} >= set(SHAPES)
    guide = Path("docs/schedules.md").read_text(encoding="utf-8")
    table = guide.split("\n## Shapes\n")[1].split("\n\n")[1]
    assert set(re.findall(r"^\| `(\w+)` \|", table, flags=re.M)) == set(SHAPES)
    reference = Path("docs/reference.md").read_text(encoding="utf-8")
    named = set(re.findall(r"^::: etastar\.schedule\.(\w+)$", reference, flags=re.M))
    assert named >= {shape.__name__ for shape in SHAPES.values()}
    assert set(re.findall(r"`(\w+)`", parse_schedule.__doc__ or "")) >= set(SHAPES)


@pytest.mark.parametrize(("name", "keys"), CASES)
def test_values_are_those_of_the_formula(name: str, keys: dict[str, float | str]) -> None:
    final = {} if name in ("constant", "step") else {"final": FINAL}
    schedule = make_schedule(name, peak=PEAK, horizon=HORIZON, warmup=WARMUP, **final, **keys)
    expected = [formula(name, step, **keys) for step in range(HORIZON + 1)]
    np.testing.assert_allclose(schedule(np.arange(HORIZON + 1)), expected, rtol=1e-13, atol=1e-16)


def test_power_without_warmup_counts_steps_from_one() -> None:
    schedule = parse_schedule("power:peak=2,horizon=100,chi=1")
    assert [schedule(t) for t in (0, 1, 3, 100)] == [2.0, 1.0, 0.5, 2.0 / 101.0]


@pytest.mark.parametrize("length", range(1, 60))
def test_a_cooldown_fraction_starts_on_the_whole_step_it_names(length: int) -> None:
    """0.9 * 35000 is not whole in binary; the cooldown starts on the whole step all the same."""
    horizon = 500 * length
    for tenth in range(1, 10):
        schedule = make_schedule("wsd", peak=1.0, horizon=horizon, cooldown=tenth / 10)
        assert schedule.breakpoints == (0.0, horizon - 50.0 * tenth * length, horizon)


@given(falling(10**14), st.lists(st.floats(0.0, 1.2), min_size=1, max_size=20))
def test_falling_shapes_stay_between_final_and_peak(schedule: Schedule, x: list[float]) -> None:
    """Exactly, not up to rounding, at every step from the end of the warmup on."""
    span = schedule.horizon - schedule.warmup
    steps = schedule.warmup + np.floor(np.array(x) * span)
    values = schedule(steps)
    # The geometric decay ends at the last bit of final * peak only up to rounding of the power.
    slack = 1 - 1e-15 if "exponential" in schedule.spec else 1.0
    assert np.all(values >= schedule.final * schedule.peak * slack)
    assert np.all(values <= schedule.peak)


@given(falling())
def test_falling_shapes_never_rise_after_the_warmup(schedule: Schedule) -> None:
    values = schedule(np.arange(schedule.warmup, schedule.horizon + 2))
    assert np.all(np.diff(values) <= 4e-16 * schedule.peak)


@given(named(("constant", "linear", "cosine", "polynomial", "power", "inverse_sqrt", "wsd")))
def test_the_warmup_is_linear_and_reaches_the_peak(schedule: Schedule) -> None:
    steps = np.arange(schedule.warmup)
    expected = schedule.peak * steps / max(schedule.warmup, 1)
    assert np.array_equal(schedule(steps), expected)
    assert schedule(schedule.warmup) == pytest.approx(schedule.peak, rel=1e-15)


@given(named(("linear", "cosine", "polynomial", "exponential", "wsd")))
def test_the_end_value_is_final_times_peak_and_is_held(schedule: Schedule) -> None:
    end = schedule.peak * schedule.final
    assert schedule(schedule.horizon) == pytest.approx(end, rel=1e-15)
    assert schedule(10 * schedule.horizon) == schedule(schedule.horizon)


GOOD = "peak=0.1,horizon=100"
BAD_KEYS = [
    ("cosine:peak=0,horizon=100", "peak must be a learning rate above 0"),
    ("cosine:peak=-1,horizon=100", "peak must be a learning rate above 0"),
    ("cosine:peak=1e101,horizon=100", "peak must be a learning rate below 1e100"),
    ("cosine:peak=nan,horizon=100", "peak must be a finite number"),
    ("cosine:peak=1e400,horizon=100", "peak must be a finite number"),
    ("cosine:peak=big,horizon=100", "peak must be a number"),
    ("cosine:horizon=100", "cosine needs peak"),
    ("cosine:peak=0.1", "cosine needs horizon"),
    ("cosine:peak=0.1,horizon=0", "horizon must be at least 1 step"),
    ("cosine:peak=0.1,horizon=-5", "horizon must not be negative"),
    ("cosine:peak=0.1,horizon=10.5", "horizon must be a whole number"),
    ("cosine:peak=0.1,horizon=nan", "horizon must be a finite number"),
    ("cosine:peak=0.1,horizon=1e15", "horizon must be below 1e15"),
    (f"cosine:{GOOD},warmup=101", "warmup 101 is longer than horizon 100"),
    (f"cosine:{GOOD},warmup=-1", "warmup must not be negative"),
    (f"cosine:{GOOD},warmup=0.1", "warmup must be a whole number"),
    (f"cosine:{GOOD},final=1.5", "final must be from 0 to 1"),
    (f"cosine:{GOOD},final=-0.1", "final must be from 0 to 1"),
    (f"cosine:{GOOD},final=nan", "final must be a finite number"),
    (f"constant:{GOOD},final=0.5", "leave final out"),
    (f"exponential:{GOOD}", "final must be above 0"),
    (f"wsd:{GOOD},cooldown=0.2,decay=exponential", "final must be above 0"),
    (f"polynomial:{GOOD}", "polynomial needs power"),
    (f"polynomial:{GOOD},power=-1", "power must be from 0"),
    (f"polynomial:{GOOD},power=0", "power must be above 0"),
    (f"polynomial:{GOOD},power=inf", "power must be a finite number"),
    (f"power:{GOOD},chi=-1", "chi must be from 0"),
    (f"wsd:{GOOD}", "wsd needs cooldown"),
    (f"wsd:{GOOD},cooldown=0", "cooldown must be a fraction"),
    (f"wsd:{GOOD},cooldown=-0.2", "cooldown must be a fraction"),
    (f"wsd:{GOOD},cooldown=1.5", "cooldown must be a fraction"),
    (f"wsd:{GOOD},cooldown=101", "cooldown 101 is longer"),
    (f"wsd:{GOOD},cooldown=0.9,warmup=20", "cooldown 0.9 is longer than the 80 steps"),
    (f"wsd:{GOOD},cooldown=0.2,decay=sqr", "did you mean 'sqrt'?"),
    (f"step:{GOOD},at=101,factor=0.1", "at must lie between"),
    (f"step:{GOOD},at=-1,factor=0.1", "at must not be negative"),
    (f"step:{GOOD},at=5,warmup=10,factor=0.1", "at must lie between"),
    (f"step:{GOOD},at=50,factor=-0.1", "factor must be from 0 to 1"),
    (f"step:{GOOD},at=50", "step needs factor"),
]


@pytest.mark.parametrize(("spec", "message"), BAD_KEYS)
def test_bad_keys_are_refused_in_one_line_that_names_them(spec: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        parse_schedule(spec)
    assert message in str(caught.value)
    assert spec in str(caught.value)
    assert "\n" not in str(caught.value)
    assert caught.value.__suppress_context__
