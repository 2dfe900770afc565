"""The figures of report.html: schedules side by side, the fit over the logs, the forecast."""

from __future__ import annotations

import math

import numpy as np
from plotly.colors import sample_colorscale

from etastar.law import Forecast, Law
from etastar.planning import Alternative, Plan
from etastar.runs import Run
from etastar.schedule import join

from ._charts import Axis, Chart, Line
from ._numbers import size_text
from ._schedule import rate_axis, rate_line
from ._style import STEP, standard_style
from ._words import steps_to_peak

POINTS_DRAWN = 6000
"""Measured points that one figure draws; a browser on a phone stays quick with these."""

MANY = 12
"""Runs beyond which lines are drawn thin and coloured by their peak LR alone."""

FAR = 20
"""Horizon over the longest pilot beyond which the forecast is drawn against log steps."""

LOSS = "loss [nats]"


def schedule_figure(plan: Plan) -> Chart:
    """Learning rate against step: the planned schedule over the standard ones."""
    lines = []
    for i, other in enumerate(plan.comparison):
        color, dash = standard_style(i)
        lines.append(rate_line(other.schedule, family_name(plan, other), color, 1.6, dash))
    lines.append(rate_line(plan.schedule, "planned", "accent", 3.0))
    return Chart(Axis(STEP, tight=True), rate_axis(), lines)


def family_name(plan: Plan, other: Alternative) -> str:
    """The family of a standard schedule, and where the pilots have several batch sizes its own."""
    if plan.batch_map is None or other.batch_size is None:
        return other.family
    return f"{other.family} at {size_text(other.batch_size)}"


