"""Does anything hostile get through the readers, schedules, schedulers and state files?

    python bench/fuzz.py [--minutes 5] [--target NAME] [--seed 0]

Hands the inputs of `tests/helpers/hostile.py` and `hostile_stores.py` to the library, one target
after another, in processes of their own with another seed each. Prints for every target how many
inputs were tried and refused, and what must be 0: tracebacks (anything raised but an InputError),
wrong results (a silent NaN, a message that is no short line), inputs that took over 10 seconds,
processes that died, and processes that printed. The seed and the input of each fault follow. Ctrl-C
ends it with the counts so far; the exit code is 1 where there was a fault.
"""

from __future__ import annotations

import argparse
import itertools
import json
import signal
import subprocess
import sys
import tempfile
import time
import traceback
from collections import Counter, defaultdict
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
LONGEST = 10.0
"""Seconds that one input may take."""

BATCH = {"parquet": 20, "MLflow databases": 20}
"""Inputs of a process, 150 of the other targets: a Parquet file takes a process of its own."""

COUNTS = ("tried", "refused", "tracebacks", "wrong", "slow", "died", "printed")


class Slow(BaseException):
    """An input took too long. No `except Exception` stops it."""


def try_batch(name: str, seed: int, current: Path) -> None:
    """Try inputs of a target in this process; counts and faults go to stdout as JSON.

    The input under way is noted in `current`, for the case that the process dies of it.
    """
    sys.path.insert(0, str(ROOT))
    from hypothesis import HealthCheck, Phase, given, settings
    from hypothesis import seed as seeded
    from hypothesis import strategies as st

    from tests.helpers.hostile import TARGETS, Wrong, attempt
    from tests.helpers.hostile_stores import STORES

    target, counts, faults = (TARGETS | STORES)[name], Counter[str](), []

    def too_long(number: int, frame: object) -> None:
        raise Slow

    signal.signal(signal.SIGALRM, too_long)

    @seeded(seed)
    @settings(
        max_examples=BATCH.get(name, 150),
        deadline=None,
        database=None,
        phases=[Phase.generate],
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
    )
    @given(st.data())
    def tried(data) -> None:
        value = data.draw(target.inputs)
        current.write_text(repr(value)[:3000].encode("ascii", "backslashreplace").decode())
        counts["tried"] += 1
        with tempfile.TemporaryDirectory() as folder:
            signal.setitimer(signal.ITIMER_REAL, LONGEST)
            try:
                counts["refused"] += not attempt(target, value, Path(folder))
                return
            except Wrong as error:
                kind, what = "wrong", str(error)
            except Slow:
                kind, what = "slow", f"over {LONGEST:.0f} s"
            except Exception as error:
                place = traceback.extract_tb(error.__traceback__)[-1]
                kind = "tracebacks"
                what = f"{type(error).__name__}: {error} ({place.filename}:{place.lineno})"
            finally:
                signal.setitimer(signal.ITIMER_REAL, 0)
        counts[kind] += 1
        faults.append([kind, what[:400], repr(value)[:600]])

    tried()
    print(json.dumps([counts, faults]))


def one_process(name: str, seed: int, left: float) -> tuple[Counter[str], list[list[str]]]:
    """A batch in a process of its own: its counts and faults."""
    with tempfile.TemporaryDirectory() as folder:
        current = Path(folder) / "current"
        words = [sys.executable, __file__, "--batch", str(current), "--target", name]
        try:
            done = subprocess.run(
                [*words, "--seed", str(seed)],
                capture_output=True,
                text=True,
                errors="replace",
                timeout=max(left, 10.0) + 30 * LONGEST,
                check=False,
            )
        except subprocess.TimeoutExpired:
            return Counter(slow=1), [["slow", "the process hung", current.read_text()]]
        if done.returncode != 0:
            value = current.read_text() if current.exists() else "before its first input"
            return Counter(died=1), [
                ["died", f"exit {done.returncode}: {done.stderr[-400:]}", value]
            ]
        counts, faults = json.loads(done.stdout)
        counts = Counter(counts)
        if done.stderr.strip():
            counts["printed"] += 1
            faults.append(["printed", done.stderr[-400:], ""])
        return counts, faults


def fuzz(names: list[str], seconds: float, first_seed: int) -> bool:
    """Go round the targets until the time is over; whether there was a fault."""
    found: dict[str, Counter[str]] = defaultdict(Counter)
    faults: list[str] = []
    end = time.monotonic() + seconds
    try:
        for number, name in enumerate(itertools.cycle(names)):
            left = end - time.monotonic()
            if left <= 0 and number >= len(names):
                break
            seed = first_seed + number // len(names)
            counts, wrong = one_process(name, seed, left)
            found[name] += counts
            faults += [
                f"{name}, seed {seed}: {kind}: {what}\n  {value}" for kind, what, value in wrong
            ]
    except KeyboardInterrupt:
        print("interrupted", file=sys.stderr)
    print(f"{'target':<24}" + "".join(f"{each:>12}" for each in COUNTS))
    for name, counts in found.items():
        print(f"{name:<24}" + "".join(f"{counts[each]:>12}" for each in COUNTS))
    for fault in faults[:40]:
        print(fault)
    return bool(faults)


def main() -> None:
    words = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    words.add_argument("--minutes", type=float, default=5.0)
    words.add_argument("--target", action="append")
    words.add_argument("--seed", type=int, default=0)
    words.add_argument("--batch", type=Path, help=argparse.SUPPRESS)
    asked = words.parse_args()
    if asked.batch is not None:
        try_batch(asked.target[0], asked.seed, asked.batch)
        return
    sys.path.insert(0, str(ROOT))
    from tests.helpers.hostile import TARGETS
    from tests.helpers.hostile_stores import STORES

    everything = TARGETS | STORES
    unknown = set(asked.target or ()) - set(everything)
    if unknown:
        words.error(f"unknown target {sorted(unknown)[0]!r}; there are {', '.join(everything)}")
    names = []
    for name in asked.target or everything:
        if everything[name].can_run:
            names.append(name)
        else:
            print(f"{name}: left out, {everything[name].needs} is not installed", file=sys.stderr)
    sys.exit(fuzz(names, 60 * asked.minutes, asked.seed))


if __name__ == "__main__":
    main()
