"""The phase of a task: what its exponents say about the optimal schedule."""

from __future__ import annotations

from dataclasses import dataclass

from etastar._checks import above


@dataclass(frozen=True)
class Phase:
    """Exponents of the optimal schedule as the horizon T grows; all are without a unit.

    The benchmarks are the best constant LR ~ T^-(s / (1 + s)) and the best power law, which both
    lose as T^-(s / (1 + s)) with label noise; without it a constant LR at the cap as
    T^-min(s, 2 - 1/a).

    Attributes:
        name: easy or hard.
        xi: the peak LR falls as T^-xi.
        delta: the LR is annealed as the remaining time to the power delta.
        loss_exponent: the final excess loss falls as T^-loss_exponent.
        annealed_exponent: the annealed part of the run is T^-annealed_exponent of it.
        distance: the source exponent less its value at the boundary, above 0 in the easy phase.
        momentum_loss_exponent: that of the loss where momentum is optimised too.
        momentum_log_exponent: the most that momentum gains there is (log T)^-momentum_log_exponent.
        velocity_loss_exponent: that of the loss where the velocity has an LR of its own.
        constant_xi: the best constant LR falls as T^-constant_xi.
        constant_loss_exponent: the loss at the best constant LR falls as T^-constant_loss_exponent,
            and so does that at the best power law T^-x t^-chi.
        power_chi: the chi of a power law that falls as the best constant LR does, with x = 0.
    """

    name: str
    xi: float
    delta: float
    loss_exponent: float
    annealed_exponent: float
    distance: float
    momentum_loss_exponent: float
    momentum_log_exponent: float
    velocity_loss_exponent: float
    constant_xi: float
    constant_loss_exponent: float
    power_chi: float


def phase(capacity: float, source: float, noise: bool = True) -> Phase:
    """The phase of a power-law task with capacity a and source s.

    With label noise the boundary is s = 1 - 1/a:

        easy  xi = (s - 1 + 1/a) / (s + 1/a),  loss T^-(s / (s + 1/a)),  annealed throughout
        hard  xi = 0,  loss T^-s,  annealed fraction T^-((1 - 1/a - s) / (2 - 1/a))

    and delta = 2a - 1 in both. Without label noise the noise is the loss itself. At a given number
    of updates T = int du / eta it is at least (int sqrt(K L) du)^2 / T (Cauchy-Schwarz), equal for
    eta ~ (K L)^(-1/2): the LR warms up as tau^(s/2) to its cap. The boundary is s = 3 - 1/a:

        loss T^-min(s, 3 - 1/a),  xi = 0,  annealed fraction T^-((1 - 1/a) / (2 - 1/a))

    The warmup takes none of the run for s < 1 - 1/a, a part T^-((1 - 1/a) / s) up to s = 2,
    T^-((3 - 1/a - s) / 2) up to 3 - 1/a, and a constant part above, where the first LR is ~ 1/T.
    LRs that never rise get no further than T^-min(s, 2 - 1/a), which a constant LR attains.
    Measured from T = 1e6 to 1e8 by bench/zero_noise.py at a = 2, s = 2.5, 3, 3.5, 4.5: slopes
    2.49, 2.50, 2.49, 2.50 with a free LR, and 1.50 with WSD.

    With momentum optimised too the loss gains no power of T, and in the hard phase at most a factor
    (log T)^-s: an update multiplies the determinant of every mode's covariance of weight and
    velocity by mu^2, so that nothing but mu < 1 damps noise (derived in docs/controls_details.md).

    Arguments:
        capacity: a, above 1.
        source: s, above 0.
        noise: whether the labels are noisy.

    Returns: a `Phase`.
    Raises: InputError for exponents out of range.
    Source: arXiv 2602.04774; the optimum with noise follows from pointwise stationarity of
    tau^-s + int eta K du, K(u) ~ u^-(2 - 1/a), at a fixed number of updates int du / eta.

    >>> easy = phase(1.5, 1.0)
    >>> easy.name, round(easy.xi, 3), easy.delta, round(easy.loss_exponent, 3)
    ('easy', 0.4, 2.0, 0.6)
    >>> phase(2.0, 0.25).name, phase(2.0, 0.25).distance
    ('hard', -0.25)
    """
    capacity = above("capacity", capacity, 1.0, hint="at 1 the trace is infinite")
    source = above("source", source, 0.0)
    inverse, delta = 1.0 / capacity, 2.0 * capacity - 1.0
    distance, far = _beyond(source, 1.0 - inverse), source * (2.0 - inverse)
    if not noise:
        boundary = 3.0 - inverse
        edge = _beyond(source, boundary)
        name = "easy" if edge >= 0 else "hard"
        annealed = (1.0 - inverse) / (2.0 - inverse)
        power, logarithm = min(source, boundary), source if edge < 0 else 0.0
        reached = far if distance < 0 else power
        even = (0.0, min(source, 2.0 - inverse), 0.0)
        return Phase(name, 0.0, delta, power, annealed, edge, power, logarithm, reached, *even)
    total, even = source + inverse, (source / (1.0 + source),) * 3
    power = source / total
    if distance >= 0:
        xi = distance / total
        return Phase("easy", xi, delta, power, 0.0, distance, power, 0.0, power, *even)
    annealed, reached = -distance / (2.0 - inverse), min(far, power)
    return Phase("hard", 0.0, delta, source, annealed, distance, source, source, reached, *even)


def _beyond(source: float, boundary: float) -> float:
    """How far a source lies beyond the boundary; 0 where it is on it but for rounding."""
    distance = source - boundary
    return 0.0 if abs(distance) < 1e-12 else distance
