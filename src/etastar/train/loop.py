"""What the reference trainings share: the log, the checkpoint and the loop over the updates.

A training writes `<name>.csv` (step, lr, loss, train_loss) and a row of `runs.csv` into a folder,
which `etastar.runs.read_runs` reads, and keeps a checkpoint until it is finished. The same command
goes on from the checkpoint after a kill or Ctrl-C, and does nothing once the run is finished. On a
CPU the run that was interrupted and the one that was not have the same weights, bit by bit.
"""

from __future__ import annotations

import contextlib
import csv
import io
import math
import os
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path

import torch
from torch import nn

from etastar._errors import InputError
from etastar._files import write_bytes, write_text
from etastar._locks import lock
from etastar.schedule import Schedule
from etastar.train.terminal import Progress, say, show_progress, watch_signals

EVALUATIONS = 40  # of a run, where --eval-every does not say otherwise

# ------------------------------------------------------------------------------------------ log

LOG_COLUMNS = ("step", "lr", "loss", "train_loss")


@dataclass
class Log:
    """The run's CSV. A row is on the disk before the training goes on.

    Attributes:
        path: of the file.
        rows: cells of the rows in it, without the header.
    """

    path: Path
    rows: list[list[str]] = field(default_factory=list)

    def rewrite(self) -> None:
        """Put exactly the rows known here into the file: drops those past a checkpoint."""
        write_text(self.path, csv_text([list(LOG_COLUMNS), *self.rows]))

    def add(self, step: int, lr: float, loss: float, train_loss: float | None) -> None:
        mean = "" if train_loss is None else f"{train_loss:.6f}"
        self.rows.append([str(step), f"{lr:.10g}", f"{loss:.6f}", mean])
        with open(self.path, "a", encoding="utf-8", newline="") as file:
            file.write(csv_text([self.rows[-1]]))
            file.flush()
            os.fsync(file.fileno())

    @property
    def last_step(self) -> int:
        return int(self.rows[-1][0]) if self.rows else -1


def csv_text(rows: list[list[str]]) -> str:
    text = io.StringIO()
    csv.writer(text, lineterminator="\n").writerows(rows)
    return text.getvalue()


@contextlib.contextmanager
def locked(path: Path, refusal: str = "") -> Iterator[None]:
    """Hold a lock file. The system frees it when the process ends, however it ends.

    Waits for another holder, or raises `InputError(refusal)` at once where a refusal is given.
    """
    with open(path, "a", encoding="utf-8") as file:
        if not lock(file, path, wait=not refusal):
            raise InputError(refusal)
        yield


def read_table(path: Path) -> tuple[list[str], list[dict[str, str]]]:
    """Columns and rows of a `runs.csv`; both empty where there is none."""
    if not path.exists():
        return [], []
    csv.field_size_limit(2**30)  # a schedule of many knots is one long cell
    try:
        with open(path, encoding="utf-8", newline="") as file:
            reader = csv.DictReader(file, restval="")
            rows = list(reader)
        columns = list(reader.fieldnames or [])
    except (csv.Error, UnicodeDecodeError):
        columns, rows = [], []
    if "run" not in columns or any(None in row for row in rows):
        raise InputError(f"{path}: not a table of runs (columns run, schedule, ...); move it away")
    return columns, rows


def declare_run(folder: Path, row: dict[str, str]) -> None:
    """Add the run's row to `runs.csv`, or put it in the place of the row of the same name."""
    path = folder / "runs.csv"
    with locked(folder / ".runs.lock"):
        columns, rows = read_table(path)
        columns += [c for c in row if c not in columns]
        places = [i for i, other in enumerate(rows) if other["run"] == row["run"]]
        if places:
            rows[places[0]] = {**rows[places[0]], **row}
        else:
            rows.append(row)
        lines = [columns] + [[r.get(c, "") for c in columns] for r in rows]
        write_text(path, csv_text(lines))


