"""Keras 3 follows the schedule on its torch and JAX backends, and saves and resumes it."""

from __future__ import annotations

import fcntl
import json
import os
import subprocess
import sys
import tempfile
from functools import cache
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etastar.runs import read_runs
from etastar.schedule import parse_schedule

pytest.importorskip("keras")
pytest.importorskip("torch")

CHECKS = Path(__file__).with_name("keras_checks.py")
WSD = "wsd:peak=0.05,horizon=24,warmup=3,cooldown=12,decay=linear"


@cache
def measured(backend: str) -> dict[str, Any]:
    """What keras_checks.py prints; one process a backend, for all tests and workers."""
    run = os.environ.get("PYTEST_XDIST_TESTRUNUID", str(os.getpid()))
    path = Path(tempfile.gettempdir()) / f"etastar-keras-{run}-{backend}.json"
    with open(path, "a+", encoding="utf-8") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        file.seek(0)
        text = file.read()
        if not text:
            text = _report(backend)
            file.write(text)
    return json.loads(text)


def _report(backend: str) -> str:
    environment = {**os.environ, "KERAS_BACKEND": backend, "JAX_ENABLE_X64": "0"}
    done = subprocess.run(
        [sys.executable, str(CHECKS)], env=environment, capture_output=True, text=True
    )
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.partition("REPORT ")[2]


backends = pytest.mark.parametrize("backend", ["torch", "jax"])


@pytest.mark.slow
@backends
def test_every_shape_is_the_schedule_to_the_last_bit_of_the_float(backend: str) -> None:
    shapes = measured(backend)["shapes"]
    assert len(shapes) == 25
    assert [spec for spec, same in shapes.items() if not same] == []


@backends
def test_values_are_those_of_keras_at_the_same_step(backend: str) -> None:
    # Keras computes in float32.
    own = measured(backend)["own"]
    assert len(own) == 5
    assert max(own.values()) < 2e-7


@backends
def test_a_loaded_model_goes_on_as_if_it_had_not_stopped(backend: str) -> None:
    found = measured(backend)["resumed"]
    assert found["same_weights"]
    assert found["spec"] == WSD
    assert found["iterations"] == 24
    assert np.float32(found["next"]) == np.float32(parse_schedule(WSD)(8))
    if backend == "torch":
        wanted = parse_schedule(WSD)(np.arange(24)).tolist()
        assert found["whole_seen"] == wanted
        assert found["seen"] == wanted


@backends
def test_the_run_log_says_the_run_and_goes_on_after_a_resume(backend: str, tmp_path: Path) -> None:
    found = measured(backend)["resumed"]
    assert found["log"][1:] == found["whole_log"][1:]
    (tmp_path / "run.jsonl").write_text("\n".join(found["log"]) + "\n")
    (run,) = read_runs([tmp_path / "run.jsonl"])
    assert run.schedule == parse_schedule(WSD)
    assert run.batch_size == 32
    assert run.metadata["optimizer"] == "SGD"
    assert run.step.tolist() == [4, 8, 12, 16, 20, 24]


@backends
def test_accumulated_batches_count_as_one_update(backend: str) -> None:
    found = measured(backend)["accumulated"]
    assert found["difference"] < 1e-6
    assert found["log_steps"] == [2, 4, 6]
    if backend == "torch":
        wanted = parse_schedule("linear:peak=0.05,horizon=6")(np.arange(6)).tolist()
        assert found["seen"] == wanted


def test_momentum_follows_its_schedule_where_updates_are_eager() -> None:
    found = measured("torch")["momenta"]
    wanted = parse_schedule("linear:peak=0.9,horizon=24,final=0.5")(np.arange(24)).tolist()
    assert found["refused"] is None
    assert found["seen"] == wanted
    assert "keeps no momentum" in found["without"]


def test_a_momentum_that_would_be_compiled_in_is_refused() -> None:
    found = measured("jax")["momenta"]
    assert found["seen"] == []
    assert "run_eagerly=True" in found["refused"]


def test_bad_input_is_refused_with_a_way_out() -> None:
    found = measured("torch")["refusals"]
    assert "makes 24 updates and its schedule has 25" in found["horizon"]
    assert "is no ScheduledRate" in found["plain"]
    assert "accumulates 4 batches and ScheduledRate counts 1" in found["accumulation"]
    assert "no val_loss, only loss" in found["metric"]
    assert "goes to the optimiser" in found["number"]
    assert "accumulation must be at least 1, got 0" in found["zero"]


def test_the_loss_of_a_log_may_be_the_validations() -> None:
    *history, first, second, third = measured("torch")["validated"]
    rows = [first, second, third]
    assert [row["step"] for row in rows] == [8, 16, 24]
    assert [row["loss"] for row in rows] == [entry["history"] for entry in history]
    assert all(row["train_loss"] > 0 for row in rows)


@backends
def test_it_is_saved_exactly_and_long_horizons_need_no_table(backend: str) -> None:
    assert measured(backend)["serialised"] == "3 True"
    wanted = parse_schedule("linear:peak=0.1,horizon=1e9")(10**9 - np.arange(1, 4))
    np.testing.assert_allclose(measured(backend)["long"], wanted, rtol=1e-6)


@backends
def test_importing_it_brings_in_keras_and_numpy_alone(backend: str) -> None:
    ground = {"_checks", "_display", "_errors", "_files", "_json", "_locks", "_provenance"}
    assert set(measured(backend)["imports"]) - ground == {"integrations", "schedule"}
    assert measured(backend)["heavy"] == []


@backends
def test_a_rate_follows_the_group_that_is_named(backend: str) -> None:
    at_10 = 0.02 * (1 - 10 / 24)
    wanted = {"muon": at_10, "adamw": 0.15 * at_10, "head": 0.5 * at_10, "used": 0.02}
    assert measured(backend)["groups"] == pytest.approx(wanted, rel=1e-6)


def test_a_rate_of_several_groups_must_be_told_which() -> None:
    told = measured("torch")["refusals"]["groups"]
    assert "for the groups muon, head: say which one is meant" in told
