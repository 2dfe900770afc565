"""What there is to spend on a training: updates, data or time."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np

from etastar._errors import InputError

from ._limits import FEWEST


@dataclass(frozen=True)
class Budget:
    """How much there is to spend, and what an update of batch size B costs of it.

    Attributes:
        total: updates, samples or seconds.
        per_update, per_sample: an update costs per_update + per_sample B of them.
        name: what the budget is called in messages: horizon, samples or seconds.

    >>> budget = Budget.of(None, None, 3600.0, (0.1, 0.01))
    >>> budget.whole_updates(20.0), budget.name
    (12000, 'seconds')
    """

    total: float
    per_update: float = 1.0
    per_sample: float = 0.0
    name: str = "horizon"

    @classmethod
    def of(
        cls,
        horizon: float | None,
        samples: float | None,
        seconds: float | None,
        step_time: tuple[float, float],
    ) -> Budget:
        """The one budget that is given; `step_time` is (per_update, per_sample) of seconds.

        Raises: InputError where none or more than one is given, or its value is out of range.
        """
        given = {"horizon": horizon, "samples": samples, "seconds": seconds}
        named = [name for name, value in given.items() if value is not None]
        if len(named) != 1:
            raise InputError(
                "one budget is needed: horizon, samples or seconds; got "
                + (" and ".join(named) or "none")
            )
        value = given[named[0]]
        if isinstance(value, bool) or not (isinstance(value, int | float) and 0 < value < 1e15):
            raise InputError(f"{named[0]} must be a number above 0 and below 1e15, got {value!r}")
        if horizon is not None:
            if horizon != math.floor(horizon):
                raise InputError(f"horizon must be a whole number of updates, got {horizon!r}")
            return cls(float(horizon))
        if samples is not None:
            return cls(float(samples), 0.0, 1.0, "samples")
        fixed, each = step_time
        if not (fixed >= 0 and each >= 0 and 0 < fixed + each < math.inf):
            raise InputError(
                f"step_time must be two times of at least 0, not both 0, got {step_time!r}"
            )
        return cls(float(value), float(fixed), float(each), "seconds")

    @property
    def in_updates(self) -> bool:
        """Whether all updates cost the same, whatever their batch size."""
        return (self.per_update, self.per_sample) == (1.0, 0.0)

    def cost(self, batch_size: Any) -> Any:
        """What an update of `batch_size` costs, a number or an array of them."""
        if not self.per_sample:  # the batch size may be infinite
            return np.full(np.shape(batch_size), self.per_update)[()]
        return self.per_update + self.per_sample * batch_size

    def updates(self, batch_size: Any) -> Any:
        """How many updates of `batch_size` there are, not rounded; a number or an array."""
        return self.total / self.cost(batch_size)

    def whole_updates(self, batch_size: float) -> int:
        """How many whole updates of `batch_size` there are.

        >>> Budget(1e12).whole_updates(8), Budget(0.3, 0.1).whole_updates(1)
        (1000000000000, 3)
        """
        count = self.updates(batch_size)
        return int(count + min(1e-12 * count, 1e-3))

    def allows(self, batch_size: Any) -> Any:
        """Whether there are 8 updates of `batch_size`, a number or an array, as a run needs."""
        return self.updates(batch_size) * (1 + 1e-12) >= FEWEST

    def check(self, batch_size: float) -> None:
        """Refuse a budget that leaves no run of `batch_size`.

        Raises: InputError where it leaves fewer than 8 updates.
        """
        if not self.allows(batch_size):
            raise InputError(
                f"{self.name} {self.total:g} leaves {self.whole_updates(batch_size)} updates of"
                f" batch size {batch_size:g}, and a schedule needs {FEWEST}: raise {self.name} or"
                " lower the batch size"
            )
