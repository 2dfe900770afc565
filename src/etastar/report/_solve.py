"""The optimum of the solvable model and its phase: tables for a terminal, and figures."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from etastar.control import Solution
from etastar.model import Phase, PowerLaw, phase
from etastar.schedule import Schedule

if TYPE_CHECKING:
    import plotly.graph_objects as go

ACCENT = "#0d9488"
COLORS = ("#d97706", "#6366f1", "#db2777", "#64748b", "#0284c7", "#84852a", "#9d4edd")
DASHES = ("dash", "dot", "dashdot", "longdash", "longdashdot", "dash", "dot")


def solution_summary(model: PowerLaw, solution: Solution) -> Any:
    """The solution as text and tables for a terminal (rich renderables)."""
    from rich import box
    from rich.console import Group
    from rich.table import Table
    from rich.text import Text

    horizon = solution.schedule.horizon
    exponents = phase(model.capacity, model.source, model.noise > 0)
    lines = [
        _phase_line(exponents),
        f"loss {solution.loss:.5g} after {horizon:,} updates, peak LR {solution.schedule.peak:.4g};"
        f" at most {solution.gap:.1g} of it left to gain, solved in {solution.seconds:.2g} s",
    ]
    if solution.lower_bound is not None and solution.lower_bound < solution.loss:
        part = 1.0 - solution.lower_bound / solution.loss
        lines.append(f"no schedule gains more than {part:.2g} where LRs are small: lower bound")
    families = Table(box=box.SIMPLE_HEAD)
    for name in ("schedule", "best peak LR", "loss", "over the optimum"):
        families.add_column(name, justify="left" if name == "schedule" else "right", no_wrap=True)
    for member in sorted(solution.baselines, key=lambda member: member.loss):
        families.add_row(
            _shape(member.schedule),
            f"{member.schedule.peak:.4g}",
            f"{member.loss:.5g}",
            f"{member.loss / solution.loss:.4g}",
        )
    knots = Table(box=box.SIMPLE_HEAD)
    steps = _shown_steps(horizon)
    columns = {"LR": solution.schedule, "1 - momentum": solution.momentum}
    columns["batch size"] = solution.batch_size
    columns = {name: schedule for name, schedule in columns.items() if schedule is not None}
    for name in ("step", *columns):
        knots.add_column(name, justify="right", no_wrap=True)
    for step in steps:
        values = [float(schedule(step)) for schedule in columns.values()]
        named = zip(columns, values, strict=True)
        cells = (f"{1 - x if name == '1 - momentum' else x:.4g}" for name, x in named)
        knots.add_row(f"{step:,}", *cells)
    return Group(*(Text(line) for line in lines), families, knots)


def _phase_line(found: Phase) -> str:
    return (
        f"{found.name} phase ({found.distance:+.3g} from the boundary in s): peak LR ~ "
        f"T^-{found.xi:.3g}, annealed as the remaining time to the power {found.delta:.3g}, loss ~ "
        f"T^-{found.loss_exponent:.3g}"
    )


def _shape(schedule: Schedule) -> str:
    """The spec without what the table's other columns say."""
    name, _, keys = schedule.spec.partition(":")
    kept = [key for key in keys.split(",") if not key.startswith(("peak=", "horizon="))]
    return name if not any(kept) else f"{name}:{','.join(kept)}"


def _shown_steps(horizon: int) -> list[int]:
    parts = (0.0, 0.01, 0.1, 0.25, 0.5, 0.75, 0.9, 0.99, 1.0)
    return sorted({round(part * horizon) for part in parts})


