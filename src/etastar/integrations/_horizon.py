"""Whether a training is as long as its schedule."""

from __future__ import annotations

import warnings

from etastar._checks import one_of
from etastar._errors import InputError

REACTIONS = ("error", "warn", "ignore")


def check_horizon(horizon: int, updates: int, reaction: str, option: str) -> None:
    """Refuse, or warn of, a training of another number of updates than its schedule.

    A shorter training ends before its learning rate has come down; a longer one goes on at the end
    value. `reaction` is "error", "warn" or "ignore"; `option` is what the framework calls the
    length of the training.

    Raises: InputError where the numbers differ and the reaction is "error", or is none of these.

    >>> check_horizon(100, 100, "error", "max_steps")
    >>> try:
    ...     check_horizon(100, 80, "error", "max_steps")
    ... except InputError as error:
    ...     print(str(error).split(":")[0])
    the training makes 80 updates and its schedule has 100
    """
    one_of("on_mismatch", reaction, REACTIONS)
    if horizon == updates or reaction == "ignore":
        return
    line = (
        f"the training makes {updates} updates and its schedule has {horizon}: change {option}, "
        f"stretch the schedule with .stretched(horizon={updates}), or give on_mismatch='warn'"
    )
    if reaction == "error":
        raise InputError(line)
    warnings.warn(line, stacklevel=4)
