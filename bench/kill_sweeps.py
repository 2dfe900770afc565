"""Do sweeps that are killed at random lose a run, repeat one, or leave a process behind?

    python bench/kill_sweeps.py [--kills 100] [--seed 0] [--slurm local]

Sweeps of 6 short trainings, two at a time, are run one after another. At random moments the driver,
a process of a training, or the driver and all trainings are killed with SIGKILL; a killed driver is
started again. Prints the kills of each kind, the sweeps, the runs that ended, and what must be 0:
runs without their whole log, runs repeated after their end, processes left. Exits with 1 where one
of these is not 0. Needs Linux, whose /proc says which processes there are. With `--slurm local` the
trainings are jobs of submitit, whose processes are killed too.
"""

from __future__ import annotations

import argparse
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterator
from pathlib import Path

from etastar.pilot import Pilot, Proposal, run_pilots
from etastar.runs import read_runs
from etastar.schedule import parse_schedule

RUNS, STEPS = 6, 100
MARK = "ETASTAR_KILL_SWEEPS"
"""Environment variable by which the processes of a sweep are known."""

# Plain Python, so that it starts fast; its child stands for one that loads data.
TRAINING = """
import subprocess, sys, time
out, name, steps = sys.argv[1], sys.argv[2], int(sys.argv[3])
loader = subprocess.Popen(["sleep", "60"])
with open(out + ".csv", "w") as log:
    log.write("step,loss\\n")
    for step in range(0, steps + 1, 5):
        log.write(f"{step},{2 + 1 / (1 + step)}\\n")
        log.flush()
        time.sleep(0.03)
with open("ends", "a") as file:
    file.write(name + "\\n")
loader.kill()
"""


class Listed:
    """Wants the same runs whatever happens."""

    def propose(self, finished, running, steps_left) -> Proposal:
        known = {each.pilot.name for each in finished} | {each.name for each in running}
        pilots = tuple(
            Pilot(f"run{i}", parse_schedule(f"linear:peak={0.01 * (1 + i)},horizon={STEPS}"), i)
            for i in range(RUNS)
            if f"run{i}" not in known
        )
        return Proposal(pilots, None, (1.0,) * len(pilots), "the list")


def drive(folder: Path, slurm: str | None) -> None:
    """One driver over the sweep of a folder, in this process."""
    os.chdir(folder)
    words = [sys.executable, "-S", "training.py", "{out}", "{name}", "{steps}", "{spec}"]
    run_pilots(
        words, horizon=1000, budget=10**6, out="pilots", jobs=2, retries=10**6, patience=20.0,
        designer=Listed(), ahead=lambda runs: None, slurm=slurm,
    )  # fmt: skip


def processes(mark: str) -> Iterator[int]:
    """The living processes of the sweep that has this mark."""
    wanted = f"{MARK}={mark}".encode()
    for name in filter(str.isdecimal, os.listdir("/proc")):
        try:
            state = Path(f"/proc/{name}/stat").read_text().rpartition(")")[2].split()[0]
            if state not in "ZX" and wanted in Path(f"/proc/{name}/environ").read_bytes():
                yield int(name)
        except OSError:
            continue


