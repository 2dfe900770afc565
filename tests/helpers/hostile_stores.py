"""Hostile stores of trackers: damaged and odd, from what the tracker's own client wrote."""

from __future__ import annotations

import contextlib
import json
import os
import sqlite3
import struct
import subprocess
import sys
import tempfile
import zlib
from collections.abc import Callable
from functools import cache
from pathlib import Path
from typing import Any

from hypothesis import strategies as st

from etastar._errors import InputError
from etastar.runs import read_runs

from .hostile import ROWS, Target, check_run, damaged, odd_text, odd_values, quiet

SPEC = "linear:peak=0.1,horizon=200"

# Each tracker keeps settings and threads of its own: what it writes it writes in another process.
WRITERS = {
    "wandb": """
import wandb
settings = wandb.Settings(silent=True, console="off", x_disable_stats=True)
config = {"batch_size": 8}
run = wandb.init(mode="offline", project="p", dir=folder, config=config, settings=settings)
for step, loss, lr in rows:
    run.log({"val": {"loss": loss}, "lr": lr}, step=step)
run.finish()
""",
    "mlflow": """
from mlflow.entities import Metric, Param
from mlflow.tracking import MlflowClient
client = MlflowClient(f"sqlite:///{folder}/store.db")
sweep = client.create_experiment("sweep", artifact_location=folder)
run = client.create_run(sweep, run_name="amber").info.run_id
metrics = [Metric("loss", loss, 1000 + step, step) for step, loss, _ in rows]
metrics += [Metric("lr", lr, 1000 + step, step) for step, _, lr in rows]
client.log_batch(run, metrics=metrics, params=[Param("batch_size", "8")])
""",
    "trackio": """
import os
os.environ["TRACKIO_DIR"] = folder
import trackio
trackio.init(project="p", name="amber", config={"batch_size": 8}, auto_log_gpu=False)
for step, loss, lr in rows:
    trackio.log({"val": {"loss": loss}, "train/lr": lr}, step=step)
trackio.finish()
""",
    "tensorboard": """
from torch.utils.tensorboard import SummaryWriter
with SummaryWriter(folder) as writer:
    for step, loss, lr in rows:
        writer.add_scalar("loss", loss, step)
        writer.add_scalar("lr", lr, step)
""",
}  # fmt: skip
PATTERNS = {
    "wandb": "wandb/offline-run-*/*.wandb",
    "mlflow": "store.db",
    "trackio": "*.db",
    "tensorboard": "events*",
}


@cache
def store(tracker: str) -> tuple[str, bytes]:
    """The name and the content of a file that a tracker's client wrote."""
    with tempfile.TemporaryDirectory() as folder:
        code = f"folder, rows = {folder!r}, {ROWS!r}\n{WRITERS[tracker]}"
        environment = {**os.environ, "TRACKIO_DIR": folder}
        subprocess.run(
            [sys.executable, "-c", code], env=environment, check=True, capture_output=True
        )
        # The first store that a process reads makes it import the tracker's package.
        with contextlib.suppress(InputError):
            read_runs(folder, schedule=SPEC)
        files = [file for file in sorted(Path(folder).glob(PATTERNS[tracker])) if file.is_file()]
        return files[0].name, files[0].read_bytes()


@st.composite
def damaged_files(draw: st.DrawFn, tracker: str) -> tuple[str, bytes]:
    name, whole = store(tracker)
    return name, draw(damaged(whole))


def read_store(given: tuple[str, bytes], folder: Path) -> None:
    name, content = given
    (folder / name).write_bytes(content)
    with quiet():
        for run in read_runs(folder / name, schedule=SPEC):
            check_run(run)


# ------------------------------------------------------------- sound frames around odd records


@st.composite
def odd_wandb_records(draw: st.DrawFn) -> tuple[str, bytes]:
    """Histories of odd values, and records that are damaged within a frame that is sound."""
    from wandb.proto import wandb_internal_pb2

    content = bytearray(b":W&B\xe1\xbe\x00")
    for step, loss, lr in ROWS:
        record = wandb_internal_pb2.Record()  # type: ignore[attr-defined]
        values: dict[str, Any] = {"val/loss": loss, "lr": lr}
        if draw(st.integers(0, 39)) == 0:
            key = draw(st.sampled_from(("val/loss", "lr", "_step")) | _sound_text)
            values[key] = draw(odd_values)
        for key, value in values.items():
            item = record.history.item.add()
            item.key, item.value_json = key, _json(value)
        record.history.step.num = step if draw(st.integers(0, 39)) else draw(_STEPS)
        data = record.SerializeToString()
        if draw(st.integers(0, 39)) == 0:
            data = draw(damaged(data))[:30_000]
        content += struct.pack("<IHB", zlib.crc32(data, zlib.crc32(b"\1")), len(data), 1) + data
        if len(content) > 32_000:  # a piece never crosses a block
            break
    return "run-odd.wandb", bytes(content[:32_768])


