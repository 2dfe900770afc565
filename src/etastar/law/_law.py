"""`Law`: a fitted loss law, and the losses it predicts."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
from jaxtyping import Float
from numpy.typing import ArrayLike
from scipy.special import ndtri

from etastar._checks import one_of
from etastar._display import Displayed
from etastar._errors import InputError
from etastar._threads import one_thread
from etastar.runs import Run
from etastar.schedule import Schedule

from ._draws import Refit, nuts, randomised
from ._forms import OWN, Form, LossSlopes, Mesh, NoiseMemory
from ._mesh import BatchSize, ScheduleMesh, make_mesh
from ._misfit import misfit_place
from ._points import Units, at_ends, place, stack_meshes
from ._posterior import (
    ABOVE,
    AHEAD,
    USUAL_TREND,
    Moments,
    Posterior,
    with_log_slopes,
)

Array = np.ndarray


@dataclass(frozen=True)
class Forecast:
    """Predicted losses along a schedule.

    Attributes:
        step: updates done, increasing.
        mean: the loss expected there, in the unit of the runs.
        low, high: between them the measured loss lies with the probability asked for.

    >>> Forecast(*np.array([[1.0, 2.0], [4.0, 3.0], [3.9, 2.8], [4.1, 3.2]])).final
    (3.0, 2.8, 3.2)
    """

    step: Float[np.ndarray, " n"]
    mean: Float[np.ndarray, " n"]
    low: Float[np.ndarray, " n"]
    high: Float[np.ndarray, " n"]

    @property
    def final(self) -> tuple[float, float, float]:
        """Mean, low and high at the last step."""
        return float(self.mean[-1]), float(self.low[-1]), float(self.high[-1])


@dataclass(frozen=True)
class Difference:
    """By how much one schedule's final loss is above another's, in the unit of the runs.

    Attributes:
        mean: expected; negative where the first one is better.
        low, high: between them the measured difference lies with the probability asked for.

    >>> Difference(-0.01, -0.02, 0.001).tie
    True
    """

    mean: float
    low: float
    high: float

    @property
    def tie(self) -> bool:
        """Whether the interval holds zero: which one is better is open."""
        return self.low <= 0.0 <= self.high


class Open(NamedTuple):
    """Predicted losses (t,), the covariance (t, t) of what is open about their logarithms, and the
    variance of one run's luck."""

    mean: np.ndarray
    covariance: np.ndarray
    luck: float

    @property
    def variance(self) -> np.ndarray:
        return np.maximum(np.diag(self.covariance), 0.0)


class Continued(NamedTuple):
    """What is expected of a run fitted at later steps (t,), beyond the law: by how much its log
    loss is off the law's there, the variance around that, and doublings of the longest run."""

    move: np.ndarray
    variance: np.ndarray
    ahead: np.ndarray


class _Targets(NamedTuple):
    """Predicted losses (t,) and the slopes of their logarithms by the constants (t, d); places
    among the misfits (t, 5), and doublings of the longest run and of the highest peak LR (t,)."""

    mean: np.ndarray
    slope: np.ndarray
    place: np.ndarray
    ahead: np.ndarray
    above: np.ndarray


