"""The spectrum of the features: eigenvalues, multiplicities and the target's power on them."""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike, NDArray
from scipy.special import gamma, zeta

from etastar._checks import above, at_least
from etastar._errors import InputError

ALONE = 32
"""The first modes of a power law, each kept on its own; more where the capacity is above 3."""

GAUSSIAN = 3.0
"""Kurtosis of a Gaussian."""

NODES = 3
"""Nodes in each of the other bins."""

BIN = 0.6
"""Width of those bins in the logarithm of the eigenvalue."""


@dataclass(frozen=True, eq=False)
class Spectrum:
    """Eigenvalues of the feature covariance and the part of the initial loss on each of them.

    Node j stands for `multiplicity[j]` modes of eigenvalue `eigenvalue[j]` that together carry
    `target[j]` = sum of lambda_k (w*_k)^2, the loss there before the first update from w = 0:

        L(0) = sum_j target_j + floor,    tr = sum_j multiplicity_j eigenvalue_j

    The features are psi_k = r sqrt(lambda_k) z_k. The z_k are independent of each other, with mean
    0, variance 1 and E[z^4] = k. The size r of a sample is shared by its features, independent of
    the z_k, with E[r^2] = 1 and E[r^4] = q. Labels get their noise after r. The second moment of
    the gradient of mode k, over B samples, then is

        lambda_k^2 c_k (1 + h/B) + (lambda_k / B) (q L + sigma^2),    h = q (k - 1) - 1

    with c_k = E[(w_k - w*_k)^2] and L the loss. Gaussian features: k = 3, q = 1 and h = 1.

    Arguments:
        eigenvalue: at least 0, in the unit of 1 / LR.
        target: at least 0, in the unit of the loss.
        multiplicity: above 0, not necessarily whole (nodes of a quadrature); default 1.
        floor: loss outside the span of the features: never learned, and it acts as label noise.
        trace: sum of all eigenvalues where the nodes' own sum is not exact; default that sum.
        kurtosis: k, at least 1; 3 for Gaussian features, more for tails heavier than theirs.
        scale_moment: q, at least 1; 1 where a sample's features share no random size. Independent
            of k: a single feature has the kurtosis q k.

    Raises: InputError for arrays of unequal length, values negative or not finite, no eigenvalue
    above 0, a moment below 1.
    Source: the random feature model of arXiv 2602.04774 in the eigenbasis of its features. The
    second moment of the gradient is derived from E[psi_i^2 psi_j^2] = q lambda_i lambda_j for
    i != j, E[psi_i^4] = q k lambda_i^2 and E[psi_i^2 psi_j psi_l] = 0 for j != l.

    >>> import numpy as np
    >>> spectrum = Spectrum([1.0, 0.25], [1.0, 0.5], floor=0.125)
    >>> spectrum.trace, spectrum.initial_loss
    (1.25, 1.625)
    >>> Spectrum([1.0], [1.0], kurtosis=9.0, scale_moment=2.0).own_noise
    15.0
    """

    eigenvalue: Float[Any, " nodes"]
    target: Float[Any, " nodes"]
    multiplicity: Float[Any, " nodes"] = None  # type: ignore[assignment]  # None: ones
    floor: float = 0.0
    trace: float = math.nan
    kurtosis: float = GAUSSIAN
    scale_moment: float = 1.0

    def __post_init__(self) -> None:
        eigenvalue = _column("eigenvalue", self.eigenvalue)
        target = _column("target", self.target)
        given = np.ones(len(eigenvalue)) if self.multiplicity is None else self.multiplicity
        multiplicity = _column("multiplicity", given)
        if not len(eigenvalue) == len(target) == len(multiplicity):
            raise InputError(
                f"eigenvalue, target and multiplicity must be as long as each other, got "
                f"{len(eigenvalue)}, {len(target)} and {len(multiplicity)} values"
            )
        if not np.any(eigenvalue > 0):
            raise InputError("eigenvalue must hold at least one value above 0")
        trace = float(multiplicity @ eigenvalue) if math.isnan(self.trace) else float(self.trace)
        fields = {
            "eigenvalue": eigenvalue,
            "target": target,
            "multiplicity": multiplicity,
            "floor": at_least("floor", self.floor, 0.0),
            "trace": trace,
            "kurtosis": at_least("kurtosis", self.kurtosis, 1.0),
            "scale_moment": at_least("scale_moment", self.scale_moment, 1.0),
        }
        for name, value in fields.items():
            object.__setattr__(self, name, value)

    @property
    def own_noise(self) -> float:
        """h = q (k - 1) - 1: over B, what sampling adds to lambda^2 c of a mode; 1 for Gaussian."""
        return self.scale_moment * (self.kurtosis - 1.0) - 1.0

    @property
    def initial_loss(self) -> float:
        """Excess loss at w = 0: all the target's power, learnable or not."""
        return float(self.target.sum() + self.floor)

    def bias(self, intrinsic_time: ArrayLike) -> Float[np.ndarray, "*times"]:
        """Loss of gradient flow, sum_j target_j exp(-2 lambda_j tau) + floor.

        `intrinsic_time` tau is the sum of the LRs, at least 0, of any shape.

        >>> float(Spectrum([1.0], [2.0], floor=0.5).bias(0.0))
        2.5
        """
        time = np.asarray(intrinsic_time, dtype=np.float64)
        decay = np.exp(-2.0 * np.multiply.outer(time, self.eigenvalue))
        return decay @ self.target + self.floor

    def kernel(self, intrinsic_time: ArrayLike) -> Float[np.ndarray, "*times"]:
        """What is left of noise after a time u, K(u) = sum_k lambda_k^2 exp(-2 lambda_k u).

        `intrinsic_time` u is the sum of the LRs since the noise, at least 0, of any shape.

        >>> float(Spectrum([1.0, 0.5], [1.0, 1.0]).kernel(0.0))
        1.25
        """
        time = np.asarray(intrinsic_time, dtype=np.float64)
        decay = np.exp(-2.0 * np.multiply.outer(time, self.eigenvalue))
        return decay @ (self.multiplicity * self.eigenvalue**2)

    def max_rate(self, batch_size: float) -> float:
        """The LR below which the loss stays bounded, 2 / (lambda_1 (1 + h/B) + q tr / B).

        With h the `own_noise` and q the `scale_moment`, both 1 for Gaussian features: the LR where
        sum_k c_k can no longer grow. A sufficient condition; `critical_rate` is the sharp one.
        `batch_size` B is in samples per update, above 0 or infinite.

        Raises: InputError for a batch size out of range.

        >>> Spectrum([1.0], [1.0]).max_rate(2.0)
        1.0
        """
        batch = above("batch_size", batch_size, 0.0, infinite=True)
        own = self.eigenvalue.max() * (1.0 + self.own_noise / batch)
        return 2.0 / float(own + self.scale_moment * self.trace / batch)

    def critical_rate(self, batch_size: float) -> float:
        """The LR at which the expected loss of SGD stops being bounded.

        The root of sum_k q eta lambda_k / (B (2 - eta lambda_k (1 + h/B))) = 1: there the rank-one
        feedback of the loss through the gradient noise has gain one. `batch_size` B is in samples
        per update, above 0 or infinite.

        Raises: InputError for a batch size out of range.

        >>> round(Spectrum([1.0], [1.0]).critical_rate(1.0), 12)
        0.666666666667
        """
        from scipy.optimize import brentq

        batch = above("batch_size", batch_size, 0.0, infinite=True)
        own, fed = 1.0 + self.own_noise / batch, self.scale_moment / batch
        if own <= 0:
            # At h / B = -1 all shares are linear. Below, in batches of less than one sample, they
            # are less than that, and this LR is on the safe side.
            return 2.0 / (fed * self.trace)
        top = 2.0 / (self.eigenvalue.max() * own)
        if math.isinf(batch):
            return top
        # What the nodes' trace misses are small eigenvalues, for which the sum is linear.
        missing = self.trace - float(self.multiplicity @ self.eigenvalue)

        def excess(rate: float) -> float:
            share = rate * self.eigenvalue / (2.0 - rate * self.eigenvalue * own)
            return (self.multiplicity @ share + rate * missing / 2.0) * fed - 1.0

        return float(brentq(excess, 0.0, top * (1 - 1e-15), xtol=1e-300, rtol=1e-14))  # type: ignore[arg-type]

    def quiet_rate(self, noise: float, batch_size: float) -> float:
        """The LR whose first update lowers the loss most, if it were small and labels the noise.

        It lowers the loss by 2 eta sum_j lambda_j target_j and adds eta^2 sigma^2 / B sum_k
        lambda_k^2 to it: the difference is largest at the ratio of the two sums. At far larger LRs
        noise drowns what is learned, however short the run. `noise` sigma^2 is in the unit of the
        loss, `batch_size` B in samples; infinite where there is no noise.

        >>> Spectrum([1.0], [2.0]).quiet_rate(4.0, 1.0)
        0.5
        """
        loud = float(self.kernel(0.0)) * noise / batch_size
        return float(self.eigenvalue @ self.target) / loud if loud > 0 else math.inf

    @classmethod
    def power_law(
        cls,
        capacity: float,
        source: float,
        *,
        width: float | None = None,
        intrinsic_time: float = 1e12,
        tolerance: float = 1e-6,
    ) -> Spectrum:
        """lambda_k = k^-a with lambda_k (w*_k)^2 = k^-(a s + 1), k = 1, 2, ..., compressed.

        The first modes stand alone, 32 or more. After them come bins of width 0.6 in log lambda,
        each of three Gauss-Legendre nodes whose weights keep the sums over the bin of lambda^i
        times the target power, and of lambda^i times lambda^2, exact for i = 0..2. The modes too
        slow to matter for `intrinsic_time` are one last node with their whole power and their mean
        eigenvalue. For capacities up to 2 the bias is then within 1e-4 of the sum over all modes,
        and the kernel within 2e-4.

        Arguments:
            capacity: a, above 1.
            source: s, above 0.
            width: keep only the first `width` modes; the others' target power is the floor.
            intrinsic_time: the largest sum of LRs asked about.
            tolerance: relative error of the loss of gradient flow allowed to the last node.

        Raises: InputError for a value out of its range.
        Source: arXiv 2602.04774, section 2 (capacity and source conditions).

        >>> spectrum = Spectrum.power_law(1.5, 0.5)
        >>> len(spectrum.eigenvalue) < 200, round(spectrum.trace, 6)
        (True, 2.612375)
        """
        capacity = above("capacity", capacity, 1.0, hint="at 1 the trace is infinite")
        source = above("source", source, 0.0)
        time = above("intrinsic_time", intrinsic_time, 0.0)
        tolerance = above("tolerance", tolerance, 0.0)
        if width is not None:
            width = at_least("width", width, 1.0)
        return _power_law(capacity, source, width, time, tolerance)


