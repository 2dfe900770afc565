"""The exponents of a measured spectrum, each with an interval."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import stdtrit

from etastar._checks import at_least, positives, whole
from etastar._errors import InputError

from ._phase import Phase, phase
from ._power_law import Model, PowerLaw

FEWEST = 24
"""Modes in the range that is used: with fewer, no exponent can be told."""

_BINS_A_DECADE = 10.0
_BLOCKS = 12
"""Neighbouring bins that are left out together, so that their errors may go together."""

_ROUNDING = 1e-12
"""Part of the largest eigenvalue below which an eigensolver in float64 returns rounding errors."""

_CLIFF = 1.4
"""A spectrum ends where it falls this many times as steeply as in its middle."""

_PROBABILITY = 0.95
"""Quantile of a 90% interval's upper end."""

Values = Float[np.ndarray, " values"]
Interval = tuple[float, float]


@dataclass(frozen=True)
class SpectrumFit:
    """Power laws fitted to a measured spectrum; the intervals hold 90%, nothing has a unit.

    Attributes:
        capacity: a, where the eigenvalues fall as k^-a.
        source: s, where the target power beyond the eigenvalue lambda falls as lambda^s.
        capacity_ci: lower and upper end of the interval of the capacity.
        source_ci: the same of the source.
        distance_ci: the same of the source less its value at the boundary of the phases.
        modes: the first and the last mode k that were used, counted from 1 at the largest.
        noise: variance of the label noise; None where it was not given, and taken as above 0.
    """

    capacity: float
    source: float
    capacity_ci: Interval
    source_ci: Interval
    distance_ci: Interval
    modes: tuple[int, int]
    noise: float | None = None

    @property
    def phase(self) -> Phase:
        """The phase of the fitted exponents."""
        return phase(self.capacity, self.source, self.noise != 0)

    @property
    def undecided(self) -> bool:
        """Whether the interval of the distance holds 0: then both phases are possible.

        >>> fit = SpectrumFit(2.0, 0.6, (1.9, 2.1), (0.4, 0.8), (-0.1, 0.3), (5, 900))
        >>> fit.phase.name, fit.undecided
        ('easy', True)
        """
        return self.distance_ci[0] <= 0.0 <= self.distance_ci[1]

    @property
    def xi_ci(self) -> Interval:
        """The interval of xi, d / (1 + d) at a distance d above 0 and 0 below or without noise."""
        if self.noise == 0:
            return 0.0, 0.0
        low, high = (max(0.0, distance) for distance in self.distance_ci)
        return low / (1.0 + low), high / (1.0 + high)


def fit_spectrum(
    eigenvalue: ArrayLike,
    target: ArrayLike,
    noise: float | None = None,
    first: int | None = None,
    last: int | None = None,
) -> SpectrumFit:
    """Capacity and source exponent of a measured spectrum.

    The modes are put into bins that are equally wide in log k, where k counts them from 1 at the
    largest eigenvalue. Capacity a and source s are slopes over the bins:

        lambda_k ~ k^-a                                  least squares in the logarithms
        sum of target over one bin ~ lambda^s            quasi-likelihood of a mean (Gamma)

    The sum over a bin is a difference of two tail sums of the target, which fall as lambda^s.
    Unlike the tail sums it does not miss what lies beyond the last mode, and its errors are
    independent of those of the other bins.

    An interval has two parts, which are added. The first is the jackknife over some twelve blocks
    of neighbouring bins, so that errors within a block may go together. The second is for spectra
    that are no single power law: where the slopes of the lower and the upper half of the range
    differ by more than their errors, half of what they differ by beyond that.

    Arguments:
        eigenvalue: lambda_k, above 0, in any order and in the unit of 1 / LR.
        target: lambda_k (w*_k)^2, the part of the loss before training on each mode, at least 0.
        noise: variance of the label noise, at least 0; only whether it is 0 matters.
        first: first mode to use; default the fourth root of their number, at least 2.
        last: last mode to use; default the one before rounding errors, or the end's steeper fall.

    Returns: a `SpectrumFit`.
    Raises: InputError for arrays of unequal length, values or exponents out of range, or fewer than
    24 modes in the range.
    Source: power laws of arXiv 2602.04774; quasi-likelihood of Wedderburn (1974).

    >>> k = np.arange(1.0, 2001.0)
    >>> fit = fit_spectrum(k**-1.5, k ** -(1.5 * 0.8 + 1))
    >>> round(fit.capacity, 2), round(fit.source, 2), fit.phase.name
    (1.5, 0.8, 'easy')
    """
    values, powers = _sorted(eigenvalue, target)
    if noise is not None:
        noise = at_least("noise", noise, 0.0)
    begin, end = _range(values, first, last)
    edges = _edges(begin, end)
    blocks = np.arange(len(edges) - 1) * min(_BLOCKS, len(edges) - 1) // (len(edges) - 1)
    if not np.any(powers[begin - 1 : end] > 0):
        raise InputError("target holds no value above 0 in the range of modes that is used")
    boundary = 1.0 if noise != 0 else 3.0
    fits = (
        lambda kept: _capacity(values, edges, kept),
        lambda kept: _source(values, powers, edges, kept),
        lambda kept: fits[1](kept) - boundary + 1.0 / fits[0](kept),
    )
    with np.errstate(over="ignore", divide="ignore", invalid="ignore"):
        estimates = [_estimate(fit, blocks) for fit in fits]
    (capacity, capacity_ci), (source, source_ci), (_, distance_ci) = estimates
    _check_exponents(capacity, source, begin, end)
    return SpectrumFit(capacity, source, capacity_ci, source_ci, distance_ci, (begin, end), noise)


