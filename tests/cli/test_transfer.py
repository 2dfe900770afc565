"""`etastar transfer` and `etastar compute`: what they print is what the library finds."""

import json

import pytest

from etastar.control import compute_optimal, transfer
from etastar.model import PowerLaw, phase
from tests.cli.test_cli import run

TASK = ("--capacity", 1.5, "--source", 1.0, "--noise", 0.25, "--batch", 8)


def test_transfer_as_json_is_that_of_the_library(capsys):
    words = ("transfer", *TASK, "--horizons", "1k,4k", "--shapes", "constant, linear", "--json")
    code, out, _ = run(capsys, *words)
    assert code == 0
    found = json.loads(out)
    assert set(found["shapes"]) == {"constant", "linear"}
    expected = transfer(PowerLaw(1.5, 1.0, 0.25, 8), "linear", [1000, 4000])
    linear = found["shapes"]["linear"]
    assert linear["horizons"] == [1000, 4000]
    assert linear["peaks"] == pytest.approx(expected.peaks.tolist(), rel=1e-9)
    assert linear["xi"] == pytest.approx(expected.xi, rel=1e-9)
    exponents = phase(1.5, 1.0)
    assert found["theory"] == {"xi": exponents.xi, "constant_xi": exponents.constant_xi}
    # At these horizons the slope of the constant LR is near that of theory already.
    assert found["shapes"]["constant"]["xi"] == pytest.approx(exponents.constant_xi, abs=0.06)


def test_transfer_prints_a_row_a_horizon(capsys):
    code, out, _ = run(capsys, "transfer", *TASK, "--horizons", "1k,2k", "--shapes", "constant")
    assert code == 0
    assert [line.split()[0] for line in out.splitlines() if line.strip()[:2] in ("1k", "2k")] == [
        "1k",
        "2k",
    ]
    assert "theory: the best peak goes as T^-0.4" in out


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (("--horizons", "1k"), "--horizons must be two or more rising numbers"),
        (("--horizons", "2k,1k"), "--horizons must be two or more rising numbers"),
        (("--horizons", "1k,x"), "--horizons"),
        (("--shapes", "cosin"), "'cosin' is unknown"),
    ],
)
def test_wrong_options_are_named(capsys, words, message):
    code, _, err = run(capsys, "transfer", *TASK, *words)
    assert code == 2
    assert message in err


def test_compute_is_that_of_the_library(capsys):
    code, out, _ = run(capsys, "compute", *TASK, "--budget", "1e6", "--json")
    assert code == 0
    found, expected = json.loads(out), compute_optimal(PowerLaw(1.5, 1.0, 0.25, 8), 1e6)
    assert (found["width"], found["horizon"]) == (expected.width, expected.horizon)
    assert found["loss"] == pytest.approx(expected.loss, rel=1e-9)


def test_a_budget_that_is_too_small_is_refused(capsys):
    code, _, err = run(capsys, "compute", *TASK, "--budget", 10)
    assert code == 2
    assert "compute 10 allows only" in err
