"""Hostile input: what readers, schedules, schedulers and stores may be handed, and what is allowed.

`TARGETS` names what is tried. Each has a strategy of inputs, and a function that hands one to the
library in an empty folder. It may refuse with an `InputError` of one short line; all else that it
raises, and a `Wrong`, is a fault. `tests/test_hostile.py` tries each for seconds, `bench/fuzz.py`
for as long as asked.
"""

from __future__ import annotations

import contextlib
import copy
import importlib.util
import io
import json
import math
import os
import re
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import polars as pl
from hypothesis import strategies as st

from etastar._errors import LONGEST, InputError
from etastar.pilot import Pilot
from etastar.pilot._record import PilotRecord, PilotStatus
from etastar.pilot._store import open_store
from etastar.runs import read_runs
from etastar.schedule import Schedule, parse_schedule

from .schedules import joined, named, tables


class Wrong(Exception):
    """A result that must not be: a number that is not finite, a message that is no short line."""


@dataclass(frozen=True)
class Target:
    """Something that is handed hostile input.

    Attributes:
        inputs: what it is handed.
        handle: hands one over, in an empty folder.
        needs: the package without which it cannot be tried.
    """

    inputs: st.SearchStrategy[Any]
    handle: Callable[[Any, Path], None]
    needs: str | None = None

    @property
    def can_run(self) -> bool:
        """Whether the package that it needs is installed."""
        return self.needs is None or importlib.util.find_spec(self.needs) is not None


def attempt(target: Target, value: Any, folder: Path) -> bool:
    """Hand a value over; whether it was taken. Raises: what must not be raised."""
    try:
        target.handle(value, folder)
    except InputError as error:
        line = str(error)
        if not line.isprintable() or len(line) > LONGEST or len(line) < 8:
            raise Wrong(f"a message of {len(line)} characters: {line!r}") from error
        return False
    return True


def _finite(values: Any, what: str) -> None:
    if not np.all(np.isfinite(values)):
        raise Wrong(f"{what}: {values!r}")


# --------------------------------------------------------------------------------------- pieces

ODD_TEXT = (
    "", " ", "\0", "\x1b[2J", "\x9b31m", "\u202e", "\ud83d", "nan", "-inf", "1e999", "-0", "0x10",
    "1" * 400, "9" * 5000, "1e-320", "1,5", '"', '""', "'", "#", "[red]", "[/]", "{x}", "../../x",
    "a" * 9000, "\r", "\t", ";", "ÿ", "\ufeff", "NaN", "null", "True", "1_000", "٣", "1e15", "1e16",
)  # fmt: skip
ODD_VALUES = (
    None, True, False, math.nan, math.inf, -math.inf, -1, -7, 0, 1.5, 10**20, 10**400, -(10**400),
    1e308, 1e-320, "", "x", "1", "\ud83d", [], [[]], {}, {"a": 1}, [None], [math.nan], ["x"],
    [-1.0],
)  # fmt: skip
ODD_BYTES = (
    b"", b"\0", b"\xff\xfe", b"\xef\xbb\xbf", b"\n", b"\r", b",", b";", b"\t", b'"', b"{",
    b"[" * 700,
    b'{"a":' * 300, b"nan", b"1e999", b"-", b"\x1b[2J", b"\xe9", b"9" * 5000, b"step", b"loss",
    b"#",     b"\n" * 50, b",,,,", b'"step":', b"null", b"}{",
)  # fmt: skip

odd_text = st.sampled_from(ODD_TEXT) | st.text(max_size=12)
odd_values = st.sampled_from(ODD_VALUES) | st.floats() | st.integers() | odd_text


@st.composite
def damaged(draw: st.DrawFn, whole: bytes) -> bytes:
    """Bytes that were whole, cut, flipped, repeated or with something put in."""
    found = bytearray(whole)
    for _ in range(draw(st.integers(1, 4))):
        at = draw(st.integers(0, max(len(found) - 1, 0)))
        to = min(at + draw(st.integers(0, 40)), len(found))
        kind = draw(st.sampled_from(("flip", "cut", "repeat", "put", "end")))
        if kind == "flip" and found:
            found[at] = draw(st.integers(0, 255))
        elif kind == "cut":
            del found[at:to]
        elif kind == "repeat":
            found[at:at] = found[at:to] * draw(st.integers(1, 30))
        elif kind == "put":
            found[at:at] = draw(st.sampled_from(ODD_BYTES))
        elif kind == "end":
            del found[at:]
    return bytes(found)


