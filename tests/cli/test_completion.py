"""A shell completes commands, options and their names."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys

import pytest

from etastar.cli._export import NAMES
from etastar.cli._options import LAWS
from etastar.export import TARGETS
from etastar.law import FORMS

COMMAND = "import sys; sys.argv[0] = 'etastar'; from etastar.cli import main; main()"


def answer(**variables: str) -> list[str]:
    """What `etastar` prints when a shell asks it, a line each."""
    done = subprocess.run(
        [sys.executable, "-c", COMMAND],
        env={**os.environ, **variables},
        capture_output=True,
        text=True,
        timeout=120,
    )
    assert not done.stderr
    return done.stdout.splitlines()


@pytest.mark.parametrize(
    ("line", "candidates"),
    [
        ("pl", ["plan"]),
        ("plan --hor", ["--horizon"]),
        ("plan --law p", ["power"]),
        ("export a.json --to me", ["megatron"]),
    ],
)
def test_bash_is_told_what_a_word_may_become(line: str, candidates: list[str]) -> None:
    words = {"COMP_WORDS": f"etastar {line}", "COMP_CWORD": str(len(line.split()))}
    assert answer(_ETASTAR_COMPLETE="complete_bash", **words) == candidates


@pytest.mark.parametrize("shell", ["zsh", "fish"])
def test_zsh_and_fish_are_told_too(shell: str) -> None:
    words = {"_TYPER_COMPLETE_ARGS": "etastar pl", "_TYPER_COMPLETE_FISH_ACTION": "get-args"}
    lines = answer(_ETASTAR_COMPLETE=f"complete_{shell}", **words)
    assert len(lines) == 1
    assert "plan" in lines[0]
    assert "Say which schedule" in lines[0]
    assert "pilot" not in lines[0]


def test_what_bash_loads_completes_in_bash(tmp_path) -> None:
    bash = shutil.which("bash")
    if bash is None:
        pytest.skip("there is no bash")
    program = tmp_path / "etastar"
    program.write_text(f'#!{bash}\nexec "{sys.executable}" -c "{COMMAND}" "$@"\n')
    program.chmod(0o755)
    # As a shell does it: its own name is asked for the script, the script for the candidates.
    script = """source <(_ETASTAR_COMPLETE=source_bash etastar)
COMP_WORDS=(etastar plan --warm) COMP_CWORD=2
_etastar_completion etastar --warm plan
echo "${COMPREPLY[@]}"; complete -p etastar"""
    path = f"{tmp_path}{os.pathsep}{os.environ['PATH']}"
    done = subprocess.run(
        [bash, "-c", script],
        env={**os.environ, "PATH": path},
        capture_output=True,
        text=True,
        timeout=120,
    )
    found, registered = done.stdout.splitlines()
    assert found == "--warmup"
    # Where there are no candidates, as for logs, the shell completes names of files.
    assert registered == "complete -o default -F _etastar_completion etastar"


def test_the_names_that_are_completed_are_all_there_are() -> None:
    assert tuple(FORMS) == LAWS
    assert set(TARGETS) == set(NAMES)
