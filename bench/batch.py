"""Does the law know what the batch size does? Sweeps over batch size, peak LR and budget.

    python bench/batch.py [--task NAME ...] [--group NAME ...] [--runs FOLDER] [--out FILE.csv]

For each sweep of `bench/batch_tasks.py`, fitted on other runs only:

- budget: fitted without the largest budget. The mean |error| of the final losses there, of the runs
  predicted close to the best one; `regret` is what the cell (LR, batch size) predicted best ends
  above the best measured cell, `a batch` the same where the batch size is given, averaged over
  these. The largest budget is four times the second.
- middle, largest: fitted without the middle or the largest batch size. The mean |error| of its
  final losses, of the runs close to the best of their budget.
- rows: as budget, where all that is fitted of a run is its final loss.
- cover, half: of the 90% intervals at the largest budget; half their width over the mean |error|.

Close means within 0.1 nats. Where the loss has a known floor all numbers are parts of the best
excess loss at that budget, and close is within 10% of it.

Against the law: the same law where the batch size divides the noise and does nothing else; the LR
that goes as sqrt(B) or B from the best of the smallest batch size and budget, which predict no
loss; and a quadratic of the final loss in log LR and log B at each budget, whose minimum is
extrapolated as a power of the budget.
"""

from __future__ import annotations

import argparse
import csv
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass, fields, replace
from pathlib import Path

import numpy as np
from batch_tasks import GPT, GROUPS, Sweep, budget_of, sweeps

from etastar.law import Law, fit
from etastar.runs import Run

CLOSE = 0.1
NAN = float("nan")


@dataclass
class Row:
    """One method on one sweep; NaN for what it does not say."""

    task: str
    method: str
    budget: float = NAN
    regret: float = NAN
    a_batch: float = NAN
    middle: float = NAN
    largest: float = NAN
    rows: float = NAN
    rows_regret: float = NAN
    cover: float = NAN
    half: float = NAN


Predictor = Callable[[Sequence[Run]], np.ndarray]
"""Final losses of runs."""


# What is measured


@dataclass(frozen=True)
class Scores:
    """Predicted final losses of some runs of one budget, held against the measured ones."""

    sweep: Sweep
    runs: Sequence[Run]
    predicted: np.ndarray

    @property
    def measured(self) -> np.ndarray:
        """Final losses; of a run that diverged the largest of the others."""
        loss = np.array([NAN if run.diverged else run.final_loss for run in self.runs])
        return np.where(np.isnan(loss), np.nanmax(loss), loss)

    @property
    def scale(self) -> float:
        """By which errors are divided: the best excess loss where the floor is known, or 1."""
        floor = self.sweep.floor
        return 1.0 if floor is None else float(self.measured.min()) - floor

    @property
    def errors(self) -> np.ndarray:
        """Predicted less measured of the runs predicted close to the best that did not diverge."""
        close = self.predicted <= self.predicted.min() + CLOSE * self.scale
        close &= ~np.array([run.diverged for run in self.runs])
        return (self.predicted - self.measured)[close] / self.scale

    @property
    def regret(self) -> float:
        """What the cell predicted best ends above the best, repeats averaged."""
        key = [(run.batch_size, run.schedule.peak) for run in self.runs]
        cells = {k: [i for i, other in enumerate(key) if other == k] for k in key}
        measured = {k: self.measured[i].mean() for k, i in cells.items()}
        chosen = min(cells, key=lambda k: self.predicted[cells[k]].mean())
        return float(measured[chosen] - min(measured.values())) / self.scale

    def of_batch(self, batch: float) -> Scores:
        here = np.array([run.batch_size == batch for run in self.runs])
        runs = [run for run, is_here in zip(self.runs, here, strict=True) if is_here]
        return Scores(self.sweep, runs, self.predicted[here])

    @property
    def regret_a_batch(self) -> float:
        """The regret where the batch size is given, in the best excess loss of all."""
        parts = [self.of_batch(batch) for batch in {run.batch_size or 0 for run in self.runs}]
        return float(np.mean([part.regret * part.scale for part in parts])) / self.scale


def largest_budget(sweep: Sweep) -> tuple[list[Run], list[Run]]:
    """The runs below the largest budget, and those of it."""
    last = sweep.budgets[-1]
    return (
        [run for run in sweep.runs if budget_of(run) < last],
        [run for run in sweep.runs if budget_of(run) == last],
    )


