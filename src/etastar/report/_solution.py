"""The optimum of the solvable model: tables for a terminal, and a figure."""

from __future__ import annotations

import itertools
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
from rich import box
from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from etastar._provenance import Provenance
from etastar.control import Solution
from etastar.model import Model, SpectrumFit, phase_of
from etastar.schedule import Schedule

from ._charts import Axis, Chart, Line
from ._frame import line_keys, result_page, table_html
from ._notebook import Shown
from ._numbers import duration_text, steps_text
from ._page import section
from ._phase import momentum_line, phase_line, spectrum_lines
from ._schedule import RATE, rate_axis, schedule_name
from ._style import STEP, standard_style

if TYPE_CHECKING:
    import plotly.graph_objects as go

MOMENTUM = "1 - momentum"
SHOWN = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
"""Parts of the horizon at which the table gives the controls."""

_DRAWN = 1200
"""LRs above the cap that a figure shows at most."""


def solution_summary(
    model: Model, solution: Solution, fitted: SpectrumFit | None = None
) -> RenderableType:
    """The optimum in words, the best of each standard family, and the controls step by step.

    Arguments:
        model: the task.
        solution: what `etastar.control.solve` found for it; its losses are excess losses.
        fitted: the exponents of a measured spectrum; a `LinearModel` has none of its own.

    Returns: text and tables for a terminal (rich renderables).
    Raises: nothing; a model that was made has exponents in range.

    >>> from etastar.control import Member
    >>> from etastar.model import PowerLaw
    >>> from etastar.schedule import parse_schedule
    >>> best, linear = (parse_schedule(f"{name}:peak=1,horizon=9") for name in ("cosine", "linear"))
    >>> solution = Solution(best, 0.1, (Member("linear", linear, 0.2),), gap=1e-5)
    >>> families = solution_summary(PowerLaw(1.5, 1.0, 0.25, 8), solution).renderables[2]
    >>> [list(column.cells) for column in families.columns]
    [['linear'], ['1'], ['0.2'], ['2']]
    """
    lines = _words(model, solution, fitted)
    return Group(*(Text(line) for line in lines), _families(solution), _controls(solution))


def _words(model: Model, solution: Solution, fitted: SpectrumFit | None) -> list[str]:
    """The phase, the loss, and what is left to gain."""
    exponents = phase_of(model, fitted)
    lines = [] if fitted is None else spectrum_lines(fitted)
    if exponents is not None and solution.momentum is None:
        lines.append(phase_line(exponents))
    elif exponents is not None:
        lines.append(momentum_line(exponents, solution.velocity is not None))
    lines += [
        f"loss {solution.loss:.5g} after {_updates_text(solution.schedule.horizon)}, peak LR "
        f"{solution.schedule.peak:.4g}; {_left(solution)}, solved in"
        f" {_time_text(solution)}",
    ]
    if solution.transient and solution.cap is not None:
        lines.append(_above(solution, solution.cap))
    if solution.lower_bound is not None and solution.lower_bound < solution.loss:
        part = 1.0 - solution.lower_bound / solution.loss
        lines.append(
            f"proven bound: no schedule below the cap ends below {solution.lower_bound:.5g}, a part"
            f" of {part:.2g} under this loss"
        )
    return lines


def _updates_text(count: float) -> str:
    return "1 update" if count == 1 else f"{steps_text(count)} updates"


def _above(solution: Solution, cap: float) -> str:
    """How far LRs lie above the stable one, and what that rests on."""
    steps = np.arange(solution.schedule.horizon)
    part = float(np.mean(solution.schedule(steps) > cap))
    return (
        f"{part:.0%} of the LRs are above {cap:.4g}, the largest that is stable when held, the"
        f" highest {solution.schedule.peak / cap:.3g} times it: the run diverges where features"
        " have heavier tails"
    )


def _left(solution: Solution) -> str:
    """What the gap says, which is an estimate and no bound."""
    if solution.transient:
        return f"other starts ended within {solution.gap:.1g} of it"
    if solution.momentum is not None:
        return f"other starts and coarser knots ended within {solution.gap:.1g} of it"
    return f"an estimated {solution.gap:.1g} of it left to gain"


def _time_text(solution: Solution) -> str:
    """What the user waited for, and how much of it was compilation."""
    waited = duration_text(solution.wall_seconds)
    return f"{waited} ({duration_text(solution.compile_seconds)} of it compilation)"


