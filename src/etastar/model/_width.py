"""Finite width: what a random Gaussian projection of the features leaves of a spectrum."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import brentq, minimize_scalar

from etastar._checks import whole
from etastar._errors import InputError

from ._spectrum import GAUSSIAN, Spectrum

_MOST_ENTRIES = 10**8
_CLOSEST = 1.05  # ratio of the ends of the narrowest bin
_FOLLOWED = 25
_NODES, _WEIGHTS = np.polynomial.legendre.leggauss(16)


def project(spectrum: Spectrum, width: int, seed: int = 0) -> Spectrum:
    """The spectrum of `width` random features G psi, with G Gaussian of variance 1 / width.

    Diagonalises G Lambda G^T: features of eigenvalue h_i and eigenvector v_i carry the target power
    (v_i . G Lambda w*)^2 / h_i, and what no combination of them can express is the floor, which
    acts as label noise, exactly so for Gaussian features.

    Arguments:
        spectrum: the features before the projection, all of multiplicity 1.
        width: number N of features after it, at most as many as before.
        seed: of the draw of G, a whole number of at least 0.

    Returns: a `Spectrum` of `width` eigenvalues.
    Raises: InputError for a kurtosis other than 3, multiplicities other than 1, a width out of
    range, or more than 1e8 entries of G.
    Source: arXiv 2602.04774, section 2.

    >>> import numpy as np
    >>> whole = Spectrum(np.arange(1.0, 101) ** -1.5, np.arange(1.0, 101) ** -2.0)
    >>> narrow = project(whole, 10)
    >>> len(narrow.eigenvalue), abs(narrow.initial_loss / whole.initial_loss - 1) < 1e-12
    (10, True)
    """
    width = _width(spectrum, width)
    if np.any(spectrum.multiplicity != 1):
        raise InputError(
            "spectrum must have multiplicities of 1 to be sampled: use project_equivalent"
        )
    if width * len(spectrum.eigenvalue) > _MOST_ENTRIES:
        raise InputError(
            f"width {width} times {len(spectrum.eigenvalue)} features is too large to sample: use "
            "project_equivalent"
        )
    draw = np.random.default_rng(whole("seed", seed, 0))
    mixing = draw.standard_normal((width, len(spectrum.eigenvalue))) / np.sqrt(width)
    # Singular values keep the digits of the small eigenvalues that G Lambda G^T would lose.
    _, singular, right = np.linalg.svd(mixing * np.sqrt(spectrum.eigenvalue), full_matrices=False)
    power = (right @ np.sqrt(spectrum.target)) ** 2
    floor = max(spectrum.initial_loss - float(power.sum()), 0.0)
    return Spectrum(singular**2, power, floor=floor, scale_moment=spectrum.scale_moment)


def project_equivalent(spectrum: Spectrum, width: int) -> Spectrum:
    """What `project` gives for a large width, without a sample: its deterministic equivalent.

    The companion Stieltjes transform m(z) of G Lambda G^T solves

        z = -1 / m + (1 / N) sum_k lambda_k / (1 + lambda_k m),   Im m > 0 where Im z > 0,

    (1 / N) tr (G Lambda G^T - z)^-1 = m, and the target's measure has the transform
    sum_k lambda_k (w*_k)^2 / (-z (1 + lambda_k m)); its mass at 0 is the floor, where m(0) solves
    sum_k lambda_k m / (1 + lambda_k m) = N. Masses and means over bins of the eigenvalues come from
    contour integrals around each bin. The relative error falls as 1 / N.

    Arguments:
        spectrum: the features before the projection; multiplicities of any size.
        width: number N of features after it, fewer than before.

    Returns: a `Spectrum` of fewer, binned eigenvalues.
    Raises: InputError for a width out of range, or a kurtosis other than 3.
    Source: Silverstein and Bai, J. Multivariate Analysis 54 (1995), for the transform; as used for
    random features in arXiv 2602.04774.

    >>> wide = Spectrum.power_law(1.5, 0.5)
    >>> narrow = project_equivalent(wide, 100)
    >>> round(narrow.initial_loss / wide.initial_loss, 4), 0.1 < narrow.floor < 0.15
    (1.0, True)
    """
    width = _width(spectrum, width)
    zero = _transform_at_zero(spectrum, width)
    edges = _edges(spectrum, width, zero)
    middle, radius = (edges[1:] + edges[:-1]) / 2, (edges[1:] - edges[:-1]) / 2
    angle = np.pi / 2 * (_NODES + 1)
    arc = radius[:, None] * np.exp(1j * angle)
    z = middle[:, None] + arc
    m = _transform(spectrum, width, z)
    target = -((spectrum.target / (1 + spectrum.eigenvalue * m[..., None])).sum(axis=-1)) / z

    def inside(values: NDArray[np.complex128]) -> NDArray[np.float64]:
        return -((values * 1j * arc) @ (_WEIGHTS * np.pi / 2)).imag / np.pi

    count, squares = width * inside(m), width * inside(z * z * m)
    power, moment = inside(target), inside(z * target)
    full = (count > 1e-6) & (power > 0) & (moment > 0) & (squares > 0)
    mean = moment[full] / power[full]
    # Power by way of the bins with few modes is kept by scaling the rest.
    floor = float((spectrum.target / (1 + spectrum.eigenvalue * zero)).sum())
    learnable = float(spectrum.target.sum()) - floor
    target = power[full] * learnable / power[full].sum()
    return Spectrum(
        mean,
        target,
        squares[full] / mean**2,
        floor + spectrum.floor,
        trace=spectrum.trace,
        scale_moment=spectrum.scale_moment,
    )


def _width(spectrum: Spectrum, width: int) -> int:
    width = whole("width", width, 1)
    if spectrum.kurtosis != GAUSSIAN:
        raise InputError(
            f"spectrum must be of features of kurtosis 3 to be projected, got {spectrum.kurtosis:g}"
            ": mixtures of others depend on each other"
        )
    features = float(spectrum.multiplicity.sum())
    if width >= features:
        raise InputError(f"width must be below the {features:g} features projected, got {width}")
    return width


def _transform_at_zero(spectrum: Spectrum, width: int) -> float:
    """m(0), with sum_k lambda_k m / (1 + lambda_k m) = width."""

    def excess(log_m: float) -> float:
        pull = spectrum.eigenvalue * np.exp(log_m)
        return float(spectrum.multiplicity @ (pull / (1 + pull))) - width

    low = np.log(width / spectrum.trace) - 1.0
    high = low + 1.0
    while excess(high) < 0 and high < 700:
        high += 2.0
    if excess(high) < 0:
        raise InputError(f"width {width} exceeds the number of features with an eigenvalue above 0")
    return float(np.exp(brentq(excess, low, high, xtol=1e-13)))  # type: ignore[arg-type]


def _edges(spectrum: Spectrum, width: int, zero: float) -> NDArray[np.float64]:
    """Ends of the bins, between the eigenvalues where these are apart, ascending."""
    values = np.unique(spectrum.eigenvalue[spectrum.eigenvalue > 0])
    between = np.sqrt(values[1:] * values[:-1])
    lowest = 0.99 * _lowest_eigenvalue(spectrum, width, zero)
    fill = np.exp(np.arange(np.log(lowest), np.log(values[-1]), 0.2))
    candidates = np.concatenate([fill[fill < values[0]], between[between > lowest]])
    edges = [4.0 * (values[-1] + spectrum.trace / width)]
    for edge in np.sort(candidates)[::-1]:
        if edges[-1] / edge >= _CLOSEST and edge / lowest >= _CLOSEST:
            edges.append(float(edge))
    return np.array([lowest, *edges[::-1]])


def _lowest_eigenvalue(spectrum: Spectrum, width: int, zero: float) -> float:
    """The lower end of the projected spectrum: the largest z(m) over m above m(0)."""

    def minus_z(log_m: float) -> float:
        m = np.exp(log_m)
        share = spectrum.eigenvalue / (1 + spectrum.eigenvalue * m)
        return 1.0 / m - float(spectrum.multiplicity @ share) / width

    start = float(np.log(zero))
    best = minimize_scalar(minus_z, bounds=(start, start + 20.0), method="bounded")
    return -float(best.fun)  # type: ignore[attr-defined]


def _transform(spectrum: Spectrum, width: int, z: NDArray[Any]) -> NDArray[np.complex128]:
    """m(z) in the upper half plane, followed from far above the real axis by Newton's method."""
    eigenvalue, multiplicity = spectrum.eigenvalue, spectrum.multiplicity / width
    far = 100.0 * (np.abs(z) + spectrum.trace / width + eigenvalue.max())
    m = -1.0 / (z + 1j * far)
    near = 1e-2 * np.abs(z)
    for level, part in enumerate(np.linspace(0.0, 1.0, _FOLLOWED)):
        # The height over the axis falls geometrically, and at the end to nothing.
        height = far * (near / far) ** part if part < 1.0 else 0.0
        here = z + 1j * height
        for _ in range(2 if level < _FOLLOWED - 1 else 8):
            share = eigenvalue / (1 + eigenvalue * m[..., None])
            value = -1 / m + share @ multiplicity - here
            step = value / (1 / m**2 - (share * share) @ multiplicity)
            # Never leave the half plane: a step that would is cut to half the way.
            room = np.where((m - step).imag > 0, 1.0, 0.5 * m.imag / np.maximum(step.imag, 1e-300))
            m = m - room * step
    return m