def phase_of(model: Model, fitted: SpectrumFit | None = None) -> Phase | None:
    """The phase of a model: a power law has exponents, another spectrum only those fitted to it.

    Arguments:
        model: the task.
        fitted: what `fit_spectrum` found for a `LinearModel`.

    Returns: its `Phase`; None for a spectrum without exponents.

    >>> phase_of(PowerLaw(1.5, 1.0, 0.25, 8)).name
    'easy'
    """
    if isinstance(model, PowerLaw):
        return phase(model.capacity, model.source, model.noise > 0)
    return None if fitted is None else fitted.phase


def _sorted(eigenvalue: ArrayLike, target: ArrayLike) -> tuple[Values, Values]:
    """The largest eigenvalue first, checked."""
    values = np.ravel(positives("eigenvalue", eigenvalue))
    try:
        powers = np.ravel(np.asarray(target, dtype=np.float64))
    except (TypeError, ValueError):
        raise InputError("target must be numbers") from None
    if len(values) != len(powers):
        raise InputError(
            "eigenvalue and target must be as long as each other, got"
            f" {len(values)} and {len(powers)} values"
        )
    wrong = ~(np.isfinite(powers) & (powers >= 0))
    if np.any(wrong):
        raise InputError(f"target must be finite and at least 0, got {powers[wrong][0]:g}")
    order = np.argsort(-values, kind="stable")
    return values[order], powers[order]


def _range(values: Values, first: int | None, last: int | None) -> tuple[int, int]:
    """The first and the last mode to use."""
    count = len(values)
    begin = max(2, math.ceil(count**0.25)) if first is None else whole("first", first, 1)
    if last is None:
        end = int(np.count_nonzero(values > _ROUNDING * values[0]))
        end = _before_the_cliff(values, begin, end)
    else:
        end = whole("last", last, 1)
        if end > count:
            raise InputError(f"last must be at most {count}, the number of modes, got {end}")
    if end - begin + 1 < FEWEST:
        raise InputError(
            f"{max(0, end - begin + 1)} modes from {begin} to {end} of {count} are too few for an"
            f" exponent: give at least {FEWEST} above the rounding errors, better some hundreds"
        )
    return begin, end


def _before_the_cliff(values: Values, begin: int, end: int) -> int:
    """The last mode before the steep fall at the end of the spectrum of a finite matrix."""
    if end - begin + 1 < FEWEST:
        return end
    edges = _edges(begin, end)
    x, y = _centres(values, edges)
    slopes = -np.diff(y) / np.diff(x)
    middle = float(np.median(slopes))
    steep = slopes > _CLIFF * middle
    kept = len(slopes)
    while kept > len(slopes) // 2 and steep[kept - 1]:
        kept -= 1
    return end if kept == len(slopes) else int(edges[kept + 1]) - 1


def _edges(begin: int, end: int) -> Values:
    """The first mode of each bin, and the one after the last: equally wide in log k."""
    number = max(8, round(_BINS_A_DECADE * math.log10((end + 1) / begin)))
    return np.unique(np.round(np.geomspace(begin, end + 1, number + 1)).astype(np.int64))


def _centres(values: Values, edges: Values) -> tuple[Values, Values]:
    """Mean log k and mean log lambda of each bin."""
    places = edges[:-1] - 1
    count = np.diff(edges)
    stop = int(edges[-1]) - 1
    x = np.add.reduceat(np.log(np.arange(1, stop + 1)), places) / count
    y = np.add.reduceat(np.log(values[:stop]), places) / count
    return x, y


def _capacity(values: Values, edges: Values, kept: Any) -> Values:
    """The slope a in each row of `kept`, which says what bins a fit takes."""
    x, y = _centres(values, edges)
    return -_line(x, y, kept)[1]


