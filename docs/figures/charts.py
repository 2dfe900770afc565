"""Curves that are computed or measured: schedules, pilots, plans, and what came out."""

from __future__ import annotations

import csv
from functools import cache
from pathlib import Path

import numpy as np
from drawing import Axes, Drawing, keys, thousands

import etastar
from etastar import parse_schedule, read_runs

ROOT = Path(__file__).parents[2]
GPT = ROOT / "examples" / "gpt"
FIRST = ROOT / "examples" / "first_plan" / "recorded"
HORIZON = 56_000


@cache
def bundled_plan() -> etastar.Plan:
    """The plan that `make demo` makes."""
    return etastar.plan(read_runs(GPT / "pilots"), HORIZON)


def curve(spec, horizon: int, points: int = 240) -> tuple[np.ndarray, np.ndarray]:
    schedule = parse_schedule(spec) if isinstance(spec, str) else spec
    steps = np.unique(np.linspace(0, horizon, points).round())
    return steps, schedule(steps)


def words() -> Drawing:
    """One schedule, with the words for its parts."""
    d = Drawing("The words for the parts of a schedule", 300)
    axes = Axes(d, (0, 1000), (0, 1.25), left=30, top=30, width=385, height=190)
    axes.frame((), ())
    axes.line(*curve("wsd:peak=1,horizon=1000,warmup=120,cooldown=0.3", 1000), width=3.2)
    d.text(14, 22, "learning rate", size=13, color="soft")
    x, top = axes.at(410, 1)
    d.text(x, top - 12, "peak: the highest learning rate", anchor="middle", bold=True)
    _, bottom = axes.at(0, 0)
    for start, end, word in (
        (0, 120, "warmup"),
        (120, 700, "stable part"),
        (700, 1000, "cooldown"),
    ):
        left, right = axes.at(start, 0)[0], axes.at(end, 0)[0]
        d.path([(left + 2, bottom + 12), (right - 2, bottom + 12)], color="grey", width=2)
        d.text((left + right) / 2, bottom + 30, word, size=13, anchor="middle")
    left, right = axes.at(0, 0)[0], axes.at(1000, 0)[0]
    d.path([(left + 2, bottom + 46), (right - 2, bottom + 46)], color="accent", width=2)
    d.text((left + right) / 2, bottom + 65, "horizon: the number of updates", anchor="middle",
           bold=True)  # fmt: skip
    return d


SHAPES = (
    ("constant", "constant:"), ("linear", "linear:"), ("cosine", "cosine:"),
    ("polynomial", "polynomial:power=2,"), ("exponential", "exponential:final=0.02,"),
    ("power", "power:chi=0.5,"), ("inverse_sqrt", "inverse_sqrt:"),
    ("wsd, linear", "wsd:cooldown=0.3,"), ("wsd, sqrt", "wsd:cooldown=0.3,decay=sqrt,"),
    ("wsd, cosine", "wsd:cooldown=0.3,decay=cosine,"), ("step", "step:at=600,factor=0.3,"),
    ("table", "table:knots=0:0/100:1/400:0.9/600:0.3/1000:0.05"),
)  # fmt: skip


def shapes() -> Drawing:
    """Every shape that a spec can name."""
    d = Drawing("The shapes of a schedule", 500)
    for number, (name, spec) in enumerate(SHAPES):
        row, column = divmod(number, 3)
        axes = Axes(d, (0, 1000), (0, 1.05), left=18 + 140 * column, top=34 + 122 * row, width=124,
                    height=72)  # fmt: skip
        if "knots" not in spec:
            spec += "peak=1,horizon=1000,warmup=100"
        axes.frame((), ())
        axes.line(*curve(spec, 1000))
        d.text(axes.left, axes.top - 8, name, size=13)
    return d


