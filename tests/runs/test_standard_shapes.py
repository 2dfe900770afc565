"""Which standard schedule logged LRs are of: found, or said to be a guess."""

from __future__ import annotations

import json

import numpy as np
import pytest

from etastar.runs import read_runs
from etastar.runs._standard_shapes import Digits, Recognised, digits_of, recognised
from etastar.schedule import Schedule, parse_schedule

EVERY, HORIZON = 10, 230
WHOLE = f"horizon={HORIZON}"
STANDARD = [
    f"linear:peak=5e-5,{WHOLE},warmup=23",
    f"linear:peak=1e-3,{WHOLE},warmup=40,final=0.1",
    f"cosine:peak=3e-4,{WHOLE}",
    f"cosine:peak=3e-4,{WHOLE},warmup=23",
    f"cosine:peak=3e-4,{WHOLE},warmup=7,final=0.1",
    f"wsd:peak=1e-3,{WHOLE},warmup=23,cooldown=46",
    f"wsd:peak=1e-3,{WHOLE},warmup=23,cooldown=46,decay=cosine,final=0.05",
    f"wsd:peak=1e-3,{WHOLE},warmup=23,cooldown=46,decay=sqrt",
    f"inverse_sqrt:peak=1e-3,{WHOLE},warmup=23",
    f"constant:peak=1e-3,{WHOLE},warmup=23",
]


def logged(schedule: Schedule, last: int = HORIZON, shift: int = 0) -> tuple[np.ndarray, ...]:
    """Steps and LRs as a trainer logs them: every tenth step, the first at ten."""
    step = np.arange(EVERY, last + 1, EVERY, dtype=np.float64)
    return step, schedule(np.clip(step + shift, 0, schedule.horizon))


def known(schedule: Schedule, style: str = "{!r}", **keys: int) -> Recognised:
    """What is found where something must be."""
    result = found(schedule, style, **keys)
    assert result is not None
    return result


def found(schedule: Schedule, style: str = "{!r}", **keys: int) -> Recognised | None:
    step, rate = logged(schedule, **keys)
    cells = [style.format(float(value)) for value in rate]
    return recognised(step, np.array(cells, dtype=np.float64), digits_of(cells), HORIZON)


def trainer_state(schedule: Schedule, last: int, max_steps: int) -> str:
    step, rate = logged(schedule, last)
    history = [
        {"step": int(s), "loss": 3 - s / 500, "learning_rate": float(r)}
        for s, r in zip(step, rate, strict=True)
    ]
    return json.dumps({"max_steps": max_steps, "log_history": history})


@pytest.mark.parametrize("shift", [0, -1, 1])
@pytest.mark.parametrize("spec", STANDARD)
def test_a_standard_schedule_is_found_at_every_step(spec, shift):
    schedule = parse_schedule(spec)
    result = known(schedule, shift=shift)
    # Without a fall to its end, nothing tells a log a step early from a warmup a step ahead.
    open_start = shift == 1 and schedule.shape.name in ("constant", "inverse_sqrt")
    assert result.start_known is not open_start
    assert result.end_known
    everywhere = np.arange(HORIZON + 1)
    np.testing.assert_allclose(
        result.schedule(everywhere), schedule(everywhere), atol=1e-6 * schedule.peak
    )


@pytest.mark.parametrize("style", ["{:.6e}", "{:.3e}", "{:.2e}", "{:.7f}"])
@pytest.mark.parametrize("spec", STANDARD)
def test_rounded_rates_give_the_ends_or_leave_them_open(spec, style):
    schedule = parse_schedule(spec)
    result = found(schedule, style)
    if result is None:
        return
    if result.start_known:
        assert abs(result.schedule(0) - schedule(0)) <= 0.01 * schedule.peak
    if result.end_known:
        assert abs(result.schedule(HORIZON) - schedule(HORIZON)) <= 0.01 * schedule.peak


def test_most_schedules_with_four_digits_are_found():
    ends = [found(parse_schedule(spec), "{:.3e}") for spec in STANDARD]
    assert sum(each is not None and each.end_known for each in ends) >= 8


@pytest.mark.parametrize(
    "spec",
    [
        f"polynomial:peak=1e-3,{WHOLE},power=1.05",
        f"polynomial:peak=1e-3,{WHOLE},power=2,warmup=23",
        f"exponential:peak=1e-3,{WHOLE},final=0.1",
        f"power:peak=1e-3,{WHOLE},warmup=23,chi=0.45",
        f"step:peak=1e-3,{WHOLE},at=100,factor=0.1",
        "cosine:peak=1e-3,horizon=260",
    ],
)
@pytest.mark.parametrize("style", ["{!r}", "{:.4e}"])
def test_a_curve_that_only_looks_like_a_standard_one_is_not_taken_for_it(spec, style):
    assert found(parse_schedule(spec), style) is None


