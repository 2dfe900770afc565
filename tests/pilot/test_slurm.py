"""Pilots as jobs of Slurm: through submitit's local executor, and through commands that stand for
Slurm's (`fake_slurm.py`)."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path

import pytest

pytest.importorskip("submitit", reason="submitit is not installed: pip install 'etastar[slurm]'")

from etastar.pilot import Silent, _slurm_cluster, _slurm_workers
from etastar.pilot._slurm_job import DRIVER, Attempt
from etastar.runs import read_runs
from etastar.schedule import InputError

from . import fake_slurm

DRIVE = """
import sys
from pathlib import Path
from etastar.pilot import Pilot, Proposal, _slurm_cluster, run_pilots
from etastar.schedule import parse_schedule

_slurm_cluster.SlurmCluster.usual = _slurm_cluster.SlurmCluster.soon = 0.2
_slurm_cluster.SlurmCluster.late = 3.0
place, out, runs = sys.argv[1], sys.argv[2], int(sys.argv[3])

class Runs:
    def propose(self, finished, running, steps_left):
        known = {each.pilot.name for each in finished} | {each.name for each in running}
        made = [Pilot(f"run{i}", parse_schedule(f"cosine:peak={0.01 * (1 + i)},horizon=200"), i)
                for i in range(runs) if f"run{i}" not in known]
        return Proposal(tuple(made), None, (1.0,) * len(made), "the list")

here = Path(__file__).parent
words = [sys.executable, str(here / "training.py"), "{schedule}", "{seed}", "{out}", "{name}"]
swept = run_pilots(words, horizon=1000, budget=10**6, out=out, jobs=3, slurm=place,
                   designer=Runs(), ahead=lambda runs: None)
