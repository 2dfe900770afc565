"""Exponents of a fitted law with their intervals, and the phase they name."""

from __future__ import annotations

import numpy as np
from scipy.stats import norm

from etastar.law import Law

from ._types import Estimate, Phase

LEVEL = 0.9
_MOST_MEMORY = 0.99


def phase_of(law: Law) -> Phase:
    """Phase, capacity, source and xi of a fitted law, each with its 90% interval.

    Formula: capacity a = 1/(1 - g) from the kernel (1 + u/b)^-(1+g). With noise eta^p a step the
    optimal control eta(u) ~ K(u)^(-1/p) gives peak ~ T^-xi with

        xi = (s - g) / (s - g + p - 1)   if s > g,   0 otherwise,

    which for p = 2 is (s - 1 + 1/a)/(s + 1/a). The phase is easy where s > g = 1 - 1/a, hard where
    s < g, and undetermined where the interval of s - g holds zero.

    Source: arXiv 2602.04774 for p = 2; the balance tau^-s = tau^(p-1-g) T^(1-p) for other p.
    """
    quantile = norm.ppf(0.5 + LEVEL / 2)
    s, g, p = law.theta[0], law.theta[1], law.theta[3]
    sd = np.sqrt(np.diag(law.covariance))
    source = Estimate(float(s), max(float(s - quantile * sd[0]), 0.0), float(s + quantile * sd[0]))
    low, high = np.clip([g - quantile * sd[1], g + quantile * sd[1]], 0.0, _MOST_MEMORY)
    capacity = Estimate(*(float(1 / (1 - x)) for x in (g, low, high)))
    contrast = np.zeros(len(sd))
    contrast[[0, 1]] = 1.0, -1.0
    margin, error = s - g, np.sqrt(contrast @ law.covariance @ contrast)
    name = "undetermined"
    if margin - quantile * error > 0:
        name = "easy"
    elif margin + quantile * error < 0:
        name = "hard"
    ends = [_xi(margin + z * quantile * error, p) for z in (0.0, -1.0, 1.0)]
    return Phase(name, Estimate(*ends), capacity, source)


def _xi(margin: float, noise_power: float) -> float:
    margin = max(margin, 0.0)
    return float(margin / (margin + max(noise_power - 1, 1e-6))) if margin > 0 else 0.0
