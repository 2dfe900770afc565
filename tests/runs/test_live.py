"""Logs that are still being written: where they lie, what they say, and that nothing breaks."""

from __future__ import annotations

import json
import random
import shutil

import polars as pl
import pytest

from etastar.runs import LogStatus, live_log, log_name, log_status, read_runs
from etastar.schedule import InputError

ROWS = [(0, 4.0), (10, 3.0), (30, 2.5)]
CSV = "step,loss\n" + "".join(f"{step},{loss}\n" for step, loss in ROWS)
JSONL = "".join(json.dumps({"step": step, "loss": loss}) + "\n" for step, loss in ROWS)
STATE = json.dumps({"log_history": [{"step": step, "loss": loss} for step, loss in ROWS]})


@pytest.mark.parametrize(
    ("name", "text"), [("log.csv", CSV), ("log.jsonl", JSONL), ("trainer_state.json", STATE)]
)
def test_the_status_is_that_of_the_last_row_in_every_format(tmp_path, name, text):
    (tmp_path / name).write_text(text)
    assert log_status(tmp_path / name) == LogStatus(30.0, 2.5, 20.0, False, False)


def test_the_gap_is_the_longest_of_the_last_ten_rows(tmp_path):
    steps = [0, 1000, *range(1010, 1100, 10), 1130]
    path = tmp_path / "log.csv"
    path.write_text("step,loss\n" + "".join(f"{step},2\n" for step in steps))
    assert log_status(path).gap == 40.0  # from 1090 to 1130; the step of 1000 is long ago
    path.write_text("step,loss\n70,2\n")
    assert log_status(path).gap == 70.0


def test_half_a_row_of_a_log_being_written_is_left_out(tmp_path):
    path = tmp_path / "log.csv"
    for end in ("2", "20", "20,"):
        path.write_text("step,loss\n0,3.0\n10,2.5\n" + end)
        assert log_status(path).step == 10
    path.with_suffix(".jsonl").write_text(JSONL + '{"step": 40, "lo')
    assert log_status(path.with_suffix(".jsonl")).step == 30


@pytest.mark.parametrize(
    ("losses", "diverged", "hopeless"),
    [
        ("3.0 2.5", False, False),
        ("3.0 8.9", False, False),  # below three times the lowest
        ("3.0 9.9", True, False),  # a spike may recover
        ("3.0 9.9 3.1", False, False),
        ("3.0 9.9 9.8", True, True),
        ("3.0 nan", True, True),
        ("3.0 inf", True, True),
    ],
)
def test_a_spike_is_no_divergence_until_a_second_row_confirms_it(
    tmp_path, losses, diverged, hopeless
):
    path = tmp_path / "log.csv"
    rows = enumerate(losses.split())
    path.write_text("step,loss\n" + "".join(f"{10 * i},{loss}\n" for i, loss in rows))
    status = log_status(path)
    assert (status.diverged, status.hopeless) == (diverged, hopeless)


def test_rows_that_a_resumed_run_writes_again_count_once(tmp_path):
    path = tmp_path / "log.csv"
    path.write_text(CSV + "10,2.9\n20,2.8\n")
    assert log_status(path) == LogStatus(20.0, 2.8, 10.0, False, False)


@pytest.mark.parametrize(
    "name",
    [
        "log",
        "log.csv",
        "log.parquet",
        "log/inner.csv",
        "log/version_0/metrics.csv",
        "log/checkpoint-30/trainer_state.json",
    ],
)
def test_a_log_is_found_at_its_path_and_its_copy_as_that_of_the_run(tmp_path, name):
    path = tmp_path / "made" / name
    path.parent.mkdir(parents=True)
    if name.endswith("parquet"):
        pl.DataFrame(ROWS, schema=["step", "loss"], orient="row").write_parquet(path)
    else:
        path.write_text(STATE if name.endswith("json") else CSV)
    found = live_log(tmp_path / "made" / "log")
    assert found is not None
    assert found == path
    copy = tmp_path / "copies" / log_name(found, "pilot")
    copy.parent.mkdir(parents=True)
    shutil.copy(found, copy)
    spec = "constant:peak=0.1,horizon=30"
    (tmp_path / "copies" / "runs.csv").write_text(f'run,schedule\npilot,"{spec}"\n')
    (run,) = read_runs(tmp_path / "copies")
    assert (run.name, run.final_step) == ("pilot", 30.0)


def test_no_log_yet_is_none_and_two_are_an_error(tmp_path):
    assert live_log(tmp_path / "log") is None
    (tmp_path / "log").mkdir()
    assert live_log(tmp_path / "log") is None
    (tmp_path / "log.csv").write_text(CSV)
    (tmp_path / "log.jsonl").write_text(JSONL)
    with pytest.raises(InputError, match=r"several logs \(log\.csv, log\.jsonl\)"):
        live_log(tmp_path / "log")


@pytest.mark.parametrize("text", ["step,loss\n", "step,loss\n0,\n", "", "\ufeff", "step\n1\n"])
def test_a_log_without_a_loss_yet_is_an_input_error(tmp_path, text):
    (tmp_path / "log.csv").write_text(text, encoding="utf-8")
    with pytest.raises(InputError):
        log_status(tmp_path / "log.csv")


PIECES = [
    *'"{}[],;\n\r\t\0',
    *("nan", "Infinity", "1e999", "-1", "null", "true", "9" * 5000, "[1]", '{"a":1}', "step"),
    *("\\ud800", "\\u0000", "\ufeff", "\u3000", '"loss":3,', "val_loss,", '{"etastar_run":1}\n'),
]
"""What breaks parsers, to be put anywhere into a log."""


@pytest.mark.parametrize("seed", range(20))
def test_a_damaged_log_raises_nothing_but_input_errors(tmp_path, seed):
    """Cut, spliced and overwritten logs, as a watcher meets them while they are written."""
    chance = random.Random(seed)
    outcomes = set()
    for _ in range(150):
        name, text = chance.choice(
            [("log.csv", CSV), ("log.jsonl", JSONL), ("log", CSV), ("trainer_state.json", STATE)]
        )
        for _ in range(chance.randrange(5)):
            at = chance.randrange(len(text) + 1)
            rest = chance.choice(["", text[at:], text[at + chance.randrange(6) :]])
            text = text[:at] + chance.choice(["", *PIECES]) + rest
        raw = text.encode("utf-8")
        if chance.random() < 0.1:
            raw = raw[: len(raw) // 2] + chance.randbytes(3) + raw[len(raw) // 2 :]
        (tmp_path / name).write_bytes(raw)
        try:
            outcomes.add(type(log_status(tmp_path / name)))
        except InputError:
            outcomes.add(InputError)
    assert outcomes == {LogStatus, InputError}


def test_a_log_that_vanishes_or_cannot_be_read_is_an_input_error(tmp_path, monkeypatch):
    with pytest.raises(InputError, match="no such file"):
        log_status(tmp_path / "log.csv")
    (tmp_path / "log").mkdir()

    def vanish(path, *args):
        raise FileNotFoundError(2, "No such file or directory")

    monkeypatch.setattr("etastar.runs._live.find_logs", vanish)
    with pytest.raises(InputError, match="No such file"):
        live_log(tmp_path / "log")
    (tmp_path / "half.parquet").write_bytes(b"PAR1\x15\x04")
    with pytest.raises(InputError):
        log_status(tmp_path / "half.parquet")