@dataclass(frozen=True, eq=False, repr=False)
class Law(Displayed):
    """The loss law with its constants fitted to runs.

    Formula: L = sum_c linear_c column_c(theta, schedule), for our own form

        L(t) = floor + bias ((S + S_0)/(1 + S_0))^-s + noise int e^p (1 + c e^4) K(S(t) - S) dt

    with the effective rate e and the intrinsic time S of `EtastarForm`, all in units
    of the highest peak LR and the longest step of the fit.

    Attributes:
        theta, linear: the constants, in the order of `form.names` and `form.linear`.
        posterior: what the runs leave open of them, and what the law itself misses.
        units: the reference LR, steps and batch size in which the constants count.
        spread: relative misfit of a run's end.
        trend: relative error of a forecast to twice the longest run.
        run_count: runs fitted.
        steps_fitted: the longest run fitted, in updates.
        peak_range: lowest and highest peak LR fitted, in the unit of the runs.
        residuals: for each run its fitted steps, and predicted over measured loss less 1 there.
        seconds: what the fit took.
        caveats: a line for each run left out.
        form: the formula.
        transient: the part of the longest run that the fit left out at the start of every run, and
            that the law does not describe.
        refit: what other fits of the same runs are made from, for `draws`.
        runs: the runs fitted.

    >>> from etastar.runs import Run
    >>> from etastar.schedule import parse_schedule
    >>> from etastar.law import fit
    >>> steps = np.arange(100, 2001, 50)
    >>> runs = [Run(f"lr {lr}", steps, 3 + 2 * (lr * steps) ** -0.5 + 20 * lr,
    ...             parse_schedule(f"constant:peak={lr},horizon=2000")) for lr in (0.01, 0.02)]
    >>> law = fit(runs, "power")
    >>> law.form.name, law.run_count, law.steps_fitted, law.peak_range
    ('power', 2, 2000.0, (0.01, 0.02))
    """

    theta: Float[np.ndarray, " n"]
    linear: Float[np.ndarray, " k"]
    posterior: Posterior
    units: Units
    spread: float
    trend: float
    run_count: int
    steps_fitted: float
    peak_range: tuple[float, float]
    residuals: Mapping[str, tuple[np.ndarray, np.ndarray]]
    seconds: float
    caveats: tuple[str, ...] = ()
    form: Form = OWN
    transient: float = OWN.transient
    refit: Refit | None = None
    runs: tuple[Run, ...] = ()

    def __repr__(self) -> str:
        constants = ", ".join(f"{name}={value:.4g}" for name, value in self.constants.items())
        return f"<Law {self.form.name} of {self.run_count} runs: {constants}>"

    @property
    def transient_error(self) -> float:
        """Relative error added to forecasts for every doubling beyond the longest run fitted.

        What the hindcast, `trend`, is above 0.6%, the usual error of such a law: beyond it the runs
        are still in a transient that no power law describes.
        """
        return max(self.trend - USUAL_TREND, 0.0)

    @property
    def covariance(self) -> Float[np.ndarray, "n+k n+k"]:
        """Of theta and the linear constants together."""
        return self.posterior.covariance

    @one_thread
    def draws(self, count: int, seed: int = 0, sampler: str = "refits") -> list[Law]:
        """Laws that fit the runs about as well, with other constants.

        Arguments:
            count: how many.
            seed: of the random numbers.
            sampler: "refits", fits to logs that are moved at random by what the law may miss, all
                made at once; "nuts", samples of the same posterior (`etastar[bayes]`), slow.

        Raises: InputError for another sampler, or where numpyro is needed and not installed.
        """
        one_of("sampler", sampler, ("refits", "nuts"))
        assert self.refit is not None
        sample = randomised if sampler == "refits" else nuts
        drawn, size = sample(self.refit, count, seed), self.form.size
        return [replace(self, theta=row[:size], linear=row[size:], refit=None) for row in drawn]

    @property
    def constants(self) -> dict[str, float]:
        """Every constant by name, and the capacity 1/(1 - memory)."""
        values = (*self.theta, *self.linear)
        named: dict[str, float] = {
            name: float(value)
            for name, value in zip((*self.form.names, *self.form.linear), values, strict=True)
        }
        if "memory" in named:
            named["capacity"] = 1.0 / (1.0 - named["memory"])
        return named

    def predict(
        self,
        schedule: Schedule,
        at: ArrayLike | None = None,
        level: float = 0.9,
        batch_size: BatchSize = None,
    ) -> Forecast:
        """The loss to expect along a schedule, with intervals.

        Arguments:
            schedule: any schedule, of any horizon; the cost does not depend on the horizon.
            at: steps (numbers of updates done), increasing, in [0, horizon]; by default 200 steps
                that end at the horizon, none in the warmup.
            level: probability that the measured loss lies between low and high.
            batch_size: of the run to predict, in the unit of the runs'; a number, a schedule of it,
                or by default theirs (the median).

        Returns: a `Forecast`; losses in the unit of the runs.
        Raises: InputError for steps outside the schedule, a level outside (0, 1) or a batch size
            that is not positive.

        The interval holds what the runs leave open of the constants, the law's own misfit, which
        runs alike share, and the luck of one run; it widens with the distance from the runs fitted,
        in length, peak LR, shape and batch size.
        """
        _check(level, batch_size)
        step = _steps(schedule, at)
        found = self._open([schedule], [step], [batch_size])
        width = ndtri(0.5 + level / 2) * found.mean * np.sqrt(found.variance + found.luck)
        return Forecast(step, found.mean, np.maximum(found.mean - width, 0.0), found.mean + width)

    def doublings(self, schedule: Schedule, batch_size: BatchSize = None) -> float:
        """log2 of a run's length over that of the longest run fitted, at least 0.

        In samples where the runs say their batch sizes; `batch_size` is as for `predict`.
        """
        if isinstance(batch_size, Schedule):
            batch_size = float(batch_size.intrinsic_time(schedule.horizon)) / schedule.horizon
        steps = schedule.horizon * float(self.units.batch_ratio(batch_size))
        return float(np.log2(max(steps / self.steps_fitted, 1.0)))

    def difference(
        self,
        schedule: Schedule,
        other: Schedule,
        level: float = 0.9,
        batch_size: BatchSize = None,
        other_batch_size: BatchSize = None,
    ) -> Difference:
        """By how much a schedule ends above another, with an interval.

        The two share most of what is open about them, so that their difference is known better than
        either loss. The interval is that of two runs that are trained once each.

        Arguments:
            schedule, other: of any horizons.
            level: probability that the measured difference lies between low and high.
            batch_size, other_batch_size: as for `predict`.

        Returns: a `Difference`, in the unit of the runs.
        Raises: InputError as `predict` does.
        """
        for size in (batch_size, other_batch_size):
            _check(level, size)
        both = [schedule, other]
        ends = [np.array([float(one.horizon)]) for one in both]
        found = self._open(both, ends, [batch_size, other_batch_size])
        sign = found.mean * [1.0, -1.0]
        luck = found.luck * float(found.mean @ found.mean) if schedule != other else 0.0
        variance = sign @ found.covariance @ sign + luck
        mean = float(sign.sum())
        width = float(ndtri(0.5 + level / 2) * np.sqrt(max(variance, 0.0)))
        return Difference(mean, mean - width, mean + width)

    def continued(self, run: int, step: Float[np.ndarray, " t"]) -> Continued:
        """What its own log adds to the forecast of a run fitted, at further steps of its schedule.

        Arguments:
            run: its place among `runs`.
            step: updates done, increasing, in [0, horizon].
        """
        own = self.runs[run]
        targets = self._targets([own.schedule], [step], [own.batch_size])
        move, variance = self.posterior.continued(targets.slope, targets.place, run)
        further = (AHEAD * targets.ahead) ** 2 + (ABOVE * targets.above) ** 2
        return Continued(move, variance + further, targets.ahead)

    def _open(
        self,
        schedules: Sequence[Schedule],
        steps: Sequence[np.ndarray],
        batch_sizes: Sequence[BatchSize],
    ) -> Open:
        """Predicted losses at steps of some schedules, and what is open about their logarithms."""
        targets = self._targets(schedules, steps, batch_sizes)
        moments = self.posterior.moments(targets.slope, targets.place)
        return Open(targets.mean, self._widened(moments, targets), moments.luck)

    def _widened(self, moments: Moments, targets: _Targets) -> np.ndarray:
        """The covariance at targets with what conditioning does not know of."""
        transient = self.transient_error * targets.ahead
        further = (moments.shift, transient, AHEAD * targets.ahead, ABOVE * targets.above)
        return moments.covariance + sum(np.outer(each, each) for each in further)

    def _targets(
        self,
        schedules: Sequence[Schedule],
        steps: Sequence[np.ndarray],
        batch_sizes: Sequence[BatchSize],
    ) -> _Targets:
        """Predicted losses, their slopes by the constants, and how far they are from the runs."""
        points = place(schedules, steps, self.units, batch_sizes)
        value, slope = points.columns_and_slopes(self.form, self.theta)
        mean, by_constants = with_log_slopes(value, slope, self.linear)
        places, ahead, above = [], [], []
        for schedule, step, size in zip(schedules, steps, batch_sizes, strict=True):
            # Of a ramp the batch size at each step.
            here = size(np.maximum(step - 1, 0)) if isinstance(size, Schedule) else size
            ratio = np.broadcast_to(self.units.batch_ratio(here), len(step))
            places.append(misfit_place(schedule, step, ratio, self.steps_fitted))
            done = size.intrinsic_time(step) if isinstance(size, Schedule) else None
            length = step * ratio if done is None else self.units.batch_ratio(done)
            ahead.append(np.log2(np.maximum(length / self.steps_fitted, 1.0)))
            beyond = np.log2(max(schedule.peak / self.peak_range[1], 1.0))
            above.append(np.full(len(step), beyond))
        far = (np.concatenate(each) for each in (places, ahead, above))
        return _Targets(mean, by_constants, *far)

    def final_losses(
        self, schedules: Sequence[Schedule], batch_sizes: Sequence[BatchSize] | None = None
    ) -> Float[np.ndarray, " schedules"]:
        """Predicted final loss of each schedule, in the unit of the runs.

        Arguments:
            schedules: R schedules, of any horizons.
            batch_sizes: of each of these, a number or a schedule of it in the runs' unit; by
                default the reference's, the median of the runs fitted.
        """
        return final_losses_of([self], schedules, batch_sizes)[0]

    def final_loss_and_slopes(
        self, rate: Array, length: Array, batch: Array | None = None
    ) -> LossSlopes:
        """Predicted final loss of a run in cells, and its slopes by what every cell holds.

        Arguments: `rate`, `length` and `batch` (CELLS,) in the runs' units, as in
        `etastar.law.make_mesh`; the cells of a run of that mesh, so that a solver sees the loss
        that `final_losses` reports.
        """
        found = final_losses_and_slopes_of([self], rate, length, batch)
        return LossSlopes(float(found.loss[0]), *(slope[0] for slope in found[1:]))

    def noise_memory(self) -> NoiseMemory | None:
        """How the law forgets noise, in units of its reference LR and steps; None without a kernel.

        >>> from etastar.law import FORMS
        >>> FORMS["power"].noise_memory(None, None) is None
        True
        """
        return self.form.noise_memory(self.theta, self.linear)


