"""A log that declares its own run, with changes of its schedule on the way."""

import json

import numpy as np
import pytest

from etastar.runs import check_together, read_runs
from etastar.schedule import InputError, join, parse_schedule

COSINE = parse_schedule("cosine:peak=1e-3,horizon=1000,warmup=100,final=0.1")
STABLE = parse_schedule("wsd:peak=1e-3,horizon=1000,warmup=100,cooldown=0.2")
LONGER = parse_schedule("wsd:peak=1e-3,horizon=2000,warmup=100,cooldown=0.2")


def rows(schedule, start=0, stop=1000, every=100):
    steps = range(start, stop + 1, every)
    return [{"step": s, "lr": schedule(s), "loss": 2 + 4 / (1 + s / 100)} for s in steps]


def header(schedule: object = COSINE, **more):
    return {"etastar_run": 1, "schedule": getattr(schedule, "spec", schedule), **more}


def write(folder, lines, name="run.jsonl", end="\n"):
    path = folder / name
    path.write_text("\n".join(json.dumps(line) for line in lines) + end)
    return path


def test_the_declaration_stands_for_a_row_of_runs_csv(tmp_path):
    path = write(
        tmp_path, [header(batch_size=32, momentum=0.9, optimizer="SGD", seed=1), *rows(COSINE)]
    )
    (run,) = read_runs(path)
    assert run.schedule == COSINE
    assert (run.batch_size, run.momentum) == (32.0, 0.9)
    assert run.metadata["optimizer"] == "SGD"
    assert run.metadata["seed"] == 1
    assert "etastar_run" not in run.metadata
    assert run.caveats == ()
    np.testing.assert_array_equal(run.step, np.arange(0, 1001, 100))


def test_runs_csv_is_stronger_where_it_says_something(tmp_path):
    write(tmp_path, [header(batch_size=32, optimizer="SGD"), *rows(COSINE)])
    (tmp_path / "runs.csv").write_text("run,batch_size,note\nrun,64,hand\n")
    (run,) = read_runs(tmp_path)
    assert (run.batch_size, run.schedule) == (64.0, COSINE)
    assert (run.metadata["optimizer"], run.metadata["note"]) == ("SGD", "hand")
    (tmp_path / "runs.csv").write_text(f'run,schedule\nrun,"{STABLE.spec}"\n')
    (run,) = read_runs(tmp_path)
    assert run.schedule == STABLE


def test_lines_are_named_as_they_stand_in_the_file(tmp_path):
    lines = [header(), *rows(COSINE), {"step": 1100.5, "loss": 1}, {"step": 1200, "loss": 1}]
    with pytest.raises(InputError, match=r"run.jsonl:13: step is 1100.5"):
        read_runs(write(tmp_path, lines))


def test_losses_that_are_not_finite_and_a_cut_end_are_read_beside_a_declaration(tmp_path):
    lines = [header(), *rows(COSINE), {"step": 1000, "loss": float("nan")}]
    path = write(tmp_path, lines, end='\n{"step": 1001, "lo')
    (run,) = read_runs(path)
    assert run.schedule == COSINE
    assert any("cut mid-line" in caveat for caveat in run.caveats)


def test_a_horizon_that_was_extended_is_the_longer_schedule(tmp_path):
    lines = [header(STABLE), *rows(STABLE, stop=800), header(LONGER, from_step=800)]
    (run,) = read_runs(write(tmp_path, [*lines, *rows(LONGER, 900, 2000)]))
    assert run.schedule == LONGER
    assert run.caveats == ()


def test_a_schedule_that_was_replaced_is_joined_on_at_its_step(tmp_path):
    longer = parse_schedule("cosine:peak=1e-3,horizon=2000,warmup=100,final=0.1")
    lines = [header(), *rows(COSINE, stop=500), header(longer, from_step=500)]
    (run,) = read_runs(write(tmp_path, [*lines, *rows(longer, 600, 2000)]))
    before, after = np.arange(500), np.arange(500, 2001)
    assert run.schedule.horizon == 2000
    np.testing.assert_array_equal(run.schedule(before), COSINE(before))
    np.testing.assert_allclose(run.schedule(after), longer(after), atol=1.01e-5 * longer(500))
    assert run.caveats == ()


