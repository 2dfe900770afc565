"""Are the intervals of a forecast as narrow as they can be, and do they hold?

    python bench/intervals.py [--group NAME ...] [--half A|B] [--out FILE.csv]

Fits every case of `bench/interval_tasks.py` and holds its 90% intervals against the measured final
losses of its test runs. A row of the table is a range of horizons (final step over the longest step
fitted; below 1 counts as 1-2x) and of the number of runs fitted. Its columns:

- tests, cases: how many test runs, and of how many cases.
- |error|: mean of |forecast - measured|, in percent of the measured loss.
- half: mean of half the interval's width, in percent of the measured loss.
- ratio: half over |error|. For normal errors whose size is known it is 2.06; more is too wide.
- cover: how often the measured loss lies in the interval; 90% is right.
- score: the interval score, in percent of the measured loss: the whole width, and 20 times the
  distance where the measured loss lies outside (Gneiting and Raftery 2007). Lower is better; it
  rewards both narrow intervals and those that hold.
- med |err|, med half: medians of |error| and half over the cases. A few cases, mostly of one or two
  pilots, have intervals as wide as the loss, and make up much of the means.

Test runs of one case share the luck of its pilots. So each case counts once: its tests of a row are
averaged first, then the cases.

Runs whose peak lies above all fitted ones are counted apart. Apart too are differences of the
losses of two test runs of equal horizon and different schedules, at most ten random pairs a case,
in percent of their mean loss; their intervals are those of `Law.difference`, where the law has it.
`--out` gets a line for every test run and every pair.
"""

from __future__ import annotations

import argparse
import csv
import sys
import time
import zlib
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, fields
from itertools import combinations
from pathlib import Path

import numpy as np
from interval_tasks import BANDS, COUNTS, GROUPS, Case, cases

from etastar.law import Law, fit
from etastar.runs import Run
from etastar.schedule import InputError

LEVEL = 0.9
PAIRS = 10
COMPLETE = 0.98
"""A pair's logs end at least this far, because the interval is that of the whole schedules."""


@dataclass(frozen=True)
class Row:
    """One forecast and what was measured, in the losses' unit.

    `other` is the second run of a difference, else empty. `scale` is the loss by which errors are
    divided: the measured one, or the mean of two. `low` and `high` are NaN without an interval.
    """

    group: str
    task: str
    half: str
    case: str
    run: str
    other: str
    count: int
    count_band: str
    ratio: float
    band: str
    above_peak: bool
    measured: float
    mean: float
    low: float
    high: float
    error: float
    half_width: float
    scale: float
    covered: bool
    spread: float
    trend: float


def rows_of(case: Case, law: Law) -> Iterator[Row]:
    """The forecasts of a case by the law fitted to it: of its test runs, and of pairs of them."""
    predicted = {}
    for run in case.tested:
        forecast = law.predict(
            run.schedule, at=[run.final_step], level=LEVEL, batch_size=run.batch_size
        )
        predicted[run.name] = forecast.final
        yield tested(case, law, [run], run.final_loss, forecast.final, run.final_loss)
    for run, other in pairs(case):
        measured = run.final_loss - other.final_loss
        mean = predicted[run.name][0] - predicted[other.name][0]
        found = (mean, np.nan, np.nan)
        difference: Callable | None = getattr(law, "difference", None)
        if difference is not None:
            interval = difference(
                run.schedule, other.schedule, level=LEVEL,
                batch_size=run.batch_size, other_batch_size=other.batch_size,
            )  # fmt: skip
            found = (float(interval.mean), float(interval.low), float(interval.high))
        scale = (run.final_loss + other.final_loss) / 2
        yield tested(case, law, [run, other], measured, found, scale)


def tested(
    case: Case,
    law: Law,
    runs: Sequence[Run],
    measured: float,
    found: tuple[float, float, float],
    scale: float,
) -> Row:
    """The row of one run, or of the difference of two."""
    mean, low, high = found
    farthest = max(runs, key=case.ratio)
    return Row(
        group=case.group,
        task=case.task,
        half=case.half,
        case=case.name,
        run=runs[0].name,
        other=runs[1].name if len(runs) > 1 else "",
        count=len(case.fitted),
        count_band=case.count_band,
        ratio=case.ratio(farthest),
        band=case.band(farthest),
        above_peak=any(case.above_peak(run) for run in runs),
        measured=measured,
        mean=mean,
        low=low,
        high=high,
        error=mean - measured,
        half_width=(high - low) / 2,
        scale=scale,
        covered=low <= measured <= high,
        spread=law.spread,
        trend=law.trend,
    )


def pairs(case: Case) -> list[tuple[Run, Run]]:
    """Random pairs of complete test runs of equal horizon; of one schedule never two runs."""
    whole = [run for run in case.tested if run.final_step >= COMPLETE * run.schedule.horizon]
    found = [
        (run, other)
        for run, other in combinations(whole, 2)
        if run.schedule.horizon == other.schedule.horizon
        and run.batch_size == other.batch_size
        and run.schedule.spec != other.schedule.spec
    ]
    rng = np.random.default_rng(zlib.crc32(case.name.encode()))
    chosen = rng.choice(len(found), min(PAIRS, len(found)), replace=False) if found else []
    return [found[i] for i in sorted(chosen)]


