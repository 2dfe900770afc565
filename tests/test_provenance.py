"""What a command read, with digests of the very bytes, and when."""

from __future__ import annotations

import hashlib
from datetime import datetime, timedelta, timezone

import pytest

from etastar._files import read_file
from etastar._provenance import making, note_address, note_file, provenance
from etastar.runs import read_runs

CLOCK = datetime(2026, 1, 31, 12, tzinfo=timezone(timedelta(hours=1)))


def test_every_file_that_is_read_is_there_with_its_digest(logs, monkeypatch):
    monkeypatch.chdir(logs)
    with making(["etastar", "plan", "a b"]):
        read_runs(".")
        found = provenance(clock=lambda: CLOCK)
    assert found is not None
    assert found.command == "etastar plan 'a b'"
    assert found.date == "2026-01-31T12:00:00+01:00"
    assert sorted(each.name for each in found.inputs) == [
        "cooled.csv",
        "high.csv",
        "low.csv",
        "runs.csv",
    ]
    for each in found.inputs:
        assert each.sha256 == hashlib.sha256((logs / each.name).read_bytes()).hexdigest()
    assert set(found.versions) == {"etastar", "numpy", "jax", "python"}


def test_a_file_that_changes_has_the_digest_of_what_was_read_last(tmp_path):
    path = tmp_path / "log.csv"
    with making(["etastar"]):
        for content in (b"one", b"two"):
            path.write_bytes(content)
            read_file(path)
        path.write_bytes(b"three")
        found = provenance()
    assert found is not None
    assert [each.sha256 for each in found.inputs] == [hashlib.sha256(b"two").hexdigest()]


def test_databases_have_digests_and_trackers_addresses_without_passwords(tmp_path):
    path = tmp_path / "runs.db"
    path.write_bytes(b"rows")
    with making(["etastar", "plan", "mlflow:https://me:secret@host/#1"]):
        note_file(path)
        note_address("mlflow:https://me:secret@host/#1")
        found = provenance()
    assert found is not None
    assert "secret" not in str(found)
    assert found.command == "etastar plan 'mlflow:https://me:***@host/#1'"
    database, tracker = found.to_dict()["inputs"]
    assert database["sha256"] == hashlib.sha256(b"rows").hexdigest()
    assert tracker == {"name": "mlflow:https://me:***@host/#1", "sha256": None}


def test_the_environment_may_fix_the_date(monkeypatch):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", "1700000000")
    with making(["etastar"]):
        first, second = provenance(), provenance()
    assert first == second
    assert first is not None
    assert first.date == "2023-11-14T22:13:20+00:00"


@pytest.mark.parametrize("text", ["", "soon", "-1", "1e9"])
def test_what_is_no_date_is_not_taken(monkeypatch, text):
    monkeypatch.setenv("SOURCE_DATE_EPOCH", text)
    with making(["etastar"]):
        found = provenance()
    assert found is not None
    assert datetime.fromisoformat(found.date).tzinfo is not None


def test_outside_a_command_nothing_is_noted(logs):
    assert provenance() is None
    read_runs(logs)
    assert provenance() is None
