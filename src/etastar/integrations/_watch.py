"""`Watch`: the forecast of a run while it trains, made by a process of its own."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
import warnings
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any

from etastar._checks import real_between, shown, whole
from etastar._errors import InputError

from ._log import RunLog, process_rank
from ._source import schedule_of

LOOK = 0.5
"""Seconds between two looks for a report."""

LAST = 2.0
"""Seconds that `close` waits for the process to end by itself."""

COMMAND = (sys.executable, "-m", "etastar.watch")
"""The process beside the training."""

PREFIX = "etastar/"
"""How the names of all numbers begin that a writer is given."""


def to_stderr(line: str) -> None:
    """Print a line on stderr at once."""
    print(line, file=sys.stderr, flush=True)


class Watch:
    """Tells, while a run trains, what final loss to expect and whether the run is on its plan.

    Call it with the number of updates done after every update. It reads nothing and fits nothing
    itself: a process beside the training, of the lowest priority, follows the run's log, fits the
    law to it and to the pilots, and sends its reports through a pipe. A call looks at the pipe
    twice a second at most, and costs some tenths of a microsecond otherwise. After each report the
    process rests, so that it takes no more than `share` of the time of one core.

    Every report is printed as a line on stderr, and its numbers go to `writer`: final_loss with
    final_low and final_high (the interval), planned_loss (expected now by the pilots), on_plan (1
    or 0) and warnings (how many), all under `etastar/`. A warning is given once.

    Arguments:
        log: the run's own log, any that `etastar.runs.read_runs` reads, or the `RunLog` itself.
        pilots: logs of the pilots: a path or several. Without them the run is forecast from its own
            log alone, and there is no plan to be on.
        schedule: of the run, anything that `schedule_of` takes; by default what the log declares.
        every: updates between two reports; by default a hundredth of the horizon.
        writer: where numbers go: a TensorBoard `SummaryWriter`, a W&B run, a function of the
            numbers (a dict) and the step, or a list of such.
        say: what prints a line; None for silence.
        share: part of the time of one core that reports may take, above 0 to 1.
        level: of the intervals, a probability.
        rank: the rank of this process in a distributed job; by default as for `RunLog`. Only rank 0
            watches.

    Attributes:
        latest: the latest report, as `etastar watch --json` prints it; None before the first.

    Raises: InputError for a value that is out of range, or a writer that is none.

    >>> with Watch("runs/long.jsonl", pilots="runs/pilots", rank=1) as watch:
    ...     watch(1)
    >>> print(watch.latest)
    None
    """

    def __init__(
        self,
        log: str | os.PathLike[str] | RunLog,
        *,
        pilots: str | os.PathLike[str] | Sequence[str | os.PathLike[str]] = (),
        schedule: Any = None,
        every: int | None = None,
        writer: Any = None,
        say: Callable[[str], object] | None = to_stderr,
        share: float = 0.01,
        level: float = 0.9,
        rank: int | None = None,
    ) -> None:
        if isinstance(pilots, str | os.PathLike):
            pilots = [pilots]
        self._writers = _writers(writer)
        self._say = say
        self._request = {
            "log": str(Path(log.path if isinstance(log, RunLog) else log).expanduser()),
            "pilots": [os.fspath(each) for each in pilots],
            "schedule": None if schedule is None else schedule_of(schedule).spec,
            "every": None if every is None else whole("every", every, 1, unit="update"),
            "share": real_between("share", share, 1e-6, 1.0),
            "poll": LOOK,
            "level": real_between("level", level, 1e-6, 1 - 1e-6),
        }
        self.latest: dict[str, Any] | None = None
        self._told: set[tuple[str, float]] = set()
        self._next, self._rest = 0.0, b""
        self._process: subprocess.Popen[bytes] | None = None
        self._begun = (process_rank() if rank is None else rank) != 0
        self._owner = os.getpid()

    def __call__(self, step: int) -> None:
        """Take in what there is to tell after `step` updates; see the class."""
        now = time.monotonic()
        if now < self._next:
            return
        self._next = now + LOOK
        if not self._begun:
            self._start()
        if self._process is not None:
            self._read(step)

    def close(self) -> None:
        """Show what is left to be told and end the process; closing twice does nothing."""
        process, self._process = self._process, None
        self._begun = True
        # A worker that was forked, as for loading data, holds a copy and must not end the process.
        if process is None or os.getpid() != self._owner:
            return
        assert process.stdin is not None
        assert process.stdout is not None
        process.stdin.close()
        try:
            process.wait(LAST)
        except subprocess.TimeoutExpired:
            process.kill()
            process.wait()
        os.set_blocking(process.stdout.fileno(), True)
        self._take(process.stdout.read(), self.latest["step"] if self.latest else 0)
        process.stdout.close()

    def __enter__(self) -> Watch:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __del__(self) -> None:
        if getattr(self, "_process", None) is not None:
            self.close()

    def _start(self) -> None:
        self._begun = True
        # The process needs no accelerator, and one thread.
        quiet = {"CUDA_VISIBLE_DEVICES": "", "JAX_PLATFORMS": "cpu", "OMP_NUM_THREADS": "1"}
        try:
            self._process = subprocess.Popen(
                COMMAND,
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                env={**os.environ, **quiet},
                # Ctrl-C is for the training, which then closes this.
                start_new_session=True,
            )
            assert self._process.stdin is not None
            assert self._process.stdout is not None
            self._process.stdin.write(json.dumps(self._request).encode() + b"\n")
            self._process.stdin.flush()
            os.set_blocking(self._process.stdout.fileno(), False)
        except OSError as error:
            warnings.warn(f"the run is not watched: {error}", stacklevel=4)

    def _read(self, step: int) -> None:
        assert self._process is not None
        assert self._process.stdout is not None
        try:
            data = os.read(self._process.stdout.fileno(), 2**16)
        except BlockingIOError:
            return
        self._take(data, step)
        if not data:
            self.close()

    def _take(self, data: bytes, step: float) -> None:
        """Tell what lines say, the last of which may be a part of one."""
        *lines, self._rest = (self._rest + data).split(b"\n")
        for line in lines:
            report = json.loads(line)
            if "error" in report:
                warnings.warn(f"the run is not watched: {report['error']}", stacklevel=4)
            else:
                self._tell(report, max(int(step), int(report["step"])))

    def _tell(self, report: dict[str, Any], step: int) -> None:
        self.latest = report
        if self._say is not None:
            self._say(f"etastar: {report['line']}")
        for warning in report["warnings"]:
            key = warning["kind"], warning["step"]
            if key not in self._told:
                self._told.add(key)
                warnings.warn(f"{report['run']}: {warning['message']}", stacklevel=5)
        numbers = numbers_of(report)
        for write in self._writers:
            write(numbers, step)


def numbers_of(report: Mapping[str, Any]) -> dict[str, float]:
    """What of a report is a number, by the names that a tracker shows."""
    final, planned = report["final"], report["planned"]
    numbers: dict[str, float] = {"warnings": float(len(report["warnings"]))}
    if final is not None:
        numbers |= {
            "final_loss": final["mean"], "final_low": final["low"], "final_high": final["high"]
        }  # fmt: skip
    if planned is not None:
        numbers |= {"planned_loss": planned["mean"], "on_plan": float(report["on_plan"])}
    return {PREFIX + name: value for name, value in numbers.items()}


Writer = Callable[[Mapping[str, float], int], object]


def _writers(given: Any) -> list[Writer]:
    """What takes numbers and the step, from what a user gives."""
    if given is None or isinstance(given, list | tuple):
        return [writer for each in listed(given) for writer in _writers(each)]
    if hasattr(given, "add_scalar"):
        return [lambda numbers, step: _to_summary(given, numbers, step)]
    if hasattr(given, "define_metric"):
        # On an axis of its own: a step that W&B has passed would be dropped.
        given.define_metric(PREFIX + "*", step_metric=PREFIX + "step")
        return [lambda numbers, step: given.log({**numbers, PREFIX + "step": step})]
    if callable(given):
        return [given]
    raise InputError(
        f"writer is {shown(given)}: give a TensorBoard SummaryWriter, a W&B run, a function of "
        "the numbers and the step, or a list of these"
    )


def listed(given: Any) -> list[Any]:
    """Writers as a list: those given, one, or none."""
    return list(given) if isinstance(given, list | tuple) else [] if given is None else [given]


def _to_summary(writer: Any, numbers: Mapping[str, float], step: int) -> None:
    for name, value in numbers.items():
        writer.add_scalar(name, value, step)
