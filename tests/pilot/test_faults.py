"""Every fault ends in one clear line; what has finished is neither repeated nor lost."""

from __future__ import annotations

import errno
import itertools
import os
import random
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

from etastar.pilot import _process
from etastar.runs import read_runs
from etastar.schedule import InputError

KILL_SEEDS = [int(seed) for seed in os.environ.get("KILL_SEEDS", "20").split(",")]
"""Moments and victims of the kills; more of them by KILL_SEEDS=1,2,3."""


def line_about(said: list[str], name: str, word: str) -> str:
    found = [line for line in said if line.startswith(f"{name}:") and word in line]
    assert found, said
    assert "\n" not in found[0]
    return found[0]


def test_nan_ends_a_run_early_keeps_it_and_counts_what_it_took(bench):
    bench.fault("a", "nan")  # from half the run on, half a second a row: seconds to its end
    swept, said = bench.sweep([bench.pilot("a"), bench.pilot("b")])
    line_about(said, "a", "diverged, ended after step")
    first, second = swept.finished
    assert first.diverged
    assert first.run is not None
    assert not second.diverged
    assert "a" not in bench.told("end")
    assert swept.steps < 200 + 200
    assert {run.name: run.diverged for run in read_runs(bench.out)} == {"a": True, "b": False}


def test_a_training_that_stops_itself_where_it_diverged_is_known_by_what_it_says(bench):
    bench.fault("a", "says diverged")
    swept, said = bench.sweep([bench.pilot("a")])
    line_about(said, "a", "diverged")
    assert swept.finished[0].diverged
    assert read_runs(bench.out)[0].diverged
    assert len(bench.told("start")) == 1


def test_a_hung_training_is_ended_and_started_once_more(bench):
    bench.fault("a", "hang")
    bench.fault("b", "hang", "hang")
    swept, said = bench.sweep([bench.pilot("a"), bench.pilot("b")], patience=3.0, jobs=2)
    line_about(said, "a", "hung after step")
    line_about(said, "b", "set aside")
    assert sorted(bench.told("start")) == ["a", "a", "b", "b"]
    assert [ended.run is not None for ended in swept.finished] == [True, False]
    assert not any(bench.is_alive(pid) for pid in bench.pids())


def test_exit_1_quotes_the_training_and_is_tried_again_then_set_aside(bench):
    bench.fault("a", "exit")
    bench.fault("b", "exit", "exit", "exit")
    swept, said = bench.sweep([bench.pilot("a"), bench.pilot("b"), bench.pilot("c")], retries=1)
    assert "RuntimeError: the engine is on fire" in line_about(said, "a", "exit 1")
    line_about(said, "b", "set aside after 2 failures, the sweep goes on")
    assert sorted(bench.told("start")) == ["a", "a", "b", "b", "c"]
    assert {run.name for run in read_runs(bench.out)} == {"a", "c"}
    assert [ended.pilot.name for ended in swept.finished if ended.run is None] == ["b"]
    # A new start tries again what was set aside: the training may have been fixed.
    bench.fault("b")
    bench.sweep([bench.pilot("a"), bench.pilot("b"), bench.pilot("c")], retries=1)
    assert {run.name for run in read_runs(bench.out)} == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("fault", "told"),
    [("stop", "exit 0, but its log ends after step 90"), ("no log", "exit 0, but no log at {out}")],
)
def test_exit_0_without_the_whole_log_is_a_failure(bench, fault, told):
    bench.fault("a", fault)
    _, said = bench.sweep([bench.pilot("a")])
    assert told in line_about(said, "a", "exit 0")
    assert read_runs(bench.out)[0].final_step == 200


def test_a_service_that_a_training_leaves_behind_holds_nothing_up(bench):
    bench.fault("a", "leaves")
    bench.fault("b", "leaves and exits")
    begun = time.monotonic()
    try:
        swept, said = bench.sweep([bench.pilot("a"), bench.pilot("b")], jobs=2)
    finally:
        for pid in map(int, bench.told("service")):
            os.kill(pid, signal.SIGKILL)
    assert time.monotonic() - begun < 15
    line_about(said, "b", "exit 1")
    assert [ended.run is not None for ended in swept.finished] == [True, True]


