"""Few nodes in the place of the many modes of a measured spectrum."""

from __future__ import annotations

import math
from dataclasses import replace
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from ._spectrum import Spectrum

Array = NDArray[np.float64]

MANY = 512
"""Spectra of up to as many modes are left as they are."""

_LARGEST = 64
"""The largest modes, each kept: the stability of a run hangs on them."""

_WIDTH = 0.2
"""Of a bin in the logarithm of the eigenvalue."""


@lru_cache(maxsize=8)  # every loss of a search asks for the same one
def merged(spectrum: Spectrum) -> Spectrum:
    """A spectrum of few nodes with the same losses, where there are more than 512 modes.

    All but the 64 largest eigenvalues are sorted into bins of width 0.2 in their logarithm. The
    target's power in a bin moves to the two nodes of its Gauss quadrature, which keep the sums of
    lambda^i times the power for i = 0..3; so does lambda^2, through which the gradient noise
    enters. Losses are linear in both. The error of exp(-2 lambda u) is at most the fourth power of
    the width over 320, 5e-6 of what the bin carries at u = 0. As its fourth derivative is positive,
    bias and kernel come out too low, never too high: a lower bound on a loss stays one. Nodes have
    no features of their own: what looks at single ones, as simulations and normalised updates do,
    takes the whole spectrum.

    Arguments:
        spectrum: its eigenvalues in any order; those of 0 become one node.

    Returns: a `Spectrum`, the same one where it has few modes.
    Source: Gauss quadrature of a discrete measure with two nodes, from its mean, variance and third
    central moment (Golub and Welsch, Calculation of Gauss quadrature rules, 1969).

    >>> import numpy as np
    >>> many = Spectrum(np.arange(1, 5001) ** -1.5, np.arange(1, 5001) ** -1.3)
    >>> few = merged(many)
    >>> len(few.eigenvalue), bool(abs(few.bias(100.0) / many.bias(100.0) - 1) < 1e-6)
    (196, True)
    """
    if len(spectrum.eigenvalue) <= MANY:
        return spectrum
    order = np.argsort(spectrum.eigenvalue, kind="stable")[::-1]
    columns = (spectrum.eigenvalue, spectrum.target, spectrum.multiplicity)
    value, target, multiplicity = (column[order] for column in columns)
    moves = value > 0
    still = float(target[~moves].sum())
    rows = [np.stack([value, target, multiplicity])[:, :_LARGEST]]
    value, target, multiplicity = (x[moves][_LARGEST:] for x in (value, target, multiplicity))
    square = multiplicity * value**2
    place = np.floor(np.log(value[0] / value) / _WIDTH).astype(int)
    starts = np.flatnonzero(np.diff(place, prepend=-1))
    for members in np.split(np.arange(len(value)), starts[1:]):
        nodes, power = _two_nodes(value[members], target[members])
        rows.append(np.stack([nodes, power, np.zeros_like(nodes)]))
        nodes, power = _two_nodes(value[members], square[members])
        rows.append(np.stack([nodes, np.zeros_like(nodes), power / nodes**2]))
    if still > 0:
        rows.append(np.array([[0.0], [still], [1.0]]))
    value, target, multiplicity = np.concatenate(rows, axis=1)
    return replace(
        spectrum, eigenvalue=value, target=target, multiplicity=multiplicity, trace=spectrum.trace
    )


def _two_nodes(value: Array, weight: Array) -> tuple[Array, Array]:
    """Nodes and weights of the Gauss quadrature of sum_k weight_k f(value_k); one may do."""
    total = weight.sum()
    if total == 0:
        return np.empty(0), np.empty(0)
    unit = value[0]
    mean = float(weight @ (value / unit)) / total
    away = value / unit - mean
    variance, third = (float(weight @ away**power) / total for power in (2, 3))
    if variance <= 1e-16 * mean**2:
        return np.array([mean * unit]), np.array([total])
    skew = third / variance
    root = math.sqrt(skew**2 + 4.0 * variance)
    below, above = (skew - root) / 2.0, (skew + root) / 2.0
    nodes = unit * (mean + np.array([above, below]))
    return nodes, total * np.array([-below, above]) / root
