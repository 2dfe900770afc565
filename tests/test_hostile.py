"""Nothing hostile or odd gets through: it is read, or refused in one short line."""

from __future__ import annotations

import tempfile
from pathlib import Path

import pytest
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from tests.helpers.hostile import TARGETS, attempt
from tests.helpers.hostile_stores import STORES

ALL = TARGETS | STORES
EXAMPLES = {"parquet": 3, "scheduler states": 40, "MLflow databases": 8}
"""Inputs tried of each target; 60 of the others. A Parquet file takes a process to read."""


@pytest.mark.parametrize(
    "name", [*TARGETS, *(pytest.param(name, marks=pytest.mark.slow) for name in STORES)]
)
def test_hostile_input_is_read_or_refused_in_one_line(name):
    target, refused = ALL[name], []
    if not target.can_run:
        pytest.skip(f"{target.needs} is not installed")

    @settings(
        max_examples=EXAMPLES.get(name, 60),
        deadline=None,
        derandomize=True,
        database=None,
        suppress_health_check=[HealthCheck.too_slow, HealthCheck.data_too_large],
        phases=[Phase.generate, Phase.shrink],
    )
    @given(st.data())
    def tried(data):
        value = data.draw(target.inputs)
        with tempfile.TemporaryDirectory() as folder:
            refused.append(not attempt(target, value, Path(folder)))

    tried()
    assert any(refused)