def _families(solution: Solution) -> Table:
    rows = Table(box=box.SIMPLE_HEAD)
    for name in ("schedule", "best peak LR", "loss", "over the optimum"):
        if name == "schedule":  # numbers must be whole: a long spec folds
            rows.add_column(name, overflow="fold")
        else:
            rows.add_column(name, justify="right", no_wrap=True)
    for member in sorted(solution.baselines, key=lambda member: member.loss):
        rows.add_row(
            _shape(member.schedule),
            f"{member.schedule.peak:.4g}",
            f"{member.loss:.5g}",
            f"{member.loss / solution.loss:.4g}",
        )
    return rows


def _shape(schedule: Schedule) -> str:
    """The spec without what the table's other columns say."""
    if schedule.shape.name == "table":
        return schedule_name(schedule)
    name, _, keys = schedule.spec.partition(":")
    kept = [key for key in keys.split(",") if not key.startswith(("peak=", "horizon="))]
    return name if not any(kept) else f"{name}:{','.join(kept)}"


def _controls(solution: Solution) -> Table:
    if solution.transient:
        return _ranges(solution.schedule)
    rows = Table(box=box.SIMPLE_HEAD)
    columns = {"LR": solution.schedule, **_other_controls(solution)}
    for name in ("step", *columns):
        rows.add_column(name, justify="right", no_wrap=True)
    horizon = solution.schedule.horizon
    for step in sorted({min(round(part * horizon), int(horizon) - 1) for part in SHOWN}):
        values = [(name, float(schedule(step))) for name, schedule in columns.items()]
        cells = (f"{1 - value if name == MOMENTUM else value:.4g}" for name, value in values)
        rows.add_row(steps_text(step), *cells)
    return rows


def _ranges(schedule: Schedule) -> Table:
    """The lowest and the highest LR of each part of the run: single ones say little."""
    rows = Table(box=box.SIMPLE_HEAD)
    for name in ("from step", "to step", "lowest LR", "highest LR"):
        rows.add_column(name, justify="right", no_wrap=True)
    ends = sorted({round(part * schedule.horizon) for part in SHOWN})
    for first, last in itertools.pairwise(ends):
        rates = schedule(np.arange(first, last))
        values = (f"{rates.min():.4g}", f"{rates.max():.4g}")
        rows.add_row(steps_text(first), steps_text(last - 1), *values)
    return rows


def _other_controls(solution: Solution) -> dict[str, Schedule]:
    """The controls beside the LR that were optimised too."""
    controls = {
        "LR of the velocity": solution.velocity,
        MOMENTUM: solution.momentum,
        "batch size": solution.batch_size,
    }
    return {name: schedule for name, schedule in controls.items() if schedule is not None}


def solution_figure(solution: Solution) -> go.Figure:
    """LR against step over the best of each standard family, and the other controls below.

    Arguments:
        solution: what `etastar.control.solve` returned.

    Returns: a plotly figure, 760 pixels wide; the legend gives losses over the optimum's.

    >>> from etastar.control import Member
    >>> from etastar.schedule import parse_schedule
    >>> best, linear = (parse_schedule(f"{name}:peak=1,horizon=9") for name in ("cosine", "linear"))
    >>> solution = Solution(best, 0.1, (Member("linear", linear, 0.2),), gap=1e-5)
    >>> [trace.name for trace in solution_figure(solution).data]
    ['linear (2)', 'optimal (1)']
    """
    from ._plotly import plotly_figure

    found = shown(solution)
    return plotly_figure(found.charts, found.title)