def test_a_bent_rate_is_no_standard_schedule():
    step, rate = logged(parse_schedule(STANDARD[0]))
    rate[12] *= 1 + 1e-4
    assert recognised(step, rate, digits_of([repr(float(r)) for r in rate]), HORIZON) is None


@pytest.mark.parametrize("warmup", [0, 5, 9])
@pytest.mark.parametrize("spec", ["linear:peak=1e-3", "wsd:peak=1e-3,cooldown=46"])
def test_a_warmup_before_the_first_row_is_open_where_the_shape_does_not_tell(spec, warmup):
    result = known(parse_schedule(f"{spec},{WHOLE},warmup={warmup}"))
    assert not result.start_known
    assert result.end_known


def test_the_stable_part_of_wsd_does_not_tell_its_end():
    schedule = parse_schedule(f"wsd:peak=1e-3,{WHOLE},warmup=23,cooldown=46")
    assert not known(schedule, last=150).end_known
    # Two rounded rows of the cooldown lie on a line, on a cosine and on many other curves.
    result = found(schedule, "{:.2e}", last=200)
    assert result is None or not result.end_known


@pytest.mark.parametrize(
    "spec", [*STANDARD[:5], STANDARD[8], f"cosine:peak=1e-3,{WHOLE},final=0.3"]
)
def test_a_run_that_was_stopped_has_the_rest_of_its_schedule(tmp_path, spec):
    schedule = parse_schedule(spec)
    (tmp_path / "trainer_state.json").write_text(trainer_state(schedule, 120, HORIZON))
    (run,) = read_runs(tmp_path)
    assert run.schedule.horizon == HORIZON
    everywhere = np.arange(HORIZON + 1)
    np.testing.assert_allclose(
        run.schedule(everywhere), schedule(everywhere), atol=1e-5 * schedule.peak
    )


@pytest.mark.parametrize("horizon", [230, 233])
@pytest.mark.parametrize("kind", ["linear", "cosine", "wsd"])
@pytest.mark.parametrize("warmup", [0, 23])
def test_ends_of_a_trainer_log_are_right_or_said_to_be_a_guess(tmp_path, kind, warmup, horizon):
    rest = ",cooldown=40" if kind == "wsd" else ""
    schedule = parse_schedule(f"{kind}:peak=1e-3,horizon={horizon},warmup={warmup}{rest}")
    (tmp_path / "trainer_state.json").write_text(trainer_state(schedule, horizon, horizon))
    (run,) = read_runs(tmp_path)
    text = " ".join(run.caveats)
    start_right = abs(run.schedule(0) - schedule(0)) <= 0.01 * schedule.peak
    assert start_right or "the first lr is logged at step 10" in text
    assert run.schedule(horizon) == pytest.approx(schedule(horizon), abs=0.01 * schedule.peak)
    assert start_right or warmup < EVERY


def test_what_is_no_standard_schedule_goes_on_for_one_row_and_says_so(tmp_path):
    schedule = parse_schedule("exponential:peak=1e-3,horizon=230,final=0.01")
    step, rate = logged(schedule, last=220)
    rows = [f"{s:g},{r!r},{3 - s / 500}" for s, r in zip(step, rate.tolist(), strict=True)]
    (tmp_path / "a.csv").write_text("\n".join(["step,lr,loss", *rows, "230,,2.4"]) + "\n")
    (run,) = read_runs(tmp_path / "a.csv")
    # The line through the last two rows, which is nearer than the last one held.
    assert abs(run.schedule(230) - schedule(230)) < abs(rate[-1] - schedule(230))
    (tmp_path / "b.csv").write_text("\n".join(["step,lr,loss", *rows, "300,,2.4"]) + "\n")
    (run,) = read_runs(tmp_path / "b.csv")
    assert any("from there to step 300 the schedule is a guess" in c for c in run.caveats)
    assert run.schedule(300) == pytest.approx(rate[-1])


@pytest.mark.parametrize(
    "where",
    [
        ("runs.csv", "run,horizon\na,230\n"),
        ("call", ""),
        ("header", '{"etastar_run": 1, "max_steps": 230}\n'),
        ("header", '{"etastar_run": 1, "train.max_iters": "230"}\n'),
    ],
)
def test_the_horizon_comes_from_whoever_knows_it(tmp_path, where):
    schedule = parse_schedule(STANDARD[3])
    step, rate = logged(schedule, last=120)
    place, text = where
    rows = [
        json.dumps({"step": s, "loss": 3 - s / 500, "lr": r})
        for s, r in zip(step.tolist(), rate.tolist(), strict=True)
    ]
    head = text if place == "header" else ""
    (tmp_path / "a.jsonl").write_text(head + "\n".join(rows) + "\n")
    if place == "runs.csv":
        (tmp_path / place).write_text(text)
    (run,) = read_runs(tmp_path, horizon=HORIZON if place == "call" else None)
    assert run.schedule == schedule


