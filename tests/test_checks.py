"""Properties of the ground floor's checks: what is a number, and errors that name the parameter."""

import math
from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from etastar._checks import (
    above,
    at_least,
    one_of,
    peak_rate,
    positives,
    real,
    real_between,
    shown,
    step_horizon,
    whole,
)
from etastar._errors import InputError
from etastar.integrations._source import control_of
from etastar.model import Spectrum
from etastar.runs import Run
from etastar.schedule import parse_schedule, table

CHECKS = {
    "real": lambda value: real("beta", value),
    "real_between": lambda value: real_between("beta", value, 0.0, 1e9),
    "at_least": lambda value: at_least("beta", value, 0.0, infinite=True),
    "above": lambda value: above("beta", value, 0.0, infinite=True),
    "whole": lambda value: whole("beta", value, 1, unit="step"),
    "peak_rate": lambda value: peak_rate(value, "beta"),
    "step_horizon": lambda value: step_horizon(value, "beta"),
}
every_check = pytest.mark.parametrize("check", CHECKS.values(), ids=CHECKS)


@every_check
@pytest.mark.parametrize(
    "value", ["3", True, np.True_, np.array(True), None, [3], np.array([3]), 3j, math.nan]
)
def test_what_is_no_number_is_refused_by_name(check, value):
    with pytest.raises(InputError, match=r"^beta must "):
        check(value)


@pytest.mark.parametrize("name", [name for name in CHECKS if name != "real"])
def test_a_number_below_the_range_is_refused_by_name(name):
    with pytest.raises(InputError, match=r"^beta must .*, got -1\.5"):
        CHECKS[name](-1.5)


@every_check
@pytest.mark.parametrize(
    "value", [3, 3.0, np.int32(3), np.float32(3), np.array(3.0), np.array(3), Fraction(3)]
)
def test_every_kind_of_number_is_one(check, value):
    found = check(value)
    assert found == 3
    assert type(found) in (int, float)


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_numbers_come_back_as_they_are_but_for_the_sign_of_zero(number):
    assert real("beta", number) == number
    assert math.copysign(1.0, real("beta", number)) == (-1.0 if number < 0 else 1.0)


@given(st.integers(-(10**6), 10**6), st.integers(-10, 10))
def test_whole_numbers_are_those_not_below_the_least(number, least):
    if number >= least:
        assert whole("beta", float(number), least) == number
        return
    with pytest.raises(InputError, match=r"^beta must (not be negative|be at least)"):
        whole("beta", number, least)


def test_infinity_is_refused_where_it_is_not_allowed():
    assert at_least("beta", math.inf, 1.0, infinite=True) == math.inf
    assert above("beta", math.inf, 1.0, infinite=True) == math.inf
    for value in (math.inf, 10**400):
        for check in (lambda v: at_least("beta", v, 1.0), lambda v: above("beta", v, 1.0)):
            with pytest.raises(InputError, match="finite"):
                check(value)


def test_the_bounds_themselves():
    assert at_least("beta", 1, 1.0) == real_between("beta", 1, 1.0, 1.0) == 1.0
    with pytest.raises(InputError, match="beta must be above 1, got 1: because"):
        above("beta", 1, 1.0, hint="because")
    with pytest.raises(InputError, match="below 1e15 steps"):
        step_horizon(10**15)
    assert step_horizon(10**15 - 1) == 10**15 - 1


@pytest.mark.parametrize(
    "values", [[1.0, 0.0], [1.0, math.nan], [math.inf], -1.0, "x", [[1], [2, 3]]]
)
def test_arrays_that_are_not_all_above_0_are_refused_by_name(values):
    with pytest.raises(InputError, match=r"^beta must be"):
        positives("beta", values)


def test_arrays_keep_their_shape():
    assert positives("beta", 2).shape == ()
    assert positives("beta", [[1, 2, 3]]).shape == (1, 3)
    assert positives("beta", []).shape == (0,)


def test_one_of_returns_the_value_and_names_the_allowed():
    assert one_of("beta", None, (None, "a")) is None
    with pytest.raises(InputError, match="beta must be one of None, 'a', got 'b'"):
        one_of("beta", "b", (None, "a"))


@given(st.text(max_size=300))
def test_a_quoted_value_is_short(text):
    assert len(shown(text)) <= 80


def test_integers_beyond_every_float_are_refused_wherever_numbers_are_taken():
    huge = 10**400
    for call in (
        lambda: positives("rho", [1, huge]),
        lambda: control_of("momentum", huge),
        lambda: control_of("batch size", huge),
        lambda: table([0, huge], [1.0, 1.0], horizon=10),
        lambda: Run(
            "a",
            np.array([0, huge], dtype=object),
            np.array([1.0, 2.0]),
            parse_schedule("constant:peak=1,horizon=10"),
        ),
        lambda: Spectrum(eigenvalue=[1.0, huge], target=[1.0, 1.0]),
    ):
        with pytest.raises(InputError):
            call()
