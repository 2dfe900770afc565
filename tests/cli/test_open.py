"""`etastar open`, `plan --open` and `etastar app`: what is shown in the browser."""

from __future__ import annotations

import importlib.util
import webbrowser
from pathlib import Path

import pytest

import etastar.planning
from etastar.cli._local_page import streamlit_words
from tests.cli.test_cli import assert_wrong_input, run


@pytest.fixture
def opened(monkeypatch) -> list[str]:
    """What the browser is given, on a machine with a screen."""
    addresses: list[str] = []
    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.delenv("SSH_CONNECTION", raising=False)
    monkeypatch.setattr(webbrowser, "open", lambda address: addresses.append(address) or True)
    return addresses


@pytest.fixture
def folder(tmp_path) -> Path:
    for name in ("report.html", "plan.json", "schedule.json"):
        (tmp_path / name).write_text("{}")
    return tmp_path


@pytest.mark.parametrize("name", ["", "plan.json", "report.html", "schedule.json"])
def test_a_plan_is_named_by_its_folder_or_a_file_in_it(capsys, opened, folder, name):
    code, out, err = run(capsys, "open", folder / name)
    assert (code, err) == (0, "")
    assert out == f"report: {folder / 'report.html'}\n"
    assert opened == [(folder / "report.html").resolve().as_uri()]


def test_another_page_opens_too(capsys, opened, tmp_path):
    (tmp_path / "phase.html").write_text("<html>")
    assert run(capsys, "open", tmp_path / "phase.html")[0] == 0
    assert opened[0].endswith("/phase.html")


def test_what_is_no_plan_is_refused(capsys, opened, tmp_path):
    assert_wrong_input(run(capsys, "open", tmp_path / "none"), "no such file or folder")
    assert_wrong_input(run(capsys, "open", tmp_path), "report.html: no such file", "plan RUNS")
    assert_wrong_input(run(capsys, "open", tmp_path / "plan.json"), "no such file or folder")
    assert opened == []


@pytest.mark.parametrize("far", [False, True])
def test_without_a_screen_one_is_told_where_the_report_is(capsys, opened, folder, monkeypatch, far):
    for name in ("DISPLAY", "WAYLAND_DISPLAY", "BROWSER"):
        monkeypatch.delenv(name, raising=False)
    if far:
        monkeypatch.setenv("SSH_CONNECTION", "10.0.0.1 1 10.0.0.2 22")
    else:
        monkeypatch.setattr("sys.platform", "linux")
    code, _, err = run(capsys, "open", folder)
    assert code == 0
    assert "no browser can be opened here; open" in err
    assert str(folder.resolve() / "report.html") in err
    assert ("scp " in err) == far
    assert opened == []


def test_a_browser_that_fails_is_no_error(capsys, folder, monkeypatch):
    def refuse(address):
        raise webbrowser.Error("could not locate runnable browser")

    monkeypatch.setenv("DISPLAY", ":0")
    monkeypatch.setattr(webbrowser, "open", refuse)
    code, _, err = run(capsys, "open", folder)
    assert code == 0
    assert "no browser can be opened here" in err


def test_plan_opens_its_report(capsys, opened, monkeypatch, plan_of, logs, tmp_path):
    monkeypatch.setattr(etastar.planning, "plan", lambda *_, **__: plan_of())
    words = ["plan", logs, "--horizon", 8000, "--open"]
    assert_wrong_input(run(capsys, *words), "--open needs --out DIR")
    assert opened == []
    for more in ([], ["--json"]):
        assert run(capsys, *words, "--out", tmp_path, *more)[0] == 0
    assert opened == 2 * [(tmp_path / "report.html").resolve().as_uri()]


def test_the_app_says_what_to_install(capsys, monkeypatch):
    monkeypatch.setattr(importlib.util, "find_spec", lambda name: None)
    assert_wrong_input(run(capsys, "app"), "needs Streamlit; pip install 'etastar[app]'")


def test_the_app_listens_on_this_machine_alone_and_sends_no_statistics():
    words = streamlit_words("pilots", None)
    assert words[words.index("--server.address") + 1] == "localhost"
    assert words[words.index("--browser.gatherUsageStats") + 1] == "false"
    assert words[-2:] == ["--", "pilots"]


@pytest.mark.parametrize("place", ["nowhere", "nowhere/*.csv"])
def test_the_page_is_not_served_for_logs_that_are_not_there(capsys, monkeypatch, place):
    monkeypatch.setattr("importlib.util.find_spec", lambda name: name)
    code, out, err = run(capsys, "app", place)
    assert (code, out) == (2, "")
    assert len(err.splitlines()) == 1
    assert place in err
