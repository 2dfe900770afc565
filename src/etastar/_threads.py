"""One thread for small matrices.

A fit works on thousands of matrices of some hundred rows. Threads of the linear algebra library
gain nothing on these, and where other work keeps the cores busy they wait for each other: a fit
takes then many times as long.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache, wraps
from typing import ParamSpec, TypeVar

from threadpoolctl import ThreadpoolController

P = ParamSpec("P")
R = TypeVar("R")


@cache
def _controller() -> ThreadpoolController:
    return ThreadpoolController()


def one_thread(work: Callable[P, R]) -> Callable[P, R]:
    """A function that does its work with linear algebra in one thread.

    >>> @one_thread
    ... def double(x):
    ...     return 2 * x
    >>> double(2)
    4
    """

    @wraps(work)
    def alone(*args: P.args, **keys: P.kwargs) -> R:
        with _controller().limit(limits=1, user_api="blas"):
            return work(*args, **keys)

    return alone