def _column(name: str, values: Any) -> NDArray[np.float64]:
    try:
        column = np.array(values, dtype=np.float64, ndmin=1)
    except (TypeError, ValueError, OverflowError):
        raise InputError(f"{name} must be a list of numbers") from None
    if column.ndim != 1 or not len(column):
        raise InputError(f"{name} must be a list of at least one number")
    bad = ~(np.isfinite(column) & (column >= 0))
    if bad.any():
        where = int(np.argmax(bad))
        raise InputError(f"{name}[{where}] must be finite and at least 0, got {column[where]}")
    column.setflags(write=False)
    return column


@lru_cache(maxsize=64)
def _power_law(
    capacity: float, source: float, width: float | None, time: float, tolerance: float
) -> Spectrum:
    exponent = capacity * source + 1.0  # of the target power
    last = math.inf if width is None else float(math.floor(width))
    edges = _edges(capacity, min(_cut(capacity, source, time, tolerance), last))
    alone = np.arange(1.0, edges[0])
    low, high = edges[:-1], edges[1:]
    nodes = _gauss_nodes(low, high, capacity)
    target = _weights(nodes, _sums(exponent, capacity, low, high, NODES))
    square = _weights(nodes, _sums(2 * capacity, capacity, low, high, NODES))
    parts = [
        (alone**-capacity, alone**-exponent, np.ones(len(alone))),
        (nodes.ravel(), target.ravel(), (square / nodes**2).ravel()),
    ]
    end = np.array([last + 1.0])
    if edges[-1] <= last:
        power, first = _sums(exponent, capacity, edges[-1:], end, 2)
        mean = first / power
        squares = _sums(2 * capacity, capacity, edges[-1:], end, 1)[0]
        parts.append((mean, power, squares / mean**2))
    eigenvalue, target, multiplicity = (np.concatenate(part) for part in zip(*parts, strict=True))
    floor = float(zeta(exponent, last + 1.0)) if math.isfinite(last) else 0.0
    beyond = float(zeta(capacity, last + 1.0)) if math.isfinite(last) else 0.0
    return Spectrum(eigenvalue, target, multiplicity, floor, float(zeta(capacity)) - beyond)


