"""What the runs so far say of the long training."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True)
class Outlook:
    """The best of a few standard schedules at the horizon, and the loss to expect of it.

    Attributes:
        shape: name of the schedule's shape, such as `cosine`.
        peak: its peak learning rate, in the training's own unit.
        loss: expected loss at the horizon, in the unit of the logs (nats).
        low: lower end of the 90% interval of that loss, same unit.
        high: upper end of the 90% interval of that loss, same unit.
    """

    shape: str
    peak: float
    loss: float
    low: float
    high: float