def groups() -> Drawing:
    """The schedules of the guide to parameter groups."""
    d = Drawing("Three parameter groups, each with a schedule of its own", 304)
    axes = Axes(d, (0, 100), (0, 0.022))
    axes.frame((0, 50, 100), (0, 0.01, 0.02), x_name="update", y_name="learning rate")
    muon = curve("wsd:peak=0.02,horizon=100,warmup=5,cooldown=0.4", 100)
    axes.line(*muon)
    axes.line(*curve("wsd:peak=3e-3,horizon=100,warmup=10,cooldown=0.2,final=0.1", 100),
              color="amber", dash="7 4")  # fmt: skip
    axes.line(muon[0], 0.05 * muon[1], color="indigo", dash="2 4")
    keys(d, 58, 290, (("muon", "accent", ""), ("adamw", "amber", "7 4"),
                      ("head", "indigo", "2 4")), across=115)  # fmt: skip
    return d


def export() -> Drawing:
    """A planned schedule, and the nearest one that a framework can follow."""
    schedule = parse_schedule("power:peak=1e-3,horizon=10000,warmup=100,chi=0.3")
    nearest = parse_schedule(etastar.export_schedule(schedule, "nanochat").schedule.spec)
    d = Drawing("A schedule, and the nearest that nanochat can follow", 286)
    axes = Axes(d, (0, 10_000), (0, 1.1e-3))
    axes.frame((0, 5000, 10_000), (0, 5e-4, 1e-3), x_name="update", y_name="learning rate",
               x_words=thousands)  # fmt: skip
    axes.line(*curve(schedule, 10_000))
    axes.line(*curve(nearest, 10_000), color="amber", dash="7 4")
    keys(d, 190, 52, (("the schedule that is exported", "accent", ""),
                      ("nearest that nanochat has", "amber", "7 4")))  # fmt: skip
    return d


def plan() -> Drawing:
    """The planned schedule beside the standard ones, for the bundled example."""
    found = bundled_plan()
    d = Drawing("The planned schedule beside the best of each standard family", 318)
    top = 1.1 * max(row.schedule.peak for row in found.comparison)
    axes = Axes(d, (0, HORIZON), (0, top))
    axes.frame((0, 28_000, 56_000), (0, 5e-4, 1e-3), x_name="update", y_name="learning rate",
               x_words=thousands)  # fmt: skip
    styles = {"cosine": ("amber", "7 4"), "linear": ("indigo", "2 4"), "wsd": ("mark", "9 3 2 3")}
    axes.line(*curve(found.schedule, HORIZON), width=3.2)
    for row in found.comparison:
        family = row.schedule.spec.split(":")[0]
        if family in styles:
            color, dash = styles[family]
            axes.line(*curve(row.schedule, HORIZON), color=color, dash=dash, width=2)
    keys(d, 64, 286, (("planned", "accent", ""), ("linear", "indigo", "2 4")), across=130)
    keys(d, 64, 306, (("cosine", "amber", "7 4"), ("WSD", "mark", "9 3 2 3")), across=130)
    return d


def bundled() -> Drawing:
    """Measured final losses of the bundled example against their forecasts."""
    law = bundled_plan().law
    groups: dict[str, list] = {}
    for run in read_runs(GPT / "check"):
        groups.setdefault(run.name.rsplit("_seed", 1)[0], []).append(run)
    rows = sorted(
        (float(np.mean([run.final_loss for run in runs])), name, runs[0].schedule)
        for name, runs in groups.items()
    )
    d = Drawing("Forecast and measured final losses of the bundled example", 62 + 22 * len(rows))
    axes = Axes(d, (1.2, 1.55), (0, 1), left=140, top=22, width=284, height=22 * len(rows))
    axes.frame((1.2, 1.3, 1.4, 1.5), (), x_name="")
    for number, (measured, name, schedule) in enumerate(rows):
        mean, low, high = (float(value) for value in law.predict(schedule).final)
        y = axes.top + 22 * number + 11
        left, right = axes.at(low, 0)[0], axes.at(high, 0)[0]
        d.path([(left, y), (right, y)], color="grey", width=3)
        d.dot(axes.at(mean, 0)[0], y, color="grey", radius=4.5)
        d.dot(axes.at(measured, 0)[0], y, color="mark", radius=4.5)
        label = name.replace("_", " ") if "_" in name else f"{name} plan"
        d.text(130, y + 4, label.replace("planned plan", "planned"), size=13, anchor="end")
    d.dot(150, axes.top + axes.height + 32, color="grey")
    d.text(160, axes.top + axes.height + 36, "forecast, 90%", size=12.5, color="soft")
    d.dot(290, axes.top + axes.height + 32, color="mark")
    d.text(300, axes.top + axes.height + 36, "measured", size=12.5, color="soft")
    return d