def test_a_command_that_never_works_stops_the_sweep(bench):
    for name in "abcd":
        bench.fault(name, *["exit"] * 5)
    with pytest.raises(InputError, match=r"first 3 pilots all failed.*on fire.*fix"):
        bench.sweep([bench.pilot(name) for name in "abcd"], retries=0)
    assert bench.told("start") == ["a", "b", "c"]


def test_a_training_that_finds_the_disk_full_stops_the_sweep_without_a_retry_lost(bench):
    pilots = [bench.pilot(name) for name in "abc"]
    bench.fault("b", "full")
    with pytest.raises(InputError, match=r"b: the disk is full .*No space left.*same command"):
        bench.sweep(pilots, retries=0)
    assert bench.state()["a"] == "finished"
    swept, _ = bench.sweep(pilots, retries=0)
    assert bench.told("end") == ["a", "b", "c"]
    assert [ended.run is not None for ended in swept.finished] == [True] * 3


def test_a_full_disk_under_the_store_stops_the_sweep_and_leaves_it_whole(bench, monkeypatch):
    pilots = [bench.pilot(name) for name in "abc"]
    monkeypatch.setenv("ROW_SECONDS", "0.02")
    replace, full = os.replace, []

    def no_space(source, target, **more):
        if str(target).endswith("a.csv") or full:
            full.append(target)
            raise OSError(errno.ENOSPC, "No space left on device")
        replace(source, target, **more)

    with monkeypatch.context() as patch:
        patch.setattr(os, "replace", no_space)
        with pytest.raises(InputError, match=r"cannot be written: No space left.*free some space"):
            bench.sweep(pilots, jobs=2)
    assert full
    assert not any(bench.is_alive(pid) for pid in bench.pids())
    bench.sweep(pilots, jobs=2)
    assert {run.name for run in read_runs(bench.out)} == {"a", "b", "c"}
    assert bench.told("end").count("a") == 1  # it had finished: only its log was copied again


def test_a_corrupt_log_is_set_aside_and_the_run_repeated(bench):
    bench.fault("a", "garbage")
    _, said = bench.sweep([bench.pilot("a")])
    where = line_about(said, "a", "cannot be read").partition("kept as ")[2].split(";")[0]
    assert (Path(where) / "log.csv").read_bytes() == bytes(range(256)) * 20
    assert read_runs(bench.out)[0].final_step == 200


def test_a_log_that_was_damaged_later_is_restored_or_made_again(bench):
    pilots = [bench.pilot("a"), bench.pilot("b"), bench.pilot("c")]
    bench.sweep(pilots)
    before = (bench.out / "a.csv").read_text()
    (bench.out / "a.csv").write_bytes(b"\x00\xff" * 50)
    (bench.out / "b.csv").write_bytes(b"\x00\xff" * 50)
    (bench.out / ".runs" / "b" / "log.csv").write_bytes(b"\x00\xff" * 50)
    _, said = bench.sweep(pilots)
    line_about(said, "a", "restored")
    line_about(said, "b", "run again")
    assert (bench.out / "a.csv").read_text() == before
    assert (bench.out / "b.csv.unreadable-1").read_bytes() == b"\x00\xff" * 50
    assert sorted(bench.told("start")) == ["a", "b", "b", "c"]
    assert {run.name for run in read_runs(bench.out)} == {"a", "b", "c"}


DRIVER = """
import sys
import threading
from pathlib import Path
from etastar.pilot import Pilot, Proposal, run_pilots
from etastar.schedule import InputError, parse_schedule

class Runs:
    def propose(self, finished, running, steps_left):
        known = {each.pilot.name for each in finished} | {each.name for each in running}
        made = [Pilot(f"run{i}", parse_schedule(f"cosine:peak={0.01 * (1 + i)},horizon=200"), i)
                for i in range(int(sys.argv[2])) if f"run{i}" not in known]
        return Proposal(tuple(made), None, (1.0,) * len(made), "the list")

here = Path(__file__).parent
words = [sys.executable, str(here / "training.py"), "{schedule}", "{seed}", "{out}", "{name}"]
try:
    swept = run_pilots(words, horizon=1000, budget=10**6, out=sys.argv[1], jobs=2, retries=20,
                       designer=Runs(), ahead=lambda runs: None)
    print("done", len(swept.finished))
except InputError as error:
    print("refused", error)
"""


