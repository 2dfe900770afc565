"""`python -m etastar.watch`: a process that watches the run of a training beside it.

The callbacks of `etastar.integrations` start it: a fit beside the training must not take its time,
and a training job needs no JAX and no SciPy. The request is one line of JSON on stdin, {"log":
PATH, "pilots": [PATH, ...], "schedule": SPEC, "every": N, "share": 0.01, ...}; reports are lines of
JSON on stdout, and what is wrong is {"error": TEXT}. The process ends with its run, and when stdin
is closed: so it does not outlive its training.
"""

from __future__ import annotations

import contextlib
import os
import select
import sys
from typing import Any

from etastar._errors import InputError
from etastar._json import json_text, json_value
from etastar.law import fit
from etastar.runs import read_runs

from ._follow import LiveRun, follow


class _Closed(Exception):
    """The training has closed its end."""


def watch(request: dict[str, Any]) -> None:
    """Print reports of the run that a request names, until it or the training ends."""
    pilots = request["pilots"]
    law = fit(read_runs(pilots)) if pilots else None
    live = LiveRun(request["log"], schedule=request["schedule"])
    times = {name: request[name] for name in ("every", "share", "poll", "level")}
    for report in follow(live, law, wait=_wait, **times):
        print(json_text({**report.to_dict(), "line": report.line}), flush=True)


def _wait(seconds: float) -> None:
    """Wait, unless the training closes its end meanwhile."""
    if select.select([sys.stdin], [], [], seconds)[0] and not os.read(sys.stdin.fileno(), 1):
        raise _Closed


def main() -> None:
    """Serve the one request on stdin."""
    with contextlib.suppress(OSError):
        os.nice(19)
    request = json_value(sys.stdin.readline() or "null")
    if request is None:
        return
    # The training may be gone at any time, and with it the reader of stdout.
    with contextlib.suppress(_Closed, KeyboardInterrupt, BrokenPipeError):
        try:
            watch(request)
        except InputError as error:
            print(json_text({"error": str(error)}), flush=True)


if __name__ == "__main__":
    main()
