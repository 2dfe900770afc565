"""Every guide does what it shows: its Python blocks run in order, in a folder of their own."""

import os
import re
import subprocess
import sys
from importlib.util import find_spec
from pathlib import Path

import pytest

# The lines of the guide to trackers need servers: tests/runs runs them against such.
GUIDES = sorted(
    path
    for path in (Path(__file__).parents[2] / "docs" / "guides").glob("*.md")
    if path.stem != "trackers" and "\n```python\n" in path.read_text(encoding="utf-8")
)
BLOCK = re.compile(r"^```python\n(.*?)^```$", re.MULTILINE | re.DOTALL)
IMPORT = re.compile(r"^(?:import|from) (keras|lightning|optax|torch|transformers)\b", re.MULTILINE)


def script_of(guide: Path) -> str:
    """The blocks as one program whose lines stand where they stand in the guide."""
    text = guide.read_text(encoding="utf-8")
    lines = [""] * (text.count("\n") + 1)
    for block in BLOCK.finditer(text):
        first = text[: block.start(1)].count("\n")
        code = block[1].splitlines()
        lines[first : first + len(code)] = code
    return "\n".join(lines)


@pytest.mark.parametrize("guide", GUIDES, ids=lambda guide: guide.stem)
def test_the_python_blocks_of_a_guide_run(guide: Path, tmp_path: Path) -> None:
    script = script_of(guide)
    missing = [name for name in set(IMPORT.findall(script)) if find_spec(name) is None]
    if missing:
        pytest.skip(f"not installed: {', '.join(missing)}")
    path = tmp_path / f"{guide.stem}_guide.py"
    path.write_text(script, encoding="utf-8")
    (tmp_path / "work").mkdir()
    done = subprocess.run(
        [sys.executable, str(path)],
        cwd=tmp_path / "work",
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=300,
    )
    assert done.returncode == 0, f"{guide}: {done.stderr[-3000:]}"