def _cut(capacity: float, source: float, time: float, tolerance: float) -> float:
    """The mode after which all modes may move with their mean eigenvalue.

    To second order in x = 2 lambda tau the error is at most x^(2+s) / (2 (s+2) Gamma(s)) of the
    bias, x taken at the cut.
    """
    most = 2.0 * (source + 2.0) * float(gamma(min(source, 50.0))) * tolerance
    depth = min(most ** (1.0 / (2.0 + source)), 0.5)
    return max(math.ceil((2.0 * time / depth) ** (1.0 / capacity)), ALONE)


def _alone(capacity: float) -> float:
    """How many modes stand alone: after them a bin holds at least twice its nodes of modes."""
    return float(max(ALONE, math.ceil(2 * NODES * capacity / BIN)))


def _edges(capacity: float, last: float) -> NDArray[np.float64]:
    """First modes of the bins, and one past the last bin."""
    least = 2.0 * NODES  # modes in a bin: fewer would not need compressing
    alone = _alone(capacity)
    if last < alone + least:
        return np.array([last + 1.0])
    edges = [alone + 1.0]
    while edges[-1] <= last:
        edges.append(max(edges[-1] + least, math.ceil(edges[-1] * math.exp(BIN / capacity))))
    if edges[-1] > last + 1.0:
        # The last bin ends with the modes; where that leaves it too short it joins the one before.
        edges[-1] = last + 1.0
        if len(edges) > 2 and edges[-1] - edges[-2] < least:
            del edges[-2]
    return np.array(edges)


