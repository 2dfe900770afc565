"""The mean of several fits of one set of runs, as a solver sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from etastar.schedule import Schedule

from ._forms import LossSlopes, NoiseMemory
from ._law import Law, final_losses_and_slopes_of, final_losses_of
from ._mesh import BatchSize
from ._points import Units


@dataclass(frozen=True, eq=False)
class AverageLaw:
    """Expected loss over a law and its draws: mean_k L_k(schedule).

    A schedule that minimises this mean minimises the expected regret too, since the least loss that
    each member allows does not depend on the schedule.

    Attributes:
        centre: the law itself.
        members: the laws averaged over, all fitted to the same runs and in the same units.

    >>> import numpy as np
    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> law = fit(runs)
    >>> average = AverageLaw(law, (law, *law.draws(2)))
    >>> average.each([run.schedule for run in runs]).shape
    (3, 2)
    """

    centre: Law
    members: tuple[Law, ...]

    @property
    def units(self) -> Units:
        """Reference LR, number of steps and batch size, those of all members."""
        return self.centre.units

    @property
    def peak_range(self) -> tuple[float, float]:
        """The lowest and the highest peak LR that the laws were fitted on, in the runs' unit."""
        return self.centre.peak_range

    def noise_memory(self) -> NoiseMemory | None:
        """That of the centre: starts and scales need not be exact."""
        return self.centre.noise_memory()

    def final_losses(
        self, schedules: Sequence[Schedule], batch_sizes: Sequence[BatchSize] | None = None
    ) -> Float[np.ndarray, " schedules"]:
        """Expected final loss of each of some schedules, in the unit of the runs.

        Arguments: `schedules` and `batch_sizes`, as for `each`.
        """
        return self.each(schedules, batch_sizes).mean(axis=0)

    def each(
        self, schedules: Sequence[Schedule], batch_sizes: Sequence[BatchSize] | None = None
    ) -> Float[np.ndarray, "members schedules"]:
        """Final loss of each of some schedules under each member, in the unit of the runs.

        Arguments:
            schedules: R schedules, of any horizons.
            batch_sizes: of each of these, a number or a schedule of it in the runs' unit; by
                default the reference's, the median of the runs fitted.
        """
        return final_losses_of(self.members, schedules, batch_sizes)

    def final_loss_and_slopes(
        self,
        rate: Float[np.ndarray, " cells"],
        length: Float[np.ndarray, " cells"],
        batch: Float[np.ndarray, " cells"] | None = None,
    ) -> LossSlopes:
        """Expected final loss of a run in the cells of `make_mesh`, and its slopes.

        `rate` is the mean LR of every cell in the runs' unit, `length` its number of updates,
        `batch` its batch size.
        """
        found = self.each_and_slopes(rate, length, batch)
        return LossSlopes(float(found.loss.mean()), *(slope.mean(axis=0) for slope in found[1:]))

    def each_and_slopes(
        self,
        rate: Float[np.ndarray, "*members cells"],
        length: Float[np.ndarray, " cells"],
        batch: Float[np.ndarray, " cells"] | None = None,
    ) -> LossSlopes:
        """Final loss under each member, (members,), and its slopes (members, CELLS).

        Arguments: as for `final_loss_and_slopes`, `rate` of one run or of one for each member.
        """
        return final_losses_and_slopes_of(self.members, rate, length, batch)
