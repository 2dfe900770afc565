"""How commands speak: results on stdout, progress and notes on stderr, errors in one line."""

from __future__ import annotations

import contextlib
import os
import sys
import time
import traceback
from collections.abc import Callable, Iterable, Iterator, Mapping
from typing import TYPE_CHECKING

from etastar._errors import LONGEST, InputError, at_command_line, legible
from etastar._json import json_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from etastar.law import Progress
    from etastar.runs import Run

DONE, OUR_FAULT, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130

WARNED = 10.0
"""Seconds of work from which a command warns of it when it knows."""


def console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr; where it is not a terminal, 100 columns wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 100
    # Names may hold what rich reads as markup, such as [red].
    return Console(stderr=stderr, width=width, highlight=False, markup=False, emoji=False)


def show(renderable: RenderableType) -> None:
    """Print a table or text on stdout."""
    console().print(renderable)


def note(lines: Iterable[str]) -> None:
    """Print remarks on stderr, one line each."""
    for line in lines:
        print(f"note: {legible(line, LONGEST)}", file=sys.stderr)


def say_doubts(runs: list[Run], *, sees_batch: bool = False) -> None:
    """Say on stderr what is doubtful about the runs of a fit, to a law that may see batch sizes."""
    from etastar.runs import check_together

    note(dict.fromkeys(caveat for run in runs for caveat in run.caveats))
    note(check_together(runs, sees_batch=sees_batch))


def print_json(document: object) -> None:
    """Print the one JSON object of a command on stdout."""
    print(json_text(document))


@contextlib.contextmanager
def working(
    stages: str | Mapping[str, float], clock: Callable[[], float] = time.monotonic
) -> Iterator[Progress]:
    """A bar on stderr with the stage of the work and the time taken, gone when the work is done.

    It is shown on a terminal only, and so is a warning of long work, which stays. What a library
    prints meanwhile goes to stderr too: stdout holds the result alone.

    Arguments:
        stages: the one stage that there is, or all in their order with the weights from which
            `Stages` estimates what is left.
        clock: gives seconds, from whose course that is estimated.

    Yields: what is to be told of the stages; the first has begun.
    """
    from rich import progress as bars

    from ._stages import LeftColumn, Stages, about

    weights = {stages: 0.0} if isinstance(stages, str) else stages
    told = Stages(weights, clock)
    told(next(iter(weights)), 0, 1)
    columns = (bars.TextColumn("{task.description}"), bars.BarColumn(), bars.TimeElapsedColumn())
    screen = console(stderr=True)
    bar = bars.Progress(
        *columns, LeftColumn(told), console=screen, transient=True, disable=not screen.is_terminal
    )
    first: list[float] = []

    def progress(stage: str, done: int, total: int, /) -> None:
        before = told.title
        told(stage, done, total)
        # A stage that is over before the bar is drawn next is seen, too.
        drawn = told.title != before
        bar.update(
            task,
            description=told.title,
            completed=told.done,
            total=told.total or None,
            refresh=drawn,
        )
        left = None if first or not screen.is_terminal else told.left()
        if left is not None:
            first.append(left)
            if left >= WARNED:
                screen.print(f"this takes {about(left)}; Ctrl-C ends it")

    with contextlib.redirect_stdout(sys.stderr), bar:
        task = bar.add_task(told.title, total=told.total or None)
        yield progress


def guarded(command: Callable[[], object]) -> int:
    """Run a command and return its exit code: 0 done, 2 the input is wrong, 1 our fault.

    Errors are one line on stderr. With ETASTAR_DEBUG=1 a traceback goes before it.
    """
    try:
        with at_command_line():
            code = command()
        sys.stdout.flush()
        if code == INTERRUPTED:  # Typer makes Ctrl-C this code, in some releases.
            print("interrupted", file=sys.stderr)
        return code if isinstance(code, int) else DONE
    except BrokenPipeError:
        # The reader of stdout has gone (`| head`); Python must not complain again on exit.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return OUR_FAULT
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    except Exception as error:
        return _failed(error)


def _failed(error: Exception) -> int:
    if os.environ.get("ETASTAR_DEBUG", "") not in ("", "0"):
        traceback.print_exception(error)
    if isinstance(error, InputError):
        print(f"error: {error}", file=sys.stderr)
        return WRONG_INPUT
    if type(error).__name__ == "Abort":
        print("interrupted", file=sys.stderr)
        return INTERRUPTED
    # Typer brings its own copy of click in some releases, so its errors are known by their method.
    usage = getattr(error, "format_message", None)
    if usage is not None:
        text = _one_line(usage())
        # The shell has expanded a glob behind an option that takes one value.
        extra = "quote a glob, or give the option once for each; " if "extra arg" in text else ""
        # The program may be called by its path, or as a module.
        _, *names = str(getattr(getattr(error, "ctx", None), "command_path", "")).rsplit(" ", 1)
        program = " ".join(["etastar", *(name for name in names if name.isalpha()), "--help"])
        print(f"error: {text}; {extra}see {program}", file=sys.stderr)
        return WRONG_INPUT
    text = _one_line(str(error)) or "no message"
    print(
        f"error: {type(error).__name__}: {text}; this is a fault of etastar: run again with"
        " ETASTAR_DEBUG=1 and report the traceback with the command",
        file=sys.stderr,
    )
    return OUR_FAULT


def _one_line(text: str) -> str:
    return legible(text, LONGEST).rstrip(".")
