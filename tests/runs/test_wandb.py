"""W&B: files of its own client, and its API against a server on this machine."""

from __future__ import annotations

import json
import shlex
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest
import wandb

from etastar.cli import main
from etastar.runs import read_runs
from etastar.schedule import InputError
from tests.helpers.guides import blocks_of, lines_of
from tests.helpers.wandb_server import wandb_server

STEPS = np.arange(0, 200, 10)
LOSSES = 2 + 2 / (1 + STEPS / 40)
SPEC = "cosine:peak=0.01,horizon=200"


def log_offline(folder: Path, name: str, steps: np.ndarray, run_id: str | None = None) -> None:
    """A run by W&B's own client, in offline mode."""
    settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
    run = wandb.init(
        mode="offline",
        project="pilots",
        name=name,
        id=run_id,
        dir=str(folder),
        config={"batch_size": 32, "schedule": SPEC, "model": {"width": 64}},
        settings=settings,
    )
    for step in steps:
        loss = 2 + 2 / (1 + step / 40)
        run.log(
            {"val": {"loss": loss}, "lr": 0.01 * (1 + np.cos(np.pi * step / 200)) / 2}, step=step
        )
    run.log({"weights": wandb.Histogram([1, 2, 3])}, step=int(steps[-1]) + 1)
    run.finish()
    # The service behind the client has written all when it has ended.
    wandb.teardown()


@pytest.fixture(scope="module")
def offline(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("offline")
    log_offline(folder, "amber", STEPS)
    return folder / "wandb"


def test_a_folder_of_offline_runs_is_read_by_the_files_of_the_client(offline: Path):
    (run,) = read_runs(offline)
    assert run.name == "amber"
    assert run.step.tolist() == STEPS.tolist()
    assert run.loss == pytest.approx(LOSSES)
    assert (run.batch_size, run.schedule.spec) == (32.0, SPEC)
    assert run.metadata["loss_column"] == "val.loss"
    assert run.metadata["model.width"] == 64
    assert run.caveats == ()


def test_one_file_and_a_glob_are_read_too(offline: Path):
    (file,) = offline.glob("offline-run-*/*.wandb")
    assert read_runs(file)[0].loss == pytest.approx(LOSSES)
    assert len(read_runs(str(offline / "offline-run-*"))) == 1


def test_a_file_cut_within_a_record_gives_the_records_before(offline: Path, tmp_path: Path):
    (file,) = offline.glob("offline-run-*/*.wandb")
    raw = file.read_bytes()
    cut = tmp_path / "run-cut.wandb"
    # Within the last but some records, behind most of the history.
    cut.write_bytes(raw[: int(0.8 * len(raw))])
    (run,) = read_runs(cut)
    assert 5 < len(run.step) < len(STEPS)
    assert run.loss == pytest.approx(LOSSES[: len(run.step)])
    assert any("its last record is not whole" in line for line in run.caveats)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda raw: b"something else", "not a W&B file"),
        (lambda raw: raw[:40] + b"\xff" + raw[41:], "damaged at byte 7"),
        (lambda raw: raw[:8], "nothing is logged"),
    ],
)
def test_a_file_that_is_none_or_damaged_is_refused(offline: Path, tmp_path, change, message):
    (file,) = offline.glob("offline-run-*/*.wandb")
    (tmp_path / "run-x.wandb").write_bytes(change(file.read_bytes()))
    with pytest.raises(InputError, match=message):
        read_runs(tmp_path / "run-x.wandb")


def test_records_longer_than_a_block_are_put_together(tmp_path: Path):
    """Pieces of a record that crosses blocks: written by hand as the format says."""
    import struct
    import zlib

    from wandb.proto import wandb_internal_pb2

    from etastar.runs._wandb import BLOCK, MAGIC

    written = bytearray(MAGIC)

    def write(data: bytes) -> None:
        first = True
        while first or data:
            if BLOCK - len(written) % BLOCK < 7:
                written.extend(bytes(BLOCK - len(written) % BLOCK))
            room = BLOCK - len(written) % BLOCK - 7
            piece, data = data[:room], data[room:]
            kind = (1 if not data else 2) if first else (4 if not data else 3)
            crc = zlib.crc32(piece, zlib.crc32(bytes([kind])))
            written.extend(struct.pack("<IHB", crc, len(piece), kind) + piece)
            first = False

    for step in (0, 10, 20):
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        for key, value in (("loss", 4.0 - step / 10), ("text", "x" * 50_000)):
            item = record.history.item.add()
            item.key, item.value_json = key, f'"{value}"' if key == "text" else str(value)
        record.history.step.num = step
        write(record.SerializeToString())
    (tmp_path / "run-long.wandb").write_bytes(bytes(written))
    (run,) = read_runs(tmp_path, schedule="constant:peak=1,horizon=20")
    assert (run.name, run.step.tolist(), run.loss.tolist()) == ("long", [0, 10, 20], [4, 3, 2])