@st.composite
def odd_events(draw: st.DrawFn) -> tuple[str, bytes]:
    """Events of odd scalars, and events that are damaged within a record that is sound."""
    from tensorboard.compat.proto.event_pb2 import Event  # type: ignore[attr-defined]
    from tensorboard.summary.writer.record_writer import RecordWriter

    with tempfile.TemporaryFile() as file:
        writer = RecordWriter(file)
        for step, loss, lr in ROWS:
            event = Event(step=step, wall_time=1.0)
            for tag, value in (("loss", loss), ("lr", lr)):
                odd = draw(st.integers(0, 39)) == 0
                number = draw(st.floats(width=32)) if odd else value
                event.summary.value.add(tag=draw(_sound_text) if odd else tag, simple_value=number)
            if draw(st.integers(0, 39)) == 0:
                event.step = draw(_STEPS)
            data = event.SerializeToString()
            writer.write(data if draw(st.integers(0, 39)) else draw(damaged(data)))
        file.seek(0)
        return "events.out.tfevents.1.x", file.read()


_STEPS = st.sampled_from((-1, 0, 2**62)) | st.integers(-(2**63), 2**63 - 1)
_sound_text = odd_text.map(lambda text: text.encode("utf-8", "replace").decode())


def _json(value: Any) -> str:
    try:
        return json.dumps(value)
    except (TypeError, ValueError):  # an integer of thousands of digits
        return str(value)[:100]


# ------------------------------------------------------------------------------- databases

_ODD_CELLS = (
    st.sampled_from((None, b"", b"\xff", 2**62, -(2**62), 1e308, "nan", "", "x" * 5000, "[" * 900))
    | st.floats(allow_nan=False)
    | _sound_text
)
CELLS = {
    "mlflow": [
        *[("metrics", column) for column in ("key", "value", "step", "is_nan", "timestamp")],
        *[("params", column) for column in ("key", "value")],
        *[("runs", column) for column in ("name", "status", "lifecycle_stage")],
        ("experiments", "name"),
    ],
    "trackio": [
        *[("metrics", column) for column in ("run_name", "step", "metrics", "timestamp")],
        *[("configs", column) for column in ("run_name", "config")],
    ],
}
"""Tables and columns of a database that a reader asks for."""


@st.composite
def odd_databases(draw: st.DrawFn, tracker: str) -> tuple[str, bytes]:
    """Databases with odd cells, or without a table or column that there should be."""
    name, whole = store(tracker)
    with tempfile.TemporaryDirectory() as folder:
        path = Path(folder, name)
        path.write_bytes(whole)
        with contextlib.closing(sqlite3.connect(path)) as base:
            for _ in range(draw(st.integers(1, 3))):
                with contextlib.suppress(sqlite3.Error), base:  # not all that is drawn can be done
                    _change(draw, base, *draw(st.sampled_from(CELLS[tracker])))
        return name, path.read_bytes()


def _change(draw: st.DrawFn, base: sqlite3.Connection, table: str, column: str) -> None:
    kind = draw(st.integers(0, 9))
    if kind == 0:
        base.execute(f"DROP TABLE {table}")
    elif kind == 1:
        base.execute(f"ALTER TABLE {table} RENAME COLUMN {column} TO other")
    elif kind == 2:
        base.execute(f"DELETE FROM {table}")
    else:
        last = draw(st.integers(0, 25))
        command = f"UPDATE {table} SET {column} = ? WHERE rowid >= ?"
        base.execute(command, (draw(_ODD_CELLS), last))


def _target(tracker: str, odd: Callable[..., st.SearchStrategy[Any]], *arguments: str) -> Target:
    return Target(damaged_files(tracker) | odd(*arguments), read_store, tracker)


STORES = {
    "W&B files": _target("wandb", odd_wandb_records),
    "event files": _target("tensorboard", odd_events),
    "MLflow databases": _target("mlflow", odd_databases, "mlflow"),
    "Trackio databases": _target("trackio", odd_databases, "trackio"),
}