@st.composite
def changed(draw: st.DrawFn, document: Any) -> Any:
    """A JSON document with up to three of its parts replaced, removed or repeated."""
    found = copy.deepcopy(document)
    for _ in range(draw(st.integers(1, 3))):
        part = found
        while isinstance(part, dict | list) and len(part) > 0:
            key = draw(
                st.sampled_from(sorted(part) if isinstance(part, dict) else range(len(part)))
            )
            deeper = isinstance(part[key], dict | list) and draw(st.booleans())
            if deeper:
                part = part[key]
                continue
            kind = draw(st.sampled_from(("replace", "replace", "remove", "add")))
            if kind == "replace":
                part[key] = copy.deepcopy(draw(odd_values))
            elif kind == "remove":
                del part[key]
            elif isinstance(part, dict):
                part[draw(odd_text)] = copy.deepcopy(draw(odd_values))
            else:
                part.append(copy.deepcopy(draw(odd_values)))
            break
    return found


# ----------------------------------------------------------------------------------------- logs

ROWS = [(step, 3 - step / 200, 0.1 * (1 - step / 200)) for step in range(0, 201, 10)]
_RECORDS = [{"step": s, "loss": loss, "lr": lr} for s, loss, lr in ROWS]


def _parquet() -> bytes:
    content = io.BytesIO()
    pl.DataFrame(_RECORDS).write_parquet(content)
    return content.getvalue()


def _state() -> bytes:
    history = [{"step": s, "eval_loss": loss, "learning_rate": lr} for s, loss, lr in ROWS]
    return json.dumps({"global_step": 200, "max_steps": 200, "log_history": history}).encode()


_HEADER = {"etastar_run": 1, "schedule": "linear:peak=0.1,horizon=200", "batch_size": 8}
_CSV = "step,loss,lr\n" + "".join(f"{s},{loss},{lr}\n" for s, loss, lr in ROWS)
_LINES = "".join(json.dumps(each) + "\n" for each in _RECORDS)
LOGS: dict[str, bytes] = {
    "log.csv": _CSV.encode(),
    "log.tsv": _CSV.replace(",", "\t").encode(),
    "metrics.csv": _CSV.encode(),
    "log.jsonl": _LINES.encode(),
    "own.jsonl": (json.dumps(_HEADER) + "\n" + _LINES).encode(),
    "log.txt": _CSV.replace(",", ";").encode(),
    "records.json": json.dumps(_RECORDS).encode(),
    "lines.json": _LINES.encode(),
    "train.log": "".join(
        f"step {s}: loss {loss:.4f}, lr {lr:.3e}\n" for s, loss, lr in ROWS
    ).encode(),
    "trainer_state.json": _state(),
    "log.parquet": _parquet(),
}


@st.composite
def damaged_logs(draw: st.DrawFn) -> tuple[str, bytes]:
    name = draw(st.sampled_from([name for name in LOGS if not name.endswith(".parquet")]))
    return name, draw(damaged(LOGS[name]))


@st.composite
def odd_tables(draw: st.DrawFn) -> tuple[str, bytes]:
    """CSV tables whose header, cells and shapes are odd, one line in ten or so."""
    names = list(draw(st.permutations(["step", "loss", "lr"])))
    if draw(st.integers(0, 2)) == 0:
        names[draw(st.integers(0, 2))] = draw(st.sampled_from(("epoch", "val_loss")) | odd_text)
    rows = [names]
    for step in range(draw(st.integers(0, 12))):
        cells = [repr(step * 10 + k / 8) for k in range(len(names))]
        if draw(st.integers(0, 20)) == 0:
            cells[draw(st.integers(0, len(cells) - 1))] = draw(odd_text)
        rows.append(cells)
    separator = draw(st.sampled_from(",;\t"))
    text = "\n".join(map(separator.join, rows))
    return "log.csv", text.encode("utf-8", "replace")


@st.composite
def odd_records(draw: st.DrawFn) -> tuple[str, bytes]:
    """JSON lines of odd values, deep ones and ones with keys of their own among them."""
    records: list[Any] = [dict(each) for each in _RECORDS[: draw(st.integers(1, 20))]]
    records = draw(changed(records))
    lines = [json.dumps(each) for each in records]
    if draw(st.booleans()):
        depth = draw(st.sampled_from((1, 20, 300, 3000)))
        lines.append('{"step":210,"loss":2,"x":' + "[" * depth + "]" * depth + "}")
    return draw(st.sampled_from(("log.jsonl", "log.ndjson"))), "\n".join(lines).encode()


def read_one(given: tuple[str, bytes], folder: Path) -> None:
    name, content = given
    (folder / name).write_bytes(content)
    with quiet():
        runs = read_runs(folder / name, schedule="linear:peak=0.1,horizon=200")
        with contextlib.suppress(InputError):  # which logs a folder has is told by other code
            read_runs(folder, schedule="linear:peak=0.1,horizon=200")
    for run in runs:
        check_run(run)


