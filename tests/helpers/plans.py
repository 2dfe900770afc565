"""A plan made by hand, for what shows plans."""

from __future__ import annotations

from dataclasses import dataclass, field, replace
from typing import Any

import numpy as np

from etastar.law import Difference, Forecast, Units, form_named
from etastar.planning import (
    Alternative,
    BatchMap,
    Estimate,
    OtherHorizon,
    PhaseEstimate,
    Plan,
    Within,
)
from etastar.runs import Run
from etastar.schedule import Schedule, join, parse_schedule, table


@dataclass
class PowerOfTime:
    """Stands for a fitted law: loss 2 + 3 tau^-0.5 whatever the noise, within 1%."""

    form = form_named("etastar")
    units = Units(0.02, 2000.0, 32.0)
    steps_fitted = 2000.0
    peak_range = (0.01, 0.02)
    caveats = ()
    residuals: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, float] = field(
        default_factory=lambda: {"floor": 2.0, "source": 0.5, "capacity": 1.5}
    )

    def predict(
        self, schedule: Schedule, at: Any = None, level: float = 0.9, batch_size: Any = None
    ) -> Forecast:
        step = np.linspace(1, schedule.horizon, 50) if at is None else np.asarray(at, float)
        mean = 2 + 3 / np.sqrt(0.1 + schedule.intrinsic_time(step))
        return Forecast(step, mean, 0.99 * mean, 1.01 * mean)


def pilot(name: str, spec: str) -> Run:
    schedule = parse_schedule(spec)
    step = np.linspace(0, schedule.horizon, 101)[1:]
    return Run(name, step, PowerOfTime().predict(schedule, step).mean * 1.001, schedule)


PILOTS = (
    pilot("low", "constant:peak=0.01,horizon=1000,warmup=20"),
    pilot("high", "constant:peak=0.02,horizon=1000,warmup=20"),
    pilot("cooled", "wsd:peak=0.02,horizon=2000,warmup=20,cooldown=0.2"),
)


def make_plan(**changes: Any) -> Plan:
    """A plan of 8000 steps; `changes` replace its fields."""
    schedule = table([0, 20, 5000, 8000], [0.0, 0.015, 0.015, 0.0])
    others = [
        ("cosine", "cosine:peak=0.02,horizon=8000,warmup=20", 9000.0),
        ("constant", "constant:peak=0.01,horizon=8000,warmup=20", None),
    ]
    alternatives = tuple(
        Alternative(
            family,
            parse_schedule(spec),
            2.4 + 0.01 * i,
            0.01 * (i + 1),
            steps,
            difference=Difference(0.01 * (i + 1), -0.005 + 0.01 * i, 0.03 + 0.01 * i),
        )
        for i, (family, spec, steps) in enumerate(others)
    )
    law: Any = PowerOfTime()
    fields: dict[str, Any] = {
        "horizon": 8000,
        "schedule": schedule,
        "loss": Estimate(2.39, 2.36, 2.42),
        "forecast": law.predict(schedule),
        "phase": PhaseEstimate(
            "easy",
            Estimate(0.3, 0.2, 0.4),
            Estimate(1.5, 1.4, 1.7),
            Estimate(0.5, 0.45, 0.55),
        ),
        "nearest": alternatives[0],
        "comparison": alternatives,
        "expected_regret": 0.0025,
        "other_horizons": (OtherHorizon(4000, 0.02, 2.5), OtherHorizon(8000, 0.015, 2.39)),
        "caveats": ("only 3 pilots",),
        "runs": PILOTS,
        "left_out": (),
        "law": law,
        "within": Within(0.002, (0.011, 0.018), None),
    }
    return Plan(**(fields | changes))


def make_batch_plan(**changes: Any) -> Plan:
    """The same with a batch size that rises from 16 to 64; `changes` replace its fields."""
    sizes = [(16, 4000), (32, 7000), (64, 8000)]
    batch = join(
        [(parse_schedule(f"constant:peak={b},horizon={until}"), until) for b, until in sizes]
    )
    rows = [
        replace(other, batch_size=32.0 if i == 0 else 128.0)
        for i, other in enumerate(make_plan().comparison)
    ]
    peaks, widths = np.geomspace(0.004, 0.02, 9), np.geomspace(8, 128, 5)
    bowl = np.log(peaks / 0.015) ** 2 + 0.2 * np.log(widths[:, None] / 32) ** 2
    runs = tuple(
        replace(run, batch_size=size) for run, size in zip(PILOTS, (16, 32, 128), strict=True)
    )
    fields = {
        "comparison": tuple(rows),
        "nearest": rows[0],
        "runs": runs,
        "batch_size": batch,
        "samples": float(batch.intrinsic_time(8000)),
        "seconds": 5400.0,
        "critical_batch": Estimate(50.0, 30.0, 90.0),
        "within": Within(0.002, (0.011, 0.018), (20.0, 45.0)),
        "batch_map": BatchMap(peaks, widths, 2.39 + 0.05 * bowl),
    }
    return make_plan(**(fields | changes))
