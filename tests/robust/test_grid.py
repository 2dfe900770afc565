"""The coarsest grid for an accepted inflation, and what the command prints."""

import itertools
import json
import math

import numpy as np
import pytest
from rich.console import Console

from etastar.robust import (
    grid_ratio,
    last_iterate,
    robust_document,
    robust_page,
    robust_report,
    robust_table,
)
from etastar.schedule import InputError, parse_schedule

SPECS = ("constant", "linear", "cosine", "polynomial:power=3", "wsd:cooldown=0.2")


def curve_of(spec, horizon=5000):
    return last_iterate(parse_schedule(spec, horizon=horizon, peak=1e-3))


@pytest.mark.parametrize("spec", SPECS)
@pytest.mark.parametrize("accepted", [1.01, 1.3, 3.0])
def test_wherever_the_best_lies_one_neighbour_is_accepted_and_no_coarser_grid_is(spec, accepted):
    curve = curve_of(spec)

    def worst(ratio):
        upper = np.geomspace(1.0, ratio, 2001)
        return np.minimum(curve.inflation(upper), curve.inflation(upper / ratio)).max()

    ratio = grid_ratio(curve, accepted)
    assert worst(ratio) <= accepted * (1 + 1e-9)
    assert worst(ratio * 1.02) > accepted
    above = grid_ratio(curve, accepted, sides=1)
    assert curve.inflation(np.geomspace(1.0, above, 500)).max() <= accepted * (1 + 1e-9)
    assert curve.inflation(above * 1.02) > accepted
    # Too small costs more than too large, so that the upper side alone is the more generous half.
    assert above <= ratio <= above**2 * (1 + 1e-9)


def test_annealing_affords_a_coarser_grid():
    ratios = [
        grid_ratio(curve_of(spec), 1.5)
        for spec in ("constant", "linear", "cosine", "polynomial:power=2", "polynomial:power=3")
    ]
    assert all(finer < coarser for finer, coarser in itertools.pairwise(ratios))


def test_starting_at_the_first_update_the_grid_has_a_closed_form():
    """(rho + 1/rho)/2 = a has the roots a +- sqrt(a^2 - 1)."""
    a = 1.01
    root = a + math.sqrt(a**2 - 1)
    assert grid_ratio(curve_of("linear"), a) == pytest.approx(root**2, rel=1e-9)


@pytest.mark.parametrize("accepted", [1.0, 0.1, -1.0, math.nan, math.inf, 1e300])
def test_accepted_must_be_a_ratio_above_one(accepted):
    with pytest.raises(InputError, match="accepted"):
        grid_ratio(curve_of("linear"), accepted)


def test_sides_are_one_or_two():
    with pytest.raises(InputError, match="sides"):
        grid_ratio(curve_of("linear"), 1.5, sides=3)


def test_document_holds_the_agreed_keys_and_the_numbers_of_the_curve():
    curve = curve_of("cosine")
    document = json.loads(json.dumps(robust_document(curve, [0.5, 3.0], [1.2])))
    assert set(document) == {"inflation", "exponent", "grid"}
    assert document["inflation"] == {
        "0.5": pytest.approx(float(curve.inflation(0.5))),
        "3": pytest.approx(float(curve.inflation(3.0))),
    }
    assert document["grid"] == {"1.2": pytest.approx(grid_ratio(curve, 1.2))}
    assert document["exponent"] == pytest.approx(0.2, abs=1e-3)


def test_options_are_lists_of_numbers():
    schedule = parse_schedule("linear:peak=1e-3,horizon=5000")
    curve, document = robust_report(schedule, "0.5, 3", "1.2,1.3")
    assert document == robust_document(curve, [0.5, 3.0], [1.2, 1.3])
    for rho, accepted, option in (
        ("2,x", None, "--rho"),
        ("", None, "--rho"),
        ("-1", None, "--rho"),
        (None, "1", "--accepted"),
        (None, "inf", "--accepted"),
    ):
        with pytest.raises(InputError, match=option):
            robust_report(schedule, rho, accepted)


@pytest.mark.parametrize("spec", ["cosine", "constant"])
def test_long_horizons_print_what_every_update_gives(spec):
    schedule = parse_schedule(spec, horizon=2_000_000, peak=1.0)
    found = robust_report(schedule)[1]["inflation"]
    exact = last_iterate(schedule, mesh=False)
    for rho, ratio in found.items():
        assert ratio == pytest.approx(float(exact.inflation(float(rho))), rel=1e-5)


def test_table_marks_what_the_horizon_is_too_short_for():
    curve = curve_of("constant", 100)
    console = Console(width=80)
    with console.capture() as shown:
        console.print(robust_table(curve, robust_document(curve, [2.0, 1000.0], [1.1])))
    lines = shown.get().splitlines()
    assert any("1000" in line and "*" in line for line in lines)
    assert not any(line.split()[:1] == ["2"] and "*" in line for line in lines)


def test_page_holds_its_figure_without_a_network():
    page = robust_page(curve_of("linear"))
    assert page.count("<html") == 1
    assert 'src="http' not in page
