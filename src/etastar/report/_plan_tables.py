"""A plan as tables for a terminal, from the recommendation down to the caveats."""

from __future__ import annotations

from rich import box
from rich.console import Group, RenderableType
from rich.padding import Padding
from rich.table import Table
from rich.text import Text

from etastar.planning import Estimate, Plan
from etastar.runs import columns_lines
from etastar.schedule import Schedule

from ._numbers import (
    UNKNOWN,
    count_text,
    exponent_text,
    loss_text,
    multiple_text,
    rate_text,
    regret_text,
    size_text,
    steps_text,
)
from ._words import (
    batch_text,
    budget_text,
    difference_text,
    done_steps,
    groups_text,
    interval_text,
    phase_text,
    shape_in_words,
    size_interval,
    spec_of_the_rest,
    within_label,
    within_text,
)


def plan_summary(plan: Plan) -> RenderableType:
    """What a plan says, from the recommendation down to the caveats.

    Text from logs is never read as markup, so a run named "[red]" prints as it is. What the fitted
    law cannot say is "unknown".

    Arguments:
        plan: what `etastar.planning.plan` returned.

    Returns: text and tables for a terminal (rich renderables); steps in updates, learning rates
        and losses in the units of the logs.

    >>> from rich import print
    >>> print(plan_summary(plan).renderables[0])
    Plan for 8k steps from 3 runs
    """
    title = f"Plan for {steps_text(plan.horizon)} steps from {count_text(len(plan.runs), 'run')}"
    return Group(
        Text(title, style="bold"),
        *(Text(line) for line in columns_lines(plan.runs)),
        Padding(_recommendation(plan), (1, 0)),
        _comparison(plan),
        _other_horizons(plan),
        _caveats(plan),
    )


def _recommendation(plan: Plan) -> Table:
    rows = Table.grid(padding=(0, 2))
    rows.add_column(style="cyan", no_wrap=True)
    rows.add_column(overflow="fold")
    loss, phase, nearest = plan.loss, plan.phase, plan.nearest
    for name, text in [
        *_continuation_rows(plan),
        ("peak LR", Text(rate_text(plan.peak_lr), style="bold")),
        *([] if plan.groups is None else [("planned LR", groups_text(plan))]),
        ("schedule", shape_in_words(plan.schedule, done_steps(plan))),
        *_batch_rows(plan),
        (
            "expected loss",
            f"{loss_text(loss.value)}  (90%: {loss_text(loss.low)} to {loss_text(loss.high)})",
        ),
        (
            "expected regret",
            f"{regret_text(plan.expected_regret).lstrip('+')} in loss: the most that better pilots"
            " can gain",
        ),
        ("nearest standard", spec_of_the_rest(nearest.schedule)),
        ("", f"{regret_text(nearest.regret)} in loss"),
        ("phase", phase_text(plan)),
        ("xi", f"{_with_interval(phase.xi)}  peak LR ~ horizon^-xi"),
        ("capacity", _with_interval(phase.capacity)),
        ("source", _with_interval(phase.source)),
    ]:
        rows.add_row(name, text if isinstance(text, Text) else Text(text))
    return rows


def _batch_rows(plan: Plan) -> list[tuple[str, str]]:
    """Batch size, what the run takes of data and time, and what is about as good."""
    rows = [(within_label(plan), within_text(plan))]
    if plan.batch_size is None:
        return rows
    rows = [("batch size", batch_text(plan)), ("takes", budget_text(plan)), *rows]
    if plan.critical_batch is not None:
        rows.append(("critical batch", size_interval(plan.critical_batch)))
    return rows


def _continuation_rows(plan: Plan) -> list[tuple[str, str]]:
    """What the plan goes on from, and what the horizon known too late costs."""
    past = plan.continuation
    if past is None:
        return []
    known = f"loss {loss_text(past.known_loss)} at peak LR {rate_text(past.known_peak)}"
    return [
        ("continues", f"{past.run}, from step {steps_text(past.step)} at LR {rate_text(past.lr)}"),
        ("planned at once", f"{known}; to extend costs {regret_text(past.cost)}"),
    ]


def _with_interval(estimate: Estimate) -> str:
    value = exponent_text(estimate.value)
    return value if value == UNKNOWN else f"{value}  (90%: {interval_text(estimate)})"


def _comparison(plan: Plan) -> Table:
    rows = Table(
        box=box.SIMPLE_HEAD, title="Standard schedules, each at its best", title_justify="left"
    )
    rows.add_column("schedule", overflow="fold", min_width=20)
    sized = plan.batch_map is not None
    for name in (*(["batch"] if sized else []), "loss", "regret", "90%", "steps to\nmatch"):
        rows.add_column(name, justify="right", no_wrap=True)
    size = ["" if plan.batch_size is None else size_text(plan.batch_size.peak)] if sized else []
    rows.add_row("planned", *size, loss_text(plan.loss.value), "0", "", "1×", style="bold")
    for other in plan.comparison:
        size = ["" if other.batch_size is None else size_text(other.batch_size)] if sized else []
        rows.add_row(
            Text(_shape(plan, other.schedule)),
            *size,
            loss_text(other.loss),
            regret_text(other.regret),
            difference_text(other),
            multiple_text(other.steps_to_match, other.schedule.horizon),
        )
    return rows


def _shape(plan: Plan, schedule: Schedule) -> str:
    """What a schedule is called without what it shares with the plan, which the title says."""
    shared = {f"horizon={plan.horizon}"}
    if plan.schedule.rise == schedule.warmup:
        shared.add(f"warmup={schedule.warmup}")
    name, colon, keys = spec_of_the_rest(schedule).rpartition(":")
    return f"{name}{colon}{','.join(key for key in keys.split(',') if key not in shared)}"


def _other_horizons(plan: Plan) -> RenderableType:
    if not plan.other_horizons:
        return Text("")
    rows = Table(box=box.SIMPLE_HEAD, title="At other horizons", title_justify="left")
    for name in ("steps", "peak LR", "loss"):
        rows.add_column(name, justify="right", no_wrap=True)
    for other in plan.other_horizons:
        rows.add_row(steps_text(other.horizon), rate_text(other.peak_lr), loss_text(other.loss))
    return rows


def _caveats(plan: Plan) -> RenderableType:
    if not plan.caveats:
        return Text("No caveats.", style="dim")
    rows = Table.grid(padding=(0, 1))
    rows.add_column(no_wrap=True)
    rows.add_column(overflow="fold")
    for caveat in plan.caveats:
        rows.add_row("·", Text(caveat))
    return Group(Text("Caveats", style="yellow"), rows)
