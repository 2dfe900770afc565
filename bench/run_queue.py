"""Train what is still missing of the benchmarks' trainings, one process at a time.

    python bench/run_queue.py [GROUP ...] [--list]

A group is a function below that yields its trainings; no name stands for all groups. The first turn
comes first, in a turn the cheapest, at low priority, and writes into `bench/runs/<group>/`. After
Ctrl-C or kill -9 the same command goes on from the last checkpoint. `--list` only shows what is
done and missing. Like `etastar.train.gpt`, a training takes `--out` and `--name` and keeps its
status in `runs.csv`.
"""

from __future__ import annotations

import argparse
import csv
import fcntl
import itertools
import os
import signal
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import NamedTuple

from real_arms import Arm, momentum_arms, ramp_arms, runs

RUNS = Path(__file__).parent / "runs"


class Training(NamedTuple):
    """One run. The measured speed of runs of its `kind` corrects the `seconds` it should take."""

    name: str
    command: list[str]
    kind: str
    updates: int
    seconds: float
    turn: int = 0

    @property
    def place(self) -> tuple[int, float]:
        """In the order of the trainings."""
        return self.turn, self.seconds


def gpt_batch() -> Iterator[Training]:
    """Batch size x peak LR x budget in bytes: the model of `examples/gpt`, 95 runs and 6 repeats.

    The largest budget, four times the one before, is 2.7 passes over the corpus, and is left out at
    the smallest batch size, where it takes hours.

    Cosines to zero alternate with WSD that cools down over a quarter, and a warmup of 65,536 bytes
    (`w64k`) with one of 20 updates (`w20`), evenly at each batch size, peak and budget.
    """
    context, budgets = 32, (655360, 1310720, 5242880, 20971520)
    ladder = ("2.5e-4", "5e-4", "1e-3", "2e-3", "4e-3", "8e-3", "1.6e-2")
    lowest = {1: 0, 4: 1, 16: 1, 32: 2, 64: 2}  # batch size: place of its first peak on the ladder
    repeated = {(1, 2, 0), (4, 2, 1), (16, 2, 0), (16, 2, 2), (32, 2, 1), (64, 2, 0)}
    for (i, batch), j, k in itertools.product(enumerate(lowest), range(5), range(4)):
        if k == 3 and batch < 4:
            continue
        peak, horizon, turn = ladder[lowest[batch] + j], budgets[k] // (batch * context), i + j + k
        shape, cooldown = ("cosine", "") if turn % 2 else ("wsd", ",cooldown=0.25")
        label, warmup = ("w20", 20) if turn // 2 % 2 else ("w64k", 65536 // (batch * context))
        schedule = f"{shape}:peak={peak},horizon={horizon},warmup={warmup}{cooldown}"
        command = [sys.executable, "-m", "etastar.train.gpt", "--device", "cpu", "--threads", "1"]
        command += ["--passes", "3"] if k == 3 else []
        command += ["--schedule", schedule, "--batch", str(batch), "--context", str(context)]
        command += ["--eval-every", f"{horizon // 50}", "--checkpoint-every", f"{horizon // 20}"]
        seconds = horizon * (1.6e-3 + 0.45e-3 * batch) + 50 * 0.25  # updates and evaluations
        for seed in (0, 1) if (batch, j, k) in repeated else (0,):
            name = f"b{batch}_{shape}_p{peak}_n{budgets[k]}_{label}_s{seed}"
            yield Training(name, [*command, "--seed", str(seed)], f"b{batch}", horizon, seconds)


def images(decay: str = "0") -> Iterator[Training]:
    """Shape x peak LR x horizon on the image stream, SGD with momentum; then 20 % label noise.

    A constant LR knows no horizon, so that its run of the longest horizon holds the shorter ones;
    its row every 400 updates is for them. The first turn is one seed at the short horizons; then,
    of each seed, constant and linear, finer peaks, cosine and WSD at two horizons, label noise.
    """
    ladder = ("3.1e-3", "6.2e-3", "1.25e-2", "2.5e-2", "5e-2", "1e-1", "2e-1", "4e-1")
    annealed, constant, finer = ladder[2:], ladder[:-1], ("3.5e-2", "7e-2")
    horizons = (2000, 4000, 8000, 16000, 32000)
    for peak in constant:
        yield image_training("constant", peak, 8000, 0, 0, decay)
    for seed in range(3):
        for peak in constant:
            yield image_training("constant", peak, horizons[-1], seed, 4 * seed + 1, decay)
        for peak, horizon in itertools.product(annealed, horizons):
            turn = 0 if seed == 0 and horizon <= 8000 else 4 * seed + 1
            yield image_training("linear", peak, horizon, seed, turn, decay)
        for peak, horizon in itertools.product(finer, horizons[:4]):
            yield image_training("linear", peak, horizon, seed, 4 * seed + 2, decay)
    for seed, shape in itertools.product(range(2), ("cosine", "wsd")):
        for peak, horizon in itertools.product(annealed, (4000, 16000)):
            yield image_training(shape, peak, horizon, seed, 4 * seed + 3, decay)
    for seed in range(2):
        for peak in constant:
            yield image_training("constant", peak, 16000, seed, 4 * seed + 4, decay, "0.2")
        for peak, horizon in itertools.product(annealed, horizons[:4]):
            yield image_training("linear", peak, horizon, seed, 4 * seed + 4, decay, "0.2")


