"""`RunLog`: what it writes, that readers understand it, and what survives a kill."""

import json
import os
import signal
import subprocess
import sys
import textwrap
import time

import numpy as np
import pytest

from etastar.integrations._log import RunLog
from etastar.runs import read_runs
from etastar.schedule import InputError, parse_schedule

COSINE = parse_schedule("cosine:peak=1e-3,horizon=1000,warmup=100,final=0.1")
LONGER = parse_schedule("cosine:peak=1e-3,horizon=2000,warmup=100,final=0.1")


def fill(log, start=0, stop=1000, every=100):
    for step in range(start, stop + 1, every):
        log.add(step, 2 + 4 / (1 + step / 100), lr=log.schedule(step))


def test_one_file_is_a_whole_run(tmp_path):
    path = tmp_path / "new" / "pilot.jsonl"
    with RunLog(path, COSINE, batch_size=32, momentum=0.9, optimizer="SGD", seed=3) as log:
        fill(log)
    (run,) = read_runs(tmp_path / "new")
    assert (run.name, run.schedule, run.batch_size, run.momentum) == ("pilot", COSINE, 32.0, 0.9)
    assert (run.metadata["optimizer"], run.metadata["seed"]) == ("SGD", 3)
    assert run.final_loss == 2 + 4 / 11
    assert run.caveats == ()


def test_values_are_written_exactly(tmp_path):
    with RunLog(tmp_path / "a.jsonl", COSINE) as log:
        log.add(
            np.int64(0).item(), np.float32(0.1), lr=np.float64(1 / 3), train_loss=None, tokens=2**60
        )
        log.add(1.0, float("nan"))
    header, *rows = (json.loads(line) for line in (tmp_path / "a.jsonl").open())
    assert header == {"etastar_run": 1, "schedule": COSINE.spec}
    assert rows[0] == {"step": 0, "loss": float(np.float32(0.1)), "lr": 1 / 3, "tokens": 2**60}
    assert rows[1]["step"] == 1
    assert np.isnan(rows[1]["loss"])


def test_a_resumed_run_goes_on_in_its_file(tmp_path):
    path = tmp_path / "a.jsonl"
    with RunLog(path, COSINE, batch_size=8) as log:
        fill(log, stop=700)
    with RunLog(path, COSINE.spec, batch_size=8.0, host="other") as log:
        fill(log, start=600)
    assert path.read_text().count("etastar_run") == 1
    (run,) = read_runs(path)
    np.testing.assert_array_equal(run.step, np.arange(0, 1001, 100))


def test_another_schedule_needs_the_step_of_the_change(tmp_path):
    path = tmp_path / "a.jsonl"
    with RunLog(path, COSINE, batch_size=8) as log:
        fill(log, stop=500)
    with pytest.raises(InputError, match=r"made with schedule 'cosine:.*give from_step"):
        RunLog(path, LONGER, batch_size=8)
    with pytest.raises(InputError, match=r"made with batch_size 8\.0, not 16\.0"):
        RunLog(path, COSINE, batch_size=16)
    with RunLog(path, LONGER, batch_size=8, from_step=500) as log:
        fill(log, start=600, stop=2000)
    with RunLog(path, LONGER, batch_size=8) as log:
        log.add(2000, 2.1)
    (run,) = read_runs(path)
    assert run.schedule.horizon == 2000
    assert run.schedule(400) == COSINE(400)
    assert run.schedule(1500) == pytest.approx(LONGER(1500), abs=1e-8)


def test_a_schedule_may_change_under_way(tmp_path):
    with RunLog(tmp_path / "a.jsonl", "wsd:peak=1e-3,horizon=1000,cooldown=0.1") as log:
        fill(log, stop=800)
        log.replan(800, "wsd:peak=1e-3,horizon=1500,cooldown=0.1")
        fill(log, start=900, stop=1500)
    (run,) = read_runs(tmp_path)
    assert run.schedule.spec == "wsd:peak=0.001,horizon=1500,cooldown=0.1,decay=linear"


def test_a_plan_that_holds_a_momentum_changes_it_too(tmp_path):
    plan = {"schedule": {"spec": LONGER.spec}, "momentum": {"knots": [[0, 0.5], [2000, 0.9]]}}
    with RunLog(tmp_path / "a.jsonl", COSINE, momentum=0.5) as log:
        fill(log, stop=500)
        log.replan(500, plan)
        fill(log, start=600, stop=2000)
    (run,) = read_runs(tmp_path)
    assert run.momentum is None
    assert any("momentum follows a schedule" in caveat for caveat in run.caveats)


def test_controls_of_a_plan_and_of_an_optimiser_are_declared(tmp_path):
    plan = {
        "schedule": {"spec": COSINE.spec},
        "momentum": {"knots": [[0, 0.5], [1000, 0.9]]},
        "batch_size": {"knots": [[0, 8], [1000, 64]]},
    }
    with RunLog(tmp_path / "a.jsonl", plan) as log:
        fill(log)
    (run,) = read_runs(tmp_path / "a.jsonl")
    assert parse_schedule(str(run.metadata["momentum"]))(500) == pytest.approx(0.7)
    assert parse_schedule(str(run.metadata["batch_size"]))(500) == 36.0

    class Adam:
        param_groups = ({"betas": (0.95, 0.99)},)

    with RunLog(tmp_path / "b.jsonl", COSINE, optimizer=Adam()) as log:
        fill(log)
    (run,) = read_runs(tmp_path / "b.jsonl")
    assert (run.momentum, run.metadata["optimizer"]) == (0.95, "Adam")


