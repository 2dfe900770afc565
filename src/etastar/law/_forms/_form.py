"""`Form`: a formula for the loss, with what a fit and a solver must know of it."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Any, ClassVar, NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike

Array = np.ndarray


class Prior(NamedTuple):
    """Where a constant of a law may lie: between two bounds, most likely near a value.

    Attributes:
        lower, upper: bounds, in the unit of the constant; either may be infinite.
        mean, spread: mean and standard deviation of a normal prior, in the same unit.

    >>> from etastar.law import FORMS, Prior
    >>> FORMS["power"].priors["alpha"]
    Prior(lower=0.02, upper=2.5, mean=0.5, spread=0.4)
    """

    lower: float
    upper: float
    mean: float
    spread: float


FLOOR_PRIOR = Prior(0.0, np.inf, 0.85, 0.15)
"""The prior of the loss that no training goes below, as a part of the smallest loss seen."""

EXPONENT_PRIOR = Prior(0.02, 2.5, 0.5, 0.4)
"""The weak prior of an exponent with which a published law lets the loss fall."""


@dataclass(frozen=True)
class NoiseMemory:
    """How a law forgets the noise of an update, for the solver's starts and scales.

    An update of LR eta leaves noise ~ eta^power; after an intrinsic time u the part K(u) =
    (1 + u / lag)^-exponent of it is left.

    Attributes:
        lag: intrinsic time from which on noise is forgotten, in units of the law's reference LR
            times its reference steps.
        exponent: of the kernel, without a unit.
        power: of the LR in the noise of an update, without a unit.
        level: noise that a run at the reference LR comes to, in the unit of the loss.

    >>> from etastar.law import NoiseMemory
    >>> NoiseMemory(lag=1.0, exponent=2.0, power=2.0, level=0.1).kernel([0.0, 1.0])
    array([1.  , 0.25])
    """

    lag: float
    exponent: float
    power: float
    level: float

    def kernel(self, to_go: ArrayLike) -> Float[Array, "*times"]:
        """K(u) at intrinsic times u, `to_go`, of any shape and in reference units."""
        return (1.0 + np.asarray(to_go) / self.lag) ** -self.exponent


class Mesh(NamedTuple):
    """The cells of R runs, in a law's reference units.

    Attributes:
        steps: how many updates of the reference batch size a unit of length is.
        rate: mean LR of every cell over the reference, (R, CELLS).
        length: of every cell, in reference steps, (R, CELLS); 0 for padding.
        batch: batch size in every cell over the reference, (R, CELLS).

    CELLS is 192, as in `etastar.law.make_mesh`.

    >>> import numpy as np
    >>> from etastar.law import Mesh, make_mesh
    >>> from etastar.schedule import parse_schedule
    >>> cells = make_mesh(parse_schedule("constant:peak=0.1,horizon=1000"))
    >>> mesh = Mesh(500.0, cells.rate[None] / 0.1, cells.length[None] / 500, np.ones((1, 192)))
    >>> round(float((mesh.rate * mesh.length).sum()), 6)
    2.0
    """

    steps: Any
    rate: Any
    length: Any
    batch: Any


class At(NamedTuple):
    """Where N points of each of R runs lie on a mesh.

    Attributes:
        cell: the cell of every point, from 0, (R, N).
        fraction: the part of that cell's length that is done at the point, from 0 to 1, (R, N).

    >>> import numpy as np
    >>> from etastar.law import At, make_mesh
    >>> from etastar.schedule import parse_schedule
    >>> cells = make_mesh(parse_schedule("constant:peak=0.1,horizon=1000"))
    >>> at = At(*cells.locate(np.array([[500.0, 1000.0]])))
    >>> cells.node[at.cell] + at.fraction * cells.length[at.cell]
    array([[ 500., 1000.]])
    """

    cell: Any
    fraction: Any


class LossSlopes(NamedTuple):
    """Final losses, and their slopes by the rate, the length and the batch size of every cell.

    Attributes:
        loss: the final loss of each of K runs, (K,).
        rate, length, batch: (K, CELLS), each with the other two kept as they are.

    A fitted law gives one run's, without the first axis.

    CELLS is 192, as in `etastar.law.make_mesh`. Units are those of the arguments: reference units
    from a `Form`, the runs' from a fitted law.

    >>> import numpy as np
    >>> from etastar.law import FORMS, Mesh
    >>> mesh = Mesh(100.0, np.ones((1, 192)), np.full((1, 192), 1 / 192), np.ones((1, 192)))
    >>> theta, linear = np.array([[0.5]]), np.array([[2.0, 1.0]])
    >>> found = FORMS["power"].final_losses_and_slopes(theta, linear, mesh)
    >>> np.round(found.loss, 3), found.rate.shape, bool((found.length < 0).all())
    (array([3.]), (1, 192), True)
    """

    loss: Any
    rate: Any
    length: Any
    batch: Any


class Form(ABC):
    """A loss law before it is fitted: loss = sum_c linear_c column_c(theta, schedule).

    A form is either this abstract class or final: one file of `law/_forms` each, listed there in
    `FORMS`. It is a value without state, so one instance serves all fits.

    Attributes of the class:
        name: what `etastar.law.fit` and `--law` call it.
        priors: the n constants theta in which the law is not linear, each with bounds and prior.
        linear: names of the k other constants, at least 0, the floor first.
        source: where the formula is from.
        starts: how many points of the bounds the fit tries.
        transient: the part of the longest run, after the warmup at the least, that the law does
            not describe.
        noise: the least relative error of a run's mean residual, against which the prior is
            weighed.
        draws: how many other fits a plan averages over; fewer for a law whose losses cost much.
        sees_batch: whether its losses depend on the batch size.

    >>> from etastar.law import FORMS
    >>> FORMS["power"].names, FORMS["power"].linear, FORMS["power"].size
    (('alpha',), ('floor', 'bias'), 1)
    """

    name: ClassVar[str]
    priors: ClassVar[Mapping[str, Prior]]
    linear: ClassVar[tuple[str, ...]]
    source: ClassVar[str]
    starts: ClassVar[int] = 48
    transient: ClassVar[float] = 0.05
    noise: ClassVar[float] = 3e-4
    draws: ClassVar[int] = 32
    sees_batch: ClassVar[bool] = False

    @abstractmethod
    def columns(
        self, theta: Float[Array, "laws n"], mesh: Mesh, at: At
    ) -> Float[Array, "laws runs points k"]:
        """The columns at points of some runs, under each of K laws.

        Arguments:
            theta: the constants of each law, in the order of `names`.
            mesh: the cells of R runs in reference units; a cell of length 0 is padding.
            at: where N points of each run lie.
        """

    @abstractmethod
    def columns_and_slopes(
        self, theta: Float[Array, "laws n"], mesh: Mesh, at: At
    ) -> tuple[Float[Array, "laws runs points k"], Float[Array, "laws runs points k n"]]:
        """The columns, and their slopes by theta; theta, mesh and at are those of `columns`."""

    @abstractmethod
    def final_losses_and_slopes(
        self, theta: Float[Array, "laws n"], linear: Float[Array, "laws k"], mesh: Mesh
    ) -> LossSlopes:
        """Final loss of a run under each of K laws, and its slopes.

        Arguments: `theta` and `linear`, the constants of each law; `mesh`, of R = K runs, each
        under one of the laws.
        """

    def noise_memory(self, theta: Array, linear: Array) -> NoiseMemory | None:
        """How the fitted law forgets noise; None for a law without a kernel."""
        return None

    @property
    def names(self) -> tuple[str, ...]:
        """Names of the constants in which the law is not linear."""
        return tuple(self.priors)

    @property
    def size(self) -> int:
        """Their number n."""
        return len(self.priors)

    @property
    def has_exponents(self) -> bool:
        """Whether source and memory, which name the phase of a task, are among them."""
        return {"source", "memory"} <= set(self.priors)

    @cached_property
    def lower(self) -> Float[Array, " n"]:
        """Lower bounds of theta."""
        return self._column(0)

    @cached_property
    def upper(self) -> Float[Array, " n"]:
        """Upper bounds of theta."""
        return self._column(1)

    @cached_property
    def mean(self) -> Float[Array, " n"]:
        """Means of the prior of theta."""
        return self._column(2)

    @cached_property
    def spread(self) -> Float[Array, " n"]:
        """Standard deviations of the prior of theta."""
        return self._column(3)

    def _column(self, index: int) -> Array:
        return np.array([prior[index] for prior in self.priors.values()], dtype=np.float64)

    def prior_with(
        self, **changes: tuple[float, float]
    ) -> tuple[Float[Array, " n"], Float[Array, " n"]]:
        """Mean and spread of the prior, with those of some constants replaced.

        `changes` names a constant and gives its (mean, spread); other names change nothing.

        >>> from etastar.law import FORMS
        >>> mean, spread = FORMS["power"].prior_with(alpha=(0.3, 0.1))
        >>> float(mean[0]), float(spread[0])
        (0.3, 0.1)
        """
        pairs = [changes.get(name, prior[2:]) for name, prior in self.priors.items()]
        mean, spread = np.array(pairs, dtype=np.float64).reshape(-1, 2).T
        return mean, spread
