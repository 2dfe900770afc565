"""Tasks on which to ask whether the intervals of a forecast hold: `cases()` is the list.

    python bench/interval_tasks.py          # counts the cases of each task

A `Case` is some runs to fit and others to test. Every test run was measured, so that its final loss
can be held against the forecast. Four groups:

- `published`: the curves of `tests/data/curves`. The splits of `bench/laws.py`; random subsets of
  the whole runs up to a horizon, tested on the longer ones (a constant run cut at that horizon is a
  whole run of it; a run that was branched off gets the log of its trunk). A test run may share its
  trunk with a fitted one, as in those splits, but never its end.
- `exact`: the solvable model. Of each task 1-3, 4-8 and 9-16 random pilots, tested at 1-2 and 2-4
  times the longest, with four peaks inside the range of the pilots' and one 1.5 times above it.
  A log is the exact loss plus the label noise; every point is off by 0.1% (standard deviation),
  and the whole run by another 0.1%, the luck of its seed.
- `gpt`: the trainings of `examples/gpt` and of `bench/runs/gpt_batch`, those that are finished.
- `small`: networks trained with NumPy in seconds (`bench/small_trainings.py`), no power laws.

A task lies in one half, with all its cases. A serves to set constants, B to test them: A has
`mpl25m`, both sets of GPT trainings, and every second `exact` and `small` task; B has `mpl100m`,
`llama124m` and the others. So the largest published set is never used to set anything.

What is simulated or trained here is kept in `bench/.cache`, under a name that depends on all that
it was made from: the first call takes about a minute, later ones two seconds.
"""

from __future__ import annotations

import zlib
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cache
from pathlib import Path

import numpy as np
import small_trainings
from backtest_published import FOLDER, cut
from laws import joined, splits

from etastar.model import PowerLaw, loss
from etastar.runs import Run, read_runs
from etastar.schedule import parse_schedule

ROOT = Path(__file__).parents[1]
CACHE = ROOT / "bench/.cache/interval_tasks"
GROUPS = ("published", "exact", "gpt", "small")
HALF = {"mpl25m": "A", "mpl100m": "B", "llama124m": "B", "gpt": "A"}
EXACT_TASKS, SMALL_TASKS = 30, 8
COUNTS = {"1-3": (1, 3), "4-8": (4, 8), "9+": (9, 16)}
BANDS = {"1-2x": 2.0, "2-4x": 4.0}
ROUNDING = 1.01
"""Of ratios and peaks: a log ends up to a percent before its horizon."""
JITTER, LUCK = 1e-3, 1e-3
POINTS = 100


@dataclass(frozen=True)
class Case:
    """Runs to fit and runs to test.

    Attributes:
        name: unlike that of any other case.
        task: what was trained; cases of one task share runs, or at least the truth.
        group: one of `GROUPS`.
        half: "A" or "B".
        fitted, tested: the runs; the final loss of the tested ones counts.
    """

    name: str
    task: str
    group: str
    half: str
    fitted: list[Run]
    tested: list[Run]

    @property
    def count_band(self) -> str:
        """How many runs are fitted: a key of `COUNTS`."""
        return next(name for name, (low, _) in reversed(COUNTS.items()) if len(self.fitted) >= low)

    def ratio(self, run: Run) -> float:
        """The final step of a run over the longest step fitted."""
        return run.final_step / max(fitted.final_step for fitted in self.fitted)

    def band(self, run: Run) -> str:
        """How far beyond the fitted steps a run ends: a key of `BANDS`, the first also below 1."""
        return next(name for name, top in BANDS.items() if self.ratio(run) <= ROUNDING * top)

    def above_peak(self, run: Run) -> bool:
        """Whether the peak of a run lies above all fitted ones."""
        highest = max(fitted.schedule.peak for fitted in self.fitted)
        return run.schedule.peak > ROUNDING * highest