def test_files_that_are_no_run_log_are_left_alone(tmp_path):
    with pytest.raises(InputError, match=r"call it .*run\.csv\.jsonl"):
        RunLog(tmp_path / "run.csv", COSINE)
    for text in ('{"step": 0, "loss": 3}\n', "step,loss\n", '{"etastar_run": 2}\n'):
        path = tmp_path / "a.jsonl"
        path.write_text(text)
        with pytest.raises(InputError, match="is there and is no run log of this version"):
            RunLog(path, COSINE)
        assert path.read_text() == text
    (tmp_path / "folder.jsonl").mkdir()
    with pytest.raises(InputError, match="cannot be written: Is a directory"):
        RunLog(tmp_path / "folder.jsonl", COSINE)


@pytest.mark.parametrize(
    ("row", "message"),
    [
        ((1.5, 3.0), r"step must be a whole number of updates, got 1\.5"),
        ((-1, 3.0), "step must not be negative, got -1"),
        ((1, "high"), "loss is 'high': a log holds numbers"),
        ((1, [3.0, 2.0]), "a log holds numbers"),
    ],
)
def test_rows_that_hold_no_numbers_are_errors(tmp_path, row, message):
    with (
        RunLog(tmp_path / "a.jsonl", COSINE) as log,
        pytest.raises(InputError, match=message),
    ):
        log.add(*row)


def test_only_rank_0_writes(tmp_path, monkeypatch):
    path = tmp_path / "a.jsonl"
    monkeypatch.setenv("RANK", "1")
    with RunLog(path, COSINE) as log:
        log.add(0, 1.0)
        log.replan(1, LONGER)
    assert not path.exists()
    with RunLog(path, COSINE, rank=0) as log:
        log.add(0, 1.0)
    monkeypatch.setenv("RANK", "0")
    with RunLog(path, COSINE) as log:
        log.add(1, 1.0)
    assert path.read_text().count("\n") == 3


WRITER = """
import sys
from etastar.integrations._log import RunLog
log = RunLog(sys.argv[1], "constant:peak=1e-3,horizon=1000000", batch_size=4)
for step in range(1000000):
    log.add(step, 3.0 + 1 / (1 + step), lr=1e-3)
    if step == 200:
        print("under way", flush=True)
"""


def test_a_kill_loses_no_row_and_the_next_process_goes_on(tmp_path):
    path = tmp_path / "a.jsonl"
    last = -1
    for _ in range(2):
        process = subprocess.Popen(
            [sys.executable, "-c", WRITER, str(path)], stdout=subprocess.PIPE, text=True
        )
        assert process.stdout is not None
        assert process.stdout.readline() == "under way\n"
        time.sleep(0.05)
        process.send_signal(signal.SIGKILL)
        process.wait()
        process.stdout.close()
        rows = path.read_text().splitlines()
        assert path.read_text().endswith("\n")
        last = json.loads(rows[-1])["step"]
        assert last > 200
    (run,) = read_runs(path)
    assert run.final_step == last
    assert run.batch_size == 4.0


def test_a_line_that_was_cut_is_removed_by_the_next_process(tmp_path):
    path = tmp_path / "a.jsonl"
    with RunLog(path, COSINE) as log:
        fill(log, stop=500)
    for size in (3, 40):  # in the last row, then in the declaration itself
        os.truncate(path, path.stat().st_size - size if size == 3 else size)
        with RunLog(path, COSINE) as log:
            fill(log, start=500 if size == 3 else 0)
        (run,) = read_runs(path)
        assert run.caveats == ()
        np.testing.assert_array_equal(run.step, np.arange(0, 1001, 100))


def test_a_full_disk_costs_rows_and_not_the_training(tmp_path):
    code = """
        import resource, sys, warnings
        from etastar.integrations._log import RunLog
        warnings.simplefilter("always")
        log = RunLog(sys.argv[1], "constant:peak=1e-3,horizon=1000")
        log.add(0, 3.0)
        log.add(1, 2.5)
        room = log._size + 10
        resource.setrlimit(resource.RLIMIT_FSIZE, (room, resource.RLIM_INFINITY))
        for step in range(2, 50):
            log.add(step, 2.0)
        resource.setrlimit(resource.RLIMIT_FSIZE, (resource.RLIM_INFINITY, resource.RLIM_INFINITY))
        for step in range(50, 53):
            log.add(step, 1.5)
    """
    path = tmp_path / "a.jsonl"
    command = [sys.executable, "-c", textwrap.dedent(code), str(path)]
    result = subprocess.run(command, capture_output=True, text=True, timeout=60)
    assert result.returncode == 0, result.stderr
    assert result.stderr.count("a row cannot be written") == 1
    (run,) = read_runs(path)
    np.testing.assert_array_equal(run.step, [0, 1, 50, 51, 52])
    assert run.caveats == ()
