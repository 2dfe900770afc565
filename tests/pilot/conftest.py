"""A training that takes no time, its faults, and a design that is a list."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path

import pytest

from etastar.pilot import Finished, Pilot, Proposal, Silent, SweepResult, _sweep, run_pilots
from etastar.schedule import parse_schedule

TRAINING = '''
import os, subprocess, sys, time
from pathlib import Path
import numpy as np
from etastar.schedule import Schedule

here = Path(__file__).parent


def told(what):
    with open(here / "told", "a") as file:
        file.write(what + "\\n")


def fault_of(name):
    """The fault asked for this start of this run: a line of faults/NAME, each once, then none."""
    path = here / "faults" / name
    lines = path.read_text().splitlines() if path.exists() else []
    if not lines:
        return ""
    path.write_text("\\n".join(lines[1:]))
    return lines[0]


def main(schedule, seed, out, name, resume="", checkpoints="", branch_step="0"):
    told(f"start {name} {os.getpid()}")
    fault, schedule = fault_of(name), Schedule.load(schedule)
    delay = float(os.environ.get("ROW_SECONDS", "0"))
    keep = {int(step) for step in checkpoints.split(",") if step}
    begin = int(Path(resume).read_text()) if resume else 0
    steps = schedule.horizon
    rates = schedule(np.arange(steps + 1))
    time_passed = np.concatenate([[0.0], np.cumsum(rates)])
    noise = np.random.default_rng(int(seed)).normal(size=steps + 1)
    if fault.startswith("leaves"):  # a service that outlives the training, in a session of its own
        service = subprocess.Popen(["sleep", "20"], start_new_session=True)
        told(f"service {service.pid}")
    if fault == "no log":
        return
    if fault == "garbage":
        Path(out + ".csv").write_bytes(bytes(range(256)) * 20)
        return
    with open(out + ".csv", "w") as log:
        log.write("step,loss\\n")
        for step in range(begin, steps + 1, max(steps // 20, 1)):
            loss = (1 + (1 + time_passed[step]) ** -0.5 + rates[step]) * (1 + 1e-3 * noise[step])
            if step >= steps // 2:
                if fault == "nan":
                    loss, delay = float("nan"), 0.5
                if fault in ("exit", "leaves and exits"):
                    print("the first line\\nRuntimeError: the engine is on fire", file=sys.stderr)
                    sys.exit(1)
                if fault == "hang":
                    time.sleep(60)
                while fault == "wait" and not (here / "go").exists():
                    time.sleep(0.02)
                if fault == "stop":
                    return
                if fault == "says diverged":
                    print("loss is nan, this run has diverged")
                    return
                if fault == "full":
                    with open("/dev/full", "w") as full:
                        full.write("x")
            log.write(f"{step},{loss}\\n")
            log.flush()
            if step in keep:
                Path(f"{out}_step_{step}.pt").write_text(str(step))
            time.sleep(delay)
    told(f"end {name} from {begin}")


if __name__ == "__main__":
    main(*sys.argv[1:])
'''


@dataclass(frozen=True)
class Listed:
    """Proposes the pilots of a list that are neither finished nor running."""

    pilots: tuple[Pilot, ...]
    interval: float = 0.1

    def propose(
        self, finished: Sequence[Finished], running: Sequence[Pilot], steps_left: int
    ) -> Proposal:
        known = {each.pilot.name for each in finished} | {each.name for each in running}
        rest = tuple(each for each in self.pilots if each.name not in known)
        width = self.interval / (1 + len(finished))
        return Proposal(rest, width, (width,) * len(rest), "the list")


@dataclass(frozen=True)
class Bench:
    """A folder with the training, and sweeps over it."""

    folder: Path

    @staticmethod
    def pilot(name: str, spec: str = "cosine:peak=0.1,horizon=200", **more) -> Pilot:
        return Pilot(name, parse_schedule(spec), **more)

    @staticmethod
    def wait_for(condition: Callable[[], object], seconds: float = 60.0) -> None:
        deadline = time.monotonic() + seconds
        while not condition():
            assert time.monotonic() < deadline, "waited in vain"
            time.sleep(0.02)

    @staticmethod
    def is_alive(pid: int) -> bool:
        try:
            return Path(f"/proc/{pid}/stat").read_text().rpartition(")")[2].split()[0] != "Z"
        except OSError:
            return False

    @property
    def out(self) -> Path:
        return self.folder / "pilots"

    @property
    def command(self) -> list[str]:
        words = ["{schedule}", "{seed}", "{out}", "{name}"]
        return [sys.executable, str(self.folder / "training.py"), *words]

    def fault(self, name: str, *faults: str) -> None:
        (self.folder / "faults").mkdir(exist_ok=True)
        (self.folder / "faults" / name).write_text("\n".join(faults))

    def told(self, what: str) -> list[str]:
        """What trainings noted of one kind: the second words of lines that begin with `what`."""
        path = self.folder / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        return [line.split()[1] for line in lines if line.startswith(what)]

    def pids(self) -> list[int]:
        """Every process that a training noted at its start."""
        path = self.folder / "told"
        lines = path.read_text().splitlines() if path.exists() else []
        return [int(line.split()[2]) for line in lines if line.startswith("start")]

    def state(self) -> dict[str, str]:
        """The status of each pilot in the state file."""
        path = self.out / "pilots.json"
        if not path.exists():
            return {}
        return {each["name"]: each["status"] for each in json.loads(path.read_text())["pilots"]}

    def sweep(self, pilots: Sequence[Pilot], **options) -> tuple[SweepResult, list[str]]:
        """Run pilots; what is left and what was said."""
        shown = Silent()
        given = {
            "train": self.command,
            "horizon": 1000,
            "budget": 100_000,
            "out": self.out,
            "designer": Listed(tuple(pilots)),
            "ahead": lambda runs: None,
            "show": shown,
        }
        swept = run_pilots(**{**given, **options})
        return swept, shown.lines


@pytest.fixture
def bench(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Bench:
    monkeypatch.setattr(_sweep, "BEAT", 0.02)
    (tmp_path / "training.py").write_text(TRAINING)
    return Bench(tmp_path)
