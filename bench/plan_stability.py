"""Does a plan hold still when the fit moves within its uncertainty?

    python bench/plan_stability.py [FOLDER ...]

FOLDER as in `bench/laws.py`. For each split the plan minimises the expected loss over the law and
32 other fits of the runs, as `etastar plan` does. Beside the expected regret that it reports, and
that of the best standard schedule, stands what other schedules lose more in expectation:

- replanned: the same plan made from 8 other sets of 32 fits (seeds 1 to 8), the largest;
- alone: 16 more fits of the runs, each taken for the truth and planned for alone, mean and largest.
"""

from __future__ import annotations

import argparse
from pathlib import Path

from backtest_published import FOLDER
from laws import splits
from rich.console import Console
from rich.table import Table

from etastar.control import Limits, least_losses, optimal_schedule
from etastar.law import AverageLaw, LossLaw, fit
from etastar.schedule import Schedule

DRAWS, SETS, MOVED, WARMUP = 32, 8, 16, 100


def limits_of(law: LossLaw) -> Limits:
    return Limits(law.peak_range[1], warmup=WARMUP)


def planned(law: LossLaw, horizon: int) -> Schedule:
    return optimal_schedule(law, horizon, limits_of(law)).schedule


def main() -> None:
    parser = argparse.ArgumentParser(description="Plans under other fits of the same runs.")
    parser.add_argument("folders", nargs="*", type=Path)
    given = parser.parse_args()
    folders = given.folders or [FOLDER / name for name in ("mpl25m", "mpl100m", "llama124m")]
    table = Table()
    for name in ("split", "expected regret", "of the standard", "replanned", "alone", "largest"):
        table.add_column(name, justify="left" if name == "split" else "right")
    for split in (split for folder in folders for split in splits(folder)):
        horizon = max(run.schedule.horizon for run in split.tested)
        law = fit(split.fitted)
        average = AverageLaw(law, (law, *law.draws(DRAWS)))
        best = optimal_schedule(average, horizon, limits_of(law))
        least = least_losses(average, best.schedule, limits_of(law)).mean()
        again = [AverageLaw(law, (law, *law.draws(DRAWS, seed=1 + i))) for i in range(SETS)]
        alone = law.draws(MOVED, seed=1 + SETS)
        replanned, single = (
            average.final_losses([planned(each, horizon) for each in laws]) - best.loss
            for laws in (again, alone)
        )
        standard = best.nearest.loss - least
        cells = (best.loss - least, standard, replanned.max(), single.mean(), single.max())
        table.add_row(split.name, *(f"{cell:.5f}" for cell in cells))
    Console(width=120).print(table)


if __name__ == "__main__":
    main()