def fit_figure(law: Law, runs: tuple[Run, ...]) -> Chart:
    """Loss against step for every fitted run: points as measured, lines as fitted."""
    count = len(runs)
    size, width = (2.5, 0.9) if count > MANY else (4.0, 1.6)
    lines = []
    for run, color in zip(runs, run_colors(runs), strict=True):
        drawn = _drawn(run, POINTS_DRAWN // count)
        steps, losses = run.step[drawn], run.loss[drawn]
        lines.append(Line(f"{run.name}, measured", steps, losses, color, points=size))
        # Within the warmup a law of intrinsic time has not begun to hold.
        steps = steps[steps > run.schedule.warmup]
        if len(steps):
            found = law.predict(run.schedule, steps, batch_size=run.batch_size)
            lines.append(Line(f"{run.name}, fitted", steps, found.mean, color, width))
    losses = _loss_range([(run.step, run.loss) for run in runs])
    return Chart(Axis(STEP), Axis(LOSS, range=losses, format="loss4"), lines)


def run_colors(runs: tuple[Run, ...]) -> list[str]:
    """A colour for each run, from the lowest peak LR to the highest.

    Few runs each have their own; of many, those of one peak share a colour.
    """
    order = sorted(
        range(len(runs)), key=lambda i: (runs[i].schedule.peak, runs[i].schedule.horizon)
    )
    ranks = {i: place for place, i in enumerate(order)}
    if len(runs) > MANY:
        peaks = sorted({run.schedule.peak for run in runs})
        ranks = {i: peaks.index(run.schedule.peak) for i, run in enumerate(runs)}
    count = max(ranks.values(), default=0) + 1
    # The ends of the scale vanish on a dark and on a white page.
    places = np.linspace(0.2, 0.86, max(count, 2))[:count]
    scale = sample_colorscale("Plasma", places.tolist())
    return [str(scale[ranks[i]]) for i in range(len(runs))]


def forecast_figure(plan: Plan) -> Chart:
    """Loss against step: the planned run with its 90% band, beside the pilots as measured.

    The loss axis serves the forecast: it shows the band and the ends of the pilots, and none of
    what a run at a far too low or high LR lost.
    """
    longest = max(run.final_step for run in plan.runs)
    far = plan.horizon > FAR * longest
    step, mean, low, high = _forecast_curves(plan, again=far)
    count = len(plan.runs)
    colors = run_colors(plan.runs) if count <= MANY else ["grey"] * count
    lines = [_pilot_line(run, color, count) for run, color in zip(plan.runs, colors, strict=True)]
    lines.append(Line("planned run", step, mean, "accent", 3.0, low=low, high=high))
    curves = [(step, low), (step, high)]
    losses = _forecast_range(curves, [run.final_loss for run in plan.runs])
    steps = Axis(STEP, tight=True)
    if far:
        begin = max(0.02 * min(run.final_step for run in plan.runs), 1.0)
        steps = Axis(STEP, log=True, range=(begin, 1.1 * plan.horizon))
    return Chart(steps, Axis(LOSS, range=losses, format="loss4"), lines)


def _forecast_range(
    curves: list[tuple[np.ndarray, np.ndarray]], ends: list[float]
) -> tuple[float, float] | None:
    """The range of the band after its first tenth, and of the better half of the pilots' ends."""
    found = _loss_range(curves)
    if found is None:
        return None
    low, high = found
    high = max(high, float(np.median(ends)) + 0.06 * (high - low))
    return low, high


def _forecast_curves(plan: Plan, *, again: bool) -> list[np.ndarray]:
    """Steps, mean, low and high of the forecast after the warmup.

    `again` asks the law for steps from the warmup on, where those of a far forecast would begin
    beyond the pilots.
    """
    first = min(steps_to_peak(plan.schedule) + 1, plan.horizon)
    forecasts = _decade_forecasts(plan, first) if again else [plan.forecast]
    curves = [
        np.concatenate([np.asarray(getattr(forecast, name)) for forecast in forecasts])
        for name in ("step", "mean", "low", "high")
    ]
    return [values[curves[0] >= first] for values in curves]


def _decade_forecasts(plan: Plan, first: float) -> list[Forecast]:
    """Forecasts of the planned schedule from step `first` on, one for each decade of steps.

    A loss depends on the rates before it alone. A law resolves a schedule on a mesh of fixed size,
    too coarse early in a far horizon, so each decade is asked of the schedule cut at its end.
    """
    ends = [plan.horizon]
    while ends[-1] > 10 * first:
        ends.append(math.ceil(ends[-1] / 10))
    forecasts = []
    for end in reversed(ends):
        cut = plan.schedule if end == plan.horizon else join([(plan.schedule, end)])
        at = np.unique(np.round(np.geomspace(first, end, 60)))
        at = at[1:] if forecasts else at
        forecasts.append(plan.law.predict(cut, at, batch_size=plan.batch_size))
        first = end
    return forecasts


def _pilot_line(run: Run, color: str, count: int) -> Line:
    """A pilot as measured."""
    drawn = _drawn(run, POINTS_DRAWN // count)
    name = f"{run.name}, measured"
    return Line(name, run.step[drawn], run.loss[drawn], color, 1.2)


def _drawn(run: Run, points: int) -> np.ndarray:
    """Indices of the points of a run that are drawn: all, or an even choice with both ends."""
    points = max(points, 40)
    count = len(run.step)
    if count <= points:
        return np.arange(count)
    return np.linspace(0, count - 1, points).round().astype(int)


def _loss_range(curves: list[tuple[np.ndarray, np.ndarray]]) -> tuple[float, float] | None:
    """Loss axis that shows where curves end: their first tenth would flatten all the rest."""
    kept = [loss[step >= 0.1 * step[-1]] for step, loss in curves if len(step) and len(loss)]
    values = np.concatenate(kept) if kept else np.empty(0)
    values = values[np.isfinite(values)]
    if len(values) == 0:
        return None
    low, high = float(values.min()), float(np.quantile(values, 0.995))
    margin = 0.06 * (high - low) or 0.06 * abs(high) or 1.0
    return low - margin, high + margin
