"""Without what POSIX alone has: all but running pilots works, and that says so in one line."""

from __future__ import annotations

import json
import pkgutil
import subprocess
import sys
from pathlib import Path

import pytest

import etastar

ROOT = Path(__file__).parents[1]
COMMAND = (
    "import tests.helpers.windows as w, sys; w.hide()\n"
    "from etastar.cli import main; main(sys.argv[1:])"
)


def python(code: str, *words: str) -> subprocess.CompletedProcess[str]:
    """A Python without what Windows lacks."""
    return subprocess.run(
        [sys.executable, "-c", code, *words], capture_output=True, text=True, cwd=ROOT, timeout=300
    )


def etastar_command(*words: str) -> subprocess.CompletedProcess[str]:
    return python(COMMAND, *words)


@pytest.mark.slow
def test_every_file_can_be_imported():
    found = pkgutil.walk_packages(etastar.__path__, "etastar.")
    # Those of `integrations` without underscore need their frameworks.
    needs = ("etastar.integrations.", "etastar.cli.__main__", "etastar.pilot._call")
    names = [each.name for each in found if not each.name.startswith(needs)]
    names += ["etastar.integrations._log", "etastar.integrations._source"]
    done = python(
        "import tests.helpers.windows as w, sys, importlib; w.hide()\n"
        "for name in sys.argv[1:]: importlib.import_module(name)\nprint('all')",
        *names,
    )
    assert done.stdout == "all\n", done.stderr
    assert len(names) > 100


def test_the_stand_in_takes_away_what_it_says():
    code = "import tests.helpers.windows as w; w.hide(); print(hasattr(w._views['os'], 'killpg'))"
    assert python(code).stdout == "False\n"
    asks = "exec('import fcntl', {'__name__': 'etastar.x'})"
    asks = f"import tests.helpers.windows as w; w.hide(); {asks}"
    assert "No module named 'fcntl'" in python(asks).stderr


def test_running_pilots_is_refused_in_one_line(tmp_path):
    words = ["--horizon", "1000", "--budget", "500", "--out", str(tmp_path / "pilots")]
    done = etastar_command("pilot", *words, "--", sys.executable, "{schedule}", "{out}")
    assert done.returncode == 2
    assert done.stdout == ""
    assert "running pilots needs Linux or macOS" in done.stderr
    assert len(done.stderr.strip().splitlines()) == 1
    assert not (tmp_path / "pilots").exists()


@pytest.mark.slow
def test_a_reference_training_is_refused_in_one_line(tmp_path):
    pytest.importorskip("torch")
    code = (
        "import tests.helpers.windows as w, sys; w.hide(); from etastar.train.gpt import main\n"
        "sys.exit(main(sys.argv[1:]))"
    )
    words = ["--schedule", "constant:peak=0.001,horizon=4", "--name", "a"]
    words += ["--out", str(tmp_path / "log")]
    done = python(code, *words)
    assert done.returncode == 2, done.stderr
    assert "needs Linux or macOS" in done.stderr
    assert "Traceback" not in done.stderr


def test_a_training_writes_its_log(tmp_path):
    code = (
        "import tests.helpers.windows as w, sys; w.hide()\n"
        "from etastar.integrations._log import RunLog\n"
        "with RunLog(sys.argv[1], 'linear:peak=0.1,horizon=4') as log: log.add(1, 2.5)"
    )
    done = python(code, str(tmp_path / "run.jsonl"))
    assert done.returncode == 0, done.stderr
    (header, row) = (tmp_path / "run.jsonl").read_bytes().split(b"\n")[:2]
    assert b"etastar_run" in header
    assert json.loads(row) == {"step": 1, "loss": 2.5}


@pytest.mark.slow
def test_pilots_are_designed_and_a_plan_is_made_and_exported(tmp_path):
    words = ["--horizon", "1000", "--budget", "900", "--peak", "1e-3,1e-2", "--dry-run", "--json"]
    done = etastar_command("pilot", *words, "--", sys.executable, "{schedule}", "{out}")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["pilots"]
    runs, out = str(ROOT / "examples/gpt/pilots"), str(tmp_path / "plan")
    done = etastar_command("plan", runs, "--horizon", "28000", "--out", out, "--json")
    assert done.returncode == 0, done.stderr
    assert json.loads(done.stdout)["peak_lr"] > 0
    assert (tmp_path / "plan" / "report.html").stat().st_size > 10_000
    done = etastar_command("export", str(tmp_path / "plan" / "schedule.json"), "--to", "axolotl")
    assert done.returncode == 0, done.stderr
    assert "learning_rate" in done.stdout
