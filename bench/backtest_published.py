"""How well does the law predict published training curves that it was not fitted on?

    python bench/backtest_published.py [FOLDER] [--figure FILE.svg]

FOLDER holds `mpl25m`, `mpl100m` and `llama124m` (default: `tests/data/curves`), each with logs
and a `runs.csv`: the curves of the multi-power law (arXiv 2503.12811) and of the sweep over peak
LR, horizon and cooldown of arXiv 2501.18965. Prints one row a set; with `--figure`, draws the
predicted over the measured final losses.

No run is both fitted and tested, but a test run may share its beginning with a fitted one, of which
it is a branch. So errors are printed twice: over all points from where the law claims to hold, as
`backtest` does, and over the new ones, those after the LR has departed from that of every fitted
run.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Sequence
from dataclasses import dataclass, replace
from html import escape
from pathlib import Path

import jax
import numpy as np

from etastar.law import Backtest, backtest
from etastar.runs import Run, read_runs

FOLDER = Path(__file__).parents[1] / "tests/data/curves"
STANDARD = ("cosine_24000", "constant_24000", "wsdcon_9")
LONG, SHORT = 35000, 25000
COLORS = {"mpl25m": "#d97706", "mpl100m": "#6366f1", "llama124m": "#0d9488"}


@dataclass(frozen=True)
class Row:
    """One set of curves: how many runs were fitted, what the backtest found, and its CPU time."""

    name: str
    fitted: int
    points: int
    result: Backtest
    cpu_seconds: float
    new_errors: tuple[np.ndarray, ...]


def split(name: str, runs: Sequence[Run]) -> tuple[list[Run], list[Run]]:
    """Runs to fit and runs to test."""
    if name.startswith("mpl"):
        fitted = [run for run in runs if run.name in STANDARD]
        return fitted, [run for run in runs if run.name not in STANDARD]
    stable = [run for run in runs if run.name.startswith("stable")]
    others = [run for run in runs if not run.name.startswith("stable")]
    fitted = [run for run in others if run.schedule.horizon <= SHORT]
    fitted += [cut(run, SHORT) for run in stable]
    return fitted, [run for run in others if run.schedule.horizon == LONG]


def cut(run: Run, end: int) -> Run:
    """The part of a run up to a step."""
    early = run.step <= end
    return replace(
        run,
        step=run.step[early],
        loss=run.loss[early],
        schedule=run.schedule.stretched(horizon=end),
    )


def measure(folder: Path) -> Row:
    fitted, tested = split(folder.name, read_runs(folder))
    jax.clear_caches()
    started = time.process_time()
    result = backtest(fitted, tested)
    cpu_seconds = time.process_time() - started
    points = sum(len(run.step) for run in fitted)
    begin = {run.name: departure(run, fitted) for run in tested}
    errors = tuple(
        np.abs(row.predicted / row.measured - 1)[row.step > begin[row.run]] for row in result.runs
    )
    return Row(folder.name, len(fitted), points, result, cpu_seconds, errors)


def departure(run: Run, fitted: Sequence[Run]) -> float:
    """The last step at which a fitted run with the same LRs so far was measured."""
    shared = 0.0
    for other in fitted:
        end = min(run.final_step, other.final_step)
        update = np.arange(end)
        apart = np.abs(run.schedule(update) - other.schedule(update)) > 1e-9 * run.schedule.peak
        shared = max(shared, float(np.argmax(apart)) if apart.any() else end)
    return shared


def print_table(rows: Sequence[Row]) -> None:
    print(
        f"{'set':<10} {'fit':>4} {'points':>7} {'test':>5} {'mean_rel':>9} {'worst_rel':>10} "
        f"{'new mean':>9} {'new worst':>10}"
    )
    for row in rows:
        average = row.result.average
        print(
            f"{row.name:<10} {row.fitted:>4} {row.points:>7} {len(row.result.runs):>5} "
            f"{average['mean_rel']:>9.5f} {average['worst_rel']:>10.5f} "
            f"{np.mean([e.mean() for e in row.new_errors]):>9.5f} "
            f"{np.mean([e.max() for e in row.new_errors]):>10.5f}"
        )
    print(
        "|predicted/measured - 1|, its mean and its largest in a run, averaged over the test runs"
    )
    print("largest of all points: " + ", ".join(f"{row.name} {worst(row):.4f}" for row in rows))
    print()
    print(
        f"{'set':<10} {'|final|':>8} {'largest':>8} {'rank':>6} {'regret':>7} {'covered':>8} "
        f"{'fit s':>6} {'CPU s':>6}"
    )
    for row in rows:
        result = row.result
        final = np.abs([run.final_error for run in result.runs])
        covered = f"{sum(run.covered for run in result.runs)}/{len(result.runs)}"
        print(
            f"{row.name:<10} {final.mean():>8.4f} {final.max():>8.4f} "
            f"{result.rank_correlation:>6.3f} {result.selection_regret:>7.4f} {covered:>8} "
            f"{result.fit_seconds:>6.1f} {row.cpu_seconds:>6.1f}"
        )
    print("|final|: mean |predicted - measured| final loss [nats]; regret: measured final loss of")
    print(
        "the run predicted best minus the best; covered: final losses in the 90% interval; CPU s:"
    )
    print("of fit and predictions, over all threads")


def worst(row: Row) -> float:
    return max(run.worst_rel for run in row.result.runs)


def figure(rows: Sequence[Row]) -> str:
    """An SVG with one panel a set: predicted against measured final loss, and the diagonal."""
    panels = [_panel(row, 20 + 300 * i) for i, row in enumerate(rows)]
    width = 20 + 300 * len(rows)
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} 310" role="img" '
        'font-family="system-ui, sans-serif" font-size="12" fill="#64748b">\n'
        "<title>Predicted against measured final loss of runs that were not fitted</title>\n"
        + "\n".join(panels)
        + "\n</svg>\n"
    )


def _panel(row: Row, left: int) -> str:
    runs = row.result.runs
    pairs = np.array([(run.measured[-1], run.predicted[-1]) for run in runs])
    low, high = pairs.min(), pairs.max()
    low, high = low - 0.08 * (high - low), high + 0.08 * (high - low)
    size, x0, y0 = 220, left + 45, 260

    def place(value: float) -> float:
        return size * (value - low) / (high - low)

    parts = [
        f'<rect x="{x0}" y="{y0 - size}" width="{size}" height="{size}" fill="none" '
        'stroke="#94a3b8"/>',
        f'<path d="M{x0} {y0}L{x0 + size} {y0 - size}" stroke="#94a3b8" stroke-dasharray="4 4"/>',
        f'<text x="{x0}" y="{y0 - size - 12}" font-size="13">{escape(row.name)}: '
        f"{len(runs)} runs</text>",
    ]
    for tick in np.linspace(low, high, 5)[1:-1]:
        at = place(tick)
        parts.append(
            f'<text x="{x0 + at:.1f}" y="{y0 + 17}" text-anchor="middle">{tick:.3f}</text>'
        )
        parts.append(
            f'<text x="{x0 - 6}" y="{y0 - at + 4:.1f}" text-anchor="end">{tick:.3f}</text>'
        )
    parts += [
        f'<circle cx="{x0 + place(x):.1f}" cy="{y0 - place(y):.1f}" r="4" fill-opacity="0.75" '
        f'fill="{COLORS.get(row.name, "#0d9488")}"><title>{escape(run.run)}: measured {x:.4f}, '
        f"predicted {y:.4f}</title></circle>"
        for run, (x, y) in zip(runs, pairs, strict=True)
    ]
    middle = x0 + size / 2
    parts.append(
        f'<text x="{middle}" y="{y0 + 38}" text-anchor="middle">measured loss [nats]</text>'
    )
    parts.append(
        f'<text transform="translate({left} {y0 - size / 2}) rotate(-90)" text-anchor="middle">'
        "predicted loss [nats]</text>"
    )
    return "\n".join(parts)


def main() -> int:
    parser = argparse.ArgumentParser(description="Test the law on published curves.")
    parser.add_argument("folder", nargs="?", type=Path, default=FOLDER)
    parser.add_argument("--figure", type=Path, help="SVG file to write")
    given = parser.parse_args()
    folders = [given.folder / name for name in COLORS if (given.folder / name).is_dir()]
    if not folders:
        print(f"{given.folder}: no published curves there; name their folder", file=sys.stderr)
        return 2
    # Each row pays for its own compilation.
    jax.config.update("jax_enable_compilation_cache", False)
    rows = [measure(folder) for folder in folders]
    print_table(rows)
    if given.figure:
        given.figure.write_text(figure(rows), encoding="utf-8")
    return 0


if __name__ == "__main__":
    sys.exit(main())
