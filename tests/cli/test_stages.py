"""What a terminal shows while a command works, and that nothing of it reaches anyone else."""

from __future__ import annotations

import io
import json
import os
import pty
import re
import signal
import subprocess
import sys
import time
from itertools import pairwise
from pathlib import Path
from typing import NamedTuple

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


def test_what_took_a_while_says_early_what_is_left_and_rises_only_by_much():
    clock = Clock()
    stages = Stages({"solving": 100.0}, clock)
    stages("solving", 0, 100)
    clock.now += 1.0
    stages("solving", 2, 100)
    assert stages.left() is None  # one second may be anything
    clock.now += 1.0
    stages("solving", 4, 100)
    assert stages.left() == pytest.approx(48)
    clock.now += 1.1
    stages("solving", 6, 100)  # 3.1 s for 6 parts: 48.6
    assert stages.left() == pytest.approx(46.9)
    clock.now += 3.9
    stages("solving", 7, 100)
    assert stages.left() == pytest.approx(93)


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


@pytest.mark.parametrize(("seconds", "warned"), [(1.6, True), (0.3, False)])
def test_a_terminal_is_warned_once_of_long_work(terminal, seconds, warned):
    clock = Clock()
    with _terminal.working({"solving": 100.0}, clock) as progress:
        progress("solving", 0, 100)
        for done in range(10, 60, 10):
            clock.now += seconds
            progress("solving", done, 100)
    text = shown(terminal.getvalue())
    assert text.count("this takes about") == warned
    assert ("this takes about 14 s; Ctrl-C ends it" in text) == warned


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


class OnTerminal(NamedTuple):
    """What a command in a process of its own left behind, with what its terminal showed when."""

    code: int
    out: str
    screen: str
    shown: list[tuple[float, str]]
    seconds: float


def started(*words: object, interrupt_at: str | None = None) -> OnTerminal:
    """A command on a terminal; Ctrl-C is pressed once it shows some text."""
    ours, theirs = pty.openpty()
    command = [sys.executable, "-m", "etastar.cli", *map(str, words)]
    environment = os.environ | {"TERM": "xterm", "COLUMNS": "100"}
    began = time.monotonic()
    process = subprocess.Popen(command, stdout=subprocess.PIPE, stderr=theirs, env=environment)
    os.close(theirs)
    chunks, when = [], []
    while True:
        try:
            chunk = os.read(ours, 4096)
        except OSError:  # Linux says so where the other end is closed.
            break
        if not chunk:
            break
        chunks.append(chunk)
        when.append((time.monotonic() - began, shown(chunk.decode(errors="replace"))))
        if interrupt_at is not None and interrupt_at in when[-1][1]:
            process.send_signal(signal.SIGINT)
            interrupt_at = None
    os.close(ours)
    out, _ = process.communicate(timeout=120)
    screen = shown(b"".join(chunks).decode(errors="replace"))
    return OnTerminal(process.returncode, out.decode(), screen, when, time.monotonic() - began)


def on_a_terminal(*words: object) -> tuple[str, str]:
    """Stdout, and what a command in a process of its own shows on a terminal."""
    end = started(*words)
    assert end.code == 0, end.screen
    return end.out, end.screen


SOLVE = ("solve", "--capacity", 1.5, "--source", 0.5, "--noise", 1, "--batch", 8)
LEFT = re.compile(r"about (\d+) (s|min) left")


@pytest.mark.slow
@pytest.mark.parametrize("horizon", [1000, pytest.param(20_000, marks=pytest.mark.long)])
def test_a_solve_says_what_is_left_and_is_right_within_a_factor_of_three(horizon):
    end = started(*SOLVE, "--horizon", horizon, "--controls", "lr,momentum", "--json")
    assert end.code == 0, end.screen
    assert "momentum" in json.loads(end.out)
    said = [
        (at, int(number) * (60 if unit == "min" else 1))
        for at, text in end.shown
        for number, unit in LEFT.findall(text)
    ]
    assert len(said) > 5
    for at, left in said:
        # Of short times the rest of the command, such as printing, is a part.
        assert (end.seconds - at) / 3 - 3 < left < 3 * (end.seconds - at) + 3
    rises = [after - before for (_, before), (_, after) in pairwise(said) if after > before]
    assert len(rises) <= len(said) / 4
    assert said[-1][1] < said[0][1] / 3
    warned = "this takes about" in end.screen
    assert warned == (said[0][1] >= 10)


@pytest.mark.slow
def test_ctrl_c_ends_a_solve_with_one_line():
    words = ("--horizon", 100_000, "--controls", "lr,momentum", "--json")
    end = started(*SOLVE, *words, interrupt_at=" left")
    assert (end.code, end.out) == (130, "")
    assert end.screen.rstrip().splitlines()[-1].strip() == "interrupted"
    assert "Traceback" not in end.screen


@pytest.mark.slow
def test_a_redirected_solve_shows_nothing_else():
    words = [*SOLVE, "--horizon", 100, "--controls", "lr,velocity,momentum", "--json"]
    command = [sys.executable, "-m", "etastar.cli", *map(str, words)]
    done = subprocess.run(command, capture_output=True, text=True, check=True)
    assert done.stderr == ""
    assert "velocity" in json.loads(done.stdout)


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
