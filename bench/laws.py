"""Which loss law predicts best the runs that it was not fitted on?

    python bench/laws.py [FOLDER ...] [--law NAME ...] [--split TEXT]

Each FOLDER holds logs and a `runs.csv` (default: the published curves `mpl25m`, `mpl100m` and
`llama124m` of `tests/data/curves`). Every law is fitted by the same machinery on the same runs
and tested on others. Splits:

- `mpl*`, standard: fitted on a cosine, a constant and a two-stage run, tested on the other six.
- `llama124m`, horizon: fitted on horizons up to 25,000 and the constant runs cut there, tested on
  the 20 runs of 35,000.
- `llama124m`, without LR: the same, without any run of one peak LR, tested on the runs of that LR
  at the longest horizon at which it was annealed.
- `llama124m`, N pilots: fitted on N whole runs of horizon 15,000 (the log of the constant run up to
  the cooldown, then the run's own), tested on the 20 runs of 35,000. The rule, set before any such
  fit: WSD with a cooldown of 20% at each of the three peak LRs makes 3; the two cosine runs, 5; WSD
  with a cooldown of 80% at each peak LR, 8.
- any other folder: fitted on the shorter half of its horizons, tested on the longer.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import jax
import numpy as np
from backtest_published import FOLDER, LONG, SHORT, split

from etastar.law import FORMS, Backtest, backtest
from etastar.runs import Run, read_runs

PEAKS = (1e-4, 5e-4, 1e-3, 2e-3)
PILOT_HORIZON = 15000


@dataclass(frozen=True)
class Split:
    """Runs to fit and runs to test."""

    name: str
    fitted: list[Run]
    tested: list[Run]


def splits(folder: Path) -> Iterator[Split]:
    """Every split of the runs in a folder."""
    runs = read_runs(folder)
    name = folder.name
    if name == "llama124m":
        fitted, tested = split(name, runs)
        yield Split(f"{name} horizon", fitted, tested)
        yield from (without(name, fitted, tested, peak) for peak in PEAKS)
        yield from (pilots(name, runs, tested, count) for count in (3, 5, 8))
    elif name.startswith("mpl"):
        yield Split(f"{name} standard", *split(name, runs))
    else:
        middle = float(np.median([run.schedule.horizon for run in runs]))
        short = [run for run in runs if run.schedule.horizon <= middle]
        longer = [run for run in runs if run.schedule.horizon > middle]
        yield Split(name, short, longer)


def without(name: str, fitted: list[Run], tested: list[Run], peak: float) -> Split:
    """The split by horizon with every run of one peak LR left out of the fit, and tested."""
    held = [run for run in tested if run.schedule.peak == peak]
    annealed = [r for r in fitted if r.schedule.peak == peak and not r.name.startswith("stable")]
    longest = [run for run in annealed if run.schedule.horizon == SHORT]
    kept = [run for run in fitted if run.schedule.peak != peak]
    return Split(f"{name} without {peak:g}", kept, held or longest)


def pilots(name: str, runs: Sequence[Run], tested: list[Run], count: int) -> Split:
    """The split that fits few whole runs of a short horizon."""
    by_name = {run.name: run for run in runs}

    def annealed(peak: float, cooldown: float) -> Run:
        branch = by_name[f"wsd_lr{peak:g}_T{PILOT_HORIZON}_cooldown{cooldown:g}-linear"]
        return joined(by_name[f"stable_lr{peak:g}_T{LONG}"], branch)

    chosen = [annealed(peak, 0.2) for peak in PEAKS[1:]]
    chosen += [by_name[f"cosine_lr{peak:g}_T{PILOT_HORIZON}"] for peak in PEAKS[2:]]
    chosen += [annealed(peak, 0.8) for peak in PEAKS[1:]]
    return Split(f"{name} {count} pilots", chosen[:count], tested)


def joined(trunk: Run, branch: Run) -> Run:
    """The whole log of a run that was branched off another at the start of its own log."""
    before = trunk.step < branch.step[0]
    return replace(
        branch,
        step=np.append(trunk.step[before], branch.step),
        loss=np.append(trunk.loss[before], branch.loss),
    )


def row(law: str, result: Backtest) -> str:
    """One line of the table."""
    average = result.average
    final = np.abs([run.final_error for run in result.runs])
    rank = "" if result.rank_correlation is None else f"{result.rank_correlation:.3f}"
    regret = "" if result.selection_regret is None else f"{result.selection_regret:.4f}"
    covered = f"{sum(run.covered for run in result.runs)}/{len(result.runs)}"
    return (
        f"  {law:<13} {average['mean_rel']:>8.5f} {average['worst_rel']:>9.5f} "
        f"{final.mean():>8.4f} {final.max():>8.4f} {rank:>6} {regret:>7} {covered:>8} "
        f"{result.fit_seconds:>6.1f}"
    )


def main() -> int:
    parser = argparse.ArgumentParser(description="Compare loss laws on runs they did not see.")
    parser.add_argument("folder", nargs="*", type=Path)
    parser.add_argument("--law", action="append", choices=list(FORMS), help="default: all")
    parser.add_argument("--split", default="", help="only splits whose name holds this text")
    given = parser.parse_args()
    folders = given.folder or [FOLDER / name for name in ("mpl25m", "mpl100m", "llama124m")]
    missing = [folder for folder in folders if not folder.is_dir()]
    if missing:
        print(f"{missing[0]}: no such folder of runs", file=sys.stderr)
        return 2
    print(
        f"  {'law':<13} {'mean_rel':>8} {'worst_rel':>9} {'|final|':>8} {'largest':>8} "
        f"{'rank':>6} {'regret':>7} {'covered':>8} {'fit s':>6}"
    )
    covered: dict[str, list[bool]] = {}
    # Each fit pays for its own compilation.
    jax.config.update("jax_enable_compilation_cache", False)
    for part in (part for folder in folders for part in splits(folder) if given.split in part.name):
        print(f"{part.name}: {len(part.fitted)} fitted, {len(part.tested)} tested")
        for law in given.law or FORMS:
            jax.clear_caches()
            result = backtest(part.fitted, part.tested, form=law)
            covered.setdefault(law, []).extend(run.covered for run in result.runs)
            print(row(law, result), flush=True)
    print("inside their 90% interval, over all splits:")
    for law, inside in covered.items():
        print(f"  {law:<13} {sum(inside)}/{len(inside)} = {np.mean(inside):.0%}")
    print("|final|: mean |predicted - measured| final loss of the test runs, and the largest one;")
    print("mean_rel, worst_rel: of |predicted/measured - 1| in a run, averaged over the test runs")
    return 0


if __name__ == "__main__":
    sys.exit(main())