def check_run(run: Any) -> None:
    _finite(run.step, "steps")
    _finite(run.loss, "losses")
    _finite(run.schedule(np.minimum(run.step, 1e15)), "LRs")
    if not run.name.isprintable() or not all(caveat.isprintable() for caveat in run.caveats):
        raise Wrong(f"a name or caveat that is not shown as it is: {run.name!r} {run.caveats!r}")


def quiet() -> contextlib.AbstractContextManager[object]:
    return np.errstate(all="ignore")


# -------------------------------------------------------------------------------- folders, runs.csv


@st.composite
def declarations(draw: st.DrawFn) -> bytes:
    columns = ["run", "schedule", "batch_size", "horizon", "momentum", "note"]
    rows = [columns, *(["a", "linear:peak=0.1,horizon=200", "8", "200", "0.9", "x"],
                       ["b", "cosine:peak=0.1,horizon=200", "8", "200", "", ""])]  # fmt: skip
    for _ in range(draw(st.integers(1, 3))):
        row = draw(st.sampled_from(rows))
        row[draw(st.integers(0, len(row) - 1))] = draw(odd_text)
    quote = draw(st.booleans())
    cells = ((f'"{cell}"' if quote or "," in cell else cell for cell in row) for row in rows)
    return "\n".join(map(",".join, cells)).encode("utf-8", "replace")


def read_folder(content: bytes, folder: Path) -> None:
    (folder / "runs.csv").write_bytes(content)
    for name in "ab":
        (folder / f"{name}.csv").write_text(_CSV)
    with quiet():
        for run in read_runs(folder):
            check_run(run)


KINDS = ("pipe", "self", "up", "nowhere", "folder", "device", "log", "bytes", "long", "link")


def read_odd_folder(kinds: list[str], folder: Path) -> None:
    """A folder with entries that are no logs, under names of logs."""
    folder = folder / "logs"  # so that what lies above it is small
    folder.mkdir()
    for number, kind in enumerate(kinds):
        path = folder / (f"e{number}.csv" if number % 3 else f"e{number}")
        if kind == "pipe":
            os.mkfifo(path)
        elif kind == "folder":
            path.mkdir()
            (path / "log.csv").write_text(_CSV)
        elif kind == "log":
            path.write_text(_CSV)
        elif kind == "bytes":
            name = os.fsencode(folder) + b"/r\xe9sum\x1b[2J%d.csv" % number
            with open(name, "w") as file:
                file.write(_CSV)
        elif kind == "long":
            (folder / f"{'n' * 240}{number}.csv").write_text(_CSV)
        else:
            places = {"self": ".", "up": "..", "nowhere": "none", "device": "/dev/zero"}
            path.symlink_to(places.get(kind, "e1.csv"))
    for source in (folder, f"{folder}/**/*.csv"):
        with contextlib.suppress(InputError):
            for run in read_runs(source):
                check_run(run)
    read_runs(folder)


def read_parquet(content: bytes, folder: Path) -> None:
    read_one(("log.parquet", content), folder)


# ------------------------------------------------------------------------------------ schedules

schedules = named(("linear", "cosine", "exponential", "power", "wsd", "step", "constant"))
schedules = schedules | tables() | joined()


@st.composite
def odd_specs(draw: st.DrawFn) -> str:
    spec = draw(schedules).spec
    words = re.split(r"([:,=/ ])", spec)
    for _ in range(draw(st.integers(1, 3))):
        at = draw(st.integers(0, len(words) - 1))
        kind = draw(st.sampled_from(("replace", "remove", "repeat", "keep", "keep")))
        put = draw(
            odd_text | st.sampled_from(("join:", " then ", "until=3", "peak=1", "file=/dev/zero"))
        )
        word = words[at : at + 1]
        put_there = {"replace": [put], "remove": [], "repeat": word * 40, "keep": word}
        words[at : at + 1] = put_there[kind]
        if not words:
            break
    return "".join(words)


def use_schedule(schedule: Schedule) -> None:
    steps = np.unique(np.linspace(0, schedule.horizon, 7).astype(np.int64))
    rates = schedule(steps)
    _finite(rates, f"LRs of {schedule.spec[:200]}")
    _finite(schedule.intrinsic_time(steps), f"intrinsic times of {schedule.spec[:200]}")
    if any(schedule(int(step)) != rate for step, rate in zip(steps, rates, strict=True)):
        raise Wrong(f"a number and an array differ in {schedule.spec[:200]}")
    if (
        parse_schedule(schedule.spec) != schedule
        or Schedule.from_json(schedule.to_json()) != schedule
    ):
        raise Wrong(f"{schedule.spec[:200]} does not come back")


