"""How well a law fitted on some runs predicts others."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from jaxtyping import Float

from etastar._errors import InputError
from etastar.runs import Run, as_runs

from ._fit import fit
from ._forms import OWN, Form
from ._law import Law
from ._points import transient_end
from ._progress import Progress


@dataclass(frozen=True)
class BacktestRun:
    """Errors of one test run, over its points from where the law claims to hold.

    That is from the end of its warmup on, and after the part `Law.transient` of the longest run
    fitted, which the fit left out too.

    Attributes:
        run: its name.
        r2: coefficient of determination, at most 1.
        mae, rmse: mean absolute and root mean square error, in the unit of the loss.
        mean_rel, worst_rel: mean and largest of |predicted / measured - 1|.
        final_error: predicted minus measured at the last step, in the unit of the loss.
        covered: whether the measured loss there lies in the 90% interval.
        low, high: that interval.
        step: updates done, where losses are compared.
        measured, predicted: the losses there.
    """

    run: str
    r2: float
    mae: float
    rmse: float
    mean_rel: float
    worst_rel: float
    final_error: float
    covered: bool
    low: float
    high: float
    step: Float[np.ndarray, " points"]
    measured: Float[np.ndarray, " points"]
    predicted: Float[np.ndarray, " points"]


@dataclass(frozen=True)
class Backtest:
    """Errors of every test run, and what they say together.

    Attributes:
        runs: one `BacktestRun` a test run.
        rank_correlation: Spearman's over the final losses; None for a single run, and where all
            are predicted, or measured, the same.
        selection_regret: measured final loss of the run predicted best minus the best measured, in
            the unit of the loss; None for a single run.
        fit_seconds: what the fit took, compilation included.
        law: the fitted law.
    """

    runs: tuple[BacktestRun, ...]
    rank_correlation: float | None
    selection_regret: float | None
    fit_seconds: float
    law: Law

    @property
    def average(self) -> dict[str, float]:
        """Each number averaged over the test runs; `covered` is the share covered."""
        return {name: float(np.mean([getattr(run, name) for run in self.runs])) for name in NUMBERS}

    def to_dict(self) -> dict:
        """The JSON object of `etastar backtest`."""
        rows = [{"run": run.run, **{n: getattr(run, n) for n in NUMBERS}} for run in self.runs]
        return {
            "runs": rows,
            "average": self.average,
            "rank_correlation": self.rank_correlation,
            "selection_regret": self.selection_regret,
            "fit_seconds": self.fit_seconds,
        }


NUMBERS = ("r2", "mae", "rmse", "mean_rel", "worst_rel", "final_error", "covered")


def backtest(
    fit_runs: Sequence[Run],
    test_runs: Sequence[Run],
    law: Law | None = None,
    *,
    form: Form | str = OWN,
    transient: float | None = None,
    progress: Progress | None = None,
) -> Backtest:
    """Fit a law on `fit_runs` and measure its errors on `test_runs`.

    Errors are measured where the law claims to hold: from the end of a run's warmup on, and beyond
    the part of the longest fitted run that the fit leaves out.

    Arguments:
        fit_runs: runs to fit.
        test_runs: runs to test; none of them may be among those to fit.
        law: a law fitted to `fit_runs` before; None to fit it here.
        form: the law to fit here, or its name in `etastar.law.FORMS`.
        transient: the part of the longest run that the fit here leaves out, as in `fit`; a law
            fitted before has its own.
        progress: is told of the stages, see `Progress`.

    Returns: a `Backtest`. Losses and errors in the unit of the logs.
    Raises: InputError where a run is in both, there is no test run with points where the law holds,
        or both a law and a transient are given, and as `fit` does.

    >>> from etastar.schedule import parse_schedule
    >>> steps = np.arange(100, 1001, 50)
    >>> low, high = (Run(f"lr {lr}", steps, 3 + 2 * steps**-0.5 + 0.1 * lr,
    ...                  parse_schedule(f"constant:peak={lr},horizon=1000")) for lr in (0.1, 0.2))
    >>> found = backtest([low], [high], form="power")
    >>> found.runs[0].run, round(found.runs[0].final_error, 3)  # this law does not see the LR
    ('lr 0.2', -0.01)
    """
    if law is not None and transient is not None:
        raise InputError("transient is a choice of the fit: give it to `fit`, which made the law")
    fit_runs, test_runs = as_runs(fit_runs, "fit_runs"), as_runs(test_runs, "test_runs")
    _check_held_out(fit_runs, test_runs)
    tell: Progress = (lambda *_: None) if progress is None else progress
    if law is None:
        tell("fitting the law", 0, 1)
        law = fit(fit_runs, form, transient=transient)
        tell("fitting the law", 1, 1)
    tested, rows = _testable(test_runs, law), []
    for run, begin in tested:
        tell("predicting", len(rows), len(tested))
        rows.append(_measure(law, run, begin))
    tell("predicting", len(rows), len(tested))
    return Backtest(tuple(rows), *_ranks(rows), law.seconds, law)


def _ranks(rows: Sequence[BacktestRun]) -> tuple[float | None, float | None]:
    """Rank correlation and selection regret."""
    rank = regret = None
    if len(rows) > 1:
        predicted = np.array([row.predicted[-1] for row in rows])
        measured = np.array([row.measured[-1] for row in rows])
        if np.ptp(predicted) > 0 and np.ptp(measured) > 0:
            from scipy.stats import spearmanr  # takes as long to import as all the rest of a fit

            rank = float(spearmanr(predicted, measured)[0])  # type: ignore[arg-type]
        regret = float(measured[predicted.argmin()] - measured.min())
    return rank, regret


def _testable(runs: Sequence[Run], law: Law) -> list[tuple[Run, float]]:
    """The runs to measure, each with the step from which on the law claims to describe it.

    Raises: InputError where there is none.
    """
    begins = [transient_end(run, law.transient, law.units) for run in runs]
    tested = [
        (run, begin)
        for run, begin in zip(runs, begins, strict=True)
        if not run.diverged and run.final_step >= begin
    ]
    if not tested:
        raise InputError(
            "no test run to measure: each has diverged, or ends before its warmup or the first "
            f"{law.transient:.0%} of the longest fitted run"
        )
    return tested


def _check_held_out(fit_runs: Sequence[Run], test_runs: Sequence[Run]) -> None:
    both = {_identity(run) for run in fit_runs} & {_identity(run) for run in test_runs}
    if both:
        raise InputError(
            f"run {sorted(both)[0][0]} is fitted and tested: a test on fitted runs proves nothing, "
            "leave it out of one"
        )


def _identity(run: Run) -> tuple:
    return run.name, run.schedule.spec, run.step.tobytes(), run.loss.tobytes()


def _measure(law: Law, run: Run, begin: float) -> BacktestRun:
    after = run.step >= begin
    step, measured = run.step[after], run.loss[after]
    forecast = law.predict(run.schedule, at=step, batch_size=run.batch_size)
    error = forecast.mean - measured
    ratio = np.abs(forecast.mean / measured - 1)
    variation = np.sum((measured - measured.mean()) ** 2)
    r2 = 1 - np.sum(error**2) / variation if variation > 0 else float(error[0] == 0)
    return BacktestRun(
        run=run.name,
        r2=float(r2),
        mae=float(np.abs(error).mean()),
        rmse=float(np.sqrt(np.mean(error**2))),
        mean_rel=float(ratio.mean()),
        worst_rel=float(ratio.max()),
        final_error=float(error[-1]),
        covered=bool(forecast.low[-1] <= measured[-1] <= forecast.high[-1]),
        low=float(forecast.low[-1]),
        high=float(forecast.high[-1]),
        step=step,
        measured=measured,
        predicted=forecast.mean,
    )
