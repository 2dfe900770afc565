"""The trainings on drawn images behind `bench/real_controls.py`: what is trained, by name.

`bench/run_queue.py momentum ramp_images` trains them. Every arm is trained at five sizes of its LR,
a factor 2 apart, and three seeds. `plans.json`, which `python bench/real_controls.py plan` wrote,
holds the schedules that the solvable model finds.
"""

from __future__ import annotations

import itertools
import json
from collections.abc import Iterator
from dataclasses import dataclass, field
from functools import cache
from pathlib import Path

import numpy as np

from etastar.schedule import Schedule, parse_schedule, table

PLANS = Path(__file__).parent / "runs" / "real_controls" / "plans.json"
UPDATES, BATCH, WARMUP, SEEDS = 4000, 16, 100, 3
SAMPLES = UPDATES * BATCH
MOMENTA = (0.0, 0.8, 0.9, 0.95, 0.98)
TOTAL_RATES = (0.125, 0.25, 0.5, 1.0, 2.0)
"""Peaks of LR / (1 - momentum), which a constant momentum keeps comparable."""

TWO_RATES = (0.008, 0.016, 0.032, 0.064, 0.128)
HEAVY_BALL = (0.01, 0.02, 0.04, 0.08, 0.16)
"""Factors of the model's LRs, whose unit is that of its features, in the two planned arms."""

LATENCY = 16.0
"""Of the modelled machine: an update takes that long, and each of its images one unit more."""

SECONDS = UPDATES * (LATENCY + BATCH)
LARGEST_BATCH = 256


@dataclass(frozen=True)
class Controls:
    """What an update does.

    Attributes:
        lr: of every update; of the gradient where `velocity` is given.
        momentum: of every update.
        batch: images of every update.
        velocity: LR of the velocity, where it has its own.
    """

    lr: Schedule
    momentum: float | Schedule = 0.0
    batch: int | Schedule = BATCH
    velocity: Schedule | None = None

    def scaled(self, factor: float) -> Controls:
        """The same with all LRs times a factor."""
        velocity = self.velocity and self.velocity.scaled(peak=self.velocity.peak * factor)
        lr = self.lr.scaled(peak=self.lr.peak * factor)
        return Controls(lr, self.momentum, self.batch, velocity)

    @property
    def samples(self) -> int:
        """Images of the whole run; a batch is rounded, and at least one."""
        if isinstance(self.batch, int):
            return self.batch * self.lr.horizon
        sizes = np.asarray(self.batch(np.arange(self.lr.horizon)))
        return int(np.maximum(np.round(sizes), 1).sum())

    def options(self) -> list[str]:
        """Those of `python -m etastar.train.images`."""
        found = ["--schedule", self.lr.spec]
        for name, control in (("momentum", self.momentum), ("batch", self.batch)):
            if isinstance(control, Schedule):
                found += [f"--{name}-schedule", control.spec]
            else:
                found += [f"--{name}", str(control)]
        return found + (["--velocity-schedule", self.velocity.spec] if self.velocity else [])


@dataclass(frozen=True)
class Arm:
    """One way to train, at several LRs.

    Attributes:
        group: of the queue, which is its folder.
        name: of the arm.
        controls: at a factor of 1.
        factors: of its LRs, rising.
        planned: whether the solvable model made any of its schedules.
    """

    group: str
    name: str
    controls: Controls = field(repr=False)
    factors: tuple[float, ...]
    planned: bool = False

    def run_name(self, factor: float, seed: int) -> str:
        return f"{self.name}_f{factor:g}_s{seed}"


@cache
def plans(path: Path = PLANS) -> dict:
    """What `python bench/real_controls.py plan` found; a missing file names that command."""
    if not path.exists():
        raise FileNotFoundError(f"{path} is missing: run python bench/real_controls.py plan")
    return json.loads(path.read_text("utf-8"))


def planned(name: str) -> Controls:
    """The controls of a plan, in the model's unit of the LR."""
    found = {key: parse_schedule(spec) for key, spec in plans()["plans"][name].items()}
    return Controls(
        found["lr"], found.get("momentum", 0.0), found.get("batch", BATCH), found.get("velocity")
    )


def momentum_arms() -> list[Arm]:
    """At the same number of updates: constant momenta, and what the model plans."""
    linear = parse_schedule(f"linear:peak=1,horizon={UPDATES},warmup={WARMUP}")
    alone = planned("lr").lr
    arms = [
        Arm("momentum", f"{shape}_mu{mu:g}", Controls(lr.scaled(peak=1 - mu), mu), TOTAL_RATES,
            planned=shape == "planned")
        for shape, lr, momenta in (("linear", linear, MOMENTA), ("planned", alone, (0.0, 0.9)))
        for mu in momenta
    ]  # fmt: skip
    two, heavy = planned("two rates"), planned("heavy ball")
    return [
        *arms,
        Arm("momentum", "two_rates", two, TWO_RATES, planned=True),
        Arm("momentum", "heavy_ball", heavy, HEAVY_BALL, planned=True),
    ]


