"""Do designed pilots forecast better than a grid of cosines that costs the same?

    python bench/pilot_design.py [--problems 20] [--seed 0] [--adaptive]
        [--figure docs/figures/pilot_design.svg]

Tasks of the solvable model (capacity 1.2 to 2.5, source 0.2 to 1.5, label noise 0.05 to 0.5, batch
2 to 32, drawn by the seed). A log is the exact loss, label noise included, every 100 updates, with
measurement noise of 0.2% a point. All pilots have at most 10,000 updates and peaks within a factor
of 8 of the cosine's best at that length, at most half the largest stable LR. Every side spends
60,000 updates and is fitted by the same law, which then forecasts 40,000 updates:

- grid: six cosines of 10,000 updates, peaks even in the logarithm over the whole range;
- random: runs drawn from the designer's own candidates until the budget is spent;
- designed: what `make_designer` proposes before any run;
- branches: the same where runs can start from the end of others;
- adaptive (with --adaptive, some minutes more): the designer asked again after each run.

Forecast are the best cosine and the best WSD with a cooldown of a fifth; their peaks and the truth
are the exact model's. Printed are signed errors of both, in percent of the loss, and first how long
a large design takes.
"""

from __future__ import annotations

import argparse
import time
import zlib
from collections.abc import Callable, Sequence
from pathlib import Path

import jax
import numpy as np

from etastar.control import Limits, best_member
from etastar.law import fit
from etastar.model import PowerLaw, loss
from etastar.pilot import Finished, InformationDesigner, Pilot, make_designer
from etastar.runs import Run
from etastar.schedule import Schedule, make_schedule

HORIZON = 40_000
LONGEST = HORIZON // 4
BUDGET = 6 * LONGEST
EVERY = 100
JITTER = 2e-3
ACCENT, GREY = "#0d9488", "#64748b"


class Task:
    """A task, the range of its peaks, its truth, and the logs of its runs."""

    def __init__(self, seed: int, index: int) -> None:
        rng = np.random.default_rng([seed, index])
        self.index = index
        self.model = PowerLaw(
            capacity=round(rng.uniform(1.2, 2.5), 2),
            source=round(rng.uniform(0.2, 1.5), 2),
            noise=round(rng.uniform(0.05, 0.5), 2),
            batch_size=round(2 ** rng.uniform(1, 5)),
        )
        top = 0.5 * self.model.max_rate
        best = best_member(self.model, "cosine", LONGEST, Limits(top)).schedule.peak
        self.peaks = (best / 8, min(8 * best, top))
        cap = self.peaks[1]
        members = (
            best_member(self.model, "cosine", HORIZON, Limits(cap)),
            best_member(self.model, "wsd", HORIZON, Limits(cap), cooldown=0.2, decay="linear"),
        )
        self.asked = [member.schedule for member in members]
        self.truth = np.array([member.loss for member in members]) + self.model.noise

    def run(self, pilot: Pilot) -> Run:
        """The log of a pilot; of a branch the part after it."""
        schedule = pilot.schedule
        step = np.append(np.arange(EVERY, schedule.horizon, EVERY), schedule.horizon).astype(float)
        clean = loss(self.model, schedule, at=step) + self.model.noise
        rng = np.random.default_rng([self.index, zlib.crc32(schedule.spec.encode())])
        measured = clean * np.exp(JITTER * rng.standard_normal(len(step)))
        new = step > pilot.branch_step
        return Run(pilot.name, step[new], measured[new], schedule)