class Killed:
    """One sweep that is killed again and again.

    Attributes:
        kills: how many of each kind there were.
        problems: what is wrong, a line each.
    """

    def __init__(self, folder: Path, chance: random.Random, slurm: str | None) -> None:
        self.folder, self.chance, self.mark, self.slurm = folder, chance, folder.name, slurm
        self.kills, self.problems = Counter[str](), []
        self.whole: dict[str, bytes] = {}
        (folder / "training.py").write_text(TRAINING)

    def run(self, most: int) -> None:
        """Kill until the sweep is over, at most so many times; then look at what is left."""
        driver = self._start()
        try:
            while sum(self.kills.values()) < most:
                if self.chance.random() < 0.8:  # else a driver may have nothing running yet
                    self._wait_for_workers(driver)
                time.sleep(self.chance.uniform(0.0, 0.5))
                if driver.poll() is not None:
                    break
                if self._kill(driver):
                    driver = self._start()
                self._compare()
            code = driver.wait(timeout=120)
            if code != 0:
                self.problems.append(f"the last driver exited with {code}")
            self._compare()
            self._check_end()
        finally:
            for pid in processes(self.mark):
                os.kill(pid, signal.SIGKILL)
            driver.wait()

    def _start(self) -> subprocess.Popen[bytes]:
        words = [sys.executable, __file__, "--drive", str(self.folder)]
        words += ["--slurm", self.slurm] if self.slurm else []
        with open(self.folder / "said", "ab") as said:
            return subprocess.Popen(
                words,
                env={**os.environ, MARK: self.mark},
                stdout=said,
                stderr=said,
            )

    def _wait_for_workers(self, driver: subprocess.Popen[bytes]) -> None:
        deadline = time.monotonic() + 20.0
        while driver.poll() is None and time.monotonic() < deadline:
            if any(pid != driver.pid for pid in processes(self.mark)):
                return
            time.sleep(0.02)

    def _kill(self, driver: subprocess.Popen[bytes]) -> bool:
        """Kill something; whether the driver was."""
        kind = self.chance.choice(("driver", "worker", "both"))
        workers = [pid for pid in processes(self.mark) if pid != driver.pid]
        if kind == "worker" and not workers:
            return False
        self.kills[kind] += 1
        if kind != "worker":
            driver.kill()
            driver.wait()
        chosen = {"driver": [], "worker": [self.chance.choice(workers)] if workers else []}
        for pid in chosen.get(kind, workers):
            try:
                os.kill(pid, signal.SIGKILL)
            except ProcessLookupError:
                continue
        return kind != "worker"

    def _compare(self) -> None:
        """A run that has finished keeps its log to the last byte."""
        path = self.folder / "pilots" / "pilots.json"
        if not path.exists():
            return
        for each in json.loads(path.read_text())["pilots"]:
            if each["status"] == "finished":
                log = (self.folder / "pilots" / each["log"]).read_bytes()
                if self.whole.setdefault(each["name"], log) != log:
                    self.problems.append(f"{each['name']}: its log changed after its end")

    def _check_end(self) -> None:
        runs = {run.name: run for run in read_runs(self.folder / "pilots")}
        for name in (f"run{i}" for i in range(RUNS)):
            if name not in runs or runs[name].final_step != STEPS:
                self.problems.append(f"{name}: lost")
        ends = Counter((self.folder / "ends").read_text().split())
        self.problems += [f"{name}: repeated" for name, count in ends.items() if count > 1]
        # What was just killed may take a moment to go.
        deadline = time.monotonic() + 2.0
        while (left := list(processes(self.mark))) and time.monotonic() < deadline:
            time.sleep(0.05)
        self.problems += [f"process {pid}: left" for pid in left]


def kill_sweeps(kills: int, seed: int, slurm: str | None = None) -> tuple[Counter[str], list[str]]:
    """Sweeps until there were so many kills; counts, and what is wrong."""
    chance, counts, problems = random.Random(seed), Counter[str](), []
    while sum(counts[kind] for kind in ("driver", "worker", "both")) < kills:
        done = sum(counts[kind] for kind in ("driver", "worker", "both"))
        with tempfile.TemporaryDirectory(prefix="kill-sweeps-") as folder:
            sweep = Killed(Path(folder), chance, slurm)
            sweep.run(kills - done)
            counts += sweep.kills
            counts["sweeps"] += 1
            counts["runs ended"] += RUNS
            if sweep.problems:
                problems += [f"sweep {counts['sweeps']}: {what}" for what in sweep.problems]
                problems += (Path(folder) / "said").read_text().splitlines()[-5:]
    return counts, problems


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--kills", type=int, default=100)
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--slurm", choices=["local"])
    words.add_argument("--drive", type=Path, help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.drive is not None:
        drive(asked.drive, asked.slurm)
        return
    counts, problems = kill_sweeps(asked.kills, asked.seed, asked.slurm)
    for name in ("driver", "worker", "both", "sweeps", "runs ended"):
        print(f"{name:<12}{counts[name]:>6}")
    for word in ("lost", "repeated", "left", "changed"):
        print(f"{word:<12}{sum(word in line for line in problems):>6}")
    for line in problems:
        print(line)
    sys.exit(bool(problems))


if __name__ == "__main__":
    main()