def read_spec(spec: str, folder: Path) -> None:
    use_schedule(parse_schedule(spec, folder=folder))


@st.composite
def odd_schedule_files(draw: st.DrawFn) -> bytes:
    document = json.loads(draw(schedules).to_json())
    if draw(st.booleans()):
        return json.dumps(draw(changed(document))).encode()
    return draw(damaged(json.dumps(document).encode()))


def load_schedule(content: bytes, folder: Path) -> None:
    (folder / "schedule.json").write_bytes(content)
    use_schedule(Schedule.load(folder / "schedule.json"))


# --------------------------------------------------------------------------- states and stores


def _saved(updates: int) -> dict[str, Any]:
    import torch

    from etastar.integrations.torch import ScheduledLR

    weights = [torch.zeros(1, requires_grad=True) for _ in range(2)]
    groups = [{"params": [weights[0]], "lr": 1.0}, {"params": [weights[1]], "lr": 0.5}]
    optimizer = torch.optim.SGD(groups, momentum=0.5)
    scheduler = ScheduledLR(
        optimizer, "cosine:peak=0.1,horizon=100", momentum="linear:peak=0.9,horizon=100"
    )
    for _ in range(updates):
        optimizer.step()
        scheduler.step()
    return {"scheduler": scheduler, "optimizer": optimizer, "state": scheduler.state_dict()}


def load_state(change: tuple[str, Any], folder: Path) -> None:
    """A state with one wrong value is refused, and leaves the scheduler as it was."""
    key, value = change
    made = _saved(3)
    scheduler, optimizer, before = made["scheduler"], made["optimizer"], made["state"]
    state = {**_saved(10)["state"], key: value}
    try:
        scheduler.load_state_dict(state)
    except InputError:
        if scheduler.state_dict() != before:
            raise Wrong(f"half loaded: {key}={value!r}") from None
        raise
    for _ in range(2):
        _finite([group["lr"] for group in optimizer.param_groups], f"LRs after {key}={value!r}")
        optimizer.step()
        scheduler.step()


@st.composite
def odd_states(draw: st.DrawFn) -> tuple[str, Any]:
    from etastar.integrations._torch_state import KEYS

    _saved(1)  # what PyTorch imports takes seconds, which are not those of an input

    value = draw(odd_values | st.lists(odd_values, max_size=3))
    return draw(st.sampled_from(KEYS)), value


def _store_document() -> dict[str, Any]:
    pilots = [
        PilotRecord(Pilot("a", parse_schedule("cosine:peak=0.1,horizon=200")), PilotStatus.FINISHED,
                    log="a.csv", steps=200),
        PilotRecord(Pilot("b", parse_schedule("linear:peak=0.1,horizon=200"), 1, "a", 50)),
    ]  # fmt: skip
    return {
        "format": "etastar.pilots",
        "version": 1,
        "settings": {"horizon": 1000, "command": ["true"]},
        "pilots": [each.document() for each in pilots],
    }


@st.composite
def odd_stores(draw: st.DrawFn) -> bytes:
    if draw(st.booleans()):
        return json.dumps(draw(changed(_store_document()))).encode()
    return draw(damaged(json.dumps(_store_document()).encode()))


def load_store(content: bytes, folder: Path) -> None:
    (folder / "pilots.json").write_bytes(content)
    (folder / "a.csv").write_text(_CSV)
    with open_store(folder, {"horizon": 1000, "command": ["true"]}) as store:
        store.finished()
        inside = folder.resolve()
        for name, record in store.records.items():
            for place in (store.runs / name, folder / (record.log or "x")):
                if inside not in place.resolve().parents:
                    raise Wrong(f"a state file leads out of its folder: {place}")


TARGETS = {
    "damaged logs": Target(damaged_logs(), read_one),
    "odd tables": Target(odd_tables(), read_one),
    "odd records": Target(odd_records(), read_one),
    "runs.csv": Target(declarations(), read_folder),
    "odd folders": Target(
        st.lists(st.sampled_from(KINDS), min_size=1, max_size=7), read_odd_folder
    ),
    "parquet": Target(damaged(LOGS["log.parquet"]), read_parquet),
    "specs": Target(odd_specs(), read_spec),
    "schedule files": Target(odd_schedule_files(), load_schedule),
    "scheduler states": Target(odd_states(), load_state, "torch"),
    "state files of sweeps": Target(odd_stores(), load_store),
}
