"""Files that are no logs, links that go round, names and JSON that are odd, at a bounded cost."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time

import pytest

from etastar import _files
from etastar.runs import read_runs
from etastar.schedule import InputError, parse_schedule

LOG = "step,loss\n" + "".join(f"{step},{3 - step / 200}\n" for step in range(0, 201, 20))
SPEC = "linear:peak=0.1,horizon=200"


@pytest.mark.parametrize("name", ["a.csv", "a.jsonl", "a.parquet", "trainer_state.json", "a.log"])
def test_a_pipe_is_refused_without_waiting_for_a_writer(tmp_path, name):
    os.mkfifo(tmp_path / name)
    with pytest.raises(InputError, match=rf"{name}: is not a regular file"):
        read_runs(tmp_path / name, schedule=SPEC)


def test_a_pipe_among_event_files_is_refused(tmp_path):
    pytest.importorskip("tensorboard")
    os.mkfifo(tmp_path / "events.out.tfevents.1.x")
    for source in (tmp_path, tmp_path / "events.out.tfevents.1.x"):
        with pytest.raises(InputError, match=r"is not a regular file|no logs in it"):
            read_runs(source, schedule=SPEC)


def test_a_device_as_a_file_of_knots_is_refused():
    with pytest.raises(InputError, match="/dev/zero: is not a regular file"):
        parse_schedule("table:file=/dev/zero,horizon=3")


def test_a_file_larger_than_what_is_held_in_memory_is_refused(tmp_path):
    path = tmp_path / "a.csv"
    path.touch()
    os.truncate(path, 2**40)  # a hole: it takes no room on the disk
    with pytest.raises(InputError, match=r"has 1\.02e\+03 GiB, and at most 2 are read"):
        read_runs(path, schedule=SPEC)


def test_links_that_go_round_are_followed_once(tmp_path):
    for number in range(30):
        (tmp_path / f"s{number}").symlink_to(".")
    (tmp_path / "loop.csv").symlink_to("loop.csv")
    (tmp_path / "up").symlink_to("/")
    begun = time.process_time()
    with pytest.raises(InputError, match="no logs in it"):
        read_runs(tmp_path)
    (tmp_path / "inner").mkdir()
    (tmp_path / "inner" / "log.csv").write_text(LOG)
    for source in (tmp_path, f"{tmp_path}/**/log.csv", f"{tmp_path}/s*/s*/s*/*/log.csv"):
        (run,) = read_runs(source, schedule=SPEC)
        assert run.final_loss == 2.0
    assert time.process_time() - begun < 5


def test_a_pattern_finds_what_the_standard_library_finds(tmp_path):
    import glob

    for name in ("a/b/x.csv", "a/y.csv", "z.csv", "a/.h/w.csv", "c[1]/v.csv"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text(LOG)
    for pattern in ("*.csv", "**/*.csv", "a/**", "*/*.csv", "**/b/*", "c[[]1]/*", "?/y.csv", "q/*"):
        whole = f"{glob.escape(str(tmp_path))}/{pattern}"
        wanted = {os.path.realpath(path) for path in glob.glob(whole, recursive=True)}
        assert {os.path.realpath(path) for path in _files.matching(whole)} == wanted


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can become somebody else")
def test_a_folder_that_may_not_be_searched_is_named(tmp_path):
    inner = tmp_path / "logs" / "inner"
    inner.mkdir(parents=True)
    (inner / "a.csv").write_text(LOG)
    inner.chmod(0o400)
    tmp_path.chmod(0o755)
    script = (
        "import os, sys, encodings.idna, polars; from etastar.runs import read_runs\n"
        "from etastar.schedule import InputError\n"
        "os.chdir(sys.argv[1]); os.setuid(65534)\n"
        "try: read_runs('logs')\n"
        "except InputError as error: print(error)"
    )
    words = [sys.executable, "-c", script, str(tmp_path)]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    inner.chmod(0o700)
    assert done.stdout.startswith("logs/inner"), done.stderr
    assert "cannot be read (Permission denied)" in done.stdout


def nested(path, depth: int):
    rows = [{"step": step, "loss": 3 - step / 200} for step in range(0, 201, 20)]
    lines = [json.dumps(row)[:-1] + ',"x":' + "[" * depth + "]" * depth + "}" for row in rows]
    path.write_text("\n".join(lines) + "\n")
    return path


@pytest.mark.parametrize("depth", [20, 300, 600])
def test_deep_json_lines_are_read_and_cost_no_more_than_flat_ones(tmp_path, depth):
    begun = time.process_time()
    (run,) = read_runs(nested(tmp_path / "a.jsonl", depth), schedule=SPEC)
    assert run.final_loss == 2.0
    assert time.process_time() - begun < 5


def test_json_lines_too_deep_to_read_are_refused(tmp_path):
    with pytest.raises(InputError, match=r"a\.jsonl:1: not a JSON object"):
        read_runs(nested(tmp_path / "a.jsonl", 200_000), schedule=SPEC)


def test_json_lines_with_keys_of_their_own_are_refused_before_they_fill_the_memory(tmp_path):
    path = tmp_path / "a.jsonl"
    path.write_text("".join(f'{{"step":{i},"loss":2,"k{i}":1}}\n' for i in range(20_000)))
    begun = time.process_time()
    with pytest.raises(InputError, match="20002 different keys in 20000 lines"):
        read_runs(path, schedule=SPEC)
    assert time.process_time() - begun < 5


def test_a_damaged_parquet_file_prints_nothing_and_ends_no_process(tmp_path):
    import io

    import polars as pl

    whole = io.BytesIO()
    pl.DataFrame({"step": range(200), "loss": [3 - i / 200 for i in range(200)]}).write_parquet(
        whole
    )
    damaged = bytearray(whole.getvalue())
    for at in range(len(damaged) - 400, len(damaged) - 100, 7):
        damaged[at] ^= 0xFF
    (tmp_path / "a.parquet").write_bytes(damaged)
    script = (
        "import sys; from etastar.runs import read_runs; from etastar.schedule import InputError\n"
        f"try: read_runs(sys.argv[1], schedule={SPEC!r})\n"
        "except InputError as error: print(error)"
    )
    words = [sys.executable, "-c", script, str(tmp_path / "a.parquet")]
    done = subprocess.run(words, capture_output=True, text=True, timeout=120)
    assert (done.returncode, done.stderr) == (0, "")
    assert "not a whole Parquet file" in done.stdout


def test_names_that_are_not_utf_8_or_steer_a_terminal_are_shown_as_escapes(tmp_path):
    with open(os.fsencode(tmp_path) + b"/r\xe9s\x1b[2J.csv", "w") as file:
        file.write(LOG)
    (run,) = read_runs(tmp_path, schedule=SPEC)
    assert run.name == r"r\xe9s\x1b[2J"
    with pytest.raises(InputError) as caught:
        read_runs(tmp_path)
    assert r"r\xe9s\x1b[2J.csv" in str(caught.value)
    assert str(caught.value).isprintable()


def test_a_message_keeps_its_begin_and_its_end(tmp_path):
    (tmp_path / "a.csv").write_text(
        "step," + ",".join(f"column_{i}" for i in range(500)) + "\n0" + ",1" * 500
    )
    with pytest.raises(InputError) as caught:
        read_runs(tmp_path / "a.csv", schedule=SPEC)
    line = str(caught.value)
    assert len(line) <= 400
    assert line.startswith(str(tmp_path))
    assert "option loss" in line[-120:] or "loss" in line[-120:]


@pytest.fixture
def events(tmp_path):
    pytest.importorskip("tensorboard")
    tensorboard = pytest.importorskip("torch.utils.tensorboard")
    with tensorboard.SummaryWriter(tmp_path) as writer:
        for step in range(0, 201, 10):
            writer.add_scalar("loss", 3 - step / 200, step)
    (path,) = tmp_path.glob("events*")
    return path


def test_a_flipped_byte_of_an_event_file_is_told(events):
    whole = events.read_bytes()
    assert not read_runs(events, schedule=SPEC)[0].caveats
    for at in range(150, len(whole), 53):
        damaged = bytearray(whole)
        damaged[at] ^= 0x55
        events.write_bytes(damaged)
        try:
            (run,) = read_runs(events, schedule=SPEC)
        except InputError:
            continue
        assert len(run.step) < 21
        assert "damaged" in " ".join(run.caveats)


def test_an_event_file_that_is_still_written_is_read_to_its_last_whole_event(events):
    events.write_bytes(events.read_bytes()[:-7])
    (run,) = read_runs(events, schedule=SPEC)
    assert (len(run.step), run.final_step) == (20, 190)
    assert "cut or damaged at byte" in run.caveats[0]
