"""Fixtures that several rooms share: a plan, a folder of logs, runs of a known law."""

from __future__ import annotations

import importlib.util
import sys
from collections.abc import Callable
from pathlib import Path
from types import ModuleType

import pytest

from tests.helpers.laws import make_pilots
from tests.helpers.plans import PILOTS, make_plan

BENCH = Path(__file__).parents[1] / "bench"


@pytest.fixture
def bench_script(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Loads a script of bench/ by its name, as a module."""
    monkeypatch.syspath_prepend(str(BENCH))  # scripts import each other

    def load(name: str) -> ModuleType:
        spec = importlib.util.spec_from_file_location(name, BENCH / f"{name}.py")
        assert spec is not None
        assert spec.loader is not None
        module = importlib.util.module_from_spec(spec)
        # Dataclasses look their module up by its name.
        monkeypatch.setitem(sys.modules, name, module)
        spec.loader.exec_module(module)
        return module

    return load


@pytest.fixture(scope="session")
def pilots():
    """Twelve runs that follow our law, with noise."""
    return make_pilots()


@pytest.fixture(scope="session")
def law(pilots):
    """The law fitted to them."""
    from etastar.law import fit

    return fit(pilots)


@pytest.fixture
def plan_of():
    """The function that makes a plan by hand."""
    return make_plan


@pytest.fixture(scope="session")
def logs(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder of the three pilots as CSV files with a runs.csv."""
    folder = tmp_path_factory.mktemp("logs")
    rows = ["run,schedule"]
    for run in PILOTS:
        rows.append(f'{run.name},"{run.schedule.spec}"')
        lines = [f"{step:g},{loss:.6f}" for step, loss in zip(run.step, run.loss, strict=True)]
        (folder / f"{run.name}.csv").write_text("\n".join(["step,loss", *lines]) + "\n")
    (folder / "runs.csv").write_text("\n".join(rows) + "\n")
    return folder