def test_a_warmup_that_counts_from_one_stands_as_it_is_logged(tmp_path):
    def rate(step: int) -> float:
        if step < 23:
            return 1e-3 * (step + 1) / 24
        return 1e-4 + 4.5e-4 * (1 + np.cos(np.pi * (step - 23) / (HORIZON - 23)))

    rows = [f"{s},{rate(s)!r},{3 - s / 500}" for s in range(EVERY, HORIZON + 1, EVERY)]
    (tmp_path / "a.csv").write_text("\n".join(["step,lr,loss", *rows]) + "\n")
    (run,) = read_runs(tmp_path, horizon=HORIZON)
    everywhere = np.arange(HORIZON + 1)
    np.testing.assert_allclose(
        run.schedule(everywhere), [rate(s) for s in range(HORIZON + 1)], atol=1e-7
    )


@pytest.mark.parametrize("horizon", [230, 233, 1001])
def test_a_cooldown_of_a_percentage_need_not_start_at_a_whole_step(horizon):
    schedule = parse_schedule(f"wsd:peak=1e-3,horizon={horizon},warmup=23,cooldown=0.15")
    step = np.arange(10.0, horizon, 10)
    rate = schedule(step)
    result = recognised(step, rate, digits_of([repr(x) for x in rate.tolist()]), horizon)
    assert result is not None
    assert result.end_known
    everywhere = np.arange(horizon + 1)
    np.testing.assert_allclose(result.schedule(everywhere), schedule(everywhere), atol=1e-9)


def test_three_rows_tell_a_fall_to_zero():
    step = np.array([60.0, 120.0, 180.0])
    for kind in ("linear", "cosine"):
        schedule = parse_schedule(f"{kind}:peak=1e-3,{WHOLE}")
        rate = schedule(step)
        result = recognised(step, rate, digits_of([repr(x) for x in rate.tolist()]), HORIZON)
        assert result is not None
        assert result.schedule == schedule
    assert recognised(step, rate, Digits(-5, 3), HORIZON) is None


def test_digits_are_those_written():
    for cells, value, half in [
        (["0.00100", "0.00095"], 0.001, 5e-6),
        (["9.50e-04", "1.00e-03"], 9.5e-4, 5e-7),
        (["0.1", "nan", ""], 0.1, 0.05),
    ]:
        assert digits_of(cells).half_unit(np.array([value]))[0] == pytest.approx(half)


def test_a_million_rows_are_looked_at_in_part(tmp_path):
    schedule = parse_schedule("cosine:peak=1e-3,horizon=1000000,warmup=1000,final=0.1")
    step = np.arange(1.0, 1_000_001)
    rate = schedule(step)
    cells = [repr(x) for x in rate[:100].tolist()]
    result = recognised(step, rate, digits_of(cells), 1_000_000)
    assert result is not None
    assert result.schedule == schedule


@pytest.mark.parametrize("cells", [["0", "0.00018"], ["0", "0.0003"]])
def test_rows_that_allow_several_warmups_have_a_caveat(tmp_path, cells):
    """With two digits a log one step late and a warmup of 10 is one of 12 without the shift."""
    cells = [*cells, *["0.0003"] * 30]
    step = 7.0 * np.arange(len(cells))
    result = recognised(step, np.array(cells, dtype=np.float64), digits_of(cells), int(step[-1]))
    assert result is not None
    assert (result.start_known, result.warmup_known) == (True, False)
    rows = [f"{7 * i},{3 - i / 50},{cell}" for i, cell in enumerate(cells)]
    (tmp_path / "run.csv").write_text("\n".join(["step,loss,lr", *rows]) + "\n")
    (run,) = read_runs(tmp_path / "run.csv")
    assert any("its warmup is a guess" in line for line in run.caveats)


@pytest.mark.parametrize("shift", [0, -1])
def test_two_exact_rows_of_a_warmup_determine_it(shift):
    """They lie on a line: at step 7 of 10 the LR is 0.7 of the peak, or 0.6 one step late."""
    step = 7.0 * np.arange(30)
    rate = parse_schedule("constant:peak=3e-4,horizon=203,warmup=10")(np.maximum(step + shift, 0))
    result = recognised(step, rate, digits_of([repr(float(value)) for value in rate]), 203)
    assert result is not None
    assert result.schedule.warmup == 10
    assert result.warmup_known
