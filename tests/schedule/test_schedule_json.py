"""JSON comes back exactly, files are replaced whole, and bad JSON says what is wrong."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest
from hypothesis import given

from etastar.schedule import InputError, Schedule, parse_schedule
from tests.helpers.schedules import schedules

COSINE = parse_schedule("cosine:peak=3e-4,horizon=100,warmup=7,final=0.1")


@given(schedules(10**12))
def test_json_comes_back_to_the_last_bit(schedule: Schedule) -> None:
    text = schedule.to_json()
    assert Schedule.from_json(text) == schedule
    # Strict JSON: no NaN, no infinity.
    json.loads(text, parse_constant=lambda name: pytest.fail(name))


def test_json_names_its_format_and_version() -> None:
    document = json.loads(COSINE.to_json())
    assert (document["format"], document["version"]) == ("etastar.schedule", 1)
    assert (document["kind"], document["peak"], document["final"]) == ("cosine", 3e-4, 0.1)


def test_tables_keep_their_knots_in_the_json(tmp_path: Path) -> None:
    (tmp_path / "knots.csv").write_text("step,lr\n0,0.1\n10,0.05\n")
    schedule = parse_schedule("table:file=knots.csv", folder=tmp_path)
    (tmp_path / "knots.csv").unlink()
    assert json.loads(schedule.to_json())["knots"] == [[0.0, 0.1], [10.0, 0.05]]
    assert Schedule.from_json(schedule.to_json()) == schedule


def test_saving_replaces_the_file_whole_and_leaves_nothing_else(tmp_path: Path) -> None:
    path = tmp_path / "schedule.json"
    path.write_text("old")
    with open(path) as reader:
        COSINE.save(path)
        # Whoever opened the old file goes on reading it: the new one took its name, not its place.
        assert reader.read() == "old"
    assert Schedule.load(path) == COSINE
    assert os.listdir(tmp_path) == ["schedule.json"]


def test_a_failed_save_leaves_the_old_file(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    path = tmp_path / "schedule.json"
    path.write_text("old")
    monkeypatch.setattr(os, "fsync", full)
    with pytest.raises(InputError, match="cannot be written: No space left"):
        COSINE.save(path)
    assert path.read_text() == "old"
    assert os.listdir(tmp_path) == ["schedule.json"]


def test_paths_that_cannot_be_written_or_read_are_named(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"no/x\.json: cannot be written: No such file"):
        COSINE.save(tmp_path / "no" / "x.json")
    with pytest.raises(InputError, match="cannot be written"):
        COSINE.save(tmp_path)
    with pytest.raises(InputError, match="is a folder"):
        Schedule.load(tmp_path)
    (tmp_path / "bytes").write_bytes(b"\xff\xfe\x00")
    with pytest.raises(InputError, match="is not text in UTF-8"):
        Schedule.load(tmp_path / "bytes")
    (tmp_path / "cut").write_text(COSINE.to_json()[:-9])
    with pytest.raises(InputError, match="cut: not a JSON text"):
        Schedule.load(tmp_path / "cut")


def edited(**changes: object) -> str:
    document = {**json.loads(COSINE.to_json()), **changes}
    return json.dumps({key: value for key, value in document.items() if value is not ...})


JOIN = {"format": "etastar.schedule", "version": 1, "kind": "join"}


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "not a JSON text"),
        ("{", "not a JSON text"),
        ("[]", "needs an object with format"),
        ("3", "needs an object with format"),
        ("[" * 100_000, "nested too deeply"),
        (edited(format="other"), "needs an object with format"),
        (edited(version=2), "version 2 of the schedule format is unknown"),
        (edited(version="1"), "version '1' of the schedule format is unknown"),
        (edited(version=True), "version True of the schedule format is unknown"),
        (edited(version=...), "version None of the schedule format is unknown"),
        (edited(kind=...), "key 'kind' is missing"),
        (edited(kind="cosin"), "did you mean 'cosine'?"),
        (edited(kind=["cosine"]), "unknown schedule ['cosine']"),
        (edited(peak=...), "cosine needs peak"),
        (edited(horizon=...), "cosine needs horizon"),
        (edited(peak="1e-3"), "peak must be a number, got '1e-3'"),
        (edited(peak=True), "peak must be a number, got True"),
        (edited(peak=float("nan")), "peak must be a finite number"),
        (edited(horizon=10**400), "horizon must be a finite number"),
        (edited(wamup=3), "unknown key 'wamup' for cosine: did you mean 'warmup'?"),
        (COSINE.to_json().replace('"warmup"', '"peak"'), "key 'peak' is given twice"),
        (edited(kind="table", peak=1, knots="abc", final=...), "knots must be pairs"),
        (edited(kind="table", peak=1, knots=[[0, None]], final=...), "must be a number"),
        (edited(kind="wsd", cooldown=0.2, decay=[1]), "decay [1] is unknown"),
        (json.dumps(JOIN), "key 'pieces' is missing"),
        (json.dumps({**JOIN, "pieces": 3}), "pieces must be a list"),
        (json.dumps({**JOIN, "pieces": []}), "join got no pieces"),
        (json.dumps({**JOIN, "pieces": [3]}), "is expected, got 3"),
        (json.dumps({**JOIN, "pieces": [{"until": 3}]}), "key 'schedule' is missing"),
    ],
)
def test_bad_json_says_what_is_wrong(text: str, message: str) -> None:
    with pytest.raises(InputError) as caught:
        Schedule.from_json(text)
    assert message in str(caught.value)
    assert "\n" not in str(caught.value)