def cases(groups: Sequence[str] | None = None, seed: int = 0, tested_points: int = 4) -> list[Case]:
    """All cases of the groups asked for, by default of all four.

    The seed draws the subsets, the exact tasks and what is trained; the same one gives the same
    cases. Of the runs to test that are made here, `tested_points` points are logged.

    Raises: ValueError for a group that is not there.
    """
    makers: dict[str, Callable[[int], Iterator[Case]]] = {
        "published": published, "gpt": gpt,
        "exact": lambda seed: exact(seed, tested_points),
        "small": lambda seed: small(seed, tested_points),
    }  # fmt: skip
    unknown = set(groups or ()) - set(makers)
    if unknown:
        raise ValueError(f"group {sorted(unknown)[0]!r} is not there; choose from {GROUPS}")
    found = [case for name in groups or GROUPS for case in makers[name](seed)]
    return [case for case in map(testable, found) if case.tested]


def testable(case: Case) -> Case:
    """The case without the test runs that end too far beyond the fitted ones, or diverged."""
    farthest = ROUNDING * max(BANDS.values())
    kept = [run for run in case.tested if not run.diverged and case.ratio(run) <= farthest]
    return replace(case, tested=kept)


# Published curves


def published(seed: int) -> Iterator[Case]:
    """The splits of `bench/laws.py`, and random subsets."""
    for task in ("mpl25m", "mpl100m", "llama124m"):

        def case(name: str, fitted: list[Run], tested: list[Run], task: str = task) -> Case:
            return Case(f"{task} {name}", task, "published", HALF[task], fitted, tested)

        for part in splits(FOLDER / task):
            yield case(part.name.removeprefix(f"{task} "), part.fitted, part.tested)
        rng = np.random.default_rng([seed, zlib.crc32(task.encode())])
        runs = read_runs(FOLDER / task)
        made = few_schedules(runs, rng) if task.startswith("mpl") else many_schedules(runs, rng)
        for name, fitted, tested in made:
            yield case(name, fitted, tested)


Named = Iterator[tuple[str, list[Run], list[Run]]]


def few_schedules(runs: list[Run], rng: np.random.Generator) -> Named:
    """Subsets of a set of nine runs with one peak LR."""
    of = {h: [run for run in runs if run.schedule.horizon == h] for h in (16000, 24000, 72000)}
    constant = next(run for run in of[72000] if run.schedule.shape.name == "constant")
    half = cut(constant, 36000)
    choices = [
        (f"{count} of 24,000, {i}", chosen)
        for count in (1, 2, 3)
        for i, chosen in enumerate(subsets(of[24000], count, 3, rng))
    ]
    choices += [
        ("all of 24,000", of[24000]),
        ("all of 16,000", of[16000]),
        ("all up to 24,000", of[16000] + of[24000]),
        ("constant to 36,000", [half]),
        ("constant to 36,000 and others", [half, *subsets(of[24000], 2, 1, rng)[0]]),
    ]
    for name, fitted in choices:
        gone = {run.name for run in fitted}
        yield name, fitted, [run for run in runs if run.name not in gone]


def many_schedules(runs: list[Run], rng: np.random.Generator) -> Named:
    """Subsets of whole runs of a sweep over peak, horizon and cooldown, up to a horizon."""
    trunk = {run.schedule.peak: run for run in runs if run.schedule.shape.name == "constant"}
    branches = [run for run in runs if run.schedule.shape.name != "constant"]
    # A constant run is cut before any other ends, so that only constant runs are as short.
    for horizon, counts, times in (
        (10000, (1, 2, 3), 2),
        (15000, (1, 2, 3, 5, 8, 12, 20), 3),
        (25000, (1, 2, 3, 5, 8, 12, 20, 40), 2),
    ):
        pool = [cut(run, horizon) for run in trunk.values()]
        pool += [whole(run, trunk) for run in branches if run.schedule.horizon <= horizon]
        for count in counts:
            for i, fitted in enumerate(subsets(pool, count, times, rng, horizon)):
                known = {run.schedule.peak for run in fitted}
                tested = [run for run in branches if run.schedule.horizon > horizon]
                tested += [run for peak, run in trunk.items() if peak not in known]
                yield f"{count} up to {horizon:,}, {i}", fitted, tested


