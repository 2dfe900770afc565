"""The forecast of a run under way, from its own log beside the runs of a law."""

from __future__ import annotations

import numpy as np
from numpy.typing import ArrayLike
from scipy.special import ndtri

from etastar._errors import InputError
from etastar._threads import one_thread
from etastar.runs import Run

from ._ends import hindcast_errors
from ._fit import fit, law_of
from ._law import Forecast, Law

FARTHEST = 2.0
"""Doublings of the run so far from which on its own misfit says nothing of the loss."""


@one_thread
def forecast_running(
    run: Run, law: Law | None = None, at: ArrayLike | None = None, level: float = 0.9
) -> Forecast:
    """The loss to expect of a run under way, from its own log beside the runs of a law.

    The law is fitted again to its runs and the run so far, from the constants that it has. What the
    law misses along the run so far, it misses later in the run too: so the forecast is then moved
    by what is expected of it there,

        log L(t) = log law(t) + w (J delta + m(t) + luck of this run | all logs)

    with the law's misfit m as in `Posterior`, which is alike at steps alike. The weight w is 1 at
    the steps done and falls to 0 where they have doubled twice. The variance of the interval is
    what is left open, the square of the whole move (as in those of `Law.predict`), and for every
    doubling ahead the mean square of what the hindcasts of the law and of this run are off by, as
    if the errors of doublings were independent. Takes some tenths of a second.

    Arguments:
        run: the run so far, with the schedule that it is to follow.
        law: fitted to other runs, such as pilots. Without one, a law is fitted to the run alone.
        at: steps, increasing, in [0, horizon]; by default the horizon alone.
        level: probability that the measured loss lies between low and high.

    Returns: a `Forecast`, in the unit of the runs. That of the law alone while the run has no
        points after the transient, or where it has diverged.
    Raises: InputError as `Law.predict` does; without a law also as `fit` does.
    Source: Kennedy and O'Hagan, "Bayesian calibration of computer models" (2001), section 4.

    >>> import numpy as np
    >>> from etastar.law import fit
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=4000")) for lr in (0.01, 0.02)]
    >>> found = forecast_running(runs[1], fit(runs[:1]))
    >>> bool(found.step[-1] == 4000 and found.low[-1] < found.mean[-1] < found.high[-1])
    True
    """
    wanted = [float(run.schedule.horizon)] if at is None else at
    if law is None:
        return _continued(fit([run]), run, None, wanted, level)
    again = _fitted_again(run, law)
    if again is None:
        return law.predict(run.schedule, wanted, level, run.batch_size)
    return _continued(again, run, law, wanted, level)


def _fitted_again(run: Run, law: Law) -> Law | None:
    """The law of the other runs and this one, which is the last; None where it cannot be used."""
    others = [each for each in law.runs if _name(each) != _name(run)]
    if run.diverged or not others:
        return None
    try:
        again = law_of([*others, run], law.form, law.transient, before=law)
    except InputError:
        return None
    return again if again.runs[-1] is run else None


def _continued(law: Law, run: Run, before: Law | None, at: ArrayLike, level: float) -> Forecast:
    """The forecast by a law whose last run is the run so far; `before` was fitted without it."""
    plain = law.predict(run.schedule, at, level, run.batch_size)
    found = law.continued(len(law.runs) - 1, plain.step)
    weight = np.clip(1.0 - found.ahead / FARTHEST, 0.0, 1.0)
    mean = plain.mean * np.exp(weight * found.move)
    variance = found.variance + found.move**2 + _trend(law, before) ** 2 * found.ahead
    width = ndtri(0.5 + level / 2) * mean * np.sqrt(variance)
    return Forecast(plain.step, mean, np.maximum(mean - width, 0.0), mean + width)


def _name(run: Run) -> tuple[str, object]:
    """What tells a run from others: of two folders may have the same name."""
    return run.name, run.metadata.get("file")


def _trend(law: Law, before: Law | None) -> float:
    """Relative error of a forecast to twice the run so far, by the hindcasts of the pilots and its
    own.

    Root mean square of the two; that of the one which there is where the run is too short for a
    hindcast of its own, or there are no pilots.
    """
    assert law.refit is not None
    own = hindcast_errors(law.refit.problem, law.refit.centre).get(len(law.runs) - 1)
    known = [each for each in (own, None if before is None else before.trend) if each is not None]
    return float(np.sqrt(np.mean(np.square(known)))) if known else law.trend
