"""What a solver needs of a loss law."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Protocol

import numpy as np
from jaxtyping import Float

from etastar.schedule import Schedule

from ._forms import LossSlopes, NoiseMemory
from ._mesh import BatchSize
from ._points import Units


class LossLaw(Protocol):
    """A fitted law or an average of several: the final loss of any schedule, and its slope.

    >>> from etastar.law import AverageLaw, Law
    >>> all(hasattr(law, "final_loss_and_slopes") for law in (Law, AverageLaw))
    True
    """

    @property
    def units(self) -> Units:
        """Reference LR and number of steps."""
        ...

    @property
    def peak_range(self) -> tuple[float, float]:
        """The lowest and the highest peak LR that the law was fitted on."""
        ...

    def noise_memory(self) -> NoiseMemory | None:
        """How noise is forgotten, in reference units; None for a law without a kernel."""
        ...

    def final_losses(
        self, schedules: Sequence[Schedule], batch_sizes: Sequence[BatchSize] | None = None
    ) -> Float[np.ndarray, " schedules"]:
        """The loss at the end of each of some `schedules`, in the unit of the runs.

        `batch_sizes` are a number or a schedule each; by default the reference's.
        """
        ...

    def final_loss_and_slopes(
        self,
        rate: Float[np.ndarray, " cells"],
        length: Float[np.ndarray, " cells"],
        batch: Float[np.ndarray, " cells"] | None = None,
    ) -> LossSlopes:
        """The final loss of a run in the cells of `make_mesh`, and its slopes.

        `rate` is the mean LR of every cell in the runs' unit, `length` its number of updates,
        `batch` its batch size, by default the reference's.
        """
        ...