def watch() -> Drawing:
    """How the forecast of one run's final loss narrows while it trains."""
    from etastar.law import fit, forecast_running

    law = fit(read_runs(GPT / "pilots"))
    (run,) = read_runs(GPT / "check" / "planned_seed0.csv")
    parts = np.linspace(0.1, 0.98, 23)
    found = [[float(v) for v in forecast_running(cut(run, part), law).final] for part in parts]
    steps = parts * HORIZON
    d = Drawing("The forecast of the final loss while a run trains", 300)
    axes = Axes(d, (0, HORIZON), (1.2, 1.55))
    axes.frame((0, 28_000, 56_000), (1.2, 1.3, 1.4, 1.5), x_name="updates done",
               y_name="final loss", x_words=thousands)  # fmt: skip
    mean, low, high = zip(*found, strict=True)
    axes.band(steps, low, high)
    axes.line(steps, mean)
    axes.line((0, HORIZON), (run.final_loss,) * 2, color="mark", dash="5 4", width=2)
    keys(d, 64, 290, (("forecast, 90%", "accent", ""), ("where it ended", "mark", "5 4")),
         across=150)  # fmt: skip
    return d


def cut(run: etastar.Run, part: float) -> etastar.Run:
    from dataclasses import replace

    inside = run.step <= part * run.schedule.horizon
    return replace(run, step=run.step[inside], loss=run.loss[inside])


def first_plan() -> Drawing:
    """The pilots of the tutorial, the forecast of its long run, and that run."""
    runs = read_runs(FIRST / "pilots")
    made = etastar.plan(runs, 8000)
    d = Drawing("The first plan: pilots, forecast, and the long run", 322)
    axes = Axes(d, (20, 8000), (0.09, 0.5), log_x=True, log_y=True, height=210)
    axes.frame((20, 100, 500, 2000, 8000), (0.1, 0.2, 0.4), x_name="updates",
               y_name="validation loss", x_words=thousands)  # fmt: skip
    for run in runs:
        if not run.diverged:
            axes.line(*visible(run.step, run.loss, 20, 0.5), color="grey", width=1.6)
    with open(FIRST / "long.csv", encoding="utf-8") as file:
        rows = [(float(row["step"]), float(row["val_loss"])) for row in csv.DictReader(file)]
    step, loss = np.array(rows).T
    axes.line(*visible(step, loss, 20, 0.5), color="mark", width=2)
    x, low = axes.at(8000, made.loss.low)
    _, high = axes.at(8000, made.loss.high)
    d.path([(x, low), (x, high)], color="accent", width=6)
    keys(d, 64, 308, (("pilots", "grey", ""), ("long run", "mark", ""), ("forecast", "accent", "")),
         across=110)  # fmt: skip
    return d


def visible(step, loss, first: float, highest: float):
    inside = (step >= first) & (loss <= highest)
    return step[inside], loss[inside]


