"""`etastar pilot` as a person types it, and what it shows."""

from __future__ import annotations

import json
import sys

import pytest
from rich.console import Console

from etastar import cli
from etastar.pilot import Pilot, Proposal, _progress
from etastar.pilot._command import closing_lines, cluster_around, plan_words
from etastar.pilot._progress import Line, View, design_table, duration
from etastar.schedule import parse_schedule


def typed(*words: object) -> int:
    with pytest.raises(SystemExit) as end:
        cli.main([str(word) for word in words])
    return end.value.code  # type: ignore[return-value]


@pytest.mark.slow
def test_two_commands_from_a_training_to_a_plan(bench, capsys, monkeypatch):
    """A dry run pays nothing; `pilot` runs what it showed; the line it prints is a plan."""
    monkeypatch.chdir(bench.folder)
    begin = ["pilot", "--horizon", "4e3", "--budget", 1200, "--peak", "0.05,0.5"]
    assert typed(*begin, "--dry-run", "--json", "--", *bench.command) == 0
    designed = json.loads(capsys.readouterr().out)
    assert designed["steps"] <= 1200
    widths = [each["interval"] for each in designed["pilots"]]
    assert widths[-1] < widths[0]
    assert not bench.out.exists()
    assert not bench.told("start")

    assert typed(*begin, "--jobs", 2, "--json", "--", *bench.command) == 0
    out, said = capsys.readouterr()
    swept = json.loads(out)
    assert said.index(designed["pilots"][0]["name"]) < said.index("finished, loss")  # the table
    assert designed["pilots"][0]["name"] in bench.told("start")[:2]
    assert {each["name"] for each in swept["pilots"]} == set(bench.told("start"))
    assert swept["steps"] <= 1200
    assert swept["outlook"]["loss"]["low"] < swept["outlook"]["loss"]["high"]

    assert swept["next"] == "etastar plan pilots --horizon 4000 --out plan"
    assert typed(*swept["next"].split()[1:], "--json") == 0
    plan = json.loads(capsys.readouterr().out)
    # The training's loss at the end of 4000 steps is 1 + (1 + time)^-0.5, near 1.05.
    assert 1.0 < plan["loss"]["mean"] < 1.15


def test_the_end_says_what_was_run_why_it_stopped_and_what_to_type_next(bench, tmp_path):
    bench.fault("b", "nan")
    swept, _ = bench.sweep([bench.pilot("a"), bench.pilot("b")])
    first, last = closing_lines(swept, tmp_path, 4000)
    assert first == f"1 pilot finished, 1 diverged, {swept.steps:,} steps: the list"
    assert last == f"next: etastar plan {tmp_path} --horizon 4000 --out plan"


@pytest.mark.parametrize(
    ("words", "told"),
    [
        (["--horizon", "4e3", "--budget", "3e3", "--peak", "5"], "two rising LRs"),
        (["--horizon", "-1", "--budget", "3e3"], "--horizon"),
        (["--horizon", "4e3", "--budget", "x"], "--budget"),
        (["--horizon", "4e3", "--budget", "3e3", "--ray", "local", "--cpus", "0"], "reserve"),
    ],
)
def test_wrong_input_is_one_line_and_exit_2(bench, capsys, words, told):
    assert typed("pilot", *words, "--out", bench.out, "--", *bench.command) == 2
    error = capsys.readouterr().err
    assert told in error
    assert len(error.splitlines()) == 1


def test_without_a_command_one_line_says_what_to_add(capsys):
    assert typed("pilot", "--horizon", 100, "--budget", 100) == 2
    assert "COMMAND" in capsys.readouterr().err


def test_inside_a_ray_cluster_pilots_run_there(monkeypatch):
    monkeypatch.delenv("RAY_ADDRESS", raising=False)
    assert cluster_around() is None
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert cluster_around() == "auto"


def test_the_next_command_quotes_the_folder(tmp_path):
    words = plan_words(tmp_path / "my pilots", 10)
    assert f"'{tmp_path}/my pilots'" in words


def view(step: float | None) -> View:
    pilot = Pilot("wsd_1", parse_schedule("linear:peak=0.1,horizon=1000"))
    loss = None if step is None else 2.5
    line = Line(pilot, step, loss, 0, None if step is None else 3700.0)
    return View((line,), 2, 3000, 9000, 40_000, 0.01, None, False)


def test_a_run_is_one_line_with_rate_step_loss_and_time_left():
    console = Console(width=100, record=True, file=sys.stderr)
    console.print(_progress._whole(view(500.0)))
    text = console.export_text()
    (line,) = [line for line in text.splitlines() if line.startswith("wsd_1")]
    assert line.split() == ["wsd_1", "0.05", "500/1,000", "50%", "2.5", "1:01:40"]
    assert "2 runs ended, 3,000 of 9,000 steps paid" in text


def test_without_a_terminal_each_quarter_of_a_run_is_a_line(capsys):
    shown = _progress.Plain()
    for step in (None, 10.0, 250.0, 260.0, 600.0, 600.0):
        shown.show(view(step))
    lines = capsys.readouterr().err.splitlines()
    assert [line.split(",")[0] for line in lines] == [
        "wsd_1: step 250/1000",
        "wsd_1: step 600/1000",
    ]


def test_the_design_shows_what_each_pilot_pays_and_the_interval_after_it():
    first = Pilot("trunk", parse_schedule("constant:peak=0.1,horizon=1000"))
    second = Pilot(
        "tail", parse_schedule("wsd:peak=0.1,horizon=1200,cooldown=200"), 0, "trunk", 1000
    )
    proposal = Proposal((first, second), 0.5, (0.2, 0.1), "two pilots")
    console = Console(width=100, record=True, file=sys.stderr)
    console.print(design_table(proposal, [1000, 200], 40_000))
    text = console.export_text()
    row = next(line for line in text.splitlines() if line.strip().startswith("tail"))
    assert row.split() == [
        "tail",
        "wsd",
        "from",
        "1,000",
        "0.1",
        "1,200",
        "200",
        "1,200",
        "±",
        "10.0%",
    ]
    assert "Two pilots." in text


def test_durations_are_said_in_whole_words():
    assert [duration(x) for x in (None, 5, 61, 3600, 3e5)] == [
        "-",
        "0:05",
        "1:01",
        "1:00:00",
        "3 days",
    ]
