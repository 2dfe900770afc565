"""The phases: their exponents meet at the boundary, and bad exponents are refused."""

import numpy as np
import pytest

from etastar.model import PowerLaw, loss, phase
from etastar.schedule import InputError, make_schedule


@pytest.mark.parametrize("capacity", [1.1, 1.5, 2.0, 4.0])
@pytest.mark.parametrize("noise", [True, False])
def test_exponents_meet_at_the_boundary(capacity, noise):
    source = 1 - 1 / capacity if noise else 3 - 1 / capacity
    above, below = (phase(capacity, source + d, noise) for d in (1e-9, -1e-9))
    assert (above.name, below.name) == ("easy", "hard")
    for field in ("xi", "loss_exponent", "annealed_exponent", "delta"):
        assert getattr(above, field) == pytest.approx(getattr(below, field), abs=1e-7)


def test_the_worked_examples():
    assert phase(1.5, 1.0).loss_exponent == pytest.approx(0.6)
    assert phase(2.0, 1.0).xi == pytest.approx(1 / 3)
    assert phase(1.5, 0.2).annealed_exponent == pytest.approx(0.1)


def test_momentum_gains_a_logarithm_in_the_hard_phase_alone():
    hard, easy = phase(1.5, 0.2), phase(1.5, 1.0)
    assert (hard.momentum_loss_exponent, hard.momentum_log_exponent) == (0.2, 0.2)
    assert (easy.momentum_loss_exponent, easy.momentum_log_exponent) == (easy.loss_exponent, 0.0)


@pytest.mark.slow
def test_without_noise_a_decay_alone_is_limited_by_early_noise():
    """Cubic decay at its best peak falls as T^-min(s, 2 - 1/a), its best peak a constant."""
    for source, slope in ((1.0, 1.0), (2.0, 1.5), (3.5, 1.5)):
        model = PowerLaw(2.0, source, 0.0, 1)
        best = []
        for horizon in (10**6, 10**7):
            peaks = model.max_rate * np.geomspace(0.1, 1.0, 8)
            best.append(
                min(
                    loss(model, make_schedule("polynomial", peak=p, horizon=horizon, power=3))
                    for p in peaks
                )
            )
        assert np.log10(best[0] / best[1]) == pytest.approx(slope, abs=0.02)


@pytest.mark.parametrize(("capacity", "source"), [(1.0, 0.5), (2.0, 0.0), (float("nan"), 1.0)])
def test_bad_exponents_are_refused(capacity, source):
    with pytest.raises(InputError):
        phase(capacity, source)


@pytest.mark.parametrize(("source", "noise"), [(1 / 3, True), (1 - 1 / 1.5, True), (7 / 3, False)])
def test_a_source_on_the_boundary_is_on_it_whatever_the_rounding(source, noise):
    found = phase(1.5, source, noise=noise)
    assert (found.name, found.xi, found.distance) == ("easy", 0.0, 0.0)
