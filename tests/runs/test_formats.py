"""Every format is found by its suffix, wherever logs are looked for."""

from __future__ import annotations

import io
from pathlib import Path

import polars as pl
import pytest

from etastar.runs import live_log, log_name, read_runs
from etastar.runs._formats import READERS

STEPS, LOSSES = [0, 10, 20], [4.0, 3.0, 2.5]
TABLE = pl.DataFrame({"step": STEPS, "loss": LOSSES})


def parquet() -> bytes:
    data = io.BytesIO()
    TABLE.write_parquet(data)
    return data.getvalue()


# A log of each suffix. A new reader adds one here.
FILES = {
    ".csv": TABLE.write_csv().encode(),
    ".tsv": TABLE.write_csv(separator="\t").encode(),
    ".jsonl": TABLE.write_ndjson().encode(),
    ".ndjson": TABLE.write_ndjson().encode(),
    ".parquet": parquet(),
}
SPEC = "constant:peak=0.1,horizon=20"
SUFFIXES = [(reader, suffix) for reader in READERS for suffix in reader.suffixes]


@pytest.mark.parametrize(("reader", "suffix"), SUFFIXES, ids=[suffix for _, suffix in SUFFIXES])
def test_a_log_is_found_by_its_suffix_everywhere(tmp_path: Path, reader, suffix):
    log = tmp_path / f"pilot{suffix}"
    log.write_bytes(FILES[suffix])
    assert reader.accepts(log)
    assert reader.accepts(log.with_suffix(suffix.upper()))
    # In a folder, for the run of a `runs.csv`, and while it is written.
    (run,) = read_runs(tmp_path, schedule=SPEC)
    assert (run.name, run.step.tolist(), run.loss.tolist()) == ("pilot", STEPS, LOSSES)
    assert live_log(tmp_path / "pilot") == log
    assert log_name(log, "copy") == f"copy{suffix}"
    (tmp_path / "runs.csv").write_text(f'run,schedule\npilot,"{SPEC}"\n')
    (declared,) = read_runs(tmp_path)
    assert declared.schedule.spec == SPEC


def test_each_suffix_has_one_reader_and_a_log_here():
    listed = [suffix for _, suffix in SUFFIXES]
    assert sorted(listed) == sorted(set(listed))
    assert set(listed) == set(FILES)
    assert all(suffix.startswith(".") and suffix == suffix.lower() for suffix in listed)
