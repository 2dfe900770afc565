"""The notebook of the examples runs, and the files of the spectra are those of their page."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
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


@pytest.mark.parametrize(("name", "phase"), [("contrast", "easy"), ("sides", "hard")])
def test_the_spectra_of_the_example_have_the_exponents_that_its_page_says(name, phase):
    from etastar.model import fit_spectrum, read_spectrum

    found = read_spectrum(EXAMPLES / "spectrum_phase" / f"{name}.csv")
    fit = fit_spectrum(found.eigenvalue, found.target)
    assert fit.phase.name == phase
    assert not fit.undecided
    page = EXAMPLES.parent / "docs" / "guides" / "spectrum.md"
    text = page.read_text(encoding="utf-8")
    for value, (low, high) in ((fit.capacity, fit.capacity_ci), (fit.source, fit.source_ci)):
        assert f"{value:.2f} ({low:.2f} to {high:.2f})" in text


def test_the_best_rate_of_the_example_follows_the_model_in_its_sweep():
    """Below the largest stable LR every recorded run ended near the model of its spectrum."""
    for name in ("contrast", "sides"):
        path = EXAMPLES / "spectrum_phase" / f"{name}_sweep.csv"
        rows = np.genfromtxt(path, delimiter=",", names=True)
        stable = rows[rows["lr"] < 0.9 * rows["lr"].max()]
        assert len(stable) == 45
        assert np.abs(np.log(stable["loss"] / stable["model"])).max() < 0.35