def whole(run: Run, trunk: dict[float, Run]) -> Run:
    """A run with its log from the first step; a cosine was never branched off."""
    return joined(trunk[run.schedule.peak], run) if run.schedule.shape.name == "wsd" else run


def subsets(
    runs: Sequence[Run], count: int, times: int, rng: np.random.Generator, horizon: int = 0
) -> list[list[Run]]:
    """Different random subsets of `count` runs, each with a run of at least `horizon` updates."""
    found: dict[frozenset[str], list[Run]] = {}
    for _ in range(100 * times):
        chosen = [runs[i] for i in sorted(rng.choice(len(runs), count, replace=False))]
        if max(run.schedule.horizon for run in chosen) >= horizon:
            found.setdefault(frozenset(run.name for run in chosen), chosen)
        if len(found) == times:
            break
    return list(found.values())


# Trainings of a small GPT


def gpt(seed: int) -> Iterator[Case]:
    """The example's pilots against its check, and small against large budgets of a batch size."""
    rng = np.random.default_rng([seed, zlib.crc32(b"gpt")])

    def case(name: str, fitted: list[Run], tested: list[Run]) -> Case:
        return Case(f"gpt {name}", "gpt", "gpt", HALF["gpt"], fitted, tested)

    pilots, check = (finished(ROOT / "examples/gpt" / name) for name in ("pilots", "check"))
    longest = max(run.schedule.horizon for run in pilots)
    short = [run for run in pilots if run.schedule.horizon < longest]
    yield case("pilots", pilots, check)
    yield case("short pilots", short, [run for run in pilots if run not in short])
    for count in (1, 2, 3, 4, 6, 8):
        for i, fitted in enumerate(subsets(pilots, count, 2, rng, longest)):
            others = [run for run in pilots if run not in fitted]
            yield case(f"{count} pilots, {i}", fitted, check + others)
    runs = finished(ROOT / "bench/runs/gpt_batch")
    for size in sorted({run.batch_size for run in runs if run.batch_size}):
        same = [run for run in runs if run.batch_size == size]
        horizons = sorted({run.schedule.horizon for run in same})
        for horizon in horizons[:-1]:
            fitted = [run for run in same if run.schedule.horizon <= horizon]
            tested = [run for run in same if run.schedule.horizon > horizon]
            if len(fitted) >= 3 and len(tested) >= 2:
                yield case(f"batch {size:g} up to {horizon:,}", fitted, tested)


def finished(folder: Path) -> list[Run]:
    """The runs of a folder that are done; none where it is missing."""
    runs = read_runs(folder) if (folder / "runs.csv").exists() else []
    return [run for run in runs if run.metadata.get("status", "finished") == "finished"]


# Tasks made here


@dataclass(frozen=True)
class Design:
    """A case before anything is run: specs of the schedules to fit and to test."""

    name: str
    fitted: list[str]
    tested: list[str]


def exact(seed: int, tested_points: int) -> Iterator[Case]:
    """The solvable model with three independent sets of pilots a task."""
    for index in range(EXACT_TASKS):
        task = f"exact{index:02}"
        rng = np.random.default_rng([seed, zlib.crc32(task.encode())])
        model = PowerLaw(
            capacity=round(rng.uniform(1.2, 2.2), 2),
            source=round(rng.uniform(0.1, 1.1), 2),
            noise=round(10 ** rng.uniform(-1.3, -0.3), 3),
            batch_size=int(2 ** rng.uniform(1, 5)),
        )
        top = model.max_rate * 10 ** rng.uniform(-1, np.log10(0.4))
        horizon = int(10 ** rng.uniform(np.log10(2e3), np.log10(2e4)))
        warmup = int(rng.uniform(0.003, 0.02) * horizon)
        designs = []
        for name, limits in COUNTS.items():
            count = int(rng.integers(limits[0], limits[1] + 1))
            fitted = pilot_specs(count, top, horizon, warmup, rng)
            designs.append(Design(name, fitted, test_specs(fitted, horizon, warmup, rng)))
        yield from measured(task, "exact", index, designs, simulated, model, seed, tested_points)


