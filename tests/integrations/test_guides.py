"""Every page does what it shows: its Python blocks run in order, in a folder of their own."""

import os
import re
import shutil
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

from etastar.schedule import parse_schedule

ROOT = Path(__file__).parents[2]
# The lines of the guide to trackers need servers: tests/runs runs them against such.
PAGES = sorted(
    path
    for path in (ROOT / "README.md", *(ROOT / "docs").rglob("*.md"))
    if path.stem != "trackers" and "\n```python\n" in path.read_text(encoding="utf-8")
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^(?:import|from) (keras|lightning|optax|torch|transformers)\b", re.MULTILINE)


OPTIMISER = """
import torch
optimizer = torch.optim.SGD(torch.nn.Linear(2, 2).parameters())
"""
"""What the lines of the README stand beside."""


def script_of(guide: Path) -> str:
    """The blocks as one program whose lines stand where they stand in the guide."""
    text = guide.read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in BLOCK.finditer(text):
        first = text[: block.start(1)].count("\n")
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


def folder_of_a_user(path: Path) -> None:
    """What the reader of a page has: pilots, and the folder of a plan."""
    (path / "plan").mkdir(parents=True)
    for name in ("pilots", "examples/gpt/pilots"):
        shutil.copytree(ROOT / "examples" / "gpt" / "pilots", path / name)
    sizes = parse_schedule("constant:peak=32,horizon=200")
    planned = parse_schedule("wsd:peak=1e-3,horizon=200,cooldown=0.2")
    planned.save(path / "plan" / "schedule.json", batch_size=sizes)


@pytest.mark.slow
@pytest.mark.parametrize("guide", PAGES, ids=lambda guide: guide.stem)
def test_the_python_blocks_of_a_page_run(guide: Path, tmp_path: Path) -> None:
    script = script_of(guide)
    if guide.stem == "README":
        script = f"{OPTIMISER}{script}"
    missing = [name for name in set(IMPORT.findall(script)) if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    work = tmp_path / "work"
    if guide.parent.name == "guides":  # these make all that they need
        work.mkdir()
    else:
        folder_of_a_user(work)
    path = tmp_path / f"{guide.stem}_guide.py"
    path.write_text(script, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=work,
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{guide}: {done.stderr[-3000:]}"