def _line(x: Values, y: Values, weight: Any) -> tuple[Values, Values]:
    """Height at 0 and slope of weighted straight lines, one for each row of weights."""
    total = weight.sum(axis=-1)
    mean_x, mean_y = weight @ x / total, weight @ y / total
    slope = (weight @ (x * y) / total - mean_x * mean_y) / (weight @ x**2 / total - mean_x**2)
    return mean_y - slope * mean_x, slope


def _source(values: Values, powers: Values, edges: Values, kept: Any) -> Values:
    """The slope s in each row of `kept`: target power a unit of log k, against log lambda."""
    x = _centres(values, edges)[1]
    x = x - x.mean()
    count = np.diff(edges)
    sums = np.add.reduceat(powers[: int(edges[-1]) - 1], edges[:-1] - 1)
    density = sums / np.log((edges[1:] - 0.5) / (edges[:-1] - 0.5))
    density = density / density.mean()
    # A mode whose target weight is random has relative variance 2, and n of them 2 / n.
    alone = 2.0 / count
    whole_range = np.ones((1, len(x)))
    plain = _mean_fit(x, density, whole_range / alone)
    square = (density / np.exp(plain[0] + plain[1] * x) - 1.0) ** 2
    # What the bins scatter beyond that, by the method of moments.
    beyond = max(0.0, float((square - alone).mean())) if len(x) > 2 else 0.0
    return _mean_fit(x, density, kept / (alone + min(beyond, 2.0)))[1]


def _mean_fit(x: Values, density: Values, weight: Any) -> tuple[Values, Values]:
    """log mean = height + slope x by quasi-likelihood: sum w (density / mean - 1) (1, x) = 0.

    The mean is fitted and not the logarithm, whose expectation depends on how a bin fluctuates.
    """
    height, slope = _line(x, np.log(np.maximum(density, 1e-3 * density[density > 0].min())), weight)
    for _ in range(60):
        ratio = density * np.exp(-np.clip(height[:, None] + slope[:, None] * x, -600, 600))
        pull, curve = weight * (ratio - 1.0), weight * np.maximum(ratio, 0.5)
        a, b, c = curve.sum(-1), curve @ x, curve @ x**2
        p, q = pull.sum(-1), pull @ x
        determinant = a * c - b**2
        up, turn = (c * p - b * q) / determinant, (a * q - b * p) / determinant
        height, slope = height + np.clip(up, -2, 2), slope + np.clip(turn, -1, 1)
        if max(np.abs(up).max(), np.abs(turn).max()) < 1e-10:
            break
    return height, slope


def _estimate(fitted: Any, blocks: Values) -> tuple[float, Interval]:
    """A slope with its 90% interval: jackknife over blocks, and the halves' disagreement."""
    centre, error = _jackknife(fitted, blocks, np.ones(len(blocks)))
    number = int(blocks.max()) + 1
    reach = float(stdtrit(number - 1, _PROBABILITY)) * error
    halves = [_jackknife(fitted, blocks, half) for half in _halves(blocks, number)]
    apart = abs(halves[1][0] - halves[0][0])
    chance = float(stdtrit(number - 2, _PROBABILITY)) * math.hypot(halves[0][1], halves[1][1])
    reach += 0.5 * max(0.0, apart - chance)
    return centre, (centre - reach, centre + reach)


def _halves(blocks: Values, number: int) -> tuple[Values, Values]:
    lower = (blocks < (number + 1) // 2).astype(np.float64)
    return lower, 1.0 - lower


def _jackknife(fitted: Any, blocks: Values, of: Values) -> tuple[float, float]:
    """The slope over the bins marked in `of`, and its standard error."""
    inside = np.unique(blocks[of > 0])
    without = np.array([of * (blocks != block) for block in inside])
    found = fitted(np.vstack([of, without]))
    several = len(inside)
    spread = float(np.sum((found[1:] - found[1:].mean()) ** 2))
    return float(found[0]), math.sqrt((several - 1) / several * spread)


def _check_exponents(capacity: float, source: float, begin: int, end: int) -> None:
    """Refuse exponents that the model does not have."""
    where = f"over the modes {begin} to {end}"
    if not math.isfinite(capacity) or capacity <= 1.0:
        raise InputError(
            f"the eigenvalues fall as k^-{capacity:.3g} {where}: the capacity must be above 1, as"
            " otherwise the trace would be infinite; use another range of modes, or fewer features"
        )
    if not math.isfinite(source) or source <= 0.0:
        raise InputError(
            f"the target power goes as lambda^{source:.3g} {where}: the source must be above 0, as"
            " otherwise the target's power would be infinite; use another range of modes"
        )
