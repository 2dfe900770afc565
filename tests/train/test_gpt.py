"""The reference training: deterministic, resumable bit by bit, with a log that readers take."""

import csv
import random
import signal
import subprocess
import sys
import time
from pathlib import Path

import numpy as np
import pytest
import torch

from etastar.runs import read_runs
from etastar.schedule import InputError, parse_schedule
from etastar.train import gpt, loop
from etastar.train.corpus import load_corpus

TINY = ["--layers=1", "--width=16", "--heads=2", "--context=32", "--batch=4"]
CHEAP = ["--validation-bytes=2048", "--device=cpu"]
SPEC = "wsd:peak=0.01,horizon=60,warmup=5,cooldown=0.3"


def command(out: Path, name: str, *more: str, spec: str = SPEC) -> list[str]:
    return ["--schedule", spec, "--out", str(out), "--name", name, *TINY, *CHEAP, *more]


def rows(path: Path) -> list[dict[str, str]]:
    with open(path, newline="") as file:
        return list(csv.DictReader(file))


def test_same_seed_gives_the_same_log_and_another_seed_another(tmp_path, last_weights):
    for name, seed in (("a", "0"), ("b", "0"), ("c", "1")):
        assert gpt.main(command(tmp_path, name, "--seed", seed)) == 0
    a, b, c = (rows(tmp_path / f"{name}.csv") for name in "abc")
    assert a == b
    assert last_weights[0] == last_weights[1]
    assert [r["loss"] for r in a] != [r["loss"] for r in c]


def test_log_has_the_schedule_and_a_falling_loss(tmp_path):
    assert gpt.main(command(tmp_path, "a", "--eval-every=7")) == 0
    log = rows(tmp_path / "a.csv")
    assert list(log[0]) == ["step", "lr", "loss", "train_loss"]
    assert [int(r["step"]) for r in log] == [0, 7, 14, 21, 28, 35, 42, 49, 56, 60]
    schedule = parse_schedule(SPEC)
    assert [float(r["lr"]) for r in log] == pytest.approx([schedule(int(r["step"])) for r in log])
    assert float(log[0]["loss"]) == pytest.approx(np.log(256), abs=0.05)
    assert float(log[-1]["loss"]) < 3.8


def test_table_of_runs_is_read_back(tmp_path):
    for name in ("a", "b"):
        assert gpt.main(command(tmp_path, name)) == 0
    read = read_runs(tmp_path)
    assert [run.name for run in read] == ["a", "b"]
    assert read[0].schedule == parse_schedule(SPEC)
    assert read[0].batch_size == 4
    assert read[0].caveats == ()
    assert str(read[0].metadata["corpus_sha256"]) == load_corpus().sha256
    assert read[0].loss.tolist() == [float(r["loss"]) for r in rows(tmp_path / "a.csv")]


def test_declared_schedule_does_not_need_the_file_of_its_knots(tmp_path):
    knots = tmp_path / "planned.csv"
    knots.write_text("step,lr\n0,0\n5,0.01\n20,0.001\n")
    schedule = parse_schedule(f"table:file={knots}")
    schedule.save(tmp_path / "planned.json")
    assert gpt.main(command(tmp_path / "out", "a", spec=f"table:file={knots}")) == 0
    assert gpt.main(command(tmp_path / "out", "b", spec=str(tmp_path / "planned.json"))) == 0
    knots.unlink()
    for row in rows(tmp_path / "out" / "runs.csv"):
        assert parse_schedule(row["schedule"]) == schedule
    assert (tmp_path / "out" / "a.csv").read_bytes() == (tmp_path / "out" / "b.csv").read_bytes()


def test_damaged_table_of_runs_is_named_and_left_alone(tmp_path, capsys):
    (tmp_path / "runs.csv").write_bytes(b"\xff\xfe something else")
    assert gpt.main(command(tmp_path, "a")) == 2
    assert "runs.csv: not a table of runs" in one_line(capsys)
    assert (tmp_path / "runs.csv").read_bytes() == b"\xff\xfe something else"