def test_a_run_that_was_resumed_is_one_run(tmp_path: Path):
    """Two starts of one identifier, as the client names their folders."""
    log_offline(tmp_path, "amber", STEPS[:12], "resumed1")
    (first,) = (tmp_path / "wandb").glob("offline-run-*")
    first.rename(first.with_name("offline-run-20250101_000000-resumed1"))
    log_offline(tmp_path, "amber", STEPS[10:], "resumed1")
    (run,) = read_runs(tmp_path)
    assert run.step.tolist() == STEPS.tolist()
    assert run.loss == pytest.approx(LOSSES)
    assert any("started 2 times" in line for line in run.caveats)


def history() -> list[dict[str, object]]:
    return [
        {
            "_step": i,
            "train/global_step": int(step),
            "train/loss": loss,
            "train/learning_rate": 1e-3,
        }
        for i, (step, loss) in enumerate(zip(STEPS, LOSSES.tolist(), strict=True))
    ]


def test_runs_of_a_server_are_read_by_its_api(monkeypatch: pytest.MonkeyPatch, tmp_path: Path):
    runs = {
        "aaaa": {"name": "amber", "config": {"batch_size": 8}, "history": history()},
        "bbbb": {"name": "birch", "config": {}, "history": history()[:10]},
    }
    with wandb_server(runs) as address:
        monkeypatch.setenv("WANDB_BASE_URL", address)
        monkeypatch.setenv("WANDB_API_KEY", "0" * 40)
        monkeypatch.setenv("WANDB_CACHE_DIR", str(tmp_path))
        both = read_runs("wandb:team/pilots")
        one = read_runs("wandb:team/pilots/bbbb")
        with pytest.raises(InputError, match="wandb:team/pilots/none: W&B does not give it"):
            read_runs("wandb:team/pilots/none")
        with pytest.raises(InputError, match="wandb login"):
            read_runs("wandb:team/other")
    assert [run.name for run in both] == ["amber", "birch"]
    assert both[0].step.tolist() == STEPS.tolist()
    assert both[0].loss == pytest.approx(LOSSES)
    assert (both[0].batch_size, both[1].batch_size) == (8.0, None)
    assert both[0].schedule.peak == 1e-3
    assert [run.name for run in one] == ["birch"]


@pytest.mark.parametrize("address", ["", "team", "team/", "a/b/c/d"])
def test_an_address_that_names_no_project_is_refused(address: str):
    with pytest.raises(InputError, match="name wandb:ENTITY/PROJECT"):
        read_runs(f"wandb:{address}")


@pytest.mark.parametrize(
    ("source", "extra"),
    [("wandb:a/b", "wandb"), ("run-a.wandb", "wandb"), ("mlflow:http://127.0.0.1:1#a", "mlflow")],
)
def test_without_the_library_the_error_says_which_extra_to_install(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, source: str, extra: str
):
    monkeypatch.chdir(tmp_path)
    (tmp_path / "run-a.wandb").write_bytes(b":W&B\xe1\xbe\x00")
    # How Python itself marks a module that cannot be imported.
    for module in ("wandb", "wandb.proto", "mlflow", "mlflow.tracking"):
        monkeypatch.setitem(sys.modules, module, None)
    with pytest.raises(InputError, match=rf"pip install 'etastar\[{extra}\]'"):
        read_runs(source)


@pytest.mark.slow
def test_the_lines_of_the_guide_make_a_plan_from_offline_runs(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
):
    monkeypatch.chdir(tmp_path)
    # In a process of its own, as the client keeps the folder that it first ran in.
    script = blocks_of("trackers.md", "Weights & Biases", "python")[0]
    subprocess.run([sys.executable, "-c", script], check=True, capture_output=True)
    lines = [line for line in lines_of("trackers.md", "Weights & Biases") if " wandb " in line]
    line, named = lines
    assert "--loss eval/nll --lr optimizer/lr" in named
    capsys.readouterr()
    with pytest.raises(SystemExit) as stopped:
        main([*shlex.split(line)[1:], "--json"])
    assert stopped.value.code == 0
    plan = json.loads(capsys.readouterr().out)
    assert 1e-3 / 4 <= plan["peak_lr"] <= 4e-3
