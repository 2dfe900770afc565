"""The coarsest grid for an accepted inflation."""

import itertools
import math

import numpy as np
import pytest

from etastar.robust import grid_ratio, last_iterate
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
