"""A plan made by hand, for what shows plans."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any

import numpy as np

from etastar.law import Forecast
from etastar.planning import Alternative, Estimate, OtherHorizon, PhaseEstimate, Plan
from etastar.runs import Run
from etastar.schedule import Schedule, parse_schedule, table


@dataclass
class PowerOfTime:
    """Stands for a fitted law: loss 2 + 3 tau^-0.5 whatever the noise, within 1%."""

    steps_fitted = 2000.0
    peak_range = (0.01, 0.02)
    caveats = ()
    residuals: dict[str, Any] = field(default_factory=dict)
    constants: dict[str, float] = field(
        default_factory=lambda: {"floor": 2.0, "source": 0.5, "capacity": 1.5}
    )

    def predict(self, schedule: Schedule, at: Any = None, level: float = 0.9) -> Forecast:
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
        Alternative(family, parse_schedule(spec), 2.4 + 0.01 * i, 0.01 * (i + 1), steps)
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
    }
    return Plan(**(fields | changes))
