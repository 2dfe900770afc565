"""What `etastar robust` says: its JSON, its tables and its page hold the numbers of the bound."""

import json

import pytest
from rich.console import Console

from etastar.cli import main
from etastar.report import robust_summary
from etastar.robust import grid_ratio, last_iterate
from etastar.schedule import parse_schedule


def run(*words):
    """The exit code of `etastar robust`."""
    with pytest.raises(SystemExit) as end:
        main(["robust", *words])
    return end.value.code or 0


def document_of(capsys, spec, *words):
    assert run(spec, *words, "--json") == 0
    return json.loads(capsys.readouterr().out)


def test_document_holds_the_agreed_keys_and_the_numbers_of_the_curve(capsys):
    spec = "cosine:peak=1e-3,horizon=5000"
    document = document_of(capsys, spec, "--rho", "0.5, 3", "--accepted", "1.2")
    curve = last_iterate(parse_schedule(spec))
    assert set(document) == {"inflation", "exponent", "grid"}
    assert document["inflation"] == {
        "0.5": pytest.approx(float(curve.inflation(0.5))),
        "3": pytest.approx(float(curve.inflation(3.0))),
    }
    assert document["grid"] == {"1.2": pytest.approx(grid_ratio(curve, 1.2))}
    assert document["exponent"] == pytest.approx(0.2, abs=1e-3)


@pytest.mark.parametrize(
    ("option", "text"),
    [
        ("--rho", "2,x"),
        ("--rho", ""),
        ("--rho", "-1"),
        ("--accepted", "1"),
        ("--accepted", "inf"),
    ],
)
def test_options_are_lists_of_numbers(capsys, option, text):
    assert run("linear:peak=1e-3,horizon=5000", f"{option}={text}") == 2
    assert option in capsys.readouterr().err


@pytest.mark.parametrize("spec", ["cosine", "constant"])
def test_long_horizons_print_what_every_update_gives(capsys, spec):
    spec = f"{spec}:peak=1,horizon=2000000"
    found = document_of(capsys, spec)["inflation"]
    exact = last_iterate(parse_schedule(spec), mesh=False)
    assert len(found) > 5
    for rho, ratio in found.items():
        assert ratio == pytest.approx(float(exact.inflation(float(rho))), rel=1e-5)


def test_table_marks_what_the_horizon_is_too_short_for():
    curve = last_iterate(parse_schedule("constant:peak=1e-3,horizon=100"))
    console = Console(width=80)
    with console.capture() as shown:
        console.print(robust_summary(curve, [2.0, 1000.0], [1.1]))
    lines = shown.get().splitlines()
    assert any("1000" in line and "*" in line for line in lines)
    assert not any(line.split()[:1] == ["2"] and "*" in line for line in lines)


def test_page_holds_its_figure_without_a_network(capsys, tmp_path):
    plot = tmp_path / "robust.html"
    document_of(capsys, "linear:peak=1e-3,horizon=5000", "--plot", str(plot))
    page = plot.read_text(encoding="utf-8")
    assert page.count("<html") == 1
    assert 'src="http' not in page
