"""`etastar phase`, `solve` and `transfer` of a measured spectrum."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest

from tests.cli.test_cli import assert_wrong_input, run


@pytest.fixture
def spectrum(tmp_path: Path) -> Path:
    k = np.arange(1.0, 401.0)
    powers = k**-2.5 * np.random.default_rng(0).chisquare(1, 400)
    path = tmp_path / "spectrum.csv"
    np.savetxt(path, np.c_[k**-1.5, powers], delimiter=",", header="eigenvalue,target", comments="")
    return path


def test_phase_prints_the_measured_exponents_with_their_intervals(capsys, tmp_path, spectrum):
    code, out, _ = run(capsys, "phase", "--spectrum", spectrum)
    assert code == 0
    assert "modes 5 to 400: capacity 1.5 (90%: " in out
    assert "the whole interval lies in the easy phase" in out
    code, out, _ = run(
        capsys, "phase", "--spectrum", spectrum, "--json", "--plot", tmp_path / "phase.html"
    )
    document = json.loads(out)
    assert document["name"] == "easy"
    assert document["capacity"] == pytest.approx(1.5, abs=0.01)
    for name in ("source", "xi"):
        low, high = document[f"{name}_ci"]
        assert low < document[name] < high
    assert document["undecided"] is False
    assert "the whole interval lies in the easy phase" in (tmp_path / "phase.html").read_text()


def test_phase_says_that_both_are_possible(capsys, tmp_path):
    k = np.arange(1.0, 201.0)
    powers = k**-2.0 * np.random.default_rng(3).chisquare(1, 200)
    path = tmp_path / "near.txt"
    np.savetxt(path, np.c_[k**-2.0, powers])
    code, out, _ = run(capsys, "phase", "--spectrum", path)
    assert code == 0
    assert "both phases are possible" in " ".join(out.split())


def test_solve_takes_the_measured_spectrum_itself(capsys, monkeypatch, spectrum):
    from etastar import control
    from etastar.control import Solution
    from etastar.model import LinearModel
    from etastar.schedule import parse_schedule

    models = []

    def solved(model, *_, **__):
        models.append(model)
        return Solution(parse_schedule("linear:peak=1,horizon=100"), 0.1, (), gap=1e-5)

    monkeypatch.setattr(control, "solve", solved)
    words = ("--spectrum", spectrum, "--noise", 0.25, "--batch", 8, "--horizon", 100)
    code, out, _ = run(capsys, "solve", *words)
    assert code == 0
    assert out.startswith("modes 5 to 400: capacity 1.5 (90%: ")
    assert isinstance(models[0], LinearModel)
    assert len(models[0].spectrum.eigenvalue) == 400
    assert (models[0].noise, models[0].batch_size) == (0.25, 8)


@pytest.mark.slow
def test_solve_needs_no_exponents(capsys, tmp_path):
    path = tmp_path / "short.csv"
    path.write_text("1,1\n0.5,0.5\n0.1,0.2\n")
    words = ("--spectrum", path, "--noise", 0.25, "--batch", 8, "--horizon", 100)
    code, out, err = run(capsys, "solve", *words, "--json")
    assert code == 0
    assert json.loads(out)["phase"] is None
    assert "note: no exponents and no phase" in err
    code, out, _ = run(capsys, "solve", *words, "--plot", tmp_path / "optimum.html")
    assert code == 0
    assert out.startswith("loss ")


@pytest.mark.parametrize("command", ["phase", "solve"])
@pytest.mark.parametrize(
    ("words", "said"),
    [
        ((), "--capacity and --source are missing: give --capacity A and --source S, or --spec"),
        (("--source", 1), "--capacity is missing"),
        (("--capacity", 2), "--source is missing"),
        (("--spectrum", "x.csv", "--capacity", 2), "--spectrum and --capacity both say"),
        (("--spectrum", "x.csv", "--capacity", 2, "--source", 1), "--capacity and --source both"),
        (("--spectrum", "no_such.csv"), "no_such.csv"),
    ],
)
def test_a_task_is_given_in_one_way(capsys, command, words, said):
    more = ("--noise", 1, "--batch", 8, "--horizon", 100) if command == "solve" else ()
    assert_wrong_input(run(capsys, command, *words, *more), said)


def test_a_wrong_file_is_named_with_its_line(capsys, tmp_path, spectrum):
    path = tmp_path / "bad.csv"
    path.write_text("eigenvalue,target\n1,0.5\n0.2,x\n")
    assert_wrong_input(run(capsys, "phase", "--spectrum", path), "bad.csv:3: target is not")
    path.write_text("1,0.5\n0.2,0.1\n")
    assert_wrong_input(run(capsys, "phase", "--spectrum", path), "bad.csv: 1 modes")
    words = ("--noise", 1, "--batch", 8, "--horizon", 100, "--width", 10)
    assert_wrong_input(run(capsys, "solve", "--spectrum", spectrum, *words), "--width")


def test_transfer_takes_the_measured_spectrum_itself(capsys, spectrum):
    from etastar.control import transfer
    from etastar.model import LinearModel, read_spectrum

    words = ("--spectrum", spectrum, "--noise", 1, "--batch", 8, "--horizons", "100,400")
    code, out, _ = run(capsys, "transfer", *words, "--shapes", "linear", "--json")
    document = json.loads(out)
    assert code == 0
    expected = transfer(LinearModel(read_spectrum(spectrum), 1.0, 8.0), "linear", [100, 400])
    assert document["shapes"]["linear"]["peaks"] == pytest.approx(expected.peaks.tolist())
    # The exponents are those fitted to the spectrum: easy, with xi below one half.
    assert 0 < document["theory"]["xi"] < 0.5


def test_transfer_of_a_spectrum_without_exponents_has_no_theory(capsys, tmp_path):
    path = tmp_path / "few.csv"
    path.write_text("eigenvalue,target\n1,1\n0.5,0.3\n0.1,0.2\n")
    words = ("--spectrum", path, "--noise", 1, "--batch", 8, "--horizons", "100,400")
    code, out, err = run(capsys, "transfer", *words, "--shapes", "linear", "--json")
    assert code == 0
    assert json.loads(out)["theory"] is None
    assert "no exponents and no phase" in err


def test_transfer_of_two_tasks_is_refused(capsys, spectrum):
    words = ("--spectrum", spectrum, "--capacity", 1.5, "--noise", 1, "--batch", 8)
    assert_wrong_input(run(capsys, "transfer", *words), "both say what the task is")