class Drivers:
    """Starts drivers of one store as processes."""

    def __init__(self, bench, runs: int, row_seconds: float) -> None:
        self.bench, self.runs = bench, runs
        self.environment = {**os.environ, "ROW_SECONDS": str(row_seconds)}
        (bench.folder / "driver.py").write_text(DRIVER)
        self.begun: list[subprocess.Popen[str]] = []

    def start(self) -> subprocess.Popen[str]:
        words = [sys.executable, str(self.bench.folder / "driver.py")]
        process = subprocess.Popen(
            [*words, str(self.bench.out), str(self.runs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.begun.append(process)
        return process

    def clean(self) -> None:
        for process in self.begun:
            if process.poll() is None:
                process.kill()
        for pid in self.bench.pids():
            if self.bench.is_alive(pid):
                os.kill(pid, signal.SIGKILL)


@pytest.fixture
def drivers(bench):
    made = Drivers(bench, 2, 0.1)
    yield made
    made.clean()


def test_a_second_driver_is_refused_and_told_the_first_ones_pid(bench, drivers):
    bench.fault("run0", "wait")  # however slow the machine, the first driver is still there
    first = drivers.start()
    bench.wait_for(lambda: bench.told("start"))
    second, _ = drivers.start().communicate(timeout=60)
    assert second.startswith("refused")
    assert f"pid {first.pid} " in second


def test_a_run_whose_driver_was_killed_is_taken_up_not_started_twice(bench, drivers):
    bench.fault("run0", "wait")
    bench.fault("run1", "wait")
    first = drivers.start()
    bench.wait_for(lambda: len(bench.told("start")) == 2)
    first.kill()
    first.wait()
    assert all(bench.is_alive(pid) for pid in bench.pids())
    second = drivers.start()
    assert second.stderr is not None
    too_long = threading.Timer(60, (bench.folder / "go").touch)
    too_long.start()
    told = (line for line in second.stderr if "watched again" in line)
    assert len(list(itertools.islice(told, 2))) == 2
    too_long.cancel()
    (bench.folder / "go").touch()
    out, _ = second.communicate(timeout=60)
    assert out == "done 2\n"
    assert sorted(bench.told("start")) == ["run0", "run1"]
    assert sorted(bench.told("end")) == ["run0", "run1"]


@pytest.mark.slow
def test_runs_that_ended_while_no_driver_watched_are_not_repeated(bench, drivers):
    first = drivers.start()
    bench.wait_for(lambda: len(bench.told("start")) == 2)
    first.kill()
    first.wait()
    bench.wait_for(lambda: len(bench.told("end")) == 2)
    out, _ = drivers.start().communicate(timeout=60)
    assert out == "done 2\n"
    assert len(bench.told("start")) == 2


@pytest.mark.slow
def test_a_run_that_ends_while_it_is_being_taken_up_is_not_repeated(bench, drivers, monkeypatch):
    """The look that finds a run alive, and its end before it is watched."""
    first = drivers.start()
    bench.wait_for(lambda: len(bench.told("start")) == 2)
    first.kill()
    first.wait()
    bench.wait_for(lambda: not any(bench.is_alive(pid) for pid in (*bench.pids(), *leaders(bench))))
    looks = []
    has_ended = _process.has_ended

    def alive_at_first(folder):
        looks.append(folder)
        return looks.count(folder) > 1 and has_ended(folder)

    monkeypatch.setattr(_process, "has_ended", alive_at_first)
    swept, _ = bench.sweep([])
    assert len(swept.finished) == 2
    assert len(bench.told("start")) == 2


@pytest.mark.slow
def test_a_machine_that_went_down_leaves_runs_that_start_again(bench, drivers):
    first = drivers.start()
    bench.wait_for(lambda: len(bench.told("start")) == 2)
    for pid in (first.pid, *bench.pids(), *leaders(bench)):
        os.kill(pid, signal.SIGKILL)
    first.wait()
    bench.wait_for(lambda: not any(bench.is_alive(pid) for pid in bench.pids()))
    for path in (bench.out / ".runs").glob("*/exit"):
        path.unlink()  # the code that a kill of the training alone would leave
    drivers.environment["ROW_SECONDS"] = "0"
    out, said = drivers.start().communicate(timeout=60)
    assert out == "done 2\n"
    assert said.count("was cut off, started again") == 2


def leaders(bench) -> list[int]:
    """The processes that lead the trainings under way."""
    noted = [path.read_text().split() for path in (bench.out / ".runs").glob("*/process")]
    pids = [int(words[0]) for words in noted if words]
    return [pid for pid in pids if bench.is_alive(pid)]


@pytest.mark.parametrize(
    "number", [signal.SIGINT, pytest.param(signal.SIGTERM, marks=pytest.mark.slow)]
)
def test_ctrl_c_ends_the_runs_and_the_same_command_goes_on(bench, drivers, number):
    first = drivers.start()
    bench.wait_for(lambda: len(bench.told("start")) == 2)
    first.send_signal(number)
    _, said = first.communicate(timeout=60)
    assert "the same command goes on" in said
    assert first.returncode != 0
    assert not any(bench.is_alive(pid) for pid in bench.pids())
    drivers.environment["ROW_SECONDS"] = "0"
    out, _ = drivers.start().communicate(timeout=60)
    assert out == "done 2\n"


@pytest.mark.slow
@pytest.mark.parametrize("seed", KILL_SEEDS)
def test_5_kills_of_the_driver_and_10_of_workers_lose_and_repeat_nothing(bench, drivers, seed):
    chance = random.Random(seed)
    drivers.runs, drivers.environment["ROW_SECONDS"] = 8, "0.04"
    victims = ["driver"] * 5 + ["worker"] * 10
    chance.shuffle(victims)
    finished: dict[str, bytes] = {}

    def alive() -> list[int]:
        return [pid for pid in (*bench.pids(), *leaders(bench)) if bench.is_alive(pid)]

    driver = drivers.start()
    for victim in victims:
        time.sleep(chance.uniform(0.0, 0.3))
        if victim == "driver":
            assert driver.poll() is None, "the sweep was over before all kills"
            driver.kill()
            driver.wait()
            driver = drivers.start()
        else:
            bench.wait_for(alive)
            os.kill(chance.choice(alive()), signal.SIGKILL)
        for name, status in bench.state().items():
            if status == "finished":
                log = (bench.out / f"{name}.csv").read_bytes()
                assert finished.setdefault(name, log) == log
    out, said = driver.communicate(timeout=60)
    assert out == "done 8\n", said
    for name, log in finished.items():
        assert (bench.out / f"{name}.csv").read_bytes() == log
    # None was repeated after its end. (One killed after its last row and before its last word has
    # a whole log, and no end.)
    ends = bench.told("end")
    assert len(set(ends)) == len(ends)
    runs = {run.name: run for run in read_runs(bench.out)}
    assert sorted(runs) == [f"run{i}" for i in range(8)]
    assert all(run.final_step == 200 for run in runs.values())


def test_a_process_number_that_was_given_away_is_not_signalled(tmp_path):
    other = subprocess.Popen(["sleep", "30"], start_new_session=True)
    try:
        (tmp_path / "process").write_text(f"{other.pid} 12345")  # another start time
        with open(tmp_path / _process.OUTPUT, "ab") as held:
            import fcntl

            fcntl.flock(held, fcntl.LOCK_EX)
            assert not _process.signal_group(tmp_path, signal.SIGKILL)
        assert other.poll() is None
    finally:
        other.kill()
        other.wait()
