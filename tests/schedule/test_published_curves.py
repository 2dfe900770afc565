"""The declared schedules give the rates that published trainings logged."""

from __future__ import annotations

import csv

import numpy as np
import pytest

from etastar.schedule import parse_schedule
from tests.helpers.curves import CURVES


# llama124m logs eight digits and its warmup; mpl* logs every digit from the end of the warmup on.
@pytest.mark.parametrize(
    ("folder", "tolerance", "runs"),
    [("mpl25m", 1e-14, 9), ("mpl100m", 1e-14, 9), ("llama124m", 5e-8, 76)],
)
def test_logged_rates_are_those_of_the_declared_schedule(
    folder: str, tolerance: float, runs: int
) -> None:
    with open(CURVES / folder / "runs.csv", newline="") as lines:
        rows = list(csv.DictReader(lines))
    assert len(rows) == runs
    for row in rows:
        schedule = parse_schedule(row["schedule"])
        assert schedule.horizon == int(row["horizon"])
        log = np.genfromtxt(CURVES / folder / f"{row['run']}.csv", delimiter=",", names=True)
        np.testing.assert_allclose(
            schedule(log["step"]),
            log["lr"],
            rtol=0,
            atol=tolerance * schedule.peak,
            err_msg=row["run"],
        )
