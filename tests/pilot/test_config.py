"""What a sweep is asked, checked before anything is done."""

from __future__ import annotations

import dataclasses
import inspect
import math
import typing

import numpy as np
import pytest

from etastar.pilot import SweepConfig, SweepOptions, design_pilots, run_pilots
from etastar.schedule import InputError


def test_the_options_are_the_fields_of_the_configuration():
    fields = {field.name: field for field in dataclasses.fields(SweepConfig)}
    options = typing.get_type_hints(SweepOptions)
    assert options == typing.get_type_hints(SweepConfig)
    required = {name for name, field in fields.items() if field.default is dataclasses.MISSING}
    hints = typing.get_type_hints(SweepOptions, include_extras=True)
    assert required == {
        n for n, hint in hints.items() if typing.get_origin(hint) is typing.Required
    }


@pytest.mark.parametrize("verb", [run_pilots, design_pilots])
def test_every_option_is_named_where_it_is_explained(verb):
    names = [field.name for field in dataclasses.fields(SweepConfig)]
    explained = inspect.getdoc(SweepConfig) or ""
    assert all(f"\n    {name}: " in explained for name in names)
    assert verb is design_pilots or all(f"`{name}`" in (verb.__doc__ or "") for name in names)


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"horizon": 0}, "horizon"),
        ({"horizon": 1e4}, "horizon"),
        ({"horizon": True}, "horizon"),
        ({"budget": -1}, "budget"),
        ({"warmup": -1}, "warmup"),
        ({"seed": -1}, "seed"),
        ({"interval": math.nan}, "interval"),
        ({"patience": 0.0}, "patience"),
        ({"patience": math.inf}, "patience"),
        ({"retries": -1}, "retries"),
        ({"jobs": 0}, "jobs"),
        ({"peaks": (1e-2, 1e-3)}, "peaks"),
        ({"peaks": "ab"}, "peaks"),
        ({"results": "memory://x"}, "results are for runs on Ray"),
        ({"ray": "auto", "cpus": 0.0}, "reserve something"),
        ({"ray": "auto", "gpus": -1.0}, "reserve something"),
        ({"ray": "auto", "cpus": math.nan}, "reserve something"),
    ],
)
def test_what_is_out_of_range_is_named(wrong, told):
    with pytest.raises(InputError, match=told):
        SweepConfig(**{"horizon": 100, "budget": 100, **wrong})


def test_numbers_of_numpy_are_kept_as_those_of_json():
    config = SweepConfig(horizon=np.int64(100), budget=50, peaks=np.array([0.1, 0.2]))  # type: ignore[arg-type]
    assert type(config.horizon) is int
    assert config.identity(["train"]) == {
        "command": ["train"],
        "horizon": 100,
        "peak": [0.1, 0.2],
        "warmup": 0,
        "seed": 0,
    }


def test_an_unknown_option_is_refused_by_name():
    with pytest.raises(TypeError, match="horizn"):
        run_pilots(["true", "{spec}", "{out}"], horizn=100, budget=100)  # pyright: ignore