def small(seed: int, tested_points: int) -> Iterator[Case]:
    """Networks trained with NumPy: subsets of one set of pilots, because trainings take time."""
    for index in range(SMALL_TASKS):
        task = f"small{index:02}"
        rng = np.random.default_rng([seed, zlib.crc32(task.encode())])
        setting = small_trainings.setting(index, rng)
        horizon = int(rng.uniform(1500, 3500))
        warmup = horizon // 50
        count = int(rng.integers(*COUNTS["9+"], endpoint=True))
        pilots = pilot_specs(count, setting.top_rate, horizon, warmup, rng)
        tested = test_specs(pilots, horizon, warmup, rng)
        designs = [Design("9+", pilots, tested)]
        for name in ("1-3", "4-8"):
            size = int(rng.integers(*COUNTS[name], endpoint=True))
            chosen = rng.choice(np.arange(1, count), size - 1, replace=False)
            # The first is the longest, to which the tests' horizons refer.
            designs.append(Design(name, [pilots[i] for i in (0, *chosen)], tested))
        yield from measured(task, "small", index, designs, trained, setting, seed, tested_points)


def pilot_specs(
    count: int, top: float, horizon: int, warmup: int, rng: np.random.Generator
) -> list[str]:
    """Random shapes, peaks over a factor of 8, horizons over 4; the first has the longest."""
    peaks = top * 8 ** -rng.uniform(0, 1, count)
    horizons = np.append(horizon, horizon * 4 ** -rng.uniform(0, 1, count - 1)).astype(int)
    return [
        spec(str(rng.choice(["cosine", "wsd", "linear", "constant"])), peak, end, warmup, rng)
        for peak, end in zip(peaks, horizons, strict=True)
    ]


def test_specs(
    pilots: Sequence[str], horizon: int, warmup: int, rng: np.random.Generator
) -> list[str]:
    """Four peaks inside the range of the pilots' and one above, at two horizons beyond theirs."""
    peaks = [parse_schedule(pilot).peak for pilot in pilots]
    specs = []
    for low, high in ((1.2, 2.0), (2.2, 4.0)):
        end = int(horizon * rng.uniform(low, high))
        inside = np.exp(rng.uniform(np.log(min(peaks)), np.log(max(peaks)), 4))
        for i, peak in enumerate([*inside, 1.5 * max(peaks)]):
            shape = ("cosine", "wsd", "linear", "wsd", str(rng.choice(["cosine", "wsd"])))[i]
            specs.append(spec(shape, peak, end, warmup, rng))
    return specs


test_specs.__test__ = False  # type: ignore[attr-defined]  # pytest takes names like this for tests


def spec(shape: str, peak: float, horizon: int, warmup: int, rng: np.random.Generator) -> str:
    """A spec with random constants of its shape."""
    keys = f"peak={float(f'{peak:.4g}')!r},horizon={horizon},warmup={warmup}"
    if shape == "wsd":
        keys += f",cooldown={rng.uniform(0.1, 0.5):.2f},decay={rng.choice(['linear', 'sqrt'])}"
    elif shape == "cosine":
        keys += f",final={rng.choice([0.0, 0.1])}"
    return f"{shape}:{keys}"


