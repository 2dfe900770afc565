"""The optimal controls of the solvable model, under a budget of updates, samples or time.

The loss of `segment_losses` is minimised over the controls at 65 knots, linear in between, on a
mesh graded in intrinsic time that is laid anew around the optimum until the loss settles. The start
is the closed form eta(u) = min(cap, sqrt(nu / (K(u) (sigma^2 + L)))), u the intrinsic time still to
go.

A batch size that varies enters through the noise eta / B: at a given one the largest LR is the
cheapest, so that the variables are eta / B and the part of the stable LR that is used, which is
kept smooth: mixes that zigzag at the edge of stability would gain about 1e-3 more. Under a budget
of samples that part does not matter to first order in eta lambda; the better of a batch ramp at 0.9
of it and of a decay of the LR is returned. The mesh and the scaling of the variables are this
library's.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from functools import partial

import numpy as np

from etastar._checks import shown
from etastar._compiling import compiling_seconds, running_seconds
from etastar._errors import InputError
from etastar.law import Progress
from etastar.model import Model, loss
from etastar.schedule import Schedule, table

from ._budget import Budget
from ._engine import Rates, minimise
from ._few_updates import each_update
from ._limits import Limits
from ._model_families import FAMILIES, baselines
from ._model_mesh import KnotMesh
from ._model_objective import Logs, controls_at_knots, log_loss, stable_rate
from ._model_problem import Along, Array, ControlProblem, Ranges, Start, constant
from ._model_starts import starts
from ._model_work import Work
from ._momentum_solver import solve_momentum
from ._solution import Member, Solution
from ._transient_solver import TRANSIENT, check_transient, solve_transient
from ._velocity_solver import solve_velocity

_ROUNDS = 6
_SETTLED = 2e-5
"""The relative change of the loss from mesh to mesh at which a solve ends."""

_STEEPEST = 1.5
"""The largest change of a control from knot to knot, in the logarithm, before it is penalised."""

_SMOOTH = 1e-3
"""Weight of the mix's changes from knot to knot. Without it mixes that zigzag at the edge of
stability gain about 1e-3 of the loss more, which is not worth a schedule that jumps."""

_STIFFNESS = {"rate": 1.0, "mix": 0.3}
"""The curvature of the loss in each variable, as a part of that in the rate."""

_LEAST_MIX = -20.0


def solve(
    model: Model,
    horizon: int | None = None,
    *,
    controls: str | Sequence[str] = "lr",
    cap: float | str | None = None,
    floor: float = 0.0,
    warmup: int = 0,
    monotone: bool = False,
    samples: float | None = None,
    seconds: float | None = None,
    step_time: tuple[float, float] = (1.0, 0.0),
    max_batch: float = 65536.0,
    max_momentum: float = 1.0 - 1e-9,
    compare: bool = True,
    progress: Progress | None = None,
) -> Solution:
    """The controls with the lowest final excess loss of the solvable model, below a cap of the LR.

    Minimises the loss of `segment_losses` over the controls at 65 knots, as the head of this module
    says; the cost does not depend on the horizon. "lr,momentum" (w' = w - eta v'): the exact loss
    over up to 512 knots, to 1e6 updates, at a cost that grows with them. "lr,velocity,momentum" (w'
    = w - eta_g g - eta_v v'): the loss of `VelocityLoss`, to 1e12 updates.

    Optimal means: no LR is above the cap, by default one that is stable where it is held. Single
    LRs may be larger: cap="transient" frees that of every update, to 1e5 updates, for "lr". The
    loss is lower, much so in large batches, but the run diverges where features have heavier tails
    than the model's. There, and with momentum, the gap is how far other ends were, not a bound.

    Arguments:
        model: a PowerLaw or a LinearModel.
        horizon: number of updates, at least 1; None where another budget is given, as for "batch".
        controls: "lr", "lr,momentum", "lr,velocity,momentum" or "lr,batch".
        cap: largest LR; by default `Spectrum.max_rate` of the batch size; or "transient", none.
        floor: smallest LR (0 with "batch").
        warmup: updates of linear warmup from 0 (0 with "batch").
        monotone: whether the LR may not rise after the warmup; with "batch", eta / B.
        samples: budget of data, in place of the horizon.
        seconds: budget of time, in place of the horizon, with `step_time` = (t0, t1): an update of
            batch size B takes t0 + t1 B.
        max_batch, max_momentum: largest batch size and momentum.
        compare: whether to find the best standard schedules below the cap, and return a better one.
        progress: is told how much of the one stage "solving" is done, in expected milliseconds.

    Returns: a `Solution`; losses by `etastar.model.loss`, to a relative 1e-4 (3e-3 where the
    controls are too steep for that, as without label noise at source exponents above 2), and by
    `exact_losses` with cap="transient".
    Raises: InputError for limits out of range or at odds with each other, naming them.
    Source: arXiv 2602.04774 (LR and batch size), 2505.16098 (momentum).

    >>> from etastar.model import PowerLaw
    >>> easy = solve(PowerLaw(1.5, 1.0, 0.25, 8), 10_000)
    >>> best = {member.family: member.loss for member in easy.baselines}
    >>> easy.loss < min(best.values()), easy.gap < 1e-4
    (True, True)
    """
    limits = Limits(_largest_rate(cap), floor, warmup, monotone)
    budget = Budget.of(horizon, samples, seconds, step_time)
    asked = (model, controls, budget, limits, Ranges(max_batch, max_momentum), compare)
    return _timed(lambda: _solved(*asked, cap == TRANSIENT, progress))


def _timed(solve: Callable[[], Solution]) -> Solution:
    """A solution with the time that it took, and how much of that was compilation."""
    compiled, began = compiling_seconds(), running_seconds()
    found = solve()
    compiled = compiling_seconds() - compiled
    waited = running_seconds() - began + compiled
    return replace(found, wall_seconds=waited, compile_seconds=compiled)


def _largest_rate(cap: float | str | None) -> float:
    """The cap that an argument names; infinite where it is the stable one, at first."""
    if cap is None or cap == TRANSIENT:
        return math.inf
    if isinstance(cap, str) or not (cap > 0 and math.isfinite(cap)):
        raise InputError(f"cap must be a finite number above 0, or 'transient', got {shown(cap)}")
    return float(cap)


def _solved(
    model: Model,
    controls: str | Sequence[str],
    budget: Budget,
    limits: Limits,
    ranges: Ranges,
    compare: bool,
    transient: bool = False,
    progress: Progress | None = None,
) -> Solution:
    began = running_seconds()
    problem = ControlProblem.checked(model, controls, budget, limits, ranges)
    if transient:
        check_transient(problem)
    work = Work.of(problem, compare, transient, progress)
    momentum, batch, velocity = None, None, None
    if "momentum" in problem.controls:
        if "velocity" in problem.controls:
            rate, velocity, momentum, final, gap = solve_velocity(problem, work.evaluated)
        else:
            rate, momentum, final, gap = solve_momentum(
                problem, partial(work.iterated, int(problem.budget.total))
            )
        work.end()
        steps = Budget(float(int(problem.budget.total)))
        plain = _solved(model, "lr", steps, limits, ranges, False)
        work.end()
        if plain.loss <= final:
            rate, velocity, momentum, final = plain.schedule, None, None, plain.loss
    else:
        rate, batch, final, gap = _on_knots(problem, work)
        better = None if problem.batched else each_update(problem, rate, final)
        if better is not None:
            rate, final, gap = better
        if problem.batched and problem.budget.per_update == 0:
            single = _of_single_samples(problem)
            if single.loss < final:
                rate, final, gap = single.schedule, single.loss, single.gap
                batch = table(np.array([0, rate.horizon]), np.ones(2))
    if transient:
        rate, final, gap = solve_transient(problem, rate, work)
    bound = None if transient else _lower_bound(problem)
    took = running_seconds() - began
    members: tuple[Member, ...] = ()
    if compare:
        # Of a batch size that varies the standard schedules are those at the model's own.
        steps = int(budget.updates(model.batch_size))
        members = baselines(model, steps, limits, families=work.each(FAMILIES))
        nearest = min(members, key=lambda member: member.loss)
        if nearest.loss < final:
            rate, final = nearest.schedule, nearest.loss
            velocity, momentum, batch = None, None, None
    largest = None if problem.batched else problem.limits.cap
    return Solution(
        rate, final, members, gap, momentum, batch, bound, took, velocity, largest, transient
    )


def _on_knots(
    problem: ControlProblem, work: Work
) -> tuple[Schedule, Schedule | None, float, float]:
    """LR, batch size, loss and gap of the best of all starts."""
    ended = [_settle(problem, start, work) for start in work.each(starts(problem))]
    ends = sorted((end for end in ended if np.isfinite(end.value)), key=lambda end: end.value)
    if not ends:
        raise InputError(f"cap {problem.limits.cap:.4g} leaves no stable start: lower it")
    gap = ends[0].gap
    if len(ends) > 1 and problem.budget.per_update != 0:
        gap = max(gap, ends[1].value - ends[0].value)
    rate, batch = _schedules(problem, ends[0])
    return rate, batch, _measured(problem.model, rate, batch), gap


def _of_single_samples(problem: ControlProblem) -> Solution:
    """The optimum at batch size 1, where only samples cost something.

    To first order in eta lambda all batch sizes are as good as each other there. Near the cap, as
    in the hard phase, they are not: the largest stable eta / B falls as the batch grows.
    """
    model = replace(problem.model, batch_size=1.0)
    steps = Budget(float(int(problem.budget.total)))
    limits = replace(problem.limits, cap=min(problem.limits.cap, model.max_rate))
    return _solved(model, "lr", steps, limits, problem.ranges, False)


def _measured(model: Model, rate: Schedule, batch: Schedule | None) -> float:
    """The final loss to 1e-4, or to 3e-3 where that is out of reach."""
    try:
        return loss(model, rate, batch_size=batch)
    except InputError:
        return loss(model, rate, batch_size=batch, tolerance=3e-3)


@dataclass(frozen=True)
class _End:
    """Where a minimisation ended: mesh, variables, log loss, gap."""

    mesh: KnotMesh
    logs: Logs
    value: float
    gap: float


def _settle(problem: ControlProblem, start: Start, work: Work) -> _End:
    """Minimise on a mesh around the start, then on one around the optimum, until it settles."""
    end = _minimised(problem, start, work)
    for _ in range(_ROUNDS - 1 if np.isfinite(end.value) else 0):
        again = _minimised(problem, _as_start(problem, end), work)
        settled = abs(again.value - end.value) < _SETTLED
        end = again
        if settled:
            break
    return end


def _minimised(problem: ControlProblem, start: Start, work: Work) -> _End:
    budget, limits = problem.budget, problem.limits

    def pace(place: Array) -> Array:
        return start.rate(place) / budget.cost(start.batch_size(place))

    mesh = KnotMesh.graded(
        pace, budget.total, problem.largest, float(limits.warmup), not problem.batched
    )
    knots = len(mesh.knot)
    rates = Rates(1.0, 0.0, limits.monotone)
    x, low, high = _variables(problem, start, mesh, rates)
    setting = problem.setting(mesh)

    def split(flat: Array) -> Logs:
        named = dict(zip(problem.channels, flat.reshape(-1, knots), strict=True))
        named["rate"] = rates.logs(named["rate"])
        return Logs(**{name: mesh.padded(row) for name, row in named.items()})

    def objective(flat: Array) -> tuple[float, Array]:
        logs = split(flat)
        value, slope = log_loss(problem.modes, problem.model.noise, setting, logs)
        work.spend()
        value, rows = float(value), []
        for name in problem.channels:
            row = getattr(logs, name)[:knots]
            penalty, by_log = _steepness(row, _STEEPEST)
            if name == "mix":
                rough, by_rough = _steepness(row, 0.0)
                penalty, by_log = penalty + _SMOOTH * rough, by_log + _SMOOTH * by_rough
            by_log = by_log + np.asarray(getattr(slope, name))[:knots]
            rows.append(rates.slope(by_log) if name == "rate" else by_log)
            value += penalty
        return value, np.concatenate(rows)

    if not np.isfinite(objective(np.clip(x, low, high))[0]):
        return _End(mesh, split(x), np.inf, np.inf)
    weight = _noise_parts(problem, mesh, split(np.clip(x, low, high)))
    curvature = [_STIFFNESS[name] * weight for name in problem.channels]
    curvature[0] = rates.curvature(curvature[0])
    found = minimise(objective, x, low, high, np.concatenate(curvature))
    logs = split(found.x)
    alone = problem.controls == ("lr",)
    gap = rates.gap(found.slope, found.x) if alone else found.decrement
    return _End(mesh, logs, found.value, gap)


def _variables(
    problem: ControlProblem, start: Start, mesh: KnotMesh, rates: Rates
) -> tuple[Array, Array, Array]:
    """The start's variables on the knots, with their bounds."""
    limits, knots = problem.limits, len(mesh.knot)
    rate = start.rate(mesh.knot)
    if problem.batched:
        room = rate / start.batch_size(mesh.knot) / float(stable_rate(problem.setting(mesh), 1.0))
    else:
        room = (rate - limits.floor) / (limits.cap - limits.floor)
    columns = [(rates.variables(room), *rates.bounds(knots))]
    if problem.batched:
        part = np.log(start.part(mesh.knot))
        # Under a budget of samples all mixes are as good as each other: the start's is kept.
        free = problem.budget.per_update > 0
        least, most = (np.full(knots, _LEAST_MIX), np.zeros(knots)) if free else (part, part)
        columns.append((part, least, most))
    x, low, high = (np.concatenate(column) for column in zip(*columns, strict=True))
    return x, low, high


def _steepness(logs: Array, allowed: float) -> tuple[float, Array]:
    """A penalty on changes from knot to knot beyond what the segments between them resolve."""
    step = np.diff(logs)
    over = np.sign(step) * np.maximum(np.abs(step) - allowed, 0.0)
    slope = np.zeros_like(logs)
    slope[1:] += 2 * over
    slope[:-1] -= 2 * over
    return float(over @ over), slope


def _noise_parts(problem: ControlProblem, mesh: KnotMesh, logs: Logs) -> Array:
    """Twice each knot's part of the noise in the final loss: the curvature in its log rate."""
    setting, noise = problem.setting(mesh), problem.model.noise
    losses = np.asarray(log_loss(problem.modes, noise, setting, logs, "losses"))
    count = len(mesh.node) - 1
    rate, batch = controls_at_knots(setting, logs)
    spread = mesh.spread[: count + 1]
    pace = spread @ np.asarray(rate)
    size = np.full(count + 1, float(problem.model.batch_size))
    if batch is not None:
        size = spread @ np.asarray(batch)
    middle = (pace[1:] + pace[:-1]) / 2
    steps = np.diff(mesh.node) / problem.budget.cost((size[1:] + size[:-1]) / 2)
    passed = np.append(0.0, np.cumsum(middle * steps))
    to_go = passed[-1] - (passed[1:] + passed[:-1]) / 2
    fed = problem.spectrum.scale_moment * np.minimum(losses[:count], 1e3 * losses[0])
    left = problem.spectrum.kernel(to_go) * (noise + fed)
    part = 2 * middle**2 * steps * left / size[1:] / losses[-1]
    weight = mesh.spread[:count].T @ np.nan_to_num(part)
    return np.minimum(weight[: len(mesh.knot)], 1e3)


def _as_start(problem: ControlProblem, end: _End) -> Start:
    """The controls of an end as functions along the budget."""
    knots = len(end.mesh.knot)
    rate, batch = controls_at_knots(problem.setting(end.mesh), end.logs)
    part = None if end.logs.mix is None else np.exp(end.logs.mix)

    def along(values, other: float) -> Along:
        if values is None:
            return constant(other)
        kept = np.asarray(values)[:knots]
        return lambda place: np.interp(place, end.mesh.knot, kept)

    return Start(
        along(rate, 0.0),
        along(batch, problem.model.batch_size),
        along(part, 1.0),
    )


def _schedules(problem: ControlProblem, end: _End) -> tuple[Schedule, Schedule | None]:
    """LR and batch size as schedules of whole updates."""
    found, mesh = _as_start(problem, end), end.mesh
    step = mesh.knot
    if problem.batched:
        cost = problem.budget.cost(found.batch_size(mesh.node))
        each = np.diff(mesh.node) * 2 / (cost[1:] + cost[:-1])
        step = np.round(np.interp(mesh.knot, mesh.node, np.append(0.0, np.cumsum(each))))
    step, kept = np.unique(step, return_index=True)
    knot, step = mesh.knot[kept], step.astype(int)
    rate = found.rate(knot)
    if problem.limits.warmup:
        lr = table(np.append(0, step), np.append(0.0, rate))
    else:
        lr = table(step, rate)
    return (
        lr,
        # Rounding of a smooth bound must not make it less than one sample.
        table(step, np.maximum(found.batch_size(knot), 1.0)) if problem.batched else None,
    )


def _lower_bound(problem: ControlProblem) -> float | None:
    """A loss that no LRs within the cap undercut, where the LR alone is free."""
    plain = problem.controls == ("lr",) and not (problem.limits.warmup or problem.limits.floor)
    return problem.lower_bound if plain else None
