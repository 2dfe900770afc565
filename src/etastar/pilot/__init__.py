"""Pilot runs: which to make, running them here or on a cluster, their store."""

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from ._design import make_designer
    from ._run import run_pilots
    from ._supervise import Swept
    from ._types import Designer, Finished, Pilot, Proposal

# A training that is called in a process of its own comes by here: it must not wait for jax.
_HOME = {
    "make_designer": "_design",
    "run_pilots": "_run",
    "Swept": "_supervise",
    "Designer": "_types",
    "Finished": "_types",
    "Pilot": "_types",
    "Proposal": "_types",
}

__all__ = [
    "Designer",
    "Finished",
    "Pilot",
    "Proposal",
    "Swept",
    "make_designer",
    "run_pilots",
]


def __getattr__(name: str):
    if name not in _HOME:
        raise AttributeError(f"module 'etastar.pilot' has no attribute {name!r}")
    return getattr(import_module(f"etastar.pilot.{_HOME[name]}"), name)