def images_decay() -> Iterator[Training]:
    """The same with weight decay.

    Without it the weights under a normalisation grow, which lowers the LR that counts like a
    schedule would.
    """
    return images("5e-4")


def text() -> Iterator[Training]:
    """Shape x peak LR x horizon for the small GPT on bytes, AdamW, one window of 64 in an update.

    The batch is that small so that the noise of the gradients, not the first descent, decides the
    loss within a pass over the corpus. A constant LR's run holds the shorter horizons.
    """
    ladder = ("1.25e-4", "2.5e-4", "5e-4", "1e-3", "2e-3", "4e-3", "8e-3")
    horizons = (4000, 8000, 16000, 32000, 64000)
    for seed in range(3):
        turn = 4 * seed + 1
        for peak in ladder:
            yield text_training("constant", peak, horizons[-1], seed, turn)
        for peak, horizon in itertools.product(ladder, horizons):
            yield text_training("linear", peak, horizon, seed, turn)
    for seed, shape in itertools.product(range(2), ("cosine", "wsd")):
        for peak, horizon in itertools.product(ladder[1:6], (4000, 16000)):
            yield text_training(shape, peak, horizon, seed, 4 * seed + 3)


def text_training(shape: str, peak: str, horizon: int, seed: int, turn: int) -> Training:
    cooldown = ",cooldown=0.2" if shape == "wsd" else ""
    schedule = f"{shape}:peak={peak},horizon={horizon},warmup=200{cooldown}"
    every = 800 if shape == "constant" else horizon // 20
    command = [sys.executable, "-m", "etastar.train.gpt", "--device", "cpu", "--threads", "1"]
    command += ["--schedule", schedule, "--seed", str(seed), "--batch", "1", "--context", "64"]
    command += ["--eval-every", str(every), "--checkpoint-every", str(horizon // 10)]
    name = f"{shape}_p{peak}_t{horizon}_s{seed}"
    return Training(name, command, "text", horizon, 2e-3 * horizon + 0.25 * horizon / every, turn)


def image_training(
    shape: str, peak: str, horizon: int, seed: int, turn: int, decay: str, noise: str = "0"
) -> Training:
    cooldown = ",cooldown=0.2" if shape == "wsd" else ""
    schedule = f"{shape}:peak={peak},horizon={horizon},warmup=100{cooldown}"
    every = 400 if shape == "constant" else horizon // 20
    command = [sys.executable, "-m", "etastar.train.images", "--device", "cpu", "--threads", "1"]
    command += ["--schedule", schedule, "--seed", str(seed), "--eval-every", str(every)]
    command += ["--label-noise", noise, "--weight-decay", decay]
    name = f"{shape}_p{peak}_t{horizon}_s{seed}" + (f"_n{noise}" if noise != "0" else "")
    seconds = 5e-3 * horizon + 0.3 * horizon / every
    return Training(name, command, "images", horizon, seconds, turn)


def momentum() -> Iterator[Training]:
    """Constant, planned and two-rate momentum on the image stream: `bench/real_controls.py`."""
    return controlled(momentum_arms())


def ramp_images() -> Iterator[Training]:
    """Fixed batch sizes and ramps on the image stream; some of their rivals are in `momentum`."""
    return controlled(ramp_arms())


def controlled(arms: list[Arm]) -> Iterator[Training]:
    start = [sys.executable, "-m", "etastar.train.images", "--device", "cpu", "--threads", "1"]
    for name, options, controls, seed in runs(arms):
        updates = controls.lr.horizon
        seconds = 1.5e-3 * updates + 2.2e-4 * controls.samples + 6
        yield Training(name, [*start, *options], "images", updates, seconds, seed)


def value() -> Iterator[Training]:
    """The seven trainings of `bench/value.py`, each with its pilots, its plan and its long runs.

    Those that the work may have been tuned on come first. About 54 horizons are trained each.
    """
    from value_trainings import KINDS  # PyTorch takes seconds to load

    for turn, (name, kind) in enumerate(KINDS.items()):
        command = [sys.executable, str(Path(__file__).with_name("value.py")), "run"]
        yield Training(name, command, name, 54 * kind.horizon, 54 * 50, turn)


GROUPS: dict[str, Callable[[], Iterator[Training]]] = {
    "gpt_batch": gpt_batch,
    "images": images,
    "images_decay": images_decay,
    "momentum": momentum,
    "ramp_images": ramp_images,
    "text": text,
    "value": value,
}


class Group:
    """The trainings of a group in their order, and what the disk holds of them."""

    def __init__(self, name: str) -> None:
        self.folder = RUNS / name
        self.trainings = sorted(GROUPS[name](), key=lambda training: training.place)
        rows = [row for row in self.rows("runs") if row["status"] in ("finished", "diverged")]
        self.ended = {row["run"]: row for row in rows}
        self.missing = [t for t in self.trainings if t.name not in self.ended]

    def rows(self, name: str) -> list[dict[str, str]]:
        path = self.folder / f"{name}.csv"
        return list(csv.DictReader(path.open(encoding="utf-8"))) if path.exists() else []

    def left(self, training: Training) -> float:
        """Seconds that a missing training still takes, five of them to start."""
        log = self.rows(training.name)
        part = 1 - int(log[-1]["step"]) / training.updates if log else 1.0
        known = [t for t in self.trainings if t.name in self.ended]
        known = [t for t in known if t.kind == training.kind] or known
        measured = sum(float(self.ended[t.name]["seconds"]) for t in known)
        slowness = measured / sum(t.seconds for t in known) if known else 1.0
        return 5 + part * slowness * training.seconds

    def line(self, training: Training) -> str:
        row, log = self.ended.get(training.name), self.rows(training.name)
        if row is None or not log:
            return f"{training.name:<38} missing, about {self.left(training):.0f} s"
        speed = int(log[-1]["step"]) / max(float(row["seconds"]), 1.0)
        end = f"{row['status']}, loss {log[-1]['loss']}, {row['seconds']} s, {speed:.1f} updates/s"
        return f"{training.name:<38} {end}"


def remaining(names: list[str]) -> str:
    groups = [Group(name) for name in names]
    missing = sum(len(group.missing) for group in groups)
    minutes = round(sum(g.left(t) for g in groups for t in g.missing) / 60)
    return f"{missing} missing, {minutes // 60} h {minutes % 60:02} min left"


def train_missing(names: list[str], lock: int) -> int:
    """Train what is missing, in order; returns the exit code of the command."""
    failed: set[str] = set()
    print(remaining(names), flush=True)
    while missing := [(t, g) for g in map(Group, names) for t in g.missing if t.name not in failed]:
        training, group = min(missing, key=lambda pair: pair[0].place)
        command = [*training.command, "--out", str(group.folder), "--name", training.name]
        # The training inherits the lock: if this process alone is killed, the next call waits.
        with subprocess.Popen(command, stdout=subprocess.DEVNULL, pass_fds=[lock]) as process:
            try:
                code = process.wait()
            except KeyboardInterrupt:
                process.terminate()  # it saves a checkpoint
                process.wait()
                return 130
        group = Group(group.folder.name)
        print(f"{group.line(training)}; {remaining(names)}", flush=True)
        if training in group.missing:
            print(f"{training.name}: failed with exit code {code}", flush=True)
            failed.add(training.name)
    return 1 if failed else 0


def main() -> int:
    parser = argparse.ArgumentParser(description="Train what is missing of the benchmarks.")
    parser.add_argument("groups", nargs="*", metavar="GROUP", help=f"of {', '.join(GROUPS)}")
    parser.add_argument("--list", action="store_true", help="show what is done and missing")
    given = parser.parse_args()
    names = given.groups or list(GROUPS)
    if not set(names) <= set(GROUPS):
        parser.error(f"no such group; choose of {', '.join(GROUPS)}")
    if given.list:
        lines = [g.line(t) for g in map(Group, names) for t in g.trainings]
        print(*lines, remaining(names), sep="\n")
        return 0
    os.nice(19)
    RUNS.mkdir(exist_ok=True)
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with open(RUNS / ".runs.lock", "a") as lock:
        fcntl.flock(lock, fcntl.LOCK_EX)  # waits for the training of another call
        return train_missing(names, lock.fileno())


if __name__ == "__main__":
    sys.exit(main())