def mean(values: np.ndarray) -> float:
    return float(np.mean(np.abs(values))) if len(values) else NAN


def ends_only(runs: Sequence[Run]) -> list[Run]:
    """Each run as the row of a summary: its last point."""
    return [
        replace(run, step=run.step[-1:], loss=run.loss[-1:]) for run in runs if not run.diverged
    ]


# Methods


def by_law(law: Law) -> Predictor:
    """Predictions of a fitted law."""
    return lambda runs: law.final_losses(
        [run.schedule for run in runs], [run.batch_size or 1.0 for run in runs]
    )


def law_row(
    sweep: Sweep, method: str, fitted: Callable[[list[Run]], Law], only_budget: bool = False
) -> Row:
    """All that is asked of a law."""
    below, at = largest_budget(sweep)
    law = fitted(below)
    scores = Scores(sweep, at, by_law(law)(at))
    row = Row(sweep.name, method, mean(scores.errors), scores.regret, scores.regret_a_batch)
    row.cover, row.half = intervals(law, at)
    if only_budget:
        return row
    row.middle, row.largest = (
        left_out(sweep, batch, lambda runs: by_law(fitted(runs))) for batch in asked(sweep)
    )
    scores = Scores(sweep, at, by_law(fitted(ends_only(below)))(at))
    row.rows, row.rows_regret = mean(scores.errors), scores.regret
    return row


def intervals(law: Law, runs: Sequence[Run]) -> tuple[float, float]:
    """How often the 90% interval holds, and half its width over the mean |error|."""
    good = [run for run in runs if not run.diverged]
    ends = np.array([
        law.predict(run.schedule, at=[run.final_step], batch_size=run.batch_size).final
        for run in good
    ])  # fmt: skip
    measured = np.array([run.final_loss for run in good])
    inside = (ends[:, 1] <= measured) & (measured <= ends[:, 2])
    width = np.mean(0.5 * (ends[:, 2] - ends[:, 1]))
    return float(inside.mean()), float(width / np.mean(np.abs(ends[:, 0] - measured)))


