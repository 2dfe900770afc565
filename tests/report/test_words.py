"""Schedules, phases and numbers in words."""

from __future__ import annotations

import pytest

from etastar.control import Limits
from etastar.planning import Estimate, OtherHorizon, PhaseEstimate
from etastar.report import plan_report
from etastar.report._words import (
    PHASE_MEANING,
    horizons_text,
    phase_meaning,
    phase_text,
    shape_in_words,
)
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


KNOWN = Estimate(0.3, 0.2, 0.4)


@pytest.mark.parametrize(
    ("phase", "peaks", "words"),
    [
        ("easy", (0.02, 0.015), None),
        ("easy", (0.02, 0.02), "every plan stands at the highest LR allowed, 0.02; the best may"),
        ("easy", (0.012, 0.0121), "the peak LR stays near 0.0121"),
        ("hard", (0.012, 0.0121), None),
        ("hard", (0.018, 0.006), "the peak LR falls from 0.018 to 0.006"),
        ("hard", (0.006, 0.018), "the peak LR rises from 0.006 to 0.018"),
        ("undetermined", (0.02, 0.02), None),
    ],
)
def test_a_phase_that_the_plans_do_not_show_is_said_to_be_one(plan_of, phase, peaks, words):
    plan = plan_of(
        phase=PhaseEstimate(phase, KNOWN, KNOWN, KNOWN),
        limits=Limits(0.02),
        other_horizons=tuple(
            OtherHorizon(horizon, peak, 2.4)
            for horizon, peak in zip((4000, 8000), peaks, strict=True)
        ),
    )
    text = phase_text(plan)
    assert text.startswith(PHASE_MEANING[phase])
    if words is None:
        assert text == PHASE_MEANING[phase]
    else:
        assert f"show it differently: from 4k to 8k steps {words}" in text
    assert horizons_text(plan)[1:] in plan_report(plan)