def _gauss_nodes(
    low: NDArray[np.float64], high: NDArray[np.float64], capacity: float
) -> NDArray[Any]:
    """(bins, NODES) eigenvalues at the Gauss-Legendre nodes of each bin in log k."""
    start, stop = np.log(low - 0.5), np.log(high - 0.5)
    middle, half = (start + stop) / 2, (stop - start) / 2
    offset = half[:, None] * np.polynomial.legendre.leggauss(NODES)[0]
    return np.exp(-capacity * (middle[:, None] + offset))


def _sums(
    exponent: float,
    capacity: float,
    low: NDArray[np.float64],
    high: NDArray[np.float64],
    orders: int,
) -> NDArray[np.float64]:
    """(orders, bins) sums over k = low..high-1 of k^-(exponent + capacity i), i < orders."""
    power = exponent + capacity * np.arange(orders)[:, None]
    beyond = np.where(np.isfinite(high), zeta(power, np.minimum(high, 1e300)), 0.0)
    return zeta(power, low) - beyond


def _weights(nodes: NDArray[Any], sums: NDArray[np.float64]) -> NDArray[Any]:
    """(bins, NODES) weights on the nodes that reproduce the sums of every order."""
    unit = nodes[:, :1]  # of each bin, so that its powers stay near one
    order = np.arange(NODES)
    matrix = (nodes / unit)[:, None, :] ** order[:, None]
    return np.linalg.solve(matrix, (sums.T / unit**order)[..., None])[..., 0]