print("done", len(swept.finished))
"""


class Place:
    """Where jobs go, and sweeps there.

    Attributes:
        slurm: the value of --slurm.
        jobs: those of the stand-in for Slurm.
    """

    def __init__(self, bench, slurm: str, environment: dict[str, str], folder: Path) -> None:
        self.bench, self.slurm, self.environment = bench, slurm, environment
        self.jobs = fake_slurm.Jobs(folder)
        self.folder = folder
        (bench.folder / "drive.py").write_text(DRIVE)
        self.drivers: list[subprocess.Popen[str]] = []

    def drive(self, runs: int) -> subprocess.Popen[str]:
        words = [sys.executable, str(self.bench.folder / "drive.py"), self.slurm]
        driver = subprocess.Popen(
            [*words, str(self.bench.out), str(runs)],
            stdout=subprocess.PIPE,
            stderr=subprocess.PIPE,
            text=True,
            env=self.environment,
        )
        self.drivers.append(driver)
        return driver

    def kill_driver(self) -> None:
        self.drivers[-1].kill()
        self.drivers[-1].wait()

    def note(self, name: str) -> Attempt | None:
        return Attempt.noted(self.bench.out / ".runs" / name)

    def cancel(self, name: str) -> None:
        """End the job of a pilot from outside."""
        noted = self.note(name)
        assert noted is not None
        assert noted.number is not None
        if self.slurm == "local":
            os.kill(int(noted.number), signal.SIGINT)  # what LocalJob.cancel does
        else:
            subprocess.run(["scancel", noted.number], env=self.environment, check=True)

    def clean(self) -> None:
        (self.folder / "hold").unlink(missing_ok=True)
        for driver in self.drivers:
            driver.kill()
            driver.communicate()
        if self.slurm != "local":
            for number in self.jobs.numbers():
                self.jobs.end(number, "CANCELLED")
        for pid in self.bench.pids():
            if self.bench.is_alive(pid):
                os.kill(pid, signal.SIGKILL)


def place_of(kind, bench, tmp_path, monkeypatch):
    environment = {**os.environ, "ROW_SECONDS": "0.05", **fake_slurm.install(tmp_path / "slurm")}
    for key in ("PATH", "FAKE_SLURM", "ROW_SECONDS"):
        monkeypatch.setenv(key, environment[key])
    for key, seconds in (("usual", 0.2), ("soon", 0.2), ("late", 3.0)):
        monkeypatch.setattr(_slurm_cluster.SlurmCluster, key, seconds)
    return Place(bench, kind, environment, tmp_path / "slurm")


@pytest.fixture
def place(bench, tmp_path, monkeypatch):
    """Slurm, as far as a stand-in goes."""
    made = place_of("short", bench, tmp_path, monkeypatch)
    yield made
    made.clean()


@pytest.fixture(params=["local", "short"])
def each_place(request, bench, tmp_path, monkeypatch):
    made = place_of(request.param, bench, tmp_path, monkeypatch)
    yield made
    made.clean()


@pytest.mark.slow
def test_eight_pilots_complete_though_drivers_are_killed_and_a_job_is_cancelled(bench, each_place):
    """The driver is killed and started again twice, and one job is ended from outside."""
    place = each_place
    for name in ("run0", "run1"):
        bench.fault(name, "wait")  # under way until both kills are over
    place.drive(8)
    bench.wait_for(lambda: {"run0", "run1"} <= set(bench.told("start")), 60)
    place.kill_driver()
    place.drive(8)
    bench.wait_for(lambda: "finished" in bench.state().values(), 60)
    place.cancel("run0")
    bench.wait_for(lambda: bench.told("start").count("run0") == 2, 60)
    place.kill_driver()
    (bench.folder / "go").touch()
    out, said = place.drive(8).communicate(timeout=120)
    assert out == "done 8\n", said
    ends = bench.told("end")
    assert sorted(ends) == [f"run{i}" for i in range(8)]  # each to its end once
    assert sorted(bench.told("start")) == sorted([*ends, "run0"])
    assert {run.name: run.final_step for run in read_runs(bench.out)} == dict.fromkeys(ends, 200)
    assert not any(bench.is_alive(pid) for pid in bench.pids())


@pytest.mark.slow
def test_a_job_in_the_queue_is_adopted_and_begins_once(bench, place):
    (place.folder / "hold").touch()
    place.drive(2)
    bench.wait_for(lambda: all((note := place.note(f"run{i}")) and note.number for i in range(2)))
    place.kill_driver()
    driver = place.drive(2)
    time.sleep(2.0)  # as long as a driver takes to look
    (place.folder / "hold").unlink()
    out, said = driver.communicate(timeout=60)
    assert out == "done 2\n"
    assert said.count("still waiting for a place, watched again") == 2
    assert place.jobs.numbers() == ["1", "2"]
    assert sorted(bench.told("start")) == ["run0", "run1"]


@pytest.mark.slow
def test_a_job_whose_number_the_driver_did_not_learn_does_nothing(bench, place):
    (place.folder / "hold").touch()
    place.drive(1)
    bench.wait_for(lambda: (note := place.note("run0")) and note.number)
    place.kill_driver()
    lost = place.note("run0")
    Attempt(lost.token).note(bench.out / ".runs" / "run0")  # as before sbatch has answered
    driver = place.drive(1)
    bench.wait_for(lambda: len(place.jobs.numbers()) == 2)
    (place.folder / "hold").unlink()
    out, said = driver.communicate(timeout=60)
    assert out == "done 1\n", said
    assert bench.told("start") == ["run0"]
    bench.wait_for(lambda: place.jobs.read("1") == "COMPLETED")
    printed = (bench.out / ".runs" / ".slurm" / "1_0_log.out").read_text()
    assert "the attempt of run0 that this job was for has been given up" in printed


@pytest.mark.slow
def test_a_job_that_began_before_its_number_was_noted_is_adopted(bench, place):
    bench.fault("run0", "wait")
    place.drive(1)
    bench.wait_for(lambda: bench.told("start"))
    place.kill_driver()
    lost = place.note("run0")
    Attempt(lost.token).note(bench.out / ".runs" / "run0")
    driver = place.drive(1)
    bench.wait_for(lambda: place.note("run0") == lost)  # found in the claim
    (bench.folder / "go").touch()
    out, said = driver.communicate(timeout=60)
    assert out == "done 1\n"
    assert "run0: still running, watched again" in said
    assert bench.told("start") == ["run0"]


def test_a_claim_is_held_by_the_first_for_good(tmp_path):
    attempt = Attempt.new()
    assert attempt.claim(tmp_path, "12") == "12"
    assert attempt.claim(tmp_path, DRIVER) == "12"
    assert attempt.claim(tmp_path, "12") == "12"  # as a job that was queued again
    assert Attempt.new().claim(tmp_path, DRIVER) == DRIVER
    attempt.note(tmp_path)
    assert Attempt.noted(tmp_path) == attempt
    (tmp_path / "slurm.json").write_text('{"token": "../x", "job": 3}')
    assert Attempt.noted(tmp_path) is None


@pytest.mark.slow
def test_limits_that_end_a_job_name_themselves_and_the_run_is_tried_again(bench, place):
    limits = {
        "a": ("TIMEOUT", "reached its time limit (more of it: --slurm-option time=HH:MM:SS)"),
        "b": ("OUT_OF_MEMORY", "ran out of memory (more of it: --slurm-option mem=32G)"),
    }

    def at_half_time(name: str) -> bool:
        log = bench.out / ".runs" / name / "log.csv"
        return log.exists() and "\n90," in log.read_text()

    def end_jobs_at_half_time():
        for name, (state, _) in limits.items():
            bench.wait_for(lambda name=name: at_half_time(name), 120)
            place.jobs.end(place.jobs.named(name)[0], state)

    for name in limits:
        bench.fault(name, "hang")
    ending = threading.Thread(target=end_jobs_at_half_time)
    ending.start()
    swept, said = bench.sweep(list(map(bench.pilot, limits)), slurm="long", retries=1)
    ending.join()
    for name, (_, told) in limits.items():
        first, _ = place.jobs.named(name)
        lost = f"{name}: lost after step 90 of 200: Slurm job {first}: it {told}; started again"
        assert lost in said
    assert [each.run is not None for each in swept.finished] == [True, True]


@pytest.mark.slow
def test_a_job_that_slurm_queues_again_is_waited_for_and_not_counted_a_failure(
    bench, place, monkeypatch
):
    bench.fault("run0", "wait")
    driver = place.drive(1)
    bench.wait_for(lambda: bench.told("start"))
    (place.folder / "hold").touch()
    place.jobs.send_back("1")
    time.sleep(1.0)
    assert driver.poll() is None
    (place.folder / "hold").unlink()
    out, said = driver.communicate(timeout=60)
    assert out == "done 1\n"
    assert place.jobs.numbers() == ["1"]
    assert bench.told("start") == ["run0", "run0"]
    assert bench.told("end") == ["run0"]
    record = json.loads((bench.out / "pilots.json").read_text())["pilots"][0]
    assert record["failures"] == []
    assert "started again" not in said


@pytest.mark.slow
def test_a_cluster_that_keeps_no_accounts_and_forgets_its_jobs_will_do(bench, place):
    for name in ("forgets", "no accounting"):
        (place.folder / name).touch()
    swept, _ = bench.sweep([bench.pilot("a"), bench.pilot("b")], slurm="short", jobs=2)
    assert [each.run is not None for each in swept.finished] == [True, True]
    assert sorted(bench.told("start")) == ["a", "b"]


def by_hand(place: Place, number: str, state: str) -> None:
    """A job that is nothing but its entry."""
    (place.folder / "jobs" / number).mkdir(exist_ok=True)
    place.jobs.write(number, state)


def states(cluster, folder, numbers: str) -> list[str]:
    cluster.state(numbers[0], folder, 0.0)
    return [cluster.state(number, folder, 1e9) for number in numbers]


def test_states_are_those_of_the_queue_then_of_accounting_then_none(bench, place):
    (place.folder / "forgets").touch()
    config = _slurm_cluster.SweepConfig(horizon=9, budget=9, slurm="long")
    cluster = _slurm_cluster.cluster_of(config, bench.folder / "files")
    for number, state in (("1", "RUNNING"), ("2", "CANCELLED"), ("3", "COMPLETED")):
        by_hand(place, number, state)
    for number in "1234":
        cluster.state(number, bench.folder, 1e9)
    assert states(cluster, bench.folder, "1234") == ["RUNNING", "CANCELLED", "COMPLETED", "UNKNOWN"]
    assert states(cluster, bench.folder, "4") == ["UNKNOWN"]  # its entry may come late
    assert states(cluster, bench.folder, "4") == ["GONE"]
    (place.folder / "down").touch()
    by_hand(place, "1", "COMPLETED")
    assert states(cluster, bench.folder, "1") == ["RUNNING"]  # not known to have ended


def test_a_job_whose_node_failed_is_over_only_when_it_does_not_come_back(bench, place, monkeypatch):
    monkeypatch.setattr(_slurm_cluster.SlurmCluster, "late", 0.5)
    config = _slurm_cluster.SweepConfig(horizon=9, budget=9, slurm="long")
    cluster = _slurm_cluster.cluster_of(config, bench.folder / "files")
    seen = []
    for state in ("RUNNING", "NODE_FAIL", "PENDING", "NODE_FAIL"):
        by_hand(place, "1", state)
        seen += states(cluster, bench.folder, "1")
    assert seen == ["RUNNING", "RUNNING", "PENDING", "PENDING"]
    time.sleep(0.6)
    assert states(cluster, bench.folder, "1") == ["NODE_FAIL"]


@pytest.mark.slow
def test_slurm_that_does_not_answer_for_a_while_stops_nothing(bench, place, monkeypatch):
    monkeypatch.setattr(_slurm_workers, "RETRY", 0.5)
    bench.fault("a", "wait")
    (place.folder / "busy").touch()  # the first sbatch

    def go_down_for_a_second():
        bench.wait_for(lambda: bench.told("start"), 60)
        (place.folder / "down").touch()
        (bench.folder / "go").touch()
        bench.wait_for(lambda: bench.told("end"), 60)
        time.sleep(1.0)
        (place.folder / "down").unlink()

    trouble = threading.Thread(target=go_down_for_a_second)
    trouble.start()
    swept, said = bench.sweep([bench.pilot("a")], slurm="auto")
    trouble.join()
    assert swept.finished[0].run is not None
    assert bench.told("start") == ["a"]
    assert not any("started again" in line for line in said)


@pytest.mark.slow
def test_a_diverged_run_is_cancelled_and_nothing_of_it_is_left(bench, place):
    bench.fault("a", "nan")
    swept, _ = bench.sweep([bench.pilot("a")], slurm="auto")
    assert swept.finished[0].diverged
    assert place.jobs.read("1") in ("CANCELLED", "FAILED", "COMPLETED")
    assert place.jobs.processes("1") == []
    assert "end" not in (bench.folder / "told").read_text()


@pytest.mark.slow
def test_a_job_that_fails_before_its_training_quotes_what_it_printed(bench, place, monkeypatch):
    """As where the driver's Python is not on the nodes."""
    command = bench.command
    monkeypatch.setattr(sys, "executable", "/no/such/python")
    swept, said = bench.sweep([bench.pilot("a")], train=command, slurm="short", retries=0)
    assert swept.finished[0].run is None
    (line,) = (line for line in said if "set aside" in line)
    assert "Slurm job 1: it failed before the training began" in line
    assert "/no/such/python" in line


