"""Trackio: a database that its own client wrote."""

from __future__ import annotations

import contextlib
import os
import sqlite3
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import trackio

from etastar.runs import read_runs
from etastar.schedule import InputError

assert trackio.init  # what writes the database, in a process of its own
STEPS = np.arange(0, 200, 10)
LOSSES = 2 + 2 / (1 + STEPS / 40)
# Trackio keeps its folder from the moment it is imported.
WRITER = """
import trackio
for name, peak in (("amber", 1e-3), ("birch", 2e-3)):
    trackio.init(project="pilots", name=name, config={"batch_size": 8}, auto_log_gpu=False)
    for step in range(0, 200, 10):
        loss = 2 + 2 / (1 + step / 40)
        trackio.log({"val": {"loss": loss}, "train/lr": peak * (1 - step / 200)}, step=step)
    trackio.finish()
"""


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("trackio")
    settings = {**os.environ, "TRACKIO_DIR": str(folder)}
    subprocess.run([sys.executable, "-c", WRITER], env=settings, check=True, capture_output=True)
    return folder


@pytest.mark.parametrize("source", ["trackio:pilots", "{folder}/pilots.db", "{folder}"])
def test_the_runs_of_a_project_are_read(folder: Path, monkeypatch: pytest.MonkeyPatch, source: str):
    monkeypatch.setenv("TRACKIO_DIR", str(folder))
    runs = read_runs(source.format(folder=folder))
    assert [run.name for run in runs] == ["amber", "birch"]
    for run, peak in zip(runs, (1e-3, 2e-3), strict=True):
        assert run.step.tolist() == STEPS.tolist()
        assert run.loss == pytest.approx(LOSSES)
        assert (run.batch_size, run.schedule.peak) == (8.0, pytest.approx(peak))


def test_one_run_is_read_by_its_name(folder: Path, monkeypatch: pytest.MonkeyPatch):
    monkeypatch.setenv("TRACKIO_DIR", str(folder))
    assert [run.name for run in read_runs("trackio:pilots/birch")] == ["birch"]
    with pytest.raises(InputError, match="no run 'none'; there are amber, birch"):
        read_runs("trackio:pilots/none")
    with pytest.raises(InputError, match=r"no project 'none' in .*; projects there: pilots"):
        read_runs("trackio:none")


def test_the_database_is_not_changed(folder: Path):
    before = (folder / "pilots.db").read_bytes()
    read_runs(folder)
    assert (folder / "pilots.db").read_bytes() == before


def test_another_database_is_refused(tmp_path: Path):
    with sqlite3.connect(tmp_path / "a.db") as database:
        database.execute("CREATE TABLE notes (text TEXT)")
    database.close()
    with pytest.raises(InputError, match="a database of neither Trackio nor MLflow"):
        read_runs(tmp_path / "a.db")
    (tmp_path / "b.db").write_bytes(b"SQLite format 3\0 and then nothing that is one")
    with pytest.raises(InputError):
        read_runs(tmp_path / "b.db")


def test_a_damaged_description_of_a_table_is_refused(folder: Path, tmp_path: Path):
    # SQLite quotes the word that it cannot read, which here is no UTF-8.
    damaged = (folder / "pilots.db").read_bytes().replace(b"CREATE TABLE", b"CREATE TA\x88LE")
    (tmp_path / "pilots.db").write_bytes(damaged)
    with pytest.raises(InputError, match=r"pilots\.db"):
        read_runs(tmp_path / "pilots.db")


def test_a_step_that_is_no_number_is_refused(folder: Path, tmp_path: Path):
    copy = tmp_path / "pilots.db"
    copy.write_bytes((folder / "pilots.db").read_bytes())
    with contextlib.closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE metrics SET step = x'ff'")
    with pytest.raises(InputError, match="step"):
        read_runs(copy)


def test_a_name_that_no_file_can_have_is_shown_as_escapes(folder: Path, tmp_path: Path):
    copy = tmp_path / "pilots.db"
    copy.write_bytes((folder / "pilots.db").read_bytes())
    with contextlib.closing(sqlite3.connect(copy)) as database, database:
        database.execute("UPDATE metrics SET run_name = ? WHERE run_name = 'amber'", ("a\0b",))
    assert "a\\x00b" in [run.name for run in read_runs(copy)]
