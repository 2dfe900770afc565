"""The mean of several fits of one set of runs, as a solver sees it."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from etastar.schedule import Schedule

from ._forms import NoiseMemory
from ._law import Law
from ._mesh import make_mesh
from ._points import Units, stack_meshes


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
    >>> law = fit(runs, draws=2)
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

    def final_losses(self, schedules: Sequence[Schedule]) -> Float[np.ndarray, " schedules"]:
        """Expected final loss of each of some schedules, in the unit of the runs."""
        return self.each(schedules).mean(axis=0)

    def each(self, schedules: Sequence[Schedule]) -> Float[np.ndarray, "members schedules"]:
        """Final loss of each of some schedules under each member, in the unit of the runs."""
        meshes = stack_meshes([make_mesh(schedule) for schedule in schedules], self.units)
        losses = [member.losses_on(*meshes) for member in self.members]
        return np.array(losses)[:, : len(schedules)]

    def final_loss_and_slope(
        self, rate: Float[np.ndarray, " cells"], length: Float[np.ndarray, " cells"]
    ) -> tuple[float, Float[np.ndarray, " cells"]]:
        """The expected final loss of a run in the cells of `make_mesh`, and its slope by each rate.

        `rate` is the mean LR of every cell in the runs' unit, `length` its number of updates.
        """
        theta = np.stack([member.theta for member in self.members])
        linear = np.stack([member.linear for member in self.members])
        units = self.units
        loss, slope = self.centre.form.mean_final_loss_and_slope(
            theta, linear, float(units.steps), rate / units.rate, length / units.steps
        )
        return float(loss), np.asarray(slope) / units.rate
