"""What a terminal shows while a command works, and that nothing of it reaches anyone else."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import subprocess
import sys
from pathlib import Path

import pytest
from rich.console import Console

import etastar.planning
from etastar.cli import _terminal
from etastar.cli._plan import WRITING, WRITING_WEIGHT
from etastar.cli._stages import Stages, left_text
from etastar.planning import STAGES
from tests.cli.test_cli import run

BACKTEST = ("fitting the law", "predicting")


class Clock:
    """Seconds that a test sets."""

    now = 100.0

    def __call__(self) -> float:
        return self.now


def test_the_rest_is_expected_to_take_as_long_for_its_weight_as_what_is_done():
    clock = Clock()
    stages = Stages({"reading": 0.0, "fitting": 2.0, "solving": 4.0, "writing": 2.0}, clock)
    stages("reading", 0, 1)
    clock.now += 50  # says nothing about the others
    stages("reading", 1, 1)
    stages("fitting", 0, 1)
    assert stages.left() is None
    clock.now += 6
    stages("fitting", 1, 1)
    assert stages.left() == pytest.approx(18)  # 3 s for a unit, of which 6 are left
    stages("solving", 0, 4)
    clock.now += 2
    assert stages.left() == pytest.approx(16)
    stages("solving", 1, 4)
    assert stages.left() == pytest.approx(5 * 8 / 3)  # 8 s for 3 of 8 units
    stages("solving", 4, 4)
    stages("writing", 1, 1)
    assert stages.left() is None


def test_what_takes_longer_than_was_said_is_not_called_nearly_done():
    clock = Clock()
    stages = Stages({"fitting": 1.0, "solving": 1.0}, clock)
    stages("fitting", 0, 1)
    clock.now += 3
    stages("fitting", 1, 1)
    for seconds, left in ((0, "about 3 s left"), (1, "about 2 s left"), (2.5, ""), (9, "")):
        clock.now = 103.0 + seconds
        assert left_text(stages.left()) == left


def test_stages_without_weights_say_where_they_are_and_not_how_long():
    clock = Clock()
    stages = Stages({"fitting": 0.0, "solving": 0.0}, clock)
    stages("fitting", 0, 1)
    clock.now += 9
    stages("solving", 0, 1)
    assert (stages.title, stages.left()) == ("2/2 solving", None)


@pytest.fixture
def terminal(monkeypatch) -> io.StringIO:
    """What a command writes to a terminal that stderr is."""
    screen = io.StringIO()
    monkeypatch.setattr(
        _terminal,
        "console",
        lambda **_: Console(file=screen, force_terminal=True, width=100, highlight=False),
    )
    return screen


def shown(text: str) -> str:
    """Text without the codes for colours and the cursor."""
    return re.sub(r"\x1b\[[0-9;?]*[A-Za-z]", "", text)


def test_a_terminal_shows_the_stage_and_the_bar_goes_away(terminal):
    with _terminal.working({"fitting": 1.0, "solving": 2.0}) as progress:
        progress("solving", 1, 2)
    text = shown(terminal.getvalue())
    assert "2/2 solving" in text
    assert terminal.getvalue().endswith("\x1b[1A\x1b[2K")


@pytest.mark.parametrize(("law", "weighed"), [("etastar", True), ("power", False)])
def test_plan_tells_its_stages_in_their_order(monkeypatch, plan_of, logs, tmp_path, law, weighed):
    told = []

    def fake(runs, horizon, *, progress, **_):
        for stage in STAGES:
            progress(stage, 0, 1)
            progress(stage, 1, 1)
        return plan_of()

    class Listening(Stages):
        def __call__(self, stage, done, total, /):
            super().__call__(stage, done, total)
            told.append((self.title, self.done, self.total))

    monkeypatch.setattr(etastar.planning, "plan", fake)
    monkeypatch.setattr("etastar.cli._stages.Stages", Listening)
    with pytest.raises(SystemExit):
        etastar.cli.main(
            ["plan", str(logs), "--horizon", "8000", "--law", law, "--out", str(tmp_path)]
        )
    names = list(dict.fromkeys(title for title, _, _ in told))
    count = len(STAGES) + 1
    expected = [f"{i}/{count} {name}" for i, name in enumerate([*STAGES, WRITING], 1)]
    assert names == ["reading the logs", *expected]
    assert told[-1][2] == pytest.approx(weighed * (sum(STAGES.values()) + WRITING_WEIGHT))
    assert told[-1][1] == pytest.approx(weighed * sum(STAGES.values()))


def test_nothing_is_shown_where_no_one_looks(capsys, logs):
    words = ("--fit", logs / "low.csv", "--fit", logs / "high.csv", "--test", logs / "cooled.csv")
    code, out, err = run(capsys, "backtest", *words, "--law", "power", "--json")
    assert code == 0
    assert err == ""
    assert json.loads(out)["runs"][0]["run"] == "cooled"


def on_a_terminal(*words: object) -> tuple[str, str]:
    """Stdout, and what a command in a process of its own shows on a terminal."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "etastar.cli", *map(str, words)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    chunks = []
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux says so where the other end is closed.
            break
        if not chunk:
            break
        chunks.append(chunk)
    os.close(ours)
    out, _ = process.communicate(timeout=120)
    assert process.returncode == 0, b"".join(chunks)
    return out.decode(), shown(b"".join(chunks).decode(errors="replace"))


@pytest.mark.slow
def test_a_real_terminal_shows_every_stage_and_stdout_the_json_alone(logs: Path, tmp_path: Path):
    words = ("--horizon", 6000, "--out", tmp_path / "plan", "--json")
    out, screen = on_a_terminal("plan", logs, *words)
    assert json.loads(out) == json.loads((tmp_path / "plan" / "plan.json").read_text())
    assert "reading the logs" in screen
    for place, stage in enumerate([*STAGES, WRITING], 1):
        assert f"{place}/{len(STAGES) + 1} {stage}" in screen


@pytest.mark.slow
def test_a_real_terminal_shows_the_stages_of_a_backtest(logs: Path):
    words = ("--fit", logs / "low.csv", "--fit", logs / "high.csv", "--test", logs / "cooled.csv")
    out, screen = on_a_terminal("backtest", *words, "--json")
    assert next(iter(json.loads(out))) == "runs"
    assert "1/2 fitting the law" in screen
