"""MLflow: its server on a SQLite database, that database itself, and its file store."""

from __future__ import annotations

import contextlib
import json
import os
import shlex
import socket
import sqlite3
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from pathlib import Path

import numpy as np
import pytest
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient

from etastar.cli import main
from etastar.runs import read_runs
from etastar.schedule import InputError
from tests.helpers.guides import blocks_of, lines_of

STEPS = np.arange(0, 200, 10)
LOSSES = 2 + 2 / (1 + STEPS / 40)


def log_run(client: MlflowClient, experiment: str, name: str, peak: float) -> str:
    """A run by MLflow's own client; metrics with a slash, and one of the machine."""
    run = client.create_run(experiment, run_name=name).info.run_id
    metrics = []
    for step, loss in zip(STEPS.tolist(), LOSSES.tolist(), strict=True):
        metrics.append(Metric("val/loss", loss, 1000 + step, step))
        metrics.append(Metric("lr", peak * (1 - step / 200), 1000 + step, step))
    metrics.append(Metric("system/cpu", 3.0, 1000, 0))
    client.log_batch(run, metrics=metrics, params=[Param("batch_size", "16")])
    return run


def free_port() -> int:
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        return taken.getsockname()[1]


@pytest.fixture(scope="module")
def store(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A database with two experiments, one run deleted."""
    path = tmp_path_factory.mktemp("mlflow") / "mlflow.db"
    client = MlflowClient(f"sqlite:///{path}")
    sweep = client.create_experiment("sweep", artifact_location=str(path.parent))
    other = client.create_experiment("other", artifact_location=str(path.parent))
    log_run(client, sweep, "amber", 1e-3)
    log_run(client, sweep, "birch", 2e-3)
    log_run(client, other, "amber", 5e-3)
    client.delete_run(log_run(client, sweep, "gone", 9e-3))
    return path


@pytest.fixture(scope="module")
def server(store: Path) -> Iterator[str]:
    """MLflow's server on that database, without the parts of it that its client does not ask."""
    port = free_port()
    settings = {
        "_MLFLOW_SERVER_FILE_STORE": f"sqlite:///{store}",
        "_MLFLOW_SERVER_ARTIFACT_ROOT": str(store.parent),
    }
    command = [sys.executable, "-m", "flask", "--app", "mlflow.server", "run", "--port", str(port)]
    log = (store.parent / "server.log").open("w")
    process = subprocess.Popen(
        command, env={**os.environ, **settings}, stdout=log, stderr=subprocess.STDOUT
    )
    address = f"http://127.0.0.1:{port}"
    try:
        for _ in range(400):
            try:
                urllib.request.urlopen(f"{address}/health", timeout=5)
                break
            except OSError:
                assert process.poll() is None, (store.parent / "server.log").read_text()
                time.sleep(0.25)
        yield address
    finally:
        process.terminate()
        process.wait(timeout=20)
        log.close()


def check_sweep(runs: list) -> None:
    assert sorted(run.name for run in runs) == ["amber", "birch"]
    for run in runs:
        assert run.step.tolist() == STEPS.tolist()
        assert run.loss == pytest.approx(LOSSES)
        assert (run.batch_size, run.metadata["loss_column"]) == (16.0, "val/loss")
    peaks = {run.name: run.schedule.peak for run in runs}
    assert peaks == {"amber": pytest.approx(1e-3), "birch": pytest.approx(2e-3)}


def test_an_experiment_of_a_server_is_read(server: str):
    check_sweep(read_runs(f"mlflow:{server}#sweep"))
    assert len(read_runs(f"mlflow:{server}")) == 3
    with pytest.raises(InputError, match=r"no experiment 'none'; there are .*sweep"):
        read_runs(f"mlflow:{server}#none")


def test_the_database_is_read_without_a_server(store: Path):
    check_sweep(read_runs(f"mlflow:sqlite:///{store}#sweep"))
    runs = read_runs(store)
    assert sorted(run.schedule.peak for run in runs) == pytest.approx([1e-3, 2e-3, 5e-3])
    assert len({run.name for run in runs}) == 3
    # In a folder it is found as any log.
    assert len(read_runs(store.parent)) == 3


@pytest.mark.parametrize(
    ("address", "message"),
    [
        ("", "names no tracking URI"),
        ("#sweep", "names no tracking URI"),
        ("sqlite:////nowhere/mlflow.db", "no such database"),
        ("/nowhere/mlruns", "no such folder"),
    ],
)
def test_what_is_not_there_is_refused(address: str, message: str):
    with pytest.raises(InputError, match=message):
        read_runs(f"mlflow:{address}")


def test_a_server_that_does_not_run_is_an_error_at_once():
    with pytest.raises(InputError, match="check the URI and that the server runs"):
        read_runs(f"mlflow:http://127.0.0.1:{free_port()}#sweep")


def test_a_database_that_mlflow_would_update_is_not_changed(store: Path, tmp_path: Path, capfd):
    path = tmp_path / "older #1.db"
    path.write_bytes(store.read_bytes())
    with contextlib.closing(sqlite3.connect(path)) as base, base:
        base.execute("DROP TABLE inputs")  # of a later version than the rest
    before = path.read_bytes()
    with contextlib.suppress(InputError):
        read_runs(path)
    assert path.read_bytes() == before
    assert capfd.readouterr().err == ""


@pytest.fixture
def file_store(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("MLFLOW_ALLOW_FILE_STORE", "true")
    client = MlflowClient((tmp_path / "mlruns").as_uri())
    sweep = client.create_experiment("sweep")
    log_run(client, sweep, "amber", 1e-3)
    log_run(client, sweep, "birch", 2e-3)
    client.delete_run(log_run(client, sweep, "gone", 9e-3))
    return tmp_path / "mlruns"


def test_the_file_store_is_read_without_mlflow(file_store: Path, monkeypatch: pytest.MonkeyPatch):
    for module in ("mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, module, None)
    check_sweep(read_runs(file_store))
    check_sweep(read_runs(file_store.parent))
    check_sweep(read_runs(f"mlflow:{file_store}#sweep"))
    with pytest.raises(InputError, match=r"no run with metrics; experiments: .*sweep"):
        read_runs(f"mlflow:{file_store}#other")


def test_a_file_of_a_metric_stands_for_its_run(file_store: Path):
    files = sorted(file_store.glob("*/*/metrics/val/loss"))
    (one,) = [run for file in files for run in read_runs(file) if run.name == "birch"]
    assert one.loss == pytest.approx(LOSSES)


def test_a_line_that_is_none_is_named(file_store: Path):
    file = next(file_store.glob("*/*/metrics/lr"))
    file.write_text(file.read_text() + "1000 fast 3\n")
    with pytest.raises(InputError, match=rf"metrics/lr:{len(STEPS) + 1}: not a time, a value"):
        read_runs(file)


@pytest.mark.slow
def test_the_lines_of_the_guide_make_a_plan_from_a_server(
    server: str, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.setenv("MLFLOW_TRACKING_URI", server)  # put back what the lines set
    told = "http://127.0.0.1:5000"
    exec(blocks_of("trackers.md", "MLflow", "python")[0].replace(told, server), {})
    (line,) = (line for line in lines_of("trackers.md", "MLflow") if told in line)
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*shlex.split(line.replace(told, server))[1:], "--json"])
    assert stopped.value.code == 0
    plan = json.loads(capsys.readouterr().out)
    assert 1e-3 / 4 <= plan["peak_lr"] <= 4e-3
