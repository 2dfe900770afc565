"""`etastar watch`: one look, a log that grows, JSON, wrong input, Ctrl-C."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time

import pytest

from etastar import cli
from etastar.integrations._log import RunLog
from tests.helpers.laws import make_pilots, make_run

SPEC = "cosine:peak=1e-3,horizon=8000,warmup=100"
RUN = make_run(SPEC, seed=7)


def run(capsys, *words: object) -> tuple[int, str, str]:
    """Exit code, stdout and stderr of a command."""
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    out, err = capsys.readouterr()
    return int(end.value.code or 0), out, err


@pytest.fixture
def pilots(tmp_path):
    folder = tmp_path / "pilots"
    for i, pilot in enumerate(make_pilots()[:4]):
        with RunLog(folder / f"pilot_{i}.jsonl", pilot.schedule, batch_size=8) as log:
            for step, loss in zip(pilot.step, pilot.loss, strict=True):
                log.add(step, loss)
    return folder


def write(path, until, declared=True):
    rows = [(s, v) for s, v in zip(RUN.step, RUN.loss, strict=True) if s <= until]
    if declared:
        with RunLog(path, SPEC, batch_size=8) as log:
            for step, loss in rows:
                log.add(step, loss)
    else:
        path.write_text("step,loss\n" + "".join(f"{step:g},{loss}\n" for step, loss in rows))


def test_one_look_as_json(capsys, tmp_path, pilots):
    write(tmp_path / "long.jsonl", 6000)
    code, out, _ = run(
        capsys, "watch", tmp_path / "long.jsonl", "--pilots", pilots, "--once", "--json"
    )
    assert code == 0
    found = json.loads(out)
    assert set(found) == {
        "run", "step", "horizon", "loss", "final", "pilots", "planned", "on_plan", "warnings",
        "ended",
    }  # fmt: skip
    assert (found["run"], found["step"], found["horizon"]) == ("long", 6000, 8000)
    assert found["on_plan"] is True
    assert found["final"]["low"] < RUN.final_loss < found["final"]["high"]
    narrow = found["final"]["high"] - found["final"]["low"]
    assert narrow < found["pilots"]["high"] - found["pilots"]["low"]


def test_a_schedule_that_is_not_the_logs_own_is_said_not_to_be_used(capsys, tmp_path):
    write(tmp_path / "long.jsonl", 4000)
    for given, said in ((SPEC, False), ("cosine:peak=1e-3,horizon=9000,warmup=100", True)):
        words = ("watch", tmp_path / "long.jsonl", "--once", "--json", "--schedule", given)
        code, out, err = run(capsys, *words)
        assert code == 0
        assert json.loads(out)["horizon"] == 8000
        assert ("--schedule is not used" in err) is said


def test_one_look_as_a_table(capsys, tmp_path):
    write(tmp_path / "long.csv", 4000, declared=False)
    plan = tmp_path / "plan"
    plan.mkdir()
    RUN.schedule.save(plan / "schedule.json")
    code, out, _ = run(capsys, "watch", tmp_path / "long", "--schedule", plan, "--once")
    assert code == 0
    assert "long  step 4,000 of 8,000" in out
    assert "final loss  " in out
    assert "plan" not in out


def test_a_run_that_has_ended_is_told_line_by_line_and_ends_the_watch(capsys, tmp_path, pilots):
    write(tmp_path / "long.jsonl", 8000)
    code, out, err = run(capsys, "watch", tmp_path / "long.jsonl", "--pilots", pilots)
    assert code == 0
    assert out.startswith("step 8,000 of 8,000: loss ")
    assert out.endswith("on its plan\n")
    code, out, err = run(capsys, "watch", tmp_path / "long.jsonl", "--json")
    assert (code, err) == (0, "")
    assert json.loads(out)["ended"] is True


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (["none.csv", "--once"], "no log with two rows yet; leave out --once"),
        (["none.csv", "--every", "0"], "--every '0' must be a whole number"),
        (["none.csv", "--level", "1"], "--level"),
        (["none.csv", "--poll", "0"], "--poll"),
        (["none.csv", "--schedule", "cosin:peak=1,horizon=9"], "unknown schedule 'cosin'"),
        (["none.csv", "--pilots", "no such folder"], "no such folder"),
        (["none.csv", "--law", "lore"], "--law 'lore' is not known"),
        (["unknown.csv", "--once"], "its schedule is unknown"),
    ],
)
def test_wrong_input_is_one_line(capsys, tmp_path, monkeypatch, words, message):
    monkeypatch.chdir(tmp_path)
    write(tmp_path / "unknown.csv", 1000, declared=False)
    code, out, err = run(capsys, "watch", *words)
    assert (code, out) == (2, "")
    assert err.startswith("error: ")
    assert err.count("\n") == 1
    assert message in err


@pytest.mark.slow
def test_ctrl_c_ends_it_cleanly_while_it_waits_for_the_log(tmp_path):
    command = [sys.executable, "-m", "etastar.cli", "watch", str(tmp_path / "log")]
    with subprocess.Popen(
        [*command, "--poll", "0.1", "--json"], stdout=subprocess.PIPE, stderr=subprocess.PIPE,
        text=True, env=os.environ,
    ) as process:  # fmt: skip
        time.sleep(1.0)
        write(tmp_path / "whole.jsonl", 300)
        (tmp_path / "whole.jsonl").rename(tmp_path / "log.jsonl")
        assert process.stdout is not None
        assert json.loads(process.stdout.readline())["step"] == 300
        time.sleep(0.3)
        process.send_signal(signal.SIGINT)
        out, err = process.communicate(timeout=60)
    assert process.returncode == 130
    assert out == ""
    assert err in ("", "interrupted\n")  # as the release of Typer has it
