"""Fitting a law to runs."""

from __future__ import annotations

import time
from collections.abc import Sequence
from dataclasses import replace
from typing import NamedTuple

import numpy as np

from etastar._checks import one_of, part
from etastar._errors import InputError
from etastar._threads import one_thread
from etastar.runs import Run, as_runs

from ._draws import Refit
from ._ends import end_misfit, end_spread, hindcast
from ._forms import NORMALISED, OWN, Form, form_named
from ._law import Law
from ._least_squares import LeastSquares, best_fit, polish
from ._points import FEW_POINTS, Arrays, longest_of, make_arrays
from ._posterior import Posterior, posterior_of

FEW_RUNS = 12
"""Up to so many runs the law's own misfit is measured on all points: it costs little, and there the
prior that it weighs decides much."""

OPTIMISERS = ("auto", "sgd", "normalised")
"""How the batch size acts, where the runs have several: see `fit`."""


@one_thread
def fit(
    runs: list[Run],
    form: Form | str = OWN,
    *,
    optimiser: str = "auto",
    transient: float | None = None,
) -> Law:
    """Fit the law to the logs of training runs.

    Minimises sum_runs sum_points w^2 rho(prediction / loss - 1): every run counts the same, later
    points of a run more (w^2 ~ step), rho is soft-L1 with scale 0.002. Points before the end of
    warmup, or in the first `transient` part of the longest run's steps, are left out. Diverged runs
    are left out and named in `caveats`.

    Arguments:
        runs: from `read_runs`, with losses in nats (any unit serves) at steps.
        form: the law to fit, or its name in `etastar.law.FORMS`; ours by default.
        optimiser: how the batch size acts in our own law, where the runs have several: with "sgd"
            it divides the noise of an update, with "normalised" (Adam, AdamW, Lion, Muon) it
            changes the progress too (`NormalisedForm`), and "auto" takes what makes the runs more
            likely.
        transient: the part of the longest run, from 0 to below 1, that is left out at the start of
            every run; by default the form's own (`Form.transient`, for most 0.05).

    Returns: a `Law`, which knows what the runs leave open.
    Raises: InputError with fewer than 12 points in all, where every run has diverged, for an
        unknown form or optimiser, or a transient outside 0 to below 1.
    Source: each form's own, see `Form.source`.

    >>> import numpy as np
    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> law = fit(runs)
    >>> bool(abs(law.predict(runs[0].schedule, at=[2000]).mean[0] / runs[0].final_loss - 1) < 0.01)
    True
    """
    runs = as_runs(runs)
    form = form_named(form) if isinstance(form, str) else form
    one_of("optimiser", optimiser, OPTIMISERS)
    transient = form.transient if transient is None else part("transient", transient)
    return law_of(runs, form, transient, optimiser)


def law_of(
    runs: Sequence[Run],
    form: Form,
    transient: float,
    optimiser: str = "auto",
    before: Law | None = None,
) -> Law:
    """The law fitted to runs; where there is one before, in its units and from its constants."""
    started = time.perf_counter()
    good = [run for run in runs if not run.diverged]
    if len(runs) > 0 and not good:
        raise InputError("every run diverged: lower the learning rates and log at least one run")
    units = None if before is None else before.units
    arrays, kept = make_arrays(good, transient, units=units)
    few, _ = make_arrays(kept, transient, FEW_POINTS, arrays.units)
    found = max(
        (_fitted(arrays, few, kept, each, before) for each in _variants(form, kept, optimiser)),
        key=lambda fitted: fitted.evidence,
    )
    problem, constants, posterior = found.problem, found.constants, found.posterior
    form, peaks = problem.form, [run.schedule.peak for run in kept]
    return Law(
        theta=constants[: form.size],
        linear=constants[form.size :],
        posterior=posterior,
        units=arrays.units,
        spread=end_spread(problem, constants),
        trend=hindcast(replace(problem, arrays=few, cache={}), constants),
        run_count=len(kept),
        steps_fitted=longest_of(kept, arrays.units),
        peak_range=(min(peaks), max(peaks)),
        residuals=_residuals(problem, constants, kept),
        seconds=time.perf_counter() - started,
        caveats=_left_out(runs, kept),
        form=form,
        transient=transient,
        refit=Refit.of(problem, constants, kept, posterior),
        runs=tuple(kept),
    )


class _Fitted(NamedTuple):
    problem: LeastSquares
    constants: np.ndarray
    posterior: Posterior

    @property
    def evidence(self) -> float:
        """Log probability of the runs, the constants averaged over, up to a constant."""
        form = self.problem.form
        far = (self.constants[: form.size] - form.mean) / form.spread
        return self.posterior.log_evidence - 0.5 * float(far @ far)


def _fitted(
    arrays: Arrays, few: Arrays, runs: list[Run], form: Form, before: Law | None
) -> _Fitted:
    if before is None or before.refit is None:
        problem, constants = _minimised(arrays, few, form)
    else:
        problem = LeastSquares(arrays, {}, form, before.refit.problem.noise)
        constants = polish(problem, np.append(before.theta, before.linear)).x
    return _Fitted(problem, constants, posterior_of(problem, constants, runs))


def _variants(form: Form, runs: Sequence[Run], optimiser: str) -> list[Form]:
    """The forms to try: of our own law with several batch sizes how these may act."""
    sizes = {run.batch_size for run in runs}
    if form is not OWN or len(sizes) < 2 or None in sizes:
        return [form]
    return {"sgd": [OWN], "normalised": [NORMALISED], "auto": [OWN, NORMALISED]}[optimiser]


def _minimised(arrays: Arrays, few: Arrays, form: Form) -> tuple[LeastSquares, np.ndarray]:
    """The least squares, their prior weighed by the law's own misfit, and the constants.

    `few` are the same runs with few points, for a search from many starts.
    """
    problem = LeastSquares(arrays, {}, form, form.noise)
    rough = replace(problem, arrays=few, cache={})
    many = int(problem.run.max()) + 1 > FEW_RUNS
    found = best_fit(rough, rough.starts()).x
    if not many:
        found = polish(problem, found).x
    misfit = end_misfit(problem, found)
    if misfit > 2 * form.noise:
        # A law that fits badly must not overrule the prior.
        problem, rough = (replace(each, noise=misfit, cache={}) for each in (problem, rough))
        found = best_fit(rough, rough.starts()).x
    return problem, polish(problem, found).x


def _left_out(runs: Sequence[Run], kept: Sequence[Run]) -> tuple[str, ...]:
    lines = []
    for run in runs:
        if run.diverged:
            lines.append(f"{run.name}: diverged, left out of the fit")
        elif not any(run is other for other in kept):
            lines.append(f"{run.name}: too short after the transient, left out of the fit")
    return tuple(lines)


def _residuals(problem: LeastSquares, constants: np.ndarray, runs: list[Run]):
    ratio, index, step = problem.ratio(constants), problem.run, problem.step
    return {run.name: (step[index == i], ratio[index == i]) for i, run in enumerate(runs)}
