"""`etastar pilot` as a person types it."""

from __future__ import annotations

import json

import pytest

from etastar import cli
from etastar.cli import _pilot


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
    assert sum(each["steps"] for each in designed["pilots"]) == designed["steps"] <= 1200
    widths = [each["interval"] for each in designed["pilots"]]
    assert widths[-1] < widths[0]
    assert not bench.out.exists()
    assert not bench.told("start")

    page = bench.folder / "sweep.html"
    assert typed(*begin, "--jobs", 2, "--json", "--plot", page, "--", *bench.command) == 0
    out, said = capsys.readouterr()
    swept = json.loads(out)
    assert all(each["name"] in page.read_text() for each in swept["pilots"])
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
    assert _pilot._cluster_around() is None
    monkeypatch.setenv("RAY_ADDRESS", "127.0.0.1:6379")
    assert _pilot._cluster_around() == "auto"


def test_the_next_command_quotes_the_folder(tmp_path):
    words = _pilot._plan_command(tmp_path / "my pilots", 10)
    assert f"'{tmp_path}/my pilots'" in words
