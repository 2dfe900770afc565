"""A plan made by hand, and a folder of logs, for what shows plans and for the commands."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etastar.law import Forecast
from etastar.plan import Alternative, Estimate, Phase, Plan, Transfer
from etastar.runs import Run
from etastar.schedule import Schedule, parse_schedule, table


class PowerOfTime:
    """Stands for a fitted law: loss 2 + 3 tau^-0.5 whatever the noise, within 1%."""

    steps_fitted = 2000.0
    peak_range = (0.01, 0.02)
    residuals: dict[str, Any] = {}  # noqa: RUF012
    caveats = ()
    constants = {"floor": 2.0, "source": 0.5, "capacity": 1.5}  # noqa: RUF012

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
        "phase": Phase(
            "easy",
            Estimate(0.3, 0.2, 0.4),
            Estimate(1.5, 1.4, 1.7),
            Estimate(0.5, 0.45, 0.55),
        ),
        "nearest": alternatives[0],
        "comparison": alternatives,
        "expected_regret": 0.0025,
        "transfer": (Transfer(4000, 0.02, 2.5), Transfer(8000, 0.015, 2.39)),
        "caveats": ("only 3 pilots",),
        "runs": PILOTS,
        "left_out": (),
        "law": law,
    }
    return Plan(**(fields | changes))


@pytest.fixture
def plan_of():
    """The function that makes a plan by hand."""
    return make_plan


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the three pilots as CSV files with a runs.csv."""
    folder = tmp_path_factory.mktemp("logs")
    rows = ["run,schedule"]
    for run in PILOTS:
        rows.append(f'{run.name},"{run.schedule.spec}"')
        lines = [f"{step:g},{loss:.6f}" for step, loss in zip(run.step, run.loss, strict=True)]
        (folder / f"{run.name}.csv").write_text("\n".join(["step,loss", *lines]) + "\n")
    (folder / "runs.csv").write_text("\n".join(rows) + "\n")
    return folder