def print_tables(rows: Sequence[Row]) -> None:
    """The three tables: losses inside the fitted peaks, above them, and differences."""
    single = [row for row in rows if not row.other]
    inside = [row for row in single if not row.above_peak]
    print_table("final losses, peaks up to the highest fitted", inside, by_count=True)
    for group in GROUPS:
        print_line(f"  all, {group}", [row for row in inside if row.group == group])
    print_table("final losses, peaks above all fitted", [row for row in single if row.above_peak])
    paired = [row for row in rows if row.other]
    level = [row for row in paired if not row.above_peak]
    print_table("differences, peaks up to the highest fitted", level, by_count=True)
    print_table("differences with a peak above", [row for row in paired if row.above_peak])


def print_table(title: str, rows: Sequence[Row], by_count: bool = False) -> None:
    print(f"\n{title}")
    if not rows:
        print("  none")
        return
    heads = ("tests", "cases", "|error| %", "half %", "ratio", "cover", "score %")
    heads += ("med |err|", "med half")
    print(
        f"  {'horizon, runs fitted':<22}"
        + "".join(f"{head:>{8 if head in heads[:2] else 10}}" for head in heads)
    )
    for band in BANDS:
        here = [row for row in rows if row.band == band]
        for count in COUNTS if by_count else ():
            print_line(f"  {band}, {count}", [row for row in here if row.count_band == count])
        print_line(f"  {band}", here)
    print_line("  all", rows)


def print_line(name: str, rows: Sequence[Row]) -> None:
    """Means and medians over cases of the means over a case's tests."""
    if not rows:
        return
    error, half, cover, score = (
        by_case(rows, value)
        for value in (
            lambda row: abs(row.error) / row.scale,
            lambda row: row.half_width / row.scale,
            lambda row: float(row.covered),
            lambda row: (2 * row.half_width + 2 / (1 - LEVEL) * outside(row)) / row.scale,
        )
    )
    line = f"{name:<24}{len(rows):>8}{len(error):>8}{100 * error.mean():>10.3f}"
    if np.all(np.isfinite(half)):
        line += f"{100 * half.mean():>10.3f}{half.mean() / error.mean():>10.2f}"
        line += f"{cover.mean():>10.1%}{100 * score.mean():>10.3f}"
        line += f"{100 * np.median(error):>10.3f}{100 * np.median(half):>10.3f}"
    else:
        line += f"{'-':>10}" * 4 + f"{100 * np.median(error):>10.3f}{'-':>10}"
    print(line)


def outside(row: Row) -> float:
    """How far the measured value lies outside the interval."""
    return max(row.low - row.measured, row.measured - row.high, 0.0)


def by_case(rows: Sequence[Row], value: Callable[[Row], float]) -> np.ndarray:
    """For each case the mean of a value over its tests."""
    parts: dict[str, list[float]] = {}
    for row in rows:
        parts.setdefault(row.case, []).append(value(row))
    return np.array([np.mean(part) for part in parts.values()])


def write(file: Path, rows: Sequence[Row]) -> None:
    """A line a row, empty where there is no number; under a temporary name first."""
    temporary = file.with_name(file.name + ".tmp")
    with temporary.open("w", newline="", encoding="utf-8") as out:
        writer = csv.DictWriter(out, [field.name for field in fields(Row)])
        writer.writeheader()
        for row in rows:
            # NaN is the one value that differs from itself.
            writer.writerow({k: v if v == v else "" for k, v in asdict(row).items()})
    temporary.replace(file)


def main() -> int:
    parser = argparse.ArgumentParser(description="Test the intervals of forecasts on many tasks.")
    parser.add_argument("--group", action="append", choices=GROUPS, help="default: all")
    parser.add_argument("--half", choices=("A", "B"), help="of the tasks; default: both")
    parser.add_argument("--out", type=Path, help="CSV file with every test")
    parser.add_argument("--seed", type=int, default=0, help="of the tasks")
    given = parser.parse_args()
    started = time.perf_counter()
    chosen = [case for case in cases(given.group, given.seed) if given.half in (None, case.half)]
    built = time.perf_counter()
    rows: list[Row] = []
    failed: list[str] = []
    for i, case in enumerate(chosen):
        if sys.stderr.isatty():
            print(f"\r{i + 1}/{len(chosen)} {case.name:<40}", end="", file=sys.stderr)
        try:
            rows += rows_of(case, fit(case.fitted))
        except InputError as error:
            failed.append(f"{case.name}: {error}")
    print(f"\r{'':<60}\r", end="", file=sys.stderr)
    if given.out:
        write(given.out, rows)
    print(f"{len(chosen)} cases of {len({case.task for case in chosen})} tasks")
    print_tables(rows)
    for line in failed:
        print(f"no forecast: {line}")
    ended = time.perf_counter()
    print(f"\n{built - started:.0f} s for the tasks, {ended - built:.0f} s for fits and forecasts")
    return 0


if __name__ == "__main__":
    sys.exit(main())
