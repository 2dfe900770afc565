"""A schedule for a framework that keeps its own configuration, and what is lost on the way."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from scipy.optimize import minimize_scalar

from etastar._errors import InputError
from etastar.robust import last_iterate
from etastar.schedule import Schedule, make_schedule, parse_schedule

from ._targets import Target, known_target

if TYPE_CHECKING:
    from etastar.law import Law

POINTS = 2000
"""Steps, evenly spaced, at which two schedules are compared."""

EVERY_UPDATE = 10**6
"""Horizons up to this are summed update by update for the bound."""


@dataclass(frozen=True)
class Regret:
    """What the exported schedule costs against the one asked for, and what says so.

    `basis` is "law" (predicted by the law fitted to the runs), "plan" (predicted when the plan was
    made) or "bound" (the last-iterate bound, which knows nothing of the task). `loss` and `regret`
    are the predicted final loss and its excess, in the unit of the logs; None for the bound.
    `inflation` is the bound over that of the schedule asked for, at the base LR that is best for
    the latter; None otherwise.
    """

    basis: str
    loss: float | None = None
    regret: float | None = None
    inflation: float | None = None

    def sentence(self) -> str:
        """The regret in words."""
        if self.inflation is not None:
            return (
                f"its last-iterate bound is {self.inflation:.3f} times that of the schedule asked "
                "for, if that has its best base LR; no law was fitted, so this says nothing of "
                "the task: give --runs for a predicted loss"
            )
        source = "the law fitted to the runs" if self.basis == "law" else "the plan"
        return f"predicted final loss {self.loss:.4g}, {self.regret:+.2g} to the plan's ({source})"


@dataclass(frozen=True)
class Export:
    """The configuration of a framework, the schedule it will follow, and its regret.

    `exact` says whether that is the schedule asked for; `regret` is None where it is.
    """

    target: str
    text: str
    schedule: Schedule
    exact: bool
    regret: Regret | None
    notes: tuple[str, ...]

    def to_dict(self) -> dict[str, Any]:
        """What `etastar export --json` prints, for `json.dumps`."""
        regret = None if self.regret is None else dict(vars(self.regret))
        return {
            "to": self.target,
            "exact": self.exact,
            "schedule": self.schedule.to_dict(),
            "regret": regret,
            "notes": list(self.notes),
            "text": self.text,
        }


def export_schedule(
    schedule: Schedule,
    to: str,
    *,
    law: Law | None = None,
    plan: Mapping[str, Any] | None = None,
) -> Export:
    """Write a schedule down for a framework.

    torch, optax, transformers and csv follow any schedule. torchtitan, megatron, nanochat and
    axolotl know standard ones by name; another is replaced by the nearest they have:

    - with a `law`, that of the lowest predicted final loss, its peak up to the law's highest;
    - else with the JSON of a `plan` made for this schedule, the best of its comparison;
    - else that of the smallest mean difference from the schedule, relative to its mean rate.

    Arguments:
        schedule: the learning rate of every update.
        to: torch, optax, transformers, torchtitan, megatron, nanochat, axolotl or csv.
        law: a law fitted to runs of the task.
        plan: what `Plan.to_dict` returns, or plan.json holds.

    Returns: an `Export`.
    Raises: InputError for an unknown framework, or a schedule too long for a csv.

    >>> from etastar.schedule import parse_schedule
    >>> result = export_schedule(parse_schedule("cosine:peak=1e-3,horizon=1000,warmup=10"), "megatron")
    >>> result.exact, "--lr-decay-style cosine" in result.text
    (True, True)
    """
    target = known_target(to)
    if target.takes(schedule):
        found, regret, remarks = schedule, None, [f"the schedule {_short(schedule)}"]
    else:
        found, regret = _nearest(schedule, target, law, plan)
        remarks = [
            f"{to} cannot follow {_short(schedule)}; the nearest it can is {_short(found)}",
            regret.sentence(),
        ]
    notes = (*remarks[1:], *target.notes(found))
    text = target.text(found, [*remarks, *target.notes(found)])
    return Export(to, text, found, regret is None, regret, notes)


def plan_beside(path: Path, schedule: Schedule) -> Mapping[str, Any] | None:
    """The plan.json in the folder of a schedule.json, where it was made for that schedule.

    Raises: InputError for a plan.json that cannot be read.
    """
    beside = path.parent / "plan.json"
    if not beside.is_file():
        return None
    try:
        document = json.loads(beside.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise InputError(f"{beside}: cannot be read: {error}; remove it or plan again") from None
    if not isinstance(document, dict) or document.get("schedule") != schedule.to_dict():
        return None
    return document


def _short(schedule: Schedule) -> str:
    if schedule.shape.name != "table":
        return schedule.spec
    return f"the table of {len(schedule.shape.knots)} knots"  # type: ignore[attr-defined]


def _nearest(
    schedule: Schedule, target: Target, law: Law | None, plan: Mapping[str, Any] | None
) -> tuple[Schedule, Regret]:
    if law is not None:
        return _nearest_by_law(schedule, target, law)
    for row in (plan or {}).get("comparison", []):
        other = parse_schedule(row["spec"])
        if target.takes(other):
            return other, Regret("plan", loss=row["loss"], regret=row["regret"])
    found = _nearest_by_shape(schedule, target)
    return found, Regret("bound", inflation=_inflation(schedule, found))


def _makers(schedule: Schedule, target: Target) -> list[Callable[[float], Schedule]]:
    """The standard schedules of the same horizon and warmup, as functions of the peak.

    Where the framework takes none of that warmup, which only 1 and the whole horizon can be, it is
    one update shorter.
    """
    horizon, end = schedule.horizon, round(schedule(schedule.horizon) / schedule.peak, 6)

    def maker(name: str, keys: dict) -> Callable[[float], Schedule]:
        return lambda peak: make_schedule(name, peak=float(f"{peak:.4g}"), horizon=horizon, **keys)

    made: list[Callable[[float], Schedule]] = []
    for warmup in (_warmup(schedule), max(_warmup(schedule) - 1, 0)):
        if not made:
            shapes = target.shapes(warmup, horizon, end)
            made = [maker(name, {"warmup": warmup, **keys}) for name, keys in shapes]
            made = [make for make in made if target.takes(make(schedule.peak))]
    return made


def _warmup(schedule: Schedule) -> int:
    """The warmup; that of a table is the straight line from 0 that it may begin with."""
    if schedule.warmup or schedule(0) > 0.0:
        return schedule.warmup
    points = np.array(schedule.breakpoints[1:])
    rates = schedule(points)
    straight = np.isclose(rates, rates[0] * points / points[0], rtol=1e-9, atol=0.0)
    ends = points[: len(points) if straight.all() else int(np.argmin(straight))]
    return int(ends[-1]) if rates[0] > 0.0 and ends[-1] < schedule.horizon else 0


def _nearest_by_law(schedule: Schedule, target: Target, law: Law) -> tuple[Schedule, Regret]:
    """Peaks on a grid of ratio 2^(1/2) down from the cap, then two finer ones around the best."""
    cap = law.peak_range[1]
    makers = _makers(schedule, target)

    def best(tried: Sequence[tuple[Callable[[float], Schedule], float]]) -> tuple:
        # With the schedule itself among them, so that its loss needs no compilation of its own.
        losses = law.final_losses([*(make(peak) for make, peak in tried), schedule])
        at = int(np.argmin(losses[:-1]))
        return (*tried[at], float(losses[at]), float(losses[-1]))

    top = min(cap, 2.0 * schedule.peak)
    coarse = [(make, top * 2.0 ** (-k / 2)) for make in makers for k in range(13)]
    make, peak, loss, planned = best(coarse)
    for ratio in (2**0.125, 2**0.03125):
        around = np.minimum(peak * ratio ** np.arange(-4, 5), cap)
        make, peak, loss, planned = best([(make, float(near)) for near in around])
    return make(peak), Regret("law", loss=loss, regret=loss - planned)


def _nearest_by_shape(schedule: Schedule, target: Target) -> Schedule:
    """The smallest mean |difference| of the rates, over the peak and the shapes."""
    horizon = schedule.horizon
    steps = np.unique(np.append(np.linspace(0.0, horizon, POINTS), schedule.breakpoints))
    weight = np.gradient(steps)
    wanted = schedule(steps)
    best = None
    for make in _makers(schedule, target):
        unit = make(1.0)(steps)

        def difference(log_peak: float, unit: np.ndarray = unit) -> float:
            return float(np.sum(np.abs(np.exp(log_peak) * unit - wanted) * weight))

        span = (np.log(schedule.peak / 30), np.log(schedule.peak * 2))
        found: Any = minimize_scalar(difference, bounds=span, method="bounded")
        if best is None or found.fun < best[0]:
            best = (found.fun, make(float(np.exp(found.x))))
    assert best is not None
    return best[1]


def _inflation(schedule: Schedule, other: Schedule) -> float:
    """The bound of `other` over that of `schedule`, where the base LR is the latter's best one."""
    curves = [last_iterate(one, mesh=one.horizon > EVERY_UPDATE) for one in (schedule, other)]
    distance = 1.0 / curves[0].best_scale()
    own, its = (float(curve.bound(distance=distance)) for curve in curves)
    return its / own