def final_losses_of(
    laws: Sequence[Law], schedules: Sequence[Schedule], batch_sizes: Sequence[BatchSize] | None
) -> Float[np.ndarray, "laws schedules"]:
    """Predicted final losses of schedules under laws of one form and one set of units."""
    first = laws[0]
    sizes = [None] * len(schedules) if batch_sizes is None else batch_sizes
    mesh = stack_meshes(_meshes(schedules, sizes), first.units)
    theta, linear = (np.stack([getattr(law, name) for law in laws]) for name in ("theta", "linear"))
    columns = first.form.columns(theta, mesh, at_ends(mesh))[:, : len(schedules), 0]
    return np.einsum("krc,kc->kr", columns, linear)


def _meshes(schedules: Sequence[Schedule], sizes: Sequence[BatchSize]) -> list[ScheduleMesh]:
    """The mesh of each schedule: one is made for all that differ in their peak alone."""
    made: dict[tuple, tuple[float, ScheduleMesh]] = {}
    meshes = []
    for one, size in zip(schedules, sizes, strict=True):
        key = (one.shape, one.horizon, one.warmup, one.final, size)
        if key not in made:
            made[key] = one.peak, make_mesh(one, None, size)
        peak, mesh = made[key]
        same = one.peak == peak
        meshes.append(mesh if same else replace(mesh, rate=mesh.rate * (one.peak / peak)))
    return meshes


