"""What --help shows can be typed: every example parses, and those that end do what they say."""

from __future__ import annotations

import shlex
import shutil
import webbrowser
from pathlib import Path

import pytest
import typer.main

from etastar.cli._app import COMMANDS, app
from tests.cli.test_cli import run
from tests.helpers.plans import make_plan

EXAMPLE_FILES = Path(__file__).parents[2] / "examples"
PILOTS = EXAMPLE_FILES / "gpt" / "pilots"
SPECTRUM = EXAMPLE_FILES / "spectrum_phase" / "contrast.csv"
EXAMPLES = [example for _, examples in COMMANDS.values() for example in examples]
# They wait for what happens next, or run a training of one's own.
ENDLESS = ("etastar app", "etastar watch run.csv", "etastar pilot --horizon 40k --budget 60k -- ")
QUICK = ("etastar phase", "etastar robust cosine", "etastar export wsd")
# Their tests solve smaller tasks.
LONG = ("etastar solve", "etastar transfer", "etastar compute")


@pytest.mark.parametrize("name", COMMANDS)
def test_help_ends_with_commands_to_try(capsys, name):
    code, out, _ = run(capsys, name, "--help")
    assert code == 0
    shown = " ".join(out.split("Examples:")[1].split())
    examples = COMMANDS[name][1]
    assert 2 <= len(examples) <= 3
    for example in examples:
        assert example in shown


@pytest.mark.parametrize("example", EXAMPLES)
def test_every_example_parses(example):
    program, name, *words = shlex.split(example)
    assert program == "etastar"
    group = typer.main.get_command(app)
    command = group.commands[name]  # type: ignore[attr-defined]
    context = command.make_context(name, list(words))
    assert context.params


def in_folder(capsys, monkeypatch, folder: Path, example: str) -> None:
    monkeypatch.chdir(folder)
    monkeypatch.setenv("BROWSER", "none")
    monkeypatch.setattr(webbrowser, "open", lambda address: True)
    code, out, err = run(capsys, *shlex.split(example)[1:])
    assert code == 0, err
    assert out
    words = shlex.split(example)
    for option in ("--plot", "--out"):
        if option in words and words[1] != "pilot":
            assert (folder / words[words.index(option) + 1]).exists()


@pytest.mark.parametrize("example", [each for each in EXAMPLES if each.startswith(QUICK)])
def test_quick_examples_run(capsys, monkeypatch, tmp_path, example):
    shutil.copy(SPECTRUM, tmp_path / "spectrum.csv")
    in_folder(capsys, monkeypatch, tmp_path, example)


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> Path:
    """A folder with the bundled pilots and a plan."""
    from etastar.report import write_plan

    folder = tmp_path_factory.mktemp("newcomer")
    shutil.copytree(PILOTS, folder / "pilots")
    shutil.copy(SPECTRUM, folder / "spectrum.csv")
    write_plan(make_plan(), folder / "plan")
    return folder


@pytest.mark.slow
@pytest.mark.parametrize(
    "example", [e for e in EXAMPLES if not e.startswith((*ENDLESS, *QUICK, *LONG))]
)
def test_examples_run_on_the_bundled_pilots(capsys, monkeypatch, folder, example):
    in_folder(capsys, monkeypatch, folder, example)


@pytest.mark.parametrize(
    ("words", "meant"),
    [
        (["pln"], "'plan'"),
        (["forcast", "x"], "'forecast'"),
        (["plan", "x", "--horizn", "5"], "--horizon"),
        (["solve", "--capcity", "2"], "--capacity"),
    ],
)
def test_a_word_that_is_misspelt_has_the_nearest_one_named(capsys, words, meant):
    code, out, err = run(capsys, *words)
    assert (code, out) == (2, "")
    assert meant in err
