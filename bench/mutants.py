"""Hand-made faults, and the tests that find them.

    python bench/mutants.py [NAME ...]

Each fault is one changed line in a copy of `src`; the tests named beside it run against that copy
and must fail. Before, they run once against an unchanged copy and must pass: a test that always
fails finds nothing. Prints a table, and exits with 1 where a fault is found by none.
"""

from __future__ import annotations

import argparse
import os
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

from rich.console import Console
from rich.table import Table

ROOT = Path(__file__).parents[1]


@dataclass(frozen=True)
class Mutant:
    """A fault: in `file` below src/etastar, `before` becomes `after`; `tests` must find it."""

    name: str
    file: str
    before: str
    after: str
    tests: tuple[str, ...]


MUTANTS = (
    Mutant(
        "halved interval width",
        "law/_law.py",
        "Forecast(step, mean, np.maximum(mean - width, 0.0), mean + width)",
        "Forecast(step, mean, np.maximum(mean - width / 2, 0.0), mean + width / 2)",
        ("tests/law/test_intervals.py",),
    ),
    Mutant(
        "extrapolation threshold",
        "planning/_caveats.py",
        "FAR = 8.0",
        "FAR = 8.5",
        ("tests/planning/test_caveats.py", "-k", "beyond_eight_times"),
    ),
    Mutant(
        "few-pilots caveat",
        "planning/_caveats.py",
        "if count < FEW:",
        "if count < FEW - 1:",
        ("tests/planning/test_caveats.py", "-k", "fewer_than_four"),
    ),
    Mutant(
        "order of the rows for other horizons",
        "planning/_comparison.py",
        "return tuple(sorted(rows, key=lambda row: row.horizon))",
        "return tuple(rows)",
        ("tests/planning/test_limits.py", "-k", "in_order"),
    ),
    Mutant(
        "warmup cap",
        "planning/_plan.py",
        "return min(usual, (horizon - (0 if past is None else past.step)) // 10)",
        "return usual",
        ("tests/planning/test_limits.py", "-k", "at_most_a_tenth"),
    ),
    Mutant(
        "rounding at a join",
        "schedule/_joined.py",
        "first = first if first - offset >= start else math.nextafter(first, math.inf)",
        "first = float(first)",
        ("tests/schedule/test_join.py", "-k", "rounding"),
    ),
    Mutant(
        "floor forgotten at other horizons",
        "planning/_comparison.py",
        "optimal_schedule(law, other, limits.at(other), tolerance=1e-9)",
        "optimal_schedule(law, other, Limits(limits.cap, warmup=limits.at(other).warmup))",
        ("tests/planning/test_limits.py", "-k", "other_horizons_keep"),
    ),
    Mutant(
        "floor forgotten by the families",
        "control/_limits.py",
        "if not schedule.shape.takes_final or schedule.final * schedule.peak >= self.floor:",
        "if True:",
        ("tests/planning/test_limits.py", "-k", "keeps_to_the_floor or ends_at_it"),
    ),
    Mutant(
        "logged warmup forgotten",
        "runs/_run.py",
        "return self.schedule.rise",
        "return self.schedule.warmup",
        ("tests/planning/test_limits.py", "-k", "logged"),
    ),
)


def said_by(tests: Sequence[str], source: Path) -> subprocess.CompletedProcess[str]:
    """What pytest says of some tests, run against a copy of `src`."""
    return subprocess.run(
        [sys.executable, "-m", "pytest", "-q", "-x", "-p", "no:cacheprovider", *tests],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": str(source)},
        capture_output=True,
        text=True,
    )


def copied(folder: str) -> Path:
    """A copy of `src` in a folder."""
    source = Path(folder) / "src"
    shutil.copytree(ROOT / "src", source, ignore=shutil.ignore_patterns("__pycache__"))
    return source


def outcome(mutant: Mutant, source: Path) -> str:
    """What the tests say of a fault, put into a copy of `src`: found, or what went wrong."""
    path = source / "etastar" / mutant.file
    text = path.read_text(encoding="utf-8") if path.exists() else ""
    if text.count(mutant.before) != 1:
        return f"the line stands {text.count(mutant.before)} times in {mutant.file}: renew it here"
    path.write_text(text.replace(mutant.before, mutant.after), encoding="utf-8")
    done = said_by(mutant.tests, source)
    # 1: tests failed. Anything else (no tests, an error of collection) proves nothing.
    if done.returncode == 1:
        lines = [line for line in done.stdout.splitlines() if line.startswith("FAILED")]
        return "found" if lines else "not by a failed test: " + done.stdout[-200:]
    return "SURVIVES" if done.returncode == 0 else f"pytest exit {done.returncode}"


def failing_unchanged(mutants: Iterable[Mutant]) -> dict[tuple[str, ...], str]:
    """The tests that do not pass where nothing is changed, and what pytest says of them."""
    failing = {}
    with tempfile.TemporaryDirectory() as folder:
        source = copied(folder)
        for tests in dict.fromkeys(mutant.tests for mutant in mutants):
            done = said_by(tests, source)
            if done.returncode:
                said = done.stdout.strip().splitlines()[-1:] or ["no output"]
                failing[tests] = f"pytest exit {done.returncode} without the fault: {said[0]}"
    return failing


def main() -> int:
    parser = argparse.ArgumentParser(description="Faults, and whether the tests find them.")
    parser.add_argument("names", nargs="*", help="parts of names; all by default")
    wanted = parser.parse_args().names
    chosen = [m for m in MUTANTS if not wanted or any(word in m.name for word in wanted)]
    table = Table("fault", "file", "tests", "outcome")
    failing = failing_unchanged(chosen)
    survivors = 0
    for mutant in chosen:
        said = failing.get(mutant.tests)
        if said is None:
            with tempfile.TemporaryDirectory() as folder:
                said = outcome(mutant, copied(folder))
        survivors += said != "found"
        table.add_row(mutant.name, mutant.file, " ".join(mutant.tests), said)
    Console(width=160).print(table)
    return 1 if survivors else 0


if __name__ == "__main__":
    sys.exit(main())