def asked(sweep: Sweep) -> tuple[float, float]:
    """The batch sizes to leave out."""
    return sweep.batches[len(sweep.batches) // 2], sweep.batches[-1]


def left_out(sweep: Sweep, batch: float, method: Callable[[list[Run]], Predictor]) -> float:
    """The mean |error| of one batch size's final losses, fitted on the others."""
    predictor = method([run for run in sweep.runs if run.batch_size != batch])
    errors = []
    for budget in sweep.budgets:
        here = [r for r in sweep.runs if r.batch_size == batch and budget_of(r) == budget]
        if any(not run.diverged for run in here):
            errors.append(Scores(sweep, here, predictor(here)).errors)
    return mean(np.concatenate(errors)) if errors else NAN


def rule_row(sweep: Sweep, name: str, power: float) -> Row:
    """The LR goes as a power of the batch size; only the LR of each batch size is chosen."""
    below, at = largest_budget(sweep)
    first = [
        run for run in below
        if budget_of(run) == sweep.budgets[0] and run.batch_size == sweep.batches[0]
    ]  # fmt: skip
    best = min((run for run in first if not run.diverged), key=lambda run: run.final_loss)

    def far(run: Run) -> float:
        rule = best.schedule.peak * ((run.batch_size or 1.0) / sweep.batches[0]) ** power
        return abs(float(np.log(run.schedule.peak / rule)))

    # What is nearest to the rule counts as predicted best.
    scores = Scores(sweep, at, np.array([far(run) for run in at]))
    return Row(sweep.name, name, a_batch=scores.regret_a_batch)


def place(runs: Sequence[Run]) -> np.ndarray:
    """Log LR and log batch size, (runs, 2)."""
    return np.log([[run.schedule.peak, run.batch_size or 1.0] for run in runs])


@dataclass(frozen=True)
class Quadratic:
    """A quadratic of the final loss in log LR and log B, fitted to the better 60% of runs."""

    constants: np.ndarray
    least: np.ndarray

    @classmethod
    def of(cls, runs: Sequence[Run]) -> Quadratic:
        good = sorted((run for run in runs if not run.diverged), key=lambda run: run.final_loss)
        good = good[: max(7, int(0.6 * len(good)))]
        x, loss = place(good), np.array([run.final_loss for run in good])
        constants = np.linalg.lstsq(cls.terms(x), loss, rcond=None)[0]
        # The least value in the box of the runs, since it may have no minimum.
        low, high = x.min(0), x.max(0)
        grid = np.stack(np.meshgrid(*np.linspace(low, high, 101).T), -1).reshape(-1, 2)
        return cls(constants, grid[np.argmin(cls.terms(grid) @ constants)])

    @staticmethod
    def terms(x: np.ndarray) -> np.ndarray:
        a, b = x.T
        return np.stack([np.ones_like(a), a, b, a * a, a * b, b * b], 1)

    def __call__(self, x: np.ndarray) -> np.ndarray:
        return self.terms(x) @ self.constants


def extrapolated(sweep: Sweep, below: Sequence[Run]) -> Predictor:
    """The quadratic of the larger budget, its minimum moved as a power of the budget."""
    first, second, third = np.log(sweep.budgets)
    fits = [
        Quadratic.of([run for run in below if budget_of(run) == budget])
        for budget in sweep.budgets[:2]
    ]
    further = (third - second) / (second - first)
    moved = further * (fits[1].least - fits[0].least)
    low, high = (np.log(one(one.least[None])[0]) for one in fits)
    times = np.exp(further * (high - low))
    return lambda runs: fits[1](place(runs) - moved) + np.exp(high) * (times - 1)


def quadratic_row(sweep: Sweep) -> Row:
    below, at = largest_budget(sweep)
    scores = Scores(sweep, at, extrapolated(sweep, below)(at))
    row = Row(sweep.name, "quadratic", mean(scores.errors), scores.regret, scores.regret_a_batch)

    def of_budgets(runs: list[Run]) -> Predictor:
        def predict(asked_for: Sequence[Run]) -> np.ndarray:
            budget = budget_of(asked_for[0])
            of = Quadratic.of([run for run in runs if budget_of(run) == budget])
            return of(place(asked_for))

        return predict

    row.middle, row.largest = (left_out(sweep, batch, of_budgets) for batch in asked(sweep))
    row.rows, row.rows_regret = row.budget, row.regret
    return row


def rows_of(sweep: Sweep) -> list[Row]:
    """Every method on a sweep; what cannot be fitted is left out."""
    kinds = {"law": sweep.optimiser}
    if sweep.optimiser != "sgd":
        kinds["noise / B only"] = "sgd"
    found = [
        law_row(sweep, method, lambda runs, kind=kind: fit(runs, optimiser=kind))
        for method, kind in kinds.items()
    ]
    found += [rule_row(sweep, "LR as sqrt(B)", 0.5), rule_row(sweep, "LR as B", 1.0)]
    return [*found, quadratic_row(sweep)]


HEADS = [field.name for field in fields(Row)][2:]


def line(row: Row) -> str:
    values = [getattr(row, name) for name in HEADS]
    shown = ["-" if np.isnan(value) else f"{value:.4f}" for value in values]
    return f"{row.task:<8}{row.method:<16}" + "".join(f"{text:>12}" for text in shown)


def main() -> None:
    parser = argparse.ArgumentParser(description="Test the law on sweeps over batch sizes.")
    parser.add_argument("--task", action="append", metavar="NAME")
    parser.add_argument("--group", action="append", choices=GROUPS)
    parser.add_argument("--runs", type=Path, default=GPT, help="the folder of the gpt group")
    parser.add_argument("--out", type=Path, metavar="FILE.csv")
    given = parser.parse_args()
    print(f"{'task':<8}{'method':<16}" + "".join(f"{name:>12}" for name in HEADS))
    found: list[Row] = []
    for sweep in sweeps(given.group or GROUPS, given.task, given.runs):
        if len(sweep.budgets) < 3:
            print(f"{sweep.name}: two budgets so far; made by bench/run_queue.py")
            continue
        started = time.perf_counter()
        for row in rows_of(sweep):
            print(line(row), flush=True)
            found.append(row)
        print(f"{'':<8}{time.perf_counter() - started:.0f} s", flush=True)
    if given.out:
        with given.out.open("w", newline="") as out:
            writer = csv.DictWriter(out, [field.name for field in fields(Row)])
            writer.writeheader()
            writer.writerows([row.__dict__ for row in found])


if __name__ == "__main__":
    main()
