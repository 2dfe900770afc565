"""Services, folders of an earlier sweep, broken commands, state files that were changed."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from etastar.pilot import _process
from etastar.runs import _sources, read_runs
from etastar.schedule import InputError

KILL_SWEEPS = Path(__file__).parents[2] / "bench" / "kill_sweeps.py"

SERVED = """
import subprocess, sys, time
out, steps = sys.argv[2], int(sys.argv[3])
service = subprocess.Popen(["sleep", "30"], start_new_session=True)
with open("services", "a") as file:
    file.write(f"{service.pid}\\n")
with open(out + ".csv", "w") as log:
    log.write("step,loss\\n")
    for step in range(0, steps + 1, 10):
        log.write(f"{step},{2 if step < steps // 2 else float('nan')}\\n")
        log.flush()
        time.sleep(0.02 if step < steps // 2 else 0.2)
"""


def test_a_diverged_run_whose_service_lives_on_is_kept_and_the_sweep_goes_on(bench, monkeypatch):
    monkeypatch.chdir(bench.folder)
    (bench.folder / "served.py").write_text(SERVED)
    words = [sys.executable, "served.py", "{spec}", "{out}", "{steps}"]
    begun = time.monotonic()
    try:
        swept, _ = bench.sweep([bench.pilot("a"), bench.pilot("b")], train=words)
        services = [int(pid) for pid in (bench.folder / "services").read_text().split()]
        assert len(services) == 2
        assert all(map(bench.is_alive, services))
    finally:
        for pid in (bench.folder / "services").read_text().split():
            os.kill(int(pid), signal.SIGKILL)
    assert [ended.diverged for ended in swept.finished] == [True, True]
    assert time.monotonic() - begun < 20


def test_a_training_of_a_sweep_that_was_removed_is_named_and_no_second_one_started(bench):
    folder = bench.out / ".runs" / "a"
    folder.mkdir(parents=True)
    process = _process.start(folder, ["sleep", "30"])
    try:
        bench.wait_for(lambda: _process.group_of(folder) is not None)
        with pytest.raises(InputError, match=rf"a: .*still runs.*kill -- -{process.pid}"):
            bench.sweep([bench.pilot("a")])
        assert bench.told("start") == []
    finally:
        _process.end(folder)
        process.wait()


def test_the_log_of_an_earlier_sweep_is_not_taken_for_that_of_a_new_run(bench):
    bench.sweep([bench.pilot("a")])
    for path in bench.out.iterdir():
        if path.is_file():
            path.unlink()
    bench.fault("a", "no log", "no log")
    with pytest.raises(InputError, match="as the start before it"):
        bench.sweep([bench.pilot("a")], retries=3)
    assert not (bench.out / "a.csv").exists()
    assert (bench.out / ".runs" / "a.set-aside-1" / "log.csv").exists()


def test_a_command_that_is_broken_stops_at_once_and_is_corrected_without_force(bench):
    broken = [sys.executable, "-c", "import no_such_module", "{spec}", "{out}"]
    pilots = [bench.pilot(name) for name in "abc"]
    with pytest.raises(InputError, match=r"No module named.*does not work.*correct it"):
        bench.sweep(pilots, train=broken)
    assert list(bench.state().values()) == ["running"]
    swept, _ = bench.sweep(pilots)
    assert [ended.run is not None for ended in swept.finished] == [True] * 3
    with pytest.raises(InputError, match="--force"):
        bench.sweep(pilots, train=broken)


def test_failures_with_rows_or_by_signals_are_no_broken_command(bench):
    bench.fault("a", "exit", "exit")
    swept, _ = bench.sweep([bench.pilot("a")])
    assert swept.finished[0].run is not None
    kill = ["sh", "-c", "test -e $0.tried || { touch $0.tried; kill -9 $$; };"
            " (echo step,loss; echo 0,4; echo 200,2) > $0.csv", "{out}", "{spec}"]  # fmt: skip
    swept, _ = bench.sweep([bench.pilot("b")], train=kill, out=bench.folder / "other")
    assert swept.finished[0].run is not None


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ({"name": "../x"}, "name of a pilot"),
        ({"log": "/etc/passwd"}, "log of a pilot"),
        ({"failures": "none"}, "failures of a pilot"),
        ({"steps": "200"}, "steps of a pilot"),
        ({"branch_step": -1}, "branch_step of a pilot"),
        ({"momentum": 7}, "momentum of a pilot"),
        ({"status": "lost"}, "lost"),
        ({"schedule": 3}, "not a schedule"),
        ({"more": 1}, "other keys"),
    ],
)
def test_a_state_file_of_wrong_values_is_refused_and_left_alone(bench, change, told):
    bench.sweep([bench.pilot("a")])
    path = bench.out / "pilots.json"
    state = json.loads(path.read_text())
    state["pilots"][0].update(change)
    path.write_text(json.dumps(state))
    with pytest.raises(InputError, match=rf"pilots\.json: not the state of a sweep.*{told}"):
        bench.sweep([bench.pilot("a")])
    assert json.loads(path.read_text()) == state


def test_a_process_file_never_names_the_groups_that_would_end_the_driver(tmp_path):
    for noted in ("0 1 host", "1 1 host", "-5 1 host", "x y z", ""):
        (tmp_path / "process").write_text(noted)
        assert _process.group_of(tmp_path) is None


@pytest.mark.slow
def test_kills_of_a_sweep_lose_and_repeat_nothing_and_leave_no_process():
    words = [sys.executable, str(KILL_SWEEPS), "--kills", "5", "--seed", "3"]
    done = subprocess.run(words, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stdout + done.stderr
    counts = dict(line.split()[:2] for line in done.stdout.splitlines() if line[:1].isalpha())
    assert counts["lost"] == counts["left"] == counts["changed"] == "0"


def test_a_reader_that_meets_a_log_just_published_finds_its_row(bench, monkeypatch):
    """Row, then log: both come between a reader's look at runs.csv and its look at the folder."""
    bench.sweep([bench.pilot("a")])
    listed, row = _sources.entries, 'b,"linear:peak=0.1,horizon=200",200,0,,,finished,\n'

    def published_meanwhile(folder):
        if not (bench.out / "b.csv").exists():
            with open(bench.out / "runs.csv", "a") as declared:
                declared.write(row)
            (bench.out / "b.csv").write_bytes((bench.out / "a.csv").read_bytes())
        return listed(folder)

    monkeypatch.setattr(_sources, "entries", published_meanwhile)
    assert [run.schedule.shape.name for run in read_runs(bench.out)] == ["cosine", "linear"]