def test_killed_run_goes_on_bit_by_bit(tmp_path, last_weights):
    """Killed with SIGKILL at random moments, it ends in the weights and log of a run in one go."""
    spec = "cosine:peak=0.01,horizon=600,warmup=20"  # two kills leave a part of it
    more = ["--eval-every=60", "--checkpoint-every=15", "--seed=3"]
    assert gpt.main(command(tmp_path, "whole", *more, spec=spec)) == 0
    moments = random.Random(0)
    for _ in range(2):
        arguments = command(tmp_path, "killed", *more, spec=spec)
        process = subprocess.Popen(
            [sys.executable, "-m", "etastar.train.gpt", *arguments], stdout=subprocess.PIPE
        )
        assert process.stdout
        for _ in range(moments.randint(2, 3)):  # one line at the start, then one per tenth
            process.stdout.readline()
        time.sleep(moments.uniform(0.0, 0.1))
        process.send_signal(signal.SIGKILL)
        assert process.wait() == -signal.SIGKILL
        process.stdout.close()
    with open(tmp_path / "killed.csv", "a") as file:
        file.write("599,0.0")  # what a kill in the middle of a write leaves
    assert gpt.main(command(tmp_path, "killed", *more, spec=spec)) == 0
    assert last_weights[0] == last_weights[1]
    assert (tmp_path / "killed.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()
    assert not list((tmp_path / ".checkpoints").glob("*.pt"))


def test_interruption_leaves_a_checkpoint_and_says_how_to_go_on(
    tmp_path, capsys, interrupted, last_weights
):
    assert gpt.main(command(tmp_path, "whole")) == 0
    with interrupted(gpt, 33):
        assert gpt.main(command(tmp_path, "a")) == 130
    assert "a: stopped at step 34 of 60; the same command goes on" in capsys.readouterr().out
    assert rows(tmp_path / "runs.csv")[1]["status"] == "interrupted"
    assert gpt.main(command(tmp_path, "a")) == 0
    assert "goes on from step 34" in capsys.readouterr().out
    assert last_weights[0] == last_weights[2]
    assert (tmp_path / "a.csv").read_bytes() == (tmp_path / "whole.csv").read_bytes()


def test_finished_run_is_not_repeated(tmp_path, capsys):
    assert gpt.main(command(tmp_path, "a")) == 0
    before = (tmp_path / "a.csv").stat().st_mtime_ns
    assert gpt.main(command(tmp_path, "a")) == 0
    assert "already finished" in capsys.readouterr().out
    assert (tmp_path / "a.csv").stat().st_mtime_ns == before


def test_name_of_another_run_is_refused(tmp_path, capsys):
    assert gpt.main(command(tmp_path, "a")) == 0
    assert gpt.main(command(tmp_path, "a", "--beta2=0.9")) == 2
    assert "made with beta2 0.95, not 0.9" in one_line(capsys)


def test_diverged_run_stops_early_and_keeps_its_log(tmp_path, capsys, monkeypatch):
    update = gpt.update

    def exploding(state, *arguments):
        loss = update(state, *arguments)
        return loss if state.step < 30 else float("nan")

    monkeypatch.setattr(gpt, "update", exploding)
    assert gpt.main(command(tmp_path, "a", "--eval-every=10")) == 0
    assert "a: diverged at step 30 of 60" in capsys.readouterr().out
    assert [r["step"] for r in rows(tmp_path / "a.csv")] == ["0", "10", "20", "30"]
    assert rows(tmp_path / "runs.csv")[0]["status"] == "diverged"


def test_one_pass_shows_each_byte_once_as_a_target():
    text = np.arange(1001) % 251
    settings = gpt.Settings(parse_schedule("constant:peak=1,horizon=25"), context=10, batch=4)
    batches = gpt.Batches(text.astype(np.uint8), settings)
    assert batches.available == 25
    targets = torch.cat([batches(step)[1].flatten() for step in range(25)])
    assert sorted(targets.tolist()) == sorted(text[1:].tolist())
    inputs, targets = batches(7)
    assert inputs[:, 1:].equal(targets[:, :-1])


def test_later_passes_are_in_another_order_and_begin_at_other_bytes():
    text = (np.arange(1001) % 251).astype(np.uint8)
    once = gpt.Batches(
        text, gpt.Settings(parse_schedule("constant:peak=1,horizon=24"), context=10, batch=4)
    )
    settings = gpt.Settings(
        parse_schedule("constant:peak=1,horizon=72"), context=10, batch=4, passes=3
    )
    batches = gpt.Batches(text, settings)
    assert batches.available == 24
    shown = [[batches(24 * k + step)[0] for step in range(24)] for k in range(3)]
    for step in range(24):
        assert shown[0][step].equal(once(step)[0])
    firsts = [sorted(int(row[0]) for batch in one for row in batch) for one in shown]
    assert firsts[0] != firsts[1] != firsts[2] != firsts[0]
    # A run that goes on in the second pass sees what it would have seen.
    assert gpt.Batches(text, settings)(30)[0].equal(shown[1][6])


def test_exhausted_corpus_says_how_many_steps_there_are(tmp_path, capsys):
    assert gpt.main(command(tmp_path, "a", spec="constant:peak=1e-3,horizon=10000000")) == 2
    assert f"{(len(load_corpus().train) - 1) // 32 // 4} steps" in one_line(capsys)
    assert not (tmp_path / "a.csv").exists()


def test_two_processes_do_not_train_one_run(tmp_path, capsys):
    (tmp_path / ".checkpoints").mkdir()
    with loop.locked(tmp_path / ".checkpoints" / "a.lock"):
        assert gpt.main(command(tmp_path, "a")) == 2
    assert "another process" in one_line(capsys)


def test_damaged_checkpoint_is_named(tmp_path, capsys):
    (tmp_path / ".checkpoints").mkdir()
    (tmp_path / ".checkpoints" / "a.pt").write_bytes(b"PK\x03\x04 not a checkpoint")
    assert gpt.main(command(tmp_path, "a")) == 2
    assert "a.pt: not a checkpoint" in one_line(capsys)


@pytest.mark.parametrize(
    ("arguments", "message"),
    [
        (["--schedule", "cosin:peak=1,horizon=5"], "cosin"),
        (["--heads", "3"], "--heads 3: does not divide --width 16"),
        (["--batch", "0"], "--batch: '0' must be a whole number of at least 1"),
        (["--beta2", "1"], "--beta2: '1' must be a number of at least 0 and below 1"),
        (["--weight-decay", "nan"], "--weight-decay: 'nan' must be a number"),
        (["--name", "../a"], "--name: '../a' must be a file name"),
        (["--name", "runs"], "not 'runs'"),
        (["--dtype", "int8"], "--dtype: invalid choice"),
        (["--out", "/dev/null/a"], "--out /dev/null/a: cannot write there"),
    ],
)
def test_bad_argument_gives_one_line(tmp_path, capsys, arguments, message):
    try:
        code = gpt.main([*command(tmp_path, "a"), *arguments])
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert message in one_line(capsys)


def test_missing_file_of_the_corpus_is_one_line(tmp_path, capsys, monkeypatch):
    monkeypatch.setattr("sysconfig.get_path", lambda name: str(tmp_path / "nowhere"))
    assert gpt.main(command(tmp_path, "a")) == 2
    assert "__future__.py: cannot read this file of the corpus" in one_line(capsys)


def test_settings_are_checked_in_python_too():
    with pytest.raises(InputError, match="does not divide"):
        gpt.Settings(parse_schedule(SPEC), width=10, heads=3)


def one_line(capsys: pytest.CaptureFixture[str]) -> str:
    text = capsys.readouterr().err
    assert text.count("\n") == 1
    assert text.endswith("\n")
    return text
