"""The notebook of the examples goes from logs to a scheduler."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

EXAMPLES = Path(__file__).parents[1] / "examples"
NOTEBOOK = EXAMPLES / "plan.ipynb"
# What a notebook with all its outputs may hold.
LIGHT = 500_000


def test_the_notebook_is_kept_without_outputs():
    cells = json.loads(NOTEBOOK.read_text(encoding="utf-8"))["cells"]
    code = [cell for cell in cells if cell["cell_type"] == "code"]
    assert len(code) >= 8
    assert all(cell["outputs"] == [] and cell["execution_count"] is None for cell in code)


@pytest.mark.slow  # a fit and a plan, in a process of their own
def test_the_notebook_runs_and_shows_its_results():
    pytest.importorskip("torch")
    pytest.importorskip("ipykernel")
    nbclient, nbformat = pytest.importorskip("nbclient"), pytest.importorskip("nbformat")
    notebook = nbformat.read(NOTEBOOK, as_version=4)
    client = nbclient.NotebookClient(
        notebook, timeout=300, resources={"metadata": {"path": str(EXAMPLES)}}
    )
    client.execute()
    shown = {}
    for cell in notebook.cells:
        if cell.cell_type == "code":
            last = cell.source.splitlines()[-1]
            shown[last] = {
                kind: text for out in cell.outputs for kind, text in out.get("data", {}).items()
            }
            assert not any(out.output_type == "error" for out in cell.outputs)
    for name in ("runs[0].schedule", "law", "plan"):
        assert "<svg" in shown[name]["text/html"]
        assert len(shown[name]["text/plain"]) < 500
    assert "application/vnd.plotly.v1+json" in shown["plan.plot()"]
    assert "after the warmup: 0.00" in notebook.cells[-2].outputs[0].text
    assert len(json.dumps(notebook)) < LIGHT
