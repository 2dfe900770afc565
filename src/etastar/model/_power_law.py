"""The solvable model: linear regression on random features, trained by SGD."""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import Any, NamedTuple

import jax.numpy as jnp
import numpy as np
from jaxtyping import Float

import etastar._precision  # noqa: F401  # first: double precision
from etastar._checks import above, at_least
from etastar._errors import InputError

from ._merge import merged
from ._spectrum import GAUSSIAN, Spectrum

_SHAPE = 192
"""Numbers of modes are padded to multiples of this, so that XLA sees few array shapes."""


class Modes(NamedTuple):
    """What the recursions need of a spectrum, padded with modes that carry nothing.

    The fields are arrays of NumPy or JAX. The floor is a mode of eigenvalue 0.

    Attributes:
        eigenvalue: of each mode, in the unit of 1 / LR.
        square: multiplicity * eigenvalue^2, through which the gradient noise enters.
        target: the initial loss of each mode; together they are the loss before any update.
        own: the number h of `Spectrum.own_noise`, 1 for Gaussian features.
        scale: the number q of `Spectrum.scale_moment`, 1 for Gaussian features.

    >>> modes = modes_of(Spectrum([1.0, 0.5], [2.0, 1.0], multiplicity=[1.0, 4.0], floor=0.5))
    >>> modes.square[:3], float(modes.target.sum())
    (array([1., 1., 0.]), 3.5)
    """

    eigenvalue: Float[Any, " modes"]
    square: Float[Any, " modes"]
    target: Float[Any, " modes"]
    own: Any = 1.0
    scale: Any = 1.0

    def trimmed(self, multiple: int) -> Modes:
        """The modes up to the last that carries something, padded to a multiple of a number.

        >>> modes_of(Spectrum([1.0, 0.5], [2.0, 1.0])).trimmed(32).target.shape
        (32,)
        """
        carries = (np.asarray(self.square) > 0) | (np.asarray(self.target) > 0)
        count = -(-(int(np.flatnonzero(carries)[-1]) + 1) // multiple) * multiple
        arrays = (self.eigenvalue, self.square, self.target)
        eigenvalue, square, target = (jnp.asarray(each)[:count] for each in arrays)
        return self._replace(eigenvalue=eigenvalue, square=square, target=target)


@dataclass(frozen=True)
class LinearModel:
    """SGD on y = w*.psi + sigma z with random features psi of a given spectrum.

    The excess loss is L = sum_k lambda_k E[(w_k - w*_k)^2] + floor: half the squared error is not
    taken, and the label noise is not counted. SGD steps along psi (w.psi - y), so that LRs are in
    units of 1 / eigenvalue.

    Arguments:
        spectrum: eigenvalues and target powers, for instance of a kernel or a Hessian; and the
            fourth moments of the features, by default those of Gaussian ones.
        noise: variance sigma^2 of the label noise, at least 0.
        batch_size: samples per update, at least 1; infinite for full gradients.

    Raises: InputError for a value out of its range.
    Source: arXiv 2602.04774, section 2; other features than Gaussian ones: docs/controls.md.

    >>> model = LinearModel(Spectrum([1.0, 0.25], [1.0, 0.5]), noise=0.1, batch_size=4)
    >>> round(model.max_rate, 4)
    1.28
    """

    spectrum: Spectrum
    noise: float
    batch_size: float

    def __post_init__(self) -> None:
        if not isinstance(self.spectrum, Spectrum):
            raise InputError("spectrum must be an etastar.model.Spectrum")
        at_least("noise", self.noise, 0.0)
        at_least("batch_size", self.batch_size, 1.0, infinite=True)

    def spectrum_to(self, horizon: float) -> Spectrum:
        """The spectrum that serves runs of up to `horizon` updates: here always the same."""
        return self.spectrum

    @property
    def max_rate(self) -> float:
        """The LR below which the loss stays bounded, 2 / (lambda_1 (1 + h/B) + q tr / B)."""
        return self.spectrum.max_rate(self.batch_size)


@dataclass(frozen=True)
class PowerLaw:
    """The power-law random feature model, lambda_k = k^-a and lambda_k (w*_k)^2 = k^-(a s + 1).

    Without noise its loss falls like tau^-s in the intrinsic time tau = sum of the LRs.

    Arguments:
        capacity: a, above 1.
        source: s, above 0.
        noise: variance sigma^2 of the label noise, at least 0.
        batch_size: samples per update, at least 1; infinite for full gradients.
        width: keep the first `width` features; what they leave of the target is a floor of the
            loss and acts as label noise. None for all of them.
        kurtosis: fourth moment k of a feature of variance 1, at least 1; 3 for Gaussian features.
        scale_moment: fourth moment q of a random size that all features of a sample share, at
            least 1; 1 where they share none. See `Spectrum` for both.

    Raises: InputError for a value out of its range.
    Source: arXiv 2602.04774, section 2; other features than Gaussian ones: docs/controls.md.

    >>> model = PowerLaw(capacity=2.0, source=1.0, noise=0.0, batch_size=1)
    >>> round(model.max_rate, 4), round(model.spectrum_to(1000).initial_loss, 4)
    (0.5487, 1.2021)
    """

    capacity: float
    source: float
    noise: float
    batch_size: float
    width: int | None = None
    kurtosis: float = GAUSSIAN
    scale_moment: float = 1.0

    def __post_init__(self) -> None:
        above("capacity", self.capacity, 1.0, hint="at 1 the trace is infinite")
        above("source", self.source, 0.0)
        at_least("noise", self.noise, 0.0)
        at_least("batch_size", self.batch_size, 1.0, infinite=True)
        if self.width is not None:
            at_least("width", self.width, 1.0)
        at_least("kurtosis", self.kurtosis, 1.0)
        at_least("scale_moment", self.scale_moment, 1.0)

    def spectrum_to(self, horizon: float) -> Spectrum:
        """The spectrum resolved finely enough for `horizon` updates at any stable LR.

        Momentum moves the weights up to 1 / (1 - mu) times faster: ask for that many times the
        horizon. Horizons within a factor of ten share one spectrum.

        Raises: InputError for a horizon that is not above 0.
        """
        horizon = above("horizon", horizon, 0.0)
        time = 10.0 ** math.ceil(math.log10(max(2.0 * horizon, 10.0)))
        found = Spectrum.power_law(
            self.capacity, self.source, width=self.width, intrinsic_time=time
        )
        if (self.kurtosis, self.scale_moment) == (GAUSSIAN, 1.0):
            return found
        return replace(found, kurtosis=self.kurtosis, scale_moment=self.scale_moment)

    @property
    def max_rate(self) -> float:
        """The LR below which the loss stays bounded, 2 / (lambda_1 (1 + h/B) + q tr / B)."""
        return self.spectrum_to(1).max_rate(self.batch_size)


Model = LinearModel | PowerLaw
"""What every function of the solvable model takes: a task of any spectrum or of a power law."""


def modes_of(spectrum: Spectrum) -> Modes:
    """The arrays of a spectrum, the floor among them, padded to a multiple of 192 modes.

    They are for recursions that are linear in the modes: more than 512 modes are `merged`.

    Arguments:
        spectrum: the eigenvalues and the target's power on them.

    Returns: its `Modes`, in NumPy arrays.

    >>> modes_of(Spectrum([1.0], [2.0], multiplicity=[3.0], floor=0.5)).eigenvalue.shape
    (192,)
    """
    spectrum = merged(spectrum)
    eigenvalue = np.append(spectrum.eigenvalue, 0.0)
    square = np.append(spectrum.multiplicity * spectrum.eigenvalue**2, 0.0)
    target = np.append(spectrum.target, spectrum.floor)
    padding = (0, -len(eigenvalue) % _SHAPE)
    padded = Modes(*(np.pad(values, padding) for values in (eigenvalue, square, target)))
    return padded._replace(own=spectrum.own_noise, scale=spectrum.scale_moment)
