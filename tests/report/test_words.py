"""Schedules, phases and numbers in words."""

from __future__ import annotations

import pytest

from etastar.planning import Estimate, PhaseEstimate
from etastar.report._words import PHASE_MEANING, phase_meaning, shape_in_words
from etastar.schedule import parse_schedule, table


@pytest.mark.parametrize(
    ("spec", "words"),
    [
        ("constant:peak=1,horizon=1000", "at its peak to the end"),
        ("linear:peak=1,horizon=1000", "falling from the start, half of it at step 500 (50%)"),
        ("cosine:peak=1,horizon=1000,final=0.1", "10% of the peak at the end"),
        ("step:peak=1,horizon=1000,at=700,factor=0.1", "until step 700 (70%), 10% of the peak"),
    ],
)
def test_words_for_shapes(spec, words):
    assert words in shape_in_words(parse_schedule(spec))


def test_words_find_the_warmup_in_knots():
    words = shape_in_words(table([0, 50, 800, 1000], [0, 1, 1, 0]))
    assert words.startswith("warmup over 50 steps, near its peak until step 810")


@pytest.mark.parametrize("name", PHASE_MEANING)
def test_a_phase_that_is_named_is_explained(name):
    known = Estimate(0.3, 0.2, 0.4)
    assert phase_meaning(PhaseEstimate(name, known, known, known)).startswith(name.capitalize())


def test_a_law_without_exponents_promises_nothing_of_more_pilots(without_exponents):
    meaning = phase_meaning(without_exponents)
    assert meaning.startswith("Unknown: the fitted law has no exponents")
    assert "ilots" not in meaning
