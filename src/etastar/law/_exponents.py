"""Source and capacity exponents of a task from its logs, and the phase they name."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from scipy.special import ndtri

from etastar._errors import InputError
from etastar.runs import Run

from ._fit import fit
from ._forms import FORMS
from ._law import Law

_AS_GOOD = 1.5
"""The solvable model names the exponents where it misses the runs' ends by at most this many times
what our own law does: it has fewer constants, and where it holds they are the exponents."""

_MOST_MEMORY = 0.99


@dataclass(frozen=True)
class Exponents:
    """Exponents with their intervals, each (value, low, high) without a unit, and their phase.

    Attributes:
        name: easy, hard or, where the interval of `margin` holds zero, undetermined.
        source: s, with which the loss falls in intrinsic time.
        capacity: a, of the eigenvalues k^-a.
        margin: s - (1 - 1/a), above zero in the easy phase.
        xi: of the peak LR ~ T^-xi.
        law: the fitted law that they are from.
    """

    name: str
    source: tuple[float, float, float]
    capacity: tuple[float, float, float]
    margin: tuple[float, float, float]
    xi: tuple[float, float, float]
    law: Law


def exponents(runs: Sequence[Run], law: Law | None = None, level: float = 0.9) -> Exponents:
    """The exponents of a task, from logs.

    Fits the solvable model to the logs. Where it describes them as well as our own law does, its
    exponents are returned: it ties the kernel, the bias and the noise to the two exponents, so they
    are sharp. Elsewhere they are those of our own law, in which exponents of effective time are
    fitted next to much else, and wide.

    Arguments:
        runs: logs of at least two runs.
        law: our own law, if it is fitted already; else it is fitted here.
        level: the probability that an interval holds its exponent.

    Returns: an `Exponents`.
    Raises: InputError as `fit` does, and for a law without constants `source` and `memory`.
    Source: arXiv 2602.04774; `docs/law_details.md` for a noise power p other than 2.

    What comes back is shown at `exponents_of`; without a log there is nothing to fit:

    >>> try:
    ...     exponents([])
    ... except InputError as error:
    ...     print(error)
    no runs to fit: name at least one training log
    """
    own = fit(list(runs)) if law is None else law
    solvable = fit(list(runs), FORMS["solvable"])
    chosen = solvable if solvable.spread <= _AS_GOOD * own.spread else own
    return exponents_of(chosen, level)


def exponents_of(law: Law, level: float = 0.9) -> Exponents:
    """The exponents of a fitted law with constants `source` and `memory`, and the phase.

    With z the normal quantile of the level and sd from the law's covariance, the interval of a
    constant is value +- z sd; capacity a = 1/(1 - g). Intrinsic time goes as e^q and noise as e^p
    in the effective rate e, so that e^q ~ T^-x with x = (s - g)/(s - g + p/q - 1) where s > g, and
    xi = x/q is the exponent of e.

    Arguments:
        law: a fitted law.
        level: the probability that an interval holds its exponent.

    Returns: an `Exponents`.
    Raises: InputError for a law without constants `source` and `memory`.
    Source: arXiv 2602.04774; `docs/law_details.md` for a noise power p other than 2.

    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 1001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=1000")) for lr in (0.01, 0.02)]
    >>> found = exponents_of(fit(runs, "functional"))
    >>> found.name, round(found.source[0], 1)  # the bias of these runs falls as time^-0.5
    ('undetermined', 0.5)
    """
    if not law.form.has_exponents:
        raise InputError(
            f"the law {law.form.name!r} has no exponents of the task: fit etastar, solvable or"
            " functional"
        )
    names = law.form.names
    s, g = names.index("source"), names.index("memory")
    time_power = law.constants.get("time_power", 1.0)
    power = law.constants.get("noise_power", 2.0) / time_power
    z = ndtri(0.5 + level / 2)
    contrast = np.zeros(len(law.covariance))
    contrast[[s, g]] = 1.0, -1.0

    def interval(value: float, variance: float) -> tuple[float, float, float]:
        half = z * np.sqrt(variance)
        return float(value), float(value - half), float(value + half)

    source = interval(law.theta[s], float(law.covariance[s, s]))
    memory = interval(law.theta[g], float(law.covariance[g, g]))
    margin = interval(law.theta[s] - law.theta[g], float(contrast @ law.covariance @ contrast))
    name = "easy" if margin[1] > 0 else "hard" if margin[2] < 0 else "undetermined"
    at = [float(1 / (1 - np.clip(x, 0.0, _MOST_MEMORY))) for x in memory]
    xi = [max(x, 0.0) / (max(x, 0.0) + max(power - 1, 1e-6)) / time_power for x in margin]
    return Exponents(
        name=name,
        source=(source[0], max(source[1], 0.0), source[2]),
        capacity=(at[0], at[1], at[2]),
        margin=margin,
        xi=(xi[0], xi[1], xi[2]),
        law=law,
    )