def test_a_refused_partition_is_one_clear_error_and_leaves_nothing(bench, place, capfd):
    with pytest.raises(InputError, match=r"--slurm gpux: sbatch refuses.*Invalid partition.*sinfo"):
        bench.sweep([bench.pilot("a")], slurm="gpux")
    assert capfd.readouterr() == ("", "")
    assert place.jobs.numbers() == []
    assert bench.told("start") == []


def test_options_reach_sbatch(bench, place):
    words = ("time=2:00:00", "account=physics", "cpus-per-task=6", "exclusive", "nodes=2")
    (place.folder / "hold").touch()
    config = _slurm_cluster.SweepConfig(
        horizon=9, budget=9, slurm="long", slurm_options=words, cpus=2, gpus=3
    )
    cluster = _slurm_cluster.cluster_of(config, bench.folder / "files")
    number = cluster.submit("a", print, "x")
    options = fake_slurm.options_of(place.jobs.read(number, "script"))
    assert (options["partition"], options["job-name"]) == ("long", "pilot-a")
    assert (options["time"], options["account"], options["nodes"]) == ("2:00:00", "physics", "2")
    assert (options["cpus-per-task"], options["gpus-per-node"]) == ("6", "3")
    assert options["exclusive"] == options["requeue"] == ""
    assert "wckey" not in options
    assert "srun" not in place.jobs.read(number, "script").replace("pilot", "")
    assert cluster.state(number, bench.folder, 0.0) == "PENDING"
    cluster.cancel(number, bench.folder)
    assert cluster.state(number, bench.folder, 0.0) == "CANCELLED"


