"""What trackers count and declare: steps that are calls of `log`, batch sizes of a device."""

from __future__ import annotations

from pathlib import Path

import pytest

from etastar.runs import Run, read_runs
from etastar.runs._tracker import table_of_run

CALLED = "calls of log"


def read(tmp_path: Path, steps: range, **options: object) -> Run:
    lines = [
        f'{{"_step": {step}, "epoch": {n + 1}, "loss": {3 - n / 10}, "lr": 0.1}}'
        for n, step in enumerate(steps)
    ]
    (tmp_path / "log.jsonl").write_text("\n".join(lines) + "\n")
    (run,) = read_runs(tmp_path / "log.jsonl", **options)  # type: ignore[arg-type]
    return run


def test_steps_that_may_be_calls_of_log_are_a_caveat(tmp_path: Path):
    assert any(CALLED in line for line in read(tmp_path, range(6)).caveats)
    assert not any(CALLED in line for line in read(tmp_path, range(0, 120, 20)).caveats)
    assert not any(CALLED in line for line in read(tmp_path, range(6), step="_step").caveats)


def test_epochs_are_stronger_than_calls_of_log_but_not_than_steps(tmp_path: Path):
    run = read(tmp_path, range(6), steps_per_epoch=50)
    assert run.step.tolist() == [50, 100, 150, 200, 250, 300]
    assert not any(CALLED in line for line in run.caveats)
    run = read(tmp_path, range(0, 120, 20), steps_per_epoch=50)
    assert run.step.tolist() == [0, 20, 40, 60, 80, 100]


@pytest.mark.parametrize(
    ("config", "said"),
    [
        ({"batch_size": 12, "gradient_accumulation_steps": 40}, 1),
        ({"batch_size": 12, "gradient_accumulation_steps": 1}, 0),
        ({"batch_size": 12, "global_batch_size": 480, "gradient_accumulation_steps": 40}, 0),
        ({"gradient_accumulation_steps": 40}, 0),
    ],
)
def test_a_batch_size_beside_gradient_accumulation_is_a_caveat(config: dict, said: int):
    table = table_of_run(Path("a"), "a", [{"_step": 0, "loss": 3.0}], config)
    assert len(table.caveats) == said
    assert all("global_batch_size" in line for line in table.caveats)