def solution_figure(solution: Solution) -> go.Figure:
    """LR against step over the best of each standard family, and the other controls below."""
    from plotly.subplots import make_subplots

    others = [("1 - momentum", solution.momentum), ("batch size", solution.batch_size)]
    others = [(name, schedule) for name, schedule in others if schedule is not None]
    figure = make_subplots(rows=1 + len(others), cols=1, shared_xaxes=True, vertical_spacing=0.08)
    lines = list(zip(solution.baselines, COLORS, DASHES, strict=False))
    for member, color, dash in lines:
        if member.schedule.horizon == solution.schedule.horizon:
            style = {"color": color, "dash": dash, "width": 1.6}
            name = f"{member.family} ({member.loss / solution.loss:.3g})"
            figure.add_trace(_line(member.schedule, name, style), row=1, col=1)
    best = {"color": ACCENT, "width": 3.2}
    figure.add_trace(_line(solution.schedule, "optimal (1)", best), row=1, col=1)
    for row, (name, schedule) in enumerate(others, start=2):
        figure.add_trace(_line(schedule, name, best, name == "1 - momentum"), row=row, col=1)
        figure.update_yaxes(type="log", title_text=name, row=row, col=1)
    # The first updates of a power of time lie far above all others.
    shown = [
        m.schedule.peak for m in solution.baselines if m.family not in ("power", "inverse_sqrt")
    ]
    top = 1.05 * max([solution.schedule.peak, *shown])
    figure.update_yaxes(
        title_text="learning rate", tickformat=".2~g", range=[0.0, top], row=1, col=1
    )
    figure.update_xaxes(title_text="step [updates]", row=1 + len(others), col=1)
    return _laid_out(figure, 440 + 220 * len(others)).update_layout(
        legend_title_text="loss over the optimum's"
    )


def _line(schedule: Schedule, name: str, style: dict[str, Any], rest: bool = False) -> go.Scatter:
    import plotly.graph_objects as go

    near = np.geomspace(1.0, schedule.horizon / 2, 120)
    steps = np.unique(np.round(np.concatenate([[0.0], near, schedule.horizon - near])))
    values = schedule(steps)
    return go.Scatter(
        x=steps, y=1.0 - values if rest else values, name=name, line=style, mode="lines"
    )


def phase_summary(found: Phase) -> Any:
    """The phase in words (a rich renderable)."""
    from rich.text import Text

    lines = [_phase_line(found)]
    if found.annealed_exponent > 0:
        lines.append(f"the annealed part of the run shrinks as T^-{found.annealed_exponent:.3g}")
    return Text("\n".join(lines))


def phase_figure(capacity: float, source: float, noise: bool) -> go.Figure:
    """The phase diagram over capacity and source, with the task on it."""
    import plotly.graph_objects as go

    a = np.linspace(1.05, max(4.0, 1.2 * capacity), 80)
    s = np.linspace(0.02, max(2.0 if noise else 4.0, 1.2 * source), 80)
    value = [[phase(float(x), float(y), noise).loss_exponent for x in a] for y in s]
    boundary = [phase(float(x), 1.0, noise) for x in a]
    figure = go.Figure(
        go.Contour(
            x=a, y=s, z=value, colorscale="Tealgrn", contours={"coloring": "heatmap"},
            colorbar={"title": "loss exponent"},
        )
    )  # fmt: skip
    edge = [1.0 - each.distance for each in boundary]
    line = {"color": "#17212b", "width": 3}
    figure.add_trace(go.Scatter(x=a, y=edge, mode="lines", line=line, name="boundary"))
    here = phase(capacity, source, noise)
    point = {"color": "#db2777", "size": 13, "symbol": "x"}
    figure.add_trace(
        go.Scatter(x=[capacity], y=[source], mode="markers", marker=point, name=here.name)
    )
    figure.update_xaxes(title_text="capacity exponent a")
    figure.update_yaxes(title_text="source exponent s", range=[float(s[0]), float(s[-1])])
    return _laid_out(figure, 480).update_layout(legend={"x": 0.02, "y": 0.98})


def _laid_out(figure: go.Figure, height: int) -> go.Figure:
    return figure.update_layout(
        template="plotly_white",
        width=760,
        height=height,
        margin={"l": 70, "r": 20, "t": 30, "b": 55},
        font={"size": 13, "color": "#334155"},
    )