def test_a_piece_joined_on_is_read_back_to_the_last_bit(tmp_path):
    whole = join([(COSINE, 500), (parse_schedule("linear:peak=2e-3,horizon=300"), 800)])
    lines = [header(), *rows(COSINE, stop=500), header(whole, from_step=500)]
    (run,) = read_runs(write(tmp_path, [*lines, *rows(whole, 600, 800)]))
    assert run.schedule == whole


def test_a_change_is_undone_by_a_resume_from_before_it(tmp_path):
    other = parse_schedule("linear:peak=2e-3,horizon=900")
    lines = [header(STABLE, batch_size=8), *rows(STABLE, stop=700)]
    lines += [header(other, batch_size=16, from_step=600), *rows(other, 700, 900)]
    lines += [header(LONGER, batch_size=8, from_step=500), *rows(LONGER, 500, 2000)]
    (run,) = read_runs(write(tmp_path, lines))
    assert run.schedule == LONGER
    assert run.batch_size == 8.0
    assert any("steps go back" in caveat for caveat in run.caveats)


def test_a_long_schedule_is_joined_without_looking_at_every_step(tmp_path):
    old = parse_schedule("cosine:peak=1,horizon=10000000000,warmup=1000")
    new = parse_schedule("wsd:peak=1,horizon=20000000000,warmup=1000,cooldown=0.1,decay=linear")
    lines = [header(old), *rows(old, 0, 4 * 10**9, 10**9), header(new, from_step=5 * 10**9)]
    (run,) = read_runs(write(tmp_path, [*lines, *rows(new, 6 * 10**9, 2 * 10**10, 10**9)]))
    steps = np.linspace(5e9, 2e10, 999).round()
    np.testing.assert_allclose(run.schedule(steps), new(steps), atol=1.01e-5)
    np.testing.assert_array_equal(run.schedule(np.arange(0, 5000)), old(np.arange(0, 5000)))


def test_a_batch_size_or_momentum_that_varies_is_a_caveat(tmp_path):
    ramp = "table:knots=0:8/1000:64"
    one = write(tmp_path, [header(batch_size=ramp, momentum=0.9), *rows(COSINE)], "one.jsonl")
    changed = [header(momentum=0.9), *rows(COSINE, 0, 500), header(from_step=500, momentum=0.8)]
    two = write(tmp_path, [*changed, *rows(COSINE, 600)], "two.jsonl")
    first, second = read_runs([one, two])
    assert first.batch_size is None
    assert first.metadata["batch_size"] == ramp
    assert any("one.jsonl:1: the batch size follows a schedule" in c for c in first.caveats)
    assert second.momentum is None
    assert any("momentum changes from 0.9 to 0.8" in c for c in second.caveats)
    assert any("differ in momentum" in caveat for caveat in check_together([first, second]))


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ({"etastar_run": 2, "schedule": COSINE.spec}, "run.jsonl:1: etastar_run is 2"),
        (header("cosin:peak=1,horizon=9"), "run.jsonl:1: unknown schedule 'cosin'"),
        (header(batch_size=-1), "run.jsonl:1: batch size is '-1'"),
        (header(momentum=1), r"run.jsonl:1: momentum is '1'; give a number in \[0, 1\)"),
        (header(from_step=1.5), "run.jsonl:1: from_step is 1.5"),
        (header(5), "run.jsonl:1: a schedule's spec must be text"),
    ],
)
def test_a_wrong_declaration_is_an_error_with_its_line(tmp_path, line, message):
    with pytest.raises(InputError, match=message):
        read_runs(write(tmp_path, [line, *rows(COSINE)]))


def test_a_declaration_without_rows_is_an_error(tmp_path):
    with pytest.raises(InputError, match="declares a run and has no rows"):
        read_runs(write(tmp_path, [header()]))
