"""A plan in a notebook: what to train with, what to expect, and what speaks against it."""

from __future__ import annotations

from etastar.planning import Plan

from ._notebook import Shown
from ._numbers import loss_text, rate_text, regret_text, steps_text
from ._plan_figures import forecast_figure, schedule_figure
from ._schedule import short_spec
from ._words import done_steps, phase_text, shape_in_words, spec_of_the_rest


def shown(plan: Plan) -> Shown:
    """The decision in words, the schedule beside the standard ones, and the loss to expect.

    >>> [name for name, _ in shown(plan).rows][:3]
    ['peak LR', 'steps', 'expected loss']
    """
    loss, nearest = plan.loss, plan.nearest
    rows = [
        ("peak LR", rate_text(plan.peak_lr)),
        ("steps", steps_text(plan.horizon)),
        (
            "expected loss",
            f"{loss_text(loss.value)} (90%: {loss_text(loss.low)} to {loss_text(loss.high)})",
        ),
        ("schedule", shape_in_words(plan.schedule, done_steps(plan))),
        (
            "nearest standard",
            f"{spec_of_the_rest(nearest.schedule)}, {regret_text(nearest.regret)} in loss",
        ),
        ("phase", phase_text(plan)),
        ("spec", short_spec(plan.schedule)),
    ]
    return Shown(rows, [schedule_figure(plan), forecast_figure(plan)], notes=plan.caveats)