def measured(
    task: str,
    group: str,
    index: int,
    designs: Sequence[Design],
    measure: Callable[[object, Sequence[str], Sequence[np.ndarray], int], list[Run]],
    setting: object,
    seed: int,
    tested_points: int,
) -> Iterator[Case]:
    """The cases of a task, once each of its schedules was run; of the tested ones little is logged.

    All logs of pilots have the same distance, that of `POINTS` points for the longest.
    """
    fitted = {text: parse_schedule(text).horizon for design in designs for text in design.fitted}
    tested = {text: parse_schedule(text).horizon for design in designs for text in design.tested}
    every = max(fitted.values()) // POINTS
    steps = {text: logged(horizon, horizon // tested_points) for text, horizon in tested.items()}
    steps |= {text: logged(horizon, every) for text, horizon in fitted.items()}
    specs = list(steps)
    source = Path(small_trainings.__file__).read_text() if group == "small" else (JITTER, LUCK)
    made_from = (task, setting, specs, seed, POINTS, source)
    if tested_points != 4:
        made_from = (*made_from, tested_points)
    key = zlib.crc32(repr(made_from).encode())
    file = CACHE / f"{task}_{key:08x}.npz"
    if not file.exists():
        keep(
            file,
            measure(setting, specs, list(steps.values()), zlib.crc32(f"{seed} {task}".encode())),
        )
    runs = dict(zip(specs, kept(file), strict=True))
    for design in designs:
        yield Case(
            f"{task} {design.name}", task, group, "AB"[index % 2],
            [runs[text] for text in design.fitted], [runs[text] for text in design.tested],
        )  # fmt: skip


def simulated(
    setting: object, specs: Sequence[str], steps: Sequence[np.ndarray], seed: int
) -> list[Run]:
    """Logs of the solvable model."""
    assert isinstance(setting, PowerLaw)
    rng = np.random.default_rng(seed)
    runs = []
    for text, step in zip(specs, steps, strict=True):
        schedule = parse_schedule(text)
        clean = loss(setting, schedule, at=step) + setting.noise
        luck = LUCK * rng.standard_normal() + JITTER * rng.standard_normal(len(step))
        runs.append(Run(text, step, clean * np.exp(luck), schedule, setting.batch_size))
    return runs


def trained(
    setting: object, specs: Sequence[str], steps: Sequence[np.ndarray], seed: int
) -> list[Run]:
    """Logs of NumPy trainings."""
    assert isinstance(setting, small_trainings.Setting)
    schedules = [parse_schedule(text) for text in specs]
    rates = [schedule(np.arange(schedule.horizon)) for schedule in schedules]
    losses = small_trainings.train(setting, rates, steps, seed)
    return [
        Run(text, step, values, schedule, setting.batch_size)
        for text, schedule, step, values in zip(specs, schedules, steps, losses, strict=True)
    ]


def logged(horizon: int, every: int) -> np.ndarray:
    """Steps of a log: multiples of `every`, and the horizon."""
    return np.unique(np.append(np.arange(every, horizon, every), horizon)).astype(float)


def keep(file: Path, runs: Sequence[Run]) -> None:
    """Write runs under a temporary name, and rename."""
    file.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"spec": np.array([run.schedule.spec for run in runs])}
    arrays["batch_size"] = np.array([run.batch_size for run in runs], dtype=float)
    for i, run in enumerate(runs):
        arrays |= {f"step{i}": run.step, f"loss{i}": run.loss}
    # np.savez appends .npz to a name that does not end in it.
    temporary = file.with_suffix(".tmp.npz")
    np.savez_compressed(temporary, **arrays)  # type: ignore[arg-type]
    temporary.replace(file)


@cache
def kept(file: Path) -> list[Run]:
    """The runs of a file of `keep`."""
    with np.load(file, allow_pickle=False) as data:
        return [
            Run(str(text), data[f"step{i}"], data[f"loss{i}"], parse_schedule(str(text)), float(b))
            for i, (text, b) in enumerate(zip(data["spec"], data["batch_size"], strict=True))
        ]


def main() -> None:
    count: dict[str, Counter[str]] = {}
    for case in cases():
        bands = [case.band(run) for run in case.tested if not case.above_peak(run)]
        row = count.setdefault(f"{case.half} {case.task}", Counter())
        row.update([f"cases {case.count_band}", *bands])
        row["above"] += len(case.tested) - len(bands)
    heads = [*(f"cases {name}" for name in COUNTS), *BANDS, "above"]
    print(f"{'task':<12}" + "".join(f"{head:>11}" for head in heads))
    for task, row in sorted(count.items()):
        print(f"{task:<12}" + "".join(f"{row[head]:>11}" for head in heads))
    total = sum(count.values(), Counter())
    print(f"{'all':<12}" + "".join(f"{total[head]:>11}" for head in heads))


if __name__ == "__main__":
    main()
