"""Every option that a message about logs names is one of the command that prints the message."""

from __future__ import annotations

import ast
import inspect
import json
import re
import sys
from pathlib import Path

import pytest
import typer.main

from etastar._errors import at_command_line, option
from etastar.cli._app import COMMANDS, app
from tests.cli.test_cli import run
from tests.helpers.imports import SOURCE

ALWAYS_DECLARED = {"pilot": {"--runs-schedule"}}
"""What a command never lacks: the schedule of a pilot is the one that it was started with."""

NOT_LITERAL = ("step", "loss", "lr", "batch_size", "epoch_size", "sequence_length")
"""The columns, and what `Unit` lacks: readers name these options by a variable."""


def mentioned() -> set[str]:
    """The options that readers name in messages at the command line."""
    names, words = set(NOT_LITERAL), set()
    for path in (SOURCE / "runs").glob("*.py"):
        for node in ast.walk(ast.parse(path.read_text())):
            if isinstance(node, ast.Call) and getattr(node.func, "id", "") == "option":
                first = node.args[0]
                names |= {str(first.value)} if isinstance(first, ast.Constant) else set()
            if isinstance(node, ast.Constant) and isinstance(node.value, str):
                words |= set(re.findall(r"(?<![\w-])--[a-z][a-z-]+", node.value))
    with at_command_line():
        return {option(name) for name in names} | (words - {"--out"})


def reads_logs(command: str) -> bool:
    text = inspect.getsource(sys.modules[COMMANDS[command][0].__module__])
    return "read_logs(" in text or "LogReading(" in text


READING = [name for name in COMMANDS if reads_logs(name)]


def test_the_commands_that_read_logs_are_known():
    assert READING == ["plan", "forecast", "watch", "backtest", "export", "pilot"]


@pytest.mark.parametrize("command", READING)
def test_every_option_that_a_message_can_name_is_there(command):
    found = typer.main.get_command(app).commands[command]  # type: ignore[attr-defined]
    there = {name for parameter in found.params for name in parameter.opts}
    named = mentioned()
    assert {"--loss", "--runs-schedule", "--runs-batch", "--pattern"} < named
    assert named - ALWAYS_DECLARED.get(command, set()) <= there


def test_watch_takes_the_schedule_that_its_message_asks_for(capsys, tmp_path):
    log = tmp_path / "run.csv"
    log.write_text("step,loss\n" + "".join(f"{10 * i},{3 - 0.05 * i}\n" for i in range(1, 9)))
    code, _, err = run(capsys, "watch", log, "--once", "--json")
    assert code == 2
    assert "or give --runs-schedule SPEC" in err
    given = ("--runs-schedule", "linear:peak=0.1,horizon=100")
    code, out, _ = run(capsys, "watch", log, "--once", "--json", *given)
    assert code == 0
    assert json.loads(out)["horizon"] == 100


TRAINING = """
import sys
steps, out = int(sys.argv[1]), sys.argv[2]
with open(out + ".csv", "w") as log:
    print("round,score", file=log)
    for step in range(0, steps + 1, max(steps // 20, 1)):
        print(f"{step},{2 + 3 / (1 + step) ** 0.5}", file=log)
"""


def test_pilot_reads_columns_by_the_names_that_it_is_given(capsys, tmp_path: Path):
    script, out = tmp_path / "train.py", tmp_path / "pilots"
    script.write_text(TRAINING)
    words = ("--horizon", 400, "--budget", 60, "--peak", "0.01,0.1", "--out", out, "--json")
    columns = ("--step", "round", "--loss", "score")
    command = ("--", sys.executable, script, "{steps}", "{out}", "{spec}")
    code, printed, err = run(capsys, "pilot", *words, *columns, *command)
    assert code == 0, err
    document = json.loads(printed)
    assert {each["status"] for each in document["pilots"]} == {"finished"}
    assert document["next"].endswith("--step round --loss score")
