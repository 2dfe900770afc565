"""`python -m etastar.pilot._call WHERE NAME KEY=VALUE...`: call a training in this process."""

from __future__ import annotations

import importlib
import os
import runpy
import sys

from ._command import arguments_of


def main(words: list[str]) -> None:
    """Import the module, or run the file under another name than `__main__`, and call NAME."""
    where, name, *pairs = words
    sys.path.insert(0, os.path.dirname(where) if where.endswith(".py") else os.getcwd())
    if where.endswith(".py"):
        train = runpy.run_path(where, run_name="__pilot__")[name]
    else:
        train = getattr(importlib.import_module(where), name)
    train(**arguments_of(pairs))


if __name__ == "__main__":
    main(sys.argv[1:])
