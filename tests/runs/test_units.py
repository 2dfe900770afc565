"""Logs that count tokens, samples or epochs in the place of steps."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from etastar.runs import Run, read_runs
from etastar.schedule import InputError, parse_schedule

LINEAR = parse_schedule("linear:peak=0.1,horizon=5000")


def write(folder: Path, column: str, per_update: float, extra: str = "") -> Path:
    """A log of 51 rows, 100 updates apart."""
    head = f"{column},lr,loss" + (",batch_size" if extra else "")
    rows = [
        f"{step * per_update},{LINEAR(step)},{5 - step / 2000}{extra}"
        for step in range(0, 5001, 100)
    ]
    path = folder / "a.csv"
    path.write_text("\n".join([head, *rows]) + "\n")
    return path


def assert_read(run: Run) -> None:
    np.testing.assert_array_equal(run.step, np.arange(0, 5001, 100))
    np.testing.assert_allclose(run.schedule(run.step), LINEAR(run.step), atol=1e-8)
    assert run.schedule.horizon == 5000


@pytest.mark.parametrize(
    ("column", "per_update", "sizes"),
    [
        ("tokens", 64.0, {"batch_size": 64}),
        ("tokens_seen", 64.0 * 256, {"batch_size": 64, "sequence_length": 256}),
        ("samples", 64.0, {"batch_size": 64, "sequence_length": 256}),
        ("epoch", 0.001, {"batch_size": 64, "epoch_size": 64_000}),
    ],
)
def test_a_log_without_steps_is_read_by_its_sizes(
    tmp_path: Path, column: str, per_update: float, sizes: dict[str, float]
) -> None:
    path = write(tmp_path, column, per_update)
    with pytest.raises(InputError, match=r"no step column; found .* batch_size"):
        read_runs(path)
    (run,) = read_runs(path, **sizes)  # type: ignore[arg-type]
    assert_read(run)
    assert run.batch_size == 64
    assert any(f"column {column} is counted in updates" in caveat for caveat in run.caveats)
    names, values = zip(*sizes.items(), strict=True)
    (tmp_path / "runs.csv").write_text(f"run,{','.join(names)}\na,{','.join(map(str, values))}\n")
    assert_read(read_runs(tmp_path)[0])


def test_the_log_itself_and_runs_csv_say_the_sizes(tmp_path: Path) -> None:
    write(tmp_path, "tokens", 64.0, extra=",64")
    assert_read(read_runs(tmp_path)[0])
    write(tmp_path, "tokens", 6400.0)
    # A batch size in tokens, whatever the length of a sequence.
    (tmp_path / "runs.csv").write_text("run,batch_tokens,sequence_length\na,6.4k,100\n")
    (run,) = read_runs(tmp_path)
    assert_read(run)
    assert (run.batch_size, run.sequence_length) == (6400, None)
    # A column of steps that counts tokens, with the horizon and the spec in them too.
    write(tmp_path, "step", 64.0)
    (tmp_path / "runs.csv").write_text(
        'run,batch_size,unit,horizon,schedule\na,64,tokens,0.32M,"linear:peak=0.1"\n'
    )
    (run,) = read_runs(tmp_path)
    assert_read(run)
    assert run.schedule == LINEAR


def test_what_cannot_be_right_is_said(tmp_path: Path) -> None:
    path = write(tmp_path, "tokens", 64.0)
    with pytest.raises(InputError, match="less than an update"):
        read_runs(path, batch_size=1e9)
    (run,) = read_runs(path, batch_size=63)
    assert any("rows are rounded to the nearest" in caveat for caveat in run.caveats)
    path.write_text("tokens,samples,loss\n0,0,3\n64,1,2\n")
    with pytest.raises(InputError, match="'tokens' and 'samples' could both"):
        read_runs(path, schedule=LINEAR, batch_size=1)
    with pytest.raises(InputError, match="unit must be one of"):
        read_runs(path, unit="words")
