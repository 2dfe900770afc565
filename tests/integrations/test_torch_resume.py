"""A training that is killed again and again ends as the one that was not."""

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

pytest.importorskip("torch")

from etastar.runs import read_runs
from etastar.schedule import parse_schedule

SCRIPT = Path(__file__).with_name("resumable_training.py")


def test_killed_at_20_random_updates_a_run_is_the_uninterrupted_one(tmp_path):
    command = [sys.executable, str(SCRIPT), str(tmp_path), "0", "20"]
    done = subprocess.run(command, capture_output=True, text=True, timeout=300)
    assert done.returncode == 0, done.stderr
    for kind, found in json.loads(done.stdout).items():
        # A kill due after the last checkpoint may find nothing left to do.
        assert len(found["died"]) >= 18
        assert found["stormy"]["updates"] > found["calm"]["updates"] == 140
        # LR of both groups, momentum and the samples of each batch, at every update.
        assert found["stormy"]["rows"] == found["calm"]["rows"]
        assert found["stormy"]["weights"] == found["calm"]["weights"]

        lr = parse_schedule("wsd:peak=0.05,horizon=140,warmup=20,cooldown=0.3")
        planned = np.array([lr(t) for t in range(140)])
        planned = planned.astype(np.float32 if kind == "tensor" else np.float64)
        assert [row["lr"][0] for row in found["calm"]["rows"]] == planned.tolist()
        logs = [tmp_path / kind / name / "run.jsonl" for name in ("calm", "stormy")]
        calm, stormy = read_runs(logs)
        np.testing.assert_array_equal(calm.step, stormy.step)
        np.testing.assert_array_equal(calm.loss, stormy.loss)
        assert calm.schedule == stormy.schedule == lr