@pytest.mark.parametrize(
    ("more", "told"),
    [
        ({"slurm": "gpu", "ray": "auto"}, "not both"),
        ({"slurm_options": ("time=1",)}, "give --slurm"),
        ({"slurm": "a b"}, "name of a partition"),
        ({"slurm": "gpu", "cpus": 0.5}, "whole CPUs"),
        ({"slurm": "gpu", "cpus": 0.0}, "reserve something"),
        ({"slurm": "short", "slurm_options": ("array=1-3",)}, "array is set by etastar"),
        ({"slurm": "short", "slurm_options": ("time=",)}, "time has no value"),
        ({"slurm": "short", "slurm_options": ("a=1\n#SBATCH",)}, "KEY=VALUE"),
        ({"slurm": "short", "results": "memory://x"}, "results are for runs on Ray"),
    ],
)
def test_wrong_options_are_named_before_anything_runs(bench, place, more, told):
    with pytest.raises(InputError, match=told):
        bench.sweep([bench.pilot("a")], **more)
    assert place.jobs.numbers() == []


@pytest.mark.parametrize("missing", ["sbatch", "squeue"])
def test_a_machine_without_slurm_is_one_clear_error(bench, tmp_path, monkeypatch, missing):
    programs = Path(fake_slurm.install(tmp_path / "slurm")["PATH"].split(":")[0])
    (programs / missing).unlink()
    monkeypatch.setenv("PATH", str(programs))
    with pytest.raises(InputError, match=rf"--slurm gpu: no {missing} on this machine"):
        bench.sweep([bench.pilot("a")], slurm="gpu", show=Silent())


def test_without_submitit_the_extra_is_named(bench, monkeypatch):
    monkeypatch.setitem(sys.modules, "submitit", None)
    with pytest.raises(InputError, match=r"pip install 'etastar\[slurm\]'"):
        bench.sweep([bench.pilot("a")], slurm="gpu")


def test_jobs_of_this_machine_print_no_traceback_on_the_terminal(capfd, tmp_path):
    complain = [sys.executable, "-c", "import sys; sys.exit('Traceback of a job')"]
    with _slurm_cluster._stderr_in(tmp_path / "files" / "submitit.err"):
        subprocess.run(complain, check=False)
    os.write(2, b"from the driver")
    assert capfd.readouterr().err == "from the driver"
    assert "Traceback of a job" in (tmp_path / "files" / "submitit.err").read_text()
