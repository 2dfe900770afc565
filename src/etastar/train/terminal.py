"""What the reference trainings say and ask on the command line."""

from __future__ import annotations

import argparse
import contextlib
import math
import re
import signal
import sys
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

from etastar._errors import InputError
from etastar.schedule import Schedule, parse_schedule

Progress = Callable[[int, float, float], None]  # step, learning rate, validation loss


def say(line: str) -> None:
    print(line, flush=True)


@contextlib.contextmanager
def watch_signals() -> Iterator[Callable[[], bool]]:
    """Turn Ctrl-C and a polite kill into a question that the loop asks between two updates."""
    received: list[int] = []
    watched = (signal.SIGINT, signal.SIGTERM)
    previous = [signal.signal(s, lambda number, _: received.append(number)) for s in watched]
    try:
        yield lambda: bool(received)
    finally:
        for number, handler in zip(watched, previous, strict=True):
            signal.signal(number, handler)


@contextlib.contextmanager
def show_progress(name: str, step: int, horizon: int) -> Iterator[Progress]:
    """A progress bar on a terminal; elsewhere one line per tenth of the run."""
    if not sys.stdout.isatty():
        tenths = {math.ceil(horizon * i / 10) for i in range(1, 10)}

        def write_line(step: int, lr: float, loss: float) -> None:
            if step in tenths:
                say(f"{name}: step {step}/{horizon} lr {lr:.3g} loss {loss:.4f}")

        yield write_line
        return

    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("lr {task.fields[lr]:.3g} loss {task.fields[loss]:.4f}"),
        TimeRemainingColumn(),
    )
    with Bar(*columns) as bar:
        task = bar.add_task(name, total=horizon, completed=step, lr=0.0, loss=math.nan)
        yield lambda step, lr, loss: bar.update(task, completed=step, lr=lr, loss=loss)


class Parser(argparse.ArgumentParser):
    """An argument parser whose errors are one line."""

    def error(self, message: str):
        self.exit(2, f"{self.prog.split()[-1]}: {message} (see --help)\n")


def number(kind: type, low: float, below: float = math.inf) -> Callable[[str], float]:
    """A checked conversion of an argument: low <= value < below."""

    def convert(text: str) -> float:
        try:
            value = kind(text)
        except ValueError:
            value = math.nan
        if not low <= value < below:
            what = "a whole number" if kind is int else "a number"
            limit = f" and below {below:g}" if math.isfinite(below) else ""
            raise argparse.ArgumentTypeError(f"{text!r} must be {what} of at least {low}{limit}")
        return value

    return convert


def run_name(text: str) -> str:
    if not re.fullmatch(r"[A-Za-z0-9_][A-Za-z0-9_.+=-]*", text) or text == "runs":
        raise argparse.ArgumentTypeError(
            f"{text!r} must be a file name of letters, digits and _ . + = - (and not 'runs')"
        )
    return text


def run_command(given: dict[str, Any], run: Callable[[Schedule, Path, str], str], prog: str) -> int:
    """Train what the arguments say; returns the exit code: 0 done, 2 bad input, 130 interrupted.

    Takes `schedule`, `out` and `name` out of the arguments, and fills in the device.
    """
    import torch

    spec, out, name = given.pop("schedule"), given.pop("out"), given.pop("name")
    try:
        if given["device"] == "cuda" and not torch.cuda.is_available():
            raise InputError("--device cuda: PyTorch finds no CUDA device here; use --device cpu")
        if given["device"] == "auto":
            given["device"] = "cuda" if torch.cuda.is_available() else "cpu"
        is_file = spec.endswith(".json")
        schedule = Schedule.load(spec) if is_file else parse_schedule(spec)
        status = run(schedule, out, name)
    except InputError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except OSError as error:
        print(f"{prog}: --out {out}: cannot write there: {error}", file=sys.stderr)
        return 2
    return 130 if status == "interrupted" else 0
