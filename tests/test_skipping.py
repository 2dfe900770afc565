"""Without a framework, the files that import it are skipped with the reason, and others run."""

import os
import subprocess
import sys
from pathlib import Path

SETTINGS = Path(__file__).parents[1] / "conftest.py"
FILES = {
    "test_own.py": "import framework_x\n\ndef test_it(): framework_x.run()\n",
    "test_ours.py": "from etastar.integrations.framework_x import a\n\ndef test_it(): a()\n",
    "test_try.py": "try:\n    import framework_x\nexcept ModuleNotFoundError:\n    raise\n",
    "test_inside.py": "def test_it():\n    if not __doc__: return\n    import framework_x\n",
    "test_other.py": "def test_it(): assert True\n",
    "doctests.py": '"""\n>>> 1 + 1\n2\n"""\nimport framework_x.part\n',
}


def test_only_files_that_import_what_is_not_installed_are_skipped(tmp_path):
    text = SETTINGS.read_text(encoding="utf-8").replace('"accelerate"', '"framework_x"')
    (tmp_path / "conftest.py").write_text(text, encoding="utf-8")
    for name, code in FILES.items():
        (tmp_path / name).write_text(code, encoding="utf-8")
    command = [sys.executable, "-m", "pytest", "-rs", "--doctest-modules", "-p", "no:cacheprovider"]
    done = subprocess.run(
        [*command, "--import-mode=importlib", "--rootdir", str(tmp_path), str(tmp_path)],
        capture_output=True,
        text=True,
        # The summary cuts its lines at the width of the terminal.
        env={**os.environ, "COLUMNS": "200"},
        timeout=120,
    )
    assert done.returncode == 0, done.stdout
    assert "2 passed, 4 skipped" in done.stdout
    for name in ("test_own.py", "test_ours.py", "test_try.py", "doctests.py"):
        reason = f"{name} is skipped, because it imports what is not installed: framework_x"
        assert reason in done.stdout