def fixed_batch(size: int, updates: int) -> Controls:
    """A linear decay of plain SGD, warmed up over as many samples as the others.

    At a factor of 1 its peak grows with the root of the batch size.
    """
    peak, warmup = (size / BATCH) ** 0.5, WARMUP * BATCH // size
    lr = parse_schedule(f"linear:peak={peak:.4g},horizon={updates},warmup={warmup}")
    return Controls(lr, batch=size)


def ramp_instead_of_decay(lr: Schedule) -> Controls:
    """The ramp with the LR over batch size of a decay at batch size 16, sample by sample.

    After the warmup the LR stays at its peak and the batch grows in proportion to peak / LR, until
    the largest batch size, from where the LR decays.
    """
    sizes, rates, seen = [], [], 0
    while seen < SAMPLES:
        place = seen // BATCH
        rate = float(lr(place))
        size = BATCH if place < WARMUP or rate <= 0 else round(BATCH * lr.peak / rate)
        sizes.append(min(max(size, BATCH), LARGEST_BATCH, SAMPLES - seen))
        rates.append(rate * sizes[-1] / BATCH)
        seen += sizes[-1]
    horizon = len(sizes)
    # The LR falls to 0 with the decay's last update; a schedule needs a value there.
    knots = np.unique(np.concatenate([np.arange(WARMUP + 1), _changes(sizes), _spaced(horizon)]))
    knots = knots[knots < horizon]
    end = [horizon]
    return Controls(
        table([*knots, *end], [*np.array(rates)[knots], rates[-1]]),
        batch=table([*knots, *end], [*np.array(sizes, dtype=float)[knots], float(sizes[-1])]),
    )


def _changes(sizes: list[int]) -> np.ndarray:
    """The updates before and at which the batch size changes."""
    at = np.flatnonzero(np.diff(sizes))
    return np.concatenate([at, at + 1])


def _spaced(horizon: int) -> np.ndarray:
    return np.linspace(0, horizon - 1, 100).astype(int)


def ramp_arms() -> list[Arm]:
    """Fixed batch sizes and ramps of plain SGD, which is what the model plans ramps for.

    Those of batch size 16 are in `momentum_arms`.
    """
    arms = []
    for size, budget in itertools.product((8, 32, 64), ("samples", "seconds")):
        updates = SAMPLES // size if budget == "samples" else int(SECONDS / (LATENCY + size))
        controls = fixed_batch(size, updates)
        arms.append(Arm("ramp_images", f"{budget}_b{size}", controls, TOTAL_RATES))
    ramps = {
        "samples_ramp": ramp_instead_of_decay(planned("lr").lr.scaled(peak=1.0)),
        "seconds_ramp": Controls(planned("ramp").lr.scaled(peak=1.0), batch=planned("ramp").batch),
    }
    return arms + [
        Arm("ramp_images", name, each, TOTAL_RATES, planned=True) for name, each in ramps.items()
    ]


def compared() -> dict[str, list[Arm]]:
    """The arms that spend the same, by what they spend: updates, samples or seconds.

    At batch size 16 the same run is in all of these.
    """
    momentum, ramps = momentum_arms(), ramp_arms()
    same = {arm.name: arm for arm in momentum}
    linear, alone = same["linear_mu0"], same["planned_mu0"]
    return {
        "updates": momentum,
        "samples": [linear, alone, *(arm for arm in ramps if arm.name.startswith("samples"))],
        "seconds": [linear, alone, *(arm for arm in ramps if arm.name.startswith("seconds"))],
    }


def seconds_of(controls: Controls) -> float:
    """What the modelled machine takes for a run."""
    return LATENCY * controls.lr.horizon + controls.samples


def runs(arms: list[Arm]) -> Iterator[tuple[str, list[str], Controls, int]]:
    """Name, options, controls and seed of every run of some arms."""
    for seed, arm in itertools.product(range(SEEDS), arms):
        for factor in arm.factors:
            controls = arm.controls.scaled(factor)
            every = max(1, round(controls.lr.horizon / 20))
            options = [*controls.options(), "--seed", str(seed), "--eval-every", str(every)]
            yield arm.run_name(factor, seed), options, controls, seed
