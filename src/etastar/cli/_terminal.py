"""How commands speak: results on stdout, progress and notes on stderr, errors in one line."""

from __future__ import annotations

import contextlib
import os
import sys
import traceback
from collections.abc import Callable, Iterable, Iterator
from typing import TYPE_CHECKING

from etastar._errors import InputError
from etastar._json import json_text

if TYPE_CHECKING:
    from rich.console import Console, RenderableType

    from etastar.runs import Run

DONE, OUR_FAULT, WRONG_INPUT, INTERRUPTED = 0, 1, 2, 130


def console(*, stderr: bool = False) -> Console:
    """A console for stdout or stderr; where it is not a terminal, 100 columns wide."""
    from rich.console import Console

    stream = sys.stderr if stderr else sys.stdout
    width = None if stream.isatty() or "COLUMNS" in os.environ else 100
    return Console(stderr=stderr, width=width, highlight=False)


def show(renderable: RenderableType) -> None:
    """Print a table or text on stdout."""
    console().print(renderable)


def note(lines: Iterable[str]) -> None:
    """Print remarks on stderr, one line each."""
    for line in lines:
        print(f"note: {line}", file=sys.stderr)


def say_doubts(runs: list[Run], *, sees_batch: bool = False) -> None:
    """Say on stderr what is doubtful about the runs of a fit, to a law that may see batch sizes."""
    from etastar.runs import check_together

    note(dict.fromkeys(caveat for run in runs for caveat in run.caveats))
    note(check_together(runs, sees_batch=sees_batch))


def print_json(document: object) -> None:
    """Print the one JSON object of a command on stdout."""
    print(json_text(document))


@contextlib.contextmanager
def working(task: str) -> Iterator[None]:
    """A bar on stderr with the time taken, gone when the work is done.

    What a library prints meanwhile goes to stderr too: stdout holds the result alone.
    """
    from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

    columns = (TextColumn("{task.description}"), BarColumn(), TimeElapsedColumn())
    screen = console(stderr=True)
    bar = Progress(*columns, console=screen, transient=True, disable=not screen.is_terminal)
    with contextlib.redirect_stdout(sys.stderr), bar as progress:
        progress.add_task(task, total=None)
        yield


def guarded(command: Callable[[], object]) -> int:
    """Run a command and return its exit code: 0 done, 2 the input is wrong, 1 our fault.

    Errors are one line on stderr. With ETASTAR_DEBUG=1 a traceback goes before it.
    """
    try:
        code = command()
        sys.stdout.flush()
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
        print(f"error: {text}; {extra}see --help", file=sys.stderr)
        return WRONG_INPUT
    text = _one_line(str(error)) or "no message"
    print(
        f"error: {type(error).__name__}: {text[:300]}; this is a fault of etastar: run again with"
        " ETASTAR_DEBUG=1 and report the traceback with the command",
        file=sys.stderr,
    )
    return OUR_FAULT


def _one_line(text: str) -> str:
    return " ".join(text.split()).rstrip(".")