def designed() -> Drawing:
    """What the bundled pilots are: peak LR against length, and their shapes."""
    d = Drawing("The ten pilots of the bundled example", 300)
    axes = Axes(d, (2e-4, 1e-2), (4000, 80_000), log_x=True, log_y=True)
    axes.frame((2.5e-4, 1e-3, 4e-3), (7000, 14_000, 56_000), x_name="peak learning rate",
               y_name="updates", y_words=thousands)  # fmt: skip
    for run in read_runs(GPT / "pilots"):
        x, y = axes.at(run.schedule.peak, run.schedule.horizon)
        shape = run.schedule.spec.split(":")[0]
        if shape == "wsd":
            d.rect(x - 5, y - 5, 10, 10, fill="amber", round=1)
        else:
            d.dot(x, y, radius=5.5)
    x, y = axes.at(bundled_plan().peak_lr, HORIZON)
    d.path([(x - 7, y), (x + 7, y)], color="mark", width=3)
    d.path([(x, y - 7), (x, y + 7)], color="mark", width=3)
    d.text(x + 14, y + 5, "the long run", size=13)
    d.dot(70, 284, radius=5.5)
    d.text(82, 289, "cosine", size=13)
    d.rect(155, 279, 10, 10, fill="amber", round=1)
    d.text(172, 289, "WSD", size=13)
    return d


def affordable() -> Drawing:
    """The interval that a budget is expected to buy, before any run is made."""
    from etastar.pilot import make_designer

    horizon = 100_000
    parts = np.array([0.06, 0.12, 0.25, 0.5, 1.0, 2.0])
    half = []
    for part in parts:
        budget = int(part * horizon)
        designer = make_designer(horizon, budget, peaks=(1e-4, 1e-2), warmup=200)
        proposal = designer.propose([], [], budget)
        half.append(proposal.expected[-1])
        longest = max(pilot.steps for pilot in proposal.pilots)
        print(f"budget {budget}: {len(proposal.pilots)} pilots, longest {longest}, {half[-1]:.1%}")
    d = Drawing("The interval that a budget is expected to buy", 286)
    axes = Axes(d, (0.05, 2.4), (0, 0.4), log_x=True)
    axes.frame(parts, (0, 0.1, 0.2, 0.3, 0.4), x_name="budget of the pilots / horizon",
               y_name="expected half width of the 90% interval", y_words="{:.0%}".format,
               x_words="{:.0%}".format)  # fmt: skip
    axes.line(parts, half)
    for x, y in zip(parts, half, strict=True):
        d.dot(*axes.at(x, y), radius=4.5)
        place = axes.at(x, y)
        d.text(place[0], place[1] - 12, f"\u00b1{y:.0%}", size=13, anchor="middle")
    return d


def index() -> Drawing:
    """The bundled example in one look: its pilots on the left, its plan on the right."""
    found = bundled_plan()
    d = Drawing("From the losses of short pilots to a schedule and an expected loss", 226)
    axes = Axes(d, (0, HORIZON), (1.2, 3.0), left=22, top=50, width=170, height=110)
    axes.frame((), ())
    d.text(22, 24, "short pilots", bold=True)
    d.text(22, 41, "loss", size=12.5, color="soft")
    for run in read_runs(GPT / "pilots"):
        axes.line(*visible(run.step, run.loss, 0, 3.0), color="grey", width=1.5)
    x, low = axes.at(HORIZON, found.loss.low)
    _, high = axes.at(HORIZON, found.loss.high)
    d.path([(x, low), (x, high)], color="accent", width=6)
    axes.drawing.text(192, 178, thousands(HORIZON), size=12.5, color="soft", anchor="end")
    d.text(22, 178, "updates", size=12.5, color="soft")
    d.path([(206, 105), (236, 105)], color="soft", width=2, arrow=True)
    right = Axes(d, (0, HORIZON), (0, 1.15e-3), left=250, top=50, width=170, height=110)
    right.frame((), ())
    d.text(250, 24, "the plan", bold=True)
    d.text(250, 41, "learning rate", size=12.5, color="soft")
    right.line(*curve(found.schedule, HORIZON), width=3.2)
    d.text(420, 178, thousands(HORIZON), size=12.5, color="soft", anchor="end")
    d.text(250, 178, "updates", size=12.5, color="soft")
    loss = found.loss
    d.text(220, 210, f"peak {found.peak_lr:.2g}, expected final loss {loss.value:.2f}"
           f" (90%: {loss.low:.2f} to {loss.high:.2f})", anchor="middle", size=13.5)  # fmt: skip
    return d