# ----------------------------------------------------------------------------------- checkpoint


@dataclass
class State:
    """All that changes during a run.

    Attributes:
        model: weights.
        optimizer: with its moments.
        log: rows so far.
        step: updates done.
        train_loss_sum, train_loss_count: sum of the batches' losses since the last row, and how
            many batches these were.
        seconds: time spent on the updates.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    log: Log
    step: int = 0
    train_loss_sum: float = 0.0
    train_loss_count: int = 0
    seconds: float = 0.0

    def save(self, path: Path, description: dict[str, str]) -> None:
        content = io.BytesIO()
        torch.save(
            {
                "description": description,
                "model": self.model.state_dict(),
                "optimizer": self.optimizer.state_dict(),
                "random": torch.get_rng_state(),
                "rows": self.log.rows,
                "step": self.step,
                "train_loss_sum": self.train_loss_sum,
                "train_loss_count": self.train_loss_count,
                "seconds": self.seconds,
            },
            content,
        )
        write_bytes(path, content.getvalue())

    def restore(self, path: Path, description: dict[str, str]) -> None:
        """Go back to a checkpoint; `InputError` if it is damaged or of a run set otherwise."""
        try:
            saved = torch.load(path, map_location="cpu", weights_only=True)
            refuse_other_settings(saved["description"], description, path)
            self.model.load_state_dict(saved["model"])
            self.optimizer.load_state_dict(saved["optimizer"])
            torch.set_rng_state(saved["random"])
            self.log.rows = saved["rows"]
            self.step = saved["step"]
            self.train_loss_sum = saved["train_loss_sum"]
            self.train_loss_count = saved["train_loss_count"]
            self.seconds = saved["seconds"]
        except InputError:
            raise
        except Exception as error:  # torch.load fails in many ways on a file that is not its own
            raise InputError(
                f"{path}: not a checkpoint of this script ({type(error).__name__}); delete it to "
                "start the run again"
            ) from None


def refuse_other_settings(old: dict[str, str], new: dict[str, str], where: Path) -> None:
    """`InputError` when a run of this name was made with other settings."""
    for key, value in new.items():
        if old.get(key, value) != value:
            raise InputError(
                f"{where}: run {new['run']!r} was made with {key} {old[key]}, not {value}; choose "
                "another --name or delete that run"
            )


# ----------------------------------------------------------------------------------------- loop


@dataclass(frozen=True)
class Training:
    """What the loop needs of one training.

    Attributes:
        model, optimizer: at their start, before the first update.
        schedule: learning rate of update t; its horizon is the number of updates.
        evaluate: the validation loss of the model as it is.
        update: one update of the state at a learning rate; returns the loss of its batch before it.
        eval_every: updates between two rows of the log; 0 for a fortieth of the horizon.
        checkpoint_every: updates between two checkpoints.
        note: said when the run begins, such as the device.
    """

    model: nn.Module
    optimizer: torch.optim.Optimizer
    schedule: Schedule
    evaluate: Callable[[], float]
    update: Callable[[State, float], float]
    eval_every: int
    checkpoint_every: int
    note: str


def evaluation_interval(schedule: Schedule, eval_every: int) -> int:
    """Updates between two rows of the log; a fortieth of the horizon where `eval_every` is 0."""
    return eval_every or max(1, round(schedule.horizon / EVALUATIONS))


def train(
    state: State,
    training: Training,
    save: Callable[[], None],
    interrupted: Callable[[], bool],
    progress: Progress,
) -> str:
    """Train until the horizon; returns "finished", "diverged" or "interrupted".

    Everything that stops or saves the run happens between two updates, so that a checkpoint is
    always a whole state: weights, optimiser and log after `state.step` updates.
    """
    horizon, schedule = training.schedule.horizon, training.schedule
    interval = evaluation_interval(schedule, training.eval_every)
    started_at = state.step
    clock = time.perf_counter()
    loss = float(state.log.rows[-1][2]) if state.log.rows else math.nan

    while True:
        step, lr = state.step, float(schedule(state.step))
        due = step % interval == 0 or step == horizon
        if due and state.log.last_step < step:
            loss = training.evaluate()
            if not math.isfinite(loss):
                return "diverged"
            count = state.train_loss_count
            state.log.add(step, lr, loss, state.train_loss_sum / count if count else None)
            state.train_loss_sum, state.train_loss_count = 0.0, 0
        progress(step, lr, loss)
        if step == horizon:
            return "finished"

        stop = interrupted()
        if stop or (step % training.checkpoint_every == 0 and step > started_at):
            save()
        if stop:
            return "interrupted"

        train_loss = training.update(state, lr)
        now = time.perf_counter()
        state.seconds, clock = state.seconds + now - clock, now
        if not math.isfinite(train_loss):
            return "diverged"
        state.train_loss_sum += train_loss
        state.train_loss_count += 1
        state.step += 1


def run_training(out: Path, description: dict[str, str], begin: Callable[[], Training]) -> str:
    """Train one run into the folder `out`, from its checkpoint where it has one.

    Arguments:
        out: the folder.
        description: the run's row of `runs.csv`, with its name under "run"; equal rows stand for
            the same run.
        begin: makes the training; called only where there is something left to do, and before
            anything is written.

    Writes `<out>/<name>.csv` and the row of `<out>/runs.csv`, keeps the checkpoint
    `<out>/.checkpoints/<name>.pt` until the run is finished, and prints a line or two. Returns
    "finished", "diverged", "interrupted" or "already finished". Raises `InputError` when the name
    stands for a run with other settings, or when another process trains it.
    """
    name = description["run"]
    checkpoints = out / ".checkpoints"
    checkpoints.mkdir(parents=True, exist_ok=True)
    checkpoint = checkpoints / f"{name}.pt"
    busy = f"--name {name}: another process is training this run in {out}; wait for it"
    with locked(checkpoints / f"{name}.lock", refusal=busy):
        before = [row for row in read_table(out / "runs.csv")[1] if row["run"] == name]
        if before and before[0].get("status") in ("finished", "diverged"):
            refuse_other_settings(before[0], description, out / "runs.csv")
            say(f"{name}: already finished ({before[0]['status']}), see {out / name}.csv")
            return "already finished"

        training = begin()
        state = State(training.model, training.optimizer, Log(out / f"{name}.csv"))
        if checkpoint.exists():
            state.restore(checkpoint, description)
        state.log.rewrite()
        declare_run(out, {**description, "status": "running"})
        horizon = training.schedule.horizon
        say(opening_line(name, state, training))
        with (
            watch_signals() as interrupted,
            show_progress(name, state.step, horizon) as progress,
        ):
            status = train(
                state,
                training,
                save=lambda: state.save(checkpoint, description),
                interrupted=interrupted,
                progress=progress,
            )
        declare_run(out, {**description, "status": status, "seconds": f"{state.seconds:.0f}"})
        if status != "interrupted":
            checkpoint.unlink(missing_ok=True)
        say(closing_line(name, status, state, horizon))
    return status


def opening_line(name: str, state: State, training: Training) -> str:
    parameters = sum(p.numel() for p in state.model.parameters())
    begin = f"goes on from step {state.step}" if state.step else f"{parameters} parameters"
    return f"{name}: {begin}, {training.schedule.horizon} steps, {training.note}"


def closing_line(name: str, status: str, state: State, horizon: int) -> str:
    last = f"loss {state.log.rows[-1][2]} at step {state.log.rows[-1][0]}" if state.log.rows else ""
    if status == "interrupted":
        return f"{name}: stopped at step {state.step} of {horizon}; the same command goes on"
    if status == "diverged":
        return f"{name}: diverged at step {state.step} of {horizon} (last {last}); lower the peak"
    return f"{name}: finished, {last}, {state.seconds:.0f} s"