def solution_page(
    model: Model,
    solution: Solution,
    made: Provenance | None = None,
    fitted: SpectrumFit | None = None,
) -> str:
    """The optimum as one self-contained HTML page: its numbers, its controls, its tables.

    Arguments:
        model: the task.
        solution: what `etastar.control.solve` found for it; its losses are excess losses.
        made: how it was made, for the foot of the page; None where no command made it.
        fitted: the exponents of a measured spectrum; a `LinearModel` has none of its own.

    Returns: the HTML text, 0.1 to 0.2 MB; nothing in it is fetched.
    Raises: nothing, no InputError: a model that was made has exponents in range.

    >>> from etastar.control import Member
    >>> from etastar.model import PowerLaw
    >>> from etastar.schedule import parse_schedule
    >>> best, linear = (parse_schedule(f"{name}:peak=1,horizon=9") for name in ("cosine", "linear"))
    >>> solution = Solution(best, 0.1, (Member("linear", linear, 0.2),), gap=1e-5)
    >>> page = solution_page(PowerLaw(1.5, 1.0, 0.25, 8), solution)
    >>> "<h1>Optimal schedule of the solvable model</h1>" in page
    True
    """
    first, *others = _charts(solution)
    sections = [
        section(
            "The learning rate beside the best of each standard family",
            first.html("lr"),
            line_keys(first.series),
            '<p class="soft">In brackets the loss over the optimum’s.</p>',
            table_html(_families(solution)),
        )
    ]
    for i, chart in enumerate(others):
        sections.append(section(f"{chart.y.label} of the optimum", chart.html(f"control-{i}")))
    sections.append(section("Step by step", table_html(_controls(solution))))
    found = phase_of(model, fitted)
    numbers = [
        ("phase", "unknown" if found is None else found.name, ""),
        ("peak LR", f"{solution.schedule.peak:.4g}", ""),
        ("updates", steps_text(solution.schedule.horizon), ""),
        ("excess loss", f"{solution.loss:.5g}", _left(solution)),
    ]
    units = "Steps are updates. Losses are excess losses: above the least that the model can reach."
    title = "Optimal schedule of the solvable model"
    return result_page(title, numbers, _words(model, solution, fitted), sections, made, units)


def shown(solution: Solution) -> Shown:
    """The optimum in numbers, and its controls against step beside the standard schedules."""
    schedule = solution.schedule
    rows = [
        ("peak LR", f"{schedule.peak:.4g}"),
        ("updates", steps_text(schedule.horizon)),
        ("loss", f"{solution.loss:.5g}"),
        ("gap", _left(solution)),
    ]
    if solution.baselines:
        near = solution.nearest
        rows.append(
            ("nearest standard", f"{near.family}, {near.loss / solution.loss:.4g} times the loss")
        )
    return Shown(rows, _charts(solution), title="loss over the optimum's")


def _charts(solution: Solution) -> list[Chart]:
    lines = []
    for i, member in enumerate(solution.baselines):
        if member.schedule.horizon == solution.schedule.horizon:
            name = f"{member.family} ({member.loss / solution.loss:.3g})"
            color, dash = standard_style(i)
            lines.append(replace(_line(member.schedule, name), color=color, width=1.6, dash=dash))
    if solution.transient and solution.cap is not None:
        return [_transient_chart(solution, solution.cap, lines)]
    lines.append(_line(solution.schedule, "optimal (1)"))
    # The first updates of a power of time lie far above all others.
    peaks = [
        m.schedule.peak for m in solution.baselines if m.family not in ("power", "inverse_sqrt")
    ]
    top = 1.05 * max([solution.schedule.peak, *peaks])
    charts = [Chart(Axis(STEP, tight=True), rate_axis(top), lines)]
    for name, schedule in _other_controls(solution).items():
        line = _line(schedule, name, rest=name == MOMENTUM)
        charts.append(Chart(Axis(STEP, tight=True), Axis(name, log=True), [line], height=220))
    return charts


def _transient_chart(solution: Solution, cap: float, others: list[Line]) -> Chart:
    """LRs that rise far above the cap: on a logarithmic axis, with the cap as a line."""
    schedule = solution.schedule
    steps = np.arange(schedule.horizon)
    rates = schedule(steps)
    if len(steps) > _DRAWN:
        # The lowest and the highest of each part, in their order.
        parts = np.array_split(steps, _DRAWN // 2)
        ends = [[part[rates[part].argmin()], part[rates[part].argmax()]] for part in parts]
        steps = np.unique(ends)
    lines = []
    for line in others:
        seen = np.asarray(line.y) > 0  # on a logarithmic axis
        lines.append(replace(line, x=np.asarray(line.x)[seen], y=np.asarray(line.y)[seen]))
    limit = Line("cap: largest LR stable when held", [0, schedule.horizon], [cap, cap], "grey", 1.6)
    lines += [
        replace(limit, dash="dash"),
        Line("optimal, with LRs above the cap (1)", steps, rates[steps], "accent", 1.2),
    ]
    axis = Axis(RATE, log=True, format="rate", tip="rate", range=(0.01 * cap, 1.2 * schedule.peak))
    return Chart(Axis(STEP, tight=True), axis, lines)


def _line(schedule: Schedule, name: str, rest: bool = False) -> Line:
    """The line of a control; `rest` draws 1 minus it."""
    near = np.geomspace(1.0, schedule.horizon / 2, 120)
    steps = np.unique(np.round(np.concatenate([[0.0], near, schedule.horizon - near])))
    values = schedule(steps)
    return Line(name, steps, 1.0 - values if rest else values, "accent", 3.2)