def grid(task: Task) -> list[Run]:
    """The plain grid's runs."""
    peaks = np.geomspace(*task.peaks, BUDGET // LONGEST)
    return [task.run(Pilot(f"{p:g}", cosine(p))) for p in peaks.tolist()]


def cosine(peak: float) -> Schedule:
    return make_schedule("cosine", peak=peak, horizon=LONGEST)


def drawn(task: Task, seed: int) -> list[Run]:
    """Runs drawn from the candidates of the design, each once, while they fit the budget."""
    designer = make_designer(HORIZON, BUDGET, peaks=task.peaks)
    assert isinstance(designer, InformationDesigner)
    candidates = designer.candidates(*task.peaks)
    chosen: list[Pilot] = []
    for i in np.random.default_rng([seed, task.index]).permutation(len(candidates)):
        one = Pilot(candidates[i].name, candidates[i].schedule)
        if sum(pilot.steps for pilot in chosen) + one.steps <= BUDGET:
            chosen.append(one)
    check(chosen, False)
    return [task.run(pilot) for pilot in chosen]


def designed(task: Task, resumable: bool = False) -> list[Run]:
    """The runs designed before any is made."""
    designer = make_designer(HORIZON, BUDGET, peaks=task.peaks, resumable=resumable)
    pilots = designer.propose([], [], BUDGET).pilots
    check(pilots, resumable)
    return [task.run(pilot) for pilot in pilots]


def adaptive(task: Task) -> list[Run]:
    """The runs of a sweep that asks again after each."""
    designer = make_designer(HORIZON, BUDGET, peaks=task.peaks)
    done: list[Finished] = []
    while True:
        left = BUDGET - sum(ended.pilot.steps for ended in done)
        pilots = designer.propose(done, [], left).pilots
        if not pilots:
            check([ended.pilot for ended in done], False)
            return [ended.run for ended in done if ended.run is not None]
        done.append(Finished(pilots[0], task.run(pilots[0])))


def timed() -> None:
    """Seconds that a large design takes, with compilation and without."""
    for what in ("compilation included", "again"):
        started = time.perf_counter()
        designer = make_designer(HORIZON, 12 * LONGEST, peaks=(1e-4, 1e-1))
        assert isinstance(designer, InformationDesigner)
        pilots = designer.propose([], [], 12 * LONGEST).pilots
        candidates = len(designer.candidates(1e-4, 1e-1))
        seconds = time.perf_counter() - started
        print(f"{len(pilots)} pilots of {candidates} candidates: {seconds:.1f} s, {what}")


def check(pilots: Sequence[Pilot], resumable: bool) -> None:
    """Both sides pay no more than the budget, for runs no longer than the grid's."""
    paid = sum(pilot.steps - (pilot.branch_step if resumable else 0) for pilot in pilots)
    assert paid <= BUDGET
    assert max(pilot.steps for pilot in pilots) <= LONGEST


def errors(task: Task, runs: list[Run]) -> tuple[np.ndarray, np.ndarray]:
    """Relative errors of both forecasts, and half widths of their 90% intervals."""
    law = fit(runs)
    found = np.array([law.predict(schedule).final for schedule in task.asked])
    return found[:, 0] / task.truth - 1, (found[:, 2] - found[:, 1]) / 2 / task.truth


def figure(mean: dict[str, np.ndarray], tasks: list[Task]):
    """Error from each design against the grid's, a point a task, below the line is better."""
    import plotly.graph_objects as go

    made = go.Figure()
    top = 100 * max(float(values.max()) for values in mean.values()) * 1.5
    low = 100 * min(float(values.min()) for values in mean.values()) / 1.5
    line = {"color": GREY, "dash": "dash", "width": 1.5}
    made.add_trace(go.Scatter(x=[low, top], y=[low, top], mode="lines", line=line, name="equal"))
    styles = {"designed": (ACCENT, "circle"), "branches": ("#d97706", "diamond")}
    styles["adaptive"] = ("#6366f1", "square")
    hard = np.array([task.model.source < 1 - 1 / task.model.capacity for task in tasks])
    for name, (color, symbol) in styles.items():
        if name not in mean:
            continue
        for phase, here in (("easy", ~hard), ("hard", hard)):
            made.add_trace(
                go.Scatter(
                    x=100 * mean["grid"][here], y=100 * mean[name][here], mode="markers",
                    name=f"{name}, {phase} phase",
                    marker={
                        "color": color, "size": 9,
                        "symbol": symbol + ("-open" if phase == "easy" else ""),
                    },
                )
            )  # fmt: skip
    made.update_xaxes(title_text="error after the grid of cosines [% of the loss]")
    made.update_yaxes(title_text="error after designed pilots [% of the loss]")
    made.update_xaxes(type="log", tickformat="~g", dtick="D2")
    made.update_yaxes(type="log", tickformat="~g", dtick="D2")
    return made.update_layout(
        template="plotly_white", width=720, height=520, font={"size": 13, "color": "#334155"},
        margin={"l": 70, "r": 20, "t": 30, "b": 55},
    )  # fmt: skip


def main() -> None:
    parser = argparse.ArgumentParser(description="Designed pilots against a grid of cosines.")
    parser.add_argument("--problems", type=int, default=20)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--adaptive", action="store_true")
    parser.add_argument("--figure", type=Path)
    given = parser.parse_args()
    sides: dict[str, Callable[[Task], list[Run]]] = {
        "grid": grid,
        "random": lambda task: drawn(task, given.seed),
        "designed": designed,
        "branches": lambda task: designed(task, resumable=True),
    }
    if given.adaptive:
        sides["adaptive"] = adaptive
    # What an earlier process compiled is not to be loaded.
    jax.config.update("jax_enable_compilation_cache", False)
    timed()
    started = time.perf_counter()
    error: dict[str, list] = {name: [] for name in sides}
    inside: dict[str, list] = {name: [] for name in sides}
    tasks = []
    print()
    print("signed error of the forecast cosine and WSD, % of the loss")
    heads = "".join(f"{name:>16}" for name in sides)
    print(f"{'a':>5} {'s':>5} {'sigma^2':>7} {'B':>3}{heads}")
    for index in range(given.problems):
        task = Task(given.seed, index)
        tasks.append(task)
        cells = ""
        for name, side in sides.items():
            found, half = errors(task, side(task))
            error[name].append(found)
            inside[name].append(np.abs(found) <= half)
            cells += f"   {100 * found[0]:+6.3f}{100 * found[1]:+7.3f}"
        m = task.model
        print(f"{m.capacity:>5} {m.source:>5} {m.noise:>7} {m.batch_size:>3}{cells}", flush=True)
    mean = {name: np.abs(values).mean(1) for name, values in error.items()}
    summary(mean, inside)
    print(f"{time.perf_counter() - started:.0f} s, compilation included")
    if given.figure:
        figure(mean, tasks).write_image(given.figure)


def summary(mean: dict[str, np.ndarray], inside: dict[str, list]) -> None:
    """Means and spreads over the tasks, of the mean absolute error of both forecasts."""
    count = len(mean["grid"])
    print()
    print(
        f"{'':<10} {'mean':>7} {'sd':>7} {'median':>7} {'largest':>8} {'ratio':>6} {'wins':>6} "
        f"{'inside 90%':>11}"
    )
    for name, values in mean.items():
        ratio = np.exp(np.mean(np.log(values / mean["grid"])))
        wins = int(np.sum(values < mean["grid"]))
        percent = 100 * np.array([values.mean(), values.std(ddof=1), np.median(values)])
        print(
            f"{name:<10} {percent[0]:>7.3f} {percent[1]:>7.3f} {percent[2]:>7.3f} "
            f"{100 * values.max():>8.3f} {ratio:>6.2f} {wins:>3}/{count} "
            f"{np.mean(inside[name]):>11.0%}"
        )
    print("ratio: geometric mean over tasks of the error over the grid's")


if __name__ == "__main__":
    main()
