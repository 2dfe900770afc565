"""plan.json has the keys that others read, and every number in it is finite."""

from __future__ import annotations

import json
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etastar._json import json_text, plain
from etastar.planning import Estimate
from etastar.schedule import parse_schedule, table
from tests.helpers.plans import make_batch_plan


def test_keys_are_those_of_the_contract(plan_of):
    document = plan_of().to_dict()
    assert list(document) == [
        "phase",
        "peak_lr",
        "schedule",
        "nearest",
        "loss",
        "expected_regret",
        "batch_size",
        "samples",
        "seconds",
        "critical_batch",
        "within",
        "beyond_cap",
        "comparison",
        "caveats",
    ]
    exponents = ["xi", "xi_ci", "capacity", "capacity_ci", "source", "source_ci"]
    assert list(document["phase"]) == ["name", *exponents]
    assert document["phase"]["xi_ci"] == [0.2, 0.4]
    assert list(document["nearest"]) == ["spec", "regret"]
    assert document["loss"] == {"mean": 2.39, "low": 2.36, "high": 2.42}
    assert document["expected_regret"] == 0.0025
    for row in document["comparison"]:
        keys = ["spec", "batch_size", "loss", "regret", "difference", "tie", "steps_to_match"]
        assert list(row) == keys
    assert document["comparison"][0]["tie"]
    assert not document["comparison"][1]["tie"]
    assert document["comparison"][0]["difference"] == {"mean": 0.01, "low": -0.005, "high": 0.03}
    assert document["within"] == {"loss": 0.002, "peak_lr": [0.011, 0.018], "batch_size": None}
    assert document["batch_size"] is document["critical_batch"] is None
    assert document["comparison"][1]["steps_to_match"] is None


def test_a_ramp_is_in_samples():
    plan = make_batch_plan()
    document = plan.to_dict()
    assert document["batch_size"] == {
        "start": 16.0,
        "end": 64.0,
        "ramp": [[0.0, 16.0], [64_000.0, 32.0], [160_000.0, 64.0]],
    }
    assert document["samples"] == 224_000.0
    assert document["critical_batch"] == {"value": 50.0, "low": 30.0, "high": 90.0}


def test_knots_are_the_schedule(plan_of):
    plan = plan_of()
    knots = plan.to_dict()["schedule"]["knots"]
    again = table(*zip(*knots, strict=True), horizon=plan.horizon)
    steps = np.arange(plan.horizon + 1)
    np.testing.assert_array_equal(again(steps), plan.schedule(steps))


def test_knots_hold_a_warmup_of_the_table():
    schedule = table([0, 100], [1.0, 0.5], warmup=10)
    knots = schedule.to_dict()["knots"]
    again = table(*zip(*knots, strict=True))
    np.testing.assert_allclose(again(np.arange(101)), schedule(np.arange(101)), rtol=1e-14)


def test_a_named_schedule_is_its_spec():
    schedule = parse_schedule("wsd:peak=0.1,horizon=100,cooldown=0.2")
    assert parse_schedule(schedule.to_dict()["spec"]) == schedule


def test_numbers_that_are_not_finite_become_null(plan_of):
    plan = plan_of()
    nothing = Estimate(np.nan, -np.inf, np.inf)
    plan = plan_of(phase=replace(plan.phase, xi=nothing), loss=nothing)
    text = json_text(plan.to_dict())
    document = json.loads(text, parse_constant=lambda name: pytest.fail(name))
    assert document["phase"]["xi_ci"] == [None, None]
    assert document["loss"] == {"mean": None, "low": None, "high": None}


values = st.recursive(
    st.none() | st.booleans() | st.floats() | st.integers() | st.floats().map(np.float64),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner),
    max_leaves=20,
)


@given(values)
def test_any_document_becomes_strict_json(value):
    text = json_text({"value": value})
    assert json.loads(text, parse_constant=lambda name: pytest.fail(name)) == plain(
        {"value": value}
    )