def final_losses_and_slopes_of(
    laws: Sequence[Law], rate: Array, length: Array, batch: Array | None
) -> LossSlopes:
    """Final loss under each of K laws of one form and one set of units, and its slopes by cell.

    Arguments: `rate`, `length`, `batch` in the runs' units, (K, CELLS), or (CELLS,) of one run.
    Returns: losses (K,) and slopes (K, CELLS).
    """
    units, shape = laws[0].units, (len(laws), rate.shape[-1])
    theta, linear = (np.stack([getattr(law, name) for law in laws]) for name in ("theta", "linear"))
    ratio = 1.0 if batch is None else units.batch_ratio(batch)
    cells = rate / units.rate, length / units.steps, ratio
    mesh = Mesh(float(units.steps), *(np.broadcast_to(x, shape) for x in cells))
    found = laws[0].form.final_losses_and_slopes(theta, linear, mesh)
    scales = units.rate, units.steps, units.batch or 1.0
    slopes = (slope / scale for slope, scale in zip(found[1:], scales, strict=True))
    return LossSlopes(found.loss, *slopes)


def _check(level: float, batch_size: BatchSize) -> None:
    if not 0 < level < 1:
        raise InputError(f"level must be between 0 and 1, got {level!r}")
    if isinstance(batch_size, float | int) and not 0 < batch_size < np.inf:
        raise InputError(f"batch_size must be positive, got {batch_size!r}")


def _steps(schedule: Schedule, at: ArrayLike | None) -> np.ndarray:
    if at is None:
        start = min(max(schedule.rise, schedule.horizon // 50), schedule.horizon - 1)
        return np.unique(np.round(np.geomspace(max(start, 1), schedule.horizon, 200)))
    step = np.atleast_1d(np.asarray(at, dtype=np.float64))
    if step.ndim != 1 or step.size == 0 or not np.all(np.isfinite(step)):
        raise InputError("at must be a list of steps, all finite")
    if np.any(np.diff(step) <= 0) or step[0] < 0 or step[-1] > schedule.horizon:
        raise InputError(
            f"at must increase and lie in 0..{schedule.horizon}, the horizon; got "
            f"{step[0]:g}..{step[-1]:g}"
        )
    return step
