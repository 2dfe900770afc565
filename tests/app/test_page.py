"""The page by Streamlit's own harness: what it reads, plans and says, and errors as messages."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
import streamlit  # noqa: F401  (conftest.py skips the file where it is not installed)
from streamlit.testing.v1 import AppTest

import etastar.planning
from etastar.app import PAGE


@pytest.fixture
def page(monkeypatch) -> AppTest:
    monkeypatch.setattr("sys.argv", [str(PAGE)])
    return AppTest.from_file(PAGE, default_timeout=60).run()


def drop(page: AppTest, *files: tuple[str, bytes]) -> AppTest:
    return page.file_uploader[0].set_value([(*file, "text/csv") for file in files]).run()


def files_of(folder: Path) -> list[tuple[str, bytes]]:
    return [(path.name, path.read_bytes()) for path in sorted(folder.iterdir())]


def assert_shows_no_traceback(page: AppTest) -> None:
    assert len(page.exception) == 0


def test_the_page_begins_by_asking_for_logs(page):
    assert_shows_no_traceback(page)
    assert page.title[0].value == "Plan a learning rate"
    assert "Drop the logs" in page.info[0].value
    assert not page.subheader


def test_dropped_logs_are_shown_planned_and_can_be_downloaded(page, monkeypatch, plan_of, logs):
    asked = []

    def fake(runs, horizon, **options):
        asked.append((len(runs), horizon, options["batch_size"]))
        options["progress"](next(iter(etastar.planning.STAGES)), 0, 1)
        return plan_of()

    monkeypatch.setattr(etastar.planning, "plan", fake)
    drop(page, *files_of(logs))
    assert_shows_no_traceback(page)
    assert page.subheader[0].value == "3 runs read"
    assert list(page.dataframe[0].value["run"]) == ["low", "high", "cooled"]
    assert asked == []
    page.text_input(key="horizon").set_value("8k")
    page.text_input(key="batch").set_value("32")
    page.button[0].click().run()
    assert_shows_no_traceback(page)
    assert asked == [(3, 8000.0, 32.0)]
    assert [each.value for each in page.metric] == ["0.015", "2.3900"]
    assert [each.label for each in page.download_button] == [
        "report.html",
        "plan.json",
        "schedule.json",
    ]
    assert "--horizon 8k --batch 32 --out plan" in page.code[0].value
    # Nothing is planned again, or read again, where nothing else was entered.
    page.run()
    assert len(asked) == 1
    # Other logs are not planned until that is asked.
    drop(page, *(file for file in files_of(logs) if file[0] != "low.csv"))
    assert len(asked) == 1
    assert [each.value for each in page.subheader] == ["2 runs read"]


def test_a_column_that_is_not_guessed_is_named(page):
    text = b"count,rate,nll\n0,0.1,4\n50,0.1,3\n100,0.1,2.5\n"
    drop(page, ("a.csv", text))
    assert_shows_no_traceback(page)
    assert "--step" in page.error[0].value
    for key, column in (("step", "count"), ("loss", "nll"), ("lr", "rate")):
        page.text_input(key=key).set_value(column)
    page.run()
    assert not page.error
    assert page.subheader[0].value == "1 run read"


def test_what_is_wrong_is_a_message(page, logs):
    drop(page, ("![x](http://a.b)_c.csv", b"step,lr,loss\n1,0.1,x\n2,0.1,3\n"))
    assert_shows_no_traceback(page)
    # Markdown finds no picture in it.
    assert page.error[0].value.startswith(r"!\[x\](http")
    drop(page, *files_of(logs))
    assert not page.error
    page.text_input(key="horizon").set_value("many")
    page.button[0].click().run()
    assert_shows_no_traceback(page)
    assert "horizon 'many' is not a number" in page.error[0].value


def test_our_fault_is_a_message_too(page, monkeypatch, logs):
    def fail(*_, **__):
        raise ZeroDivisionError("in the\nsolver")

    monkeypatch.setattr(etastar.planning, "plan", fail)
    drop(page, *files_of(logs))
    page.button[0].click().run()
    assert_shows_no_traceback(page)
    assert "ZeroDivisionError: in the solver. This is a fault of etastar" in page.error[0].value


def test_a_path_that_the_command_is_given_is_read_at_once(monkeypatch, logs, tmp_path):
    shutil.copytree(logs, tmp_path / "pilots")
    monkeypatch.setattr("sys.argv", [str(PAGE), str(tmp_path / "pilots")])
    page = AppTest.from_file(PAGE, default_timeout=60).run()
    assert_shows_no_traceback(page)
    assert page.subheader[0].value == "3 runs read"
    (tmp_path / "pilots" / "low.csv").unlink()
    page.button(key="again").click().run()
    assert page.subheader[0].value == "2 runs read"
    page.text_input(key="path").set_value(str(tmp_path / "none")).run()
    assert_shows_no_traceback(page)
    assert "no such file or folder" in page.error[0].value


@pytest.mark.slow
def test_a_plan_for_real(page, logs):
    drop(page, *files_of(logs))
    page.selectbox(key="law").set_value("power")
    page.text_input(key="horizon").set_value("4k")
    page.button[0].click().run()
    assert_shows_no_traceback(page)
    assert not page.error
    files = page.session_state["plan"].files
    assert json.loads(files["schedule.json"])["horizon"] == 4000
    assert len(files["report.html"]) < 2e6
