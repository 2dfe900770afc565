"""`GroupSchedules`: schedules by name, in code and in the file."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from etastar.schedule import (
    GroupSchedules,
    InputError,
    Schedule,
    load_batch_size,
    parse_schedule,
    table,
)

HEAD = '{"format": "etastar.schedule", "version": 1, "groups": '
MUON = parse_schedule("wsd:peak=0.02,horizon=100,warmup=3,cooldown=0.4")
FALL = table([0, 10, 100], [0.0, 0.1 + 0.2, 1 / 3])
JOINED = parse_schedule("join:constant:peak=0.1,horizon=60 then cosine:peak=0.07,horizon=40")


def test_the_file_gives_back_every_schedule_to_the_last_bit_and_in_order(tmp_path: Path):
    groups = GroupSchedules({"rest": FALL, "muon": MUON, "a/b 1": JOINED, "head": 0.3})
    size = parse_schedule("constant:peak=64,horizon=100")
    groups.save(tmp_path / "schedule.json", batch_size=size)
    back = GroupSchedules.load(tmp_path / "schedule.json")
    assert list(back) == ["rest", "muon", "a/b 1", "head"]
    assert back.planned == "rest"
    assert back == groups
    assert hash(back) == hash(groups)
    assert load_batch_size(tmp_path / "schedule.json") == size
    steps = np.arange(120)
    for name in groups:
        assert np.array_equal(groups[name](steps), back[name](steps))


def test_a_ratio_is_the_first_schedule_times_it():
    groups = GroupSchedules({"muon": MUON, "head": 0.25, "embedding": 1})
    assert groups["head"](np.arange(101)) == pytest.approx(0.25 * MUON(np.arange(101)), rel=1e-15)
    assert groups["embedding"] == MUON
    assert groups.ratios == {"muon": 1.0, "head": 0.25, "embedding": 1.0}
    longer = groups.stretched(horizon=250)
    assert longer.horizon == 250
    assert longer.ratios == groups.ratios
    assert longer["muon"] == MUON.stretched(horizon=250)


def test_a_file_written_by_hand_may_hold_specs_and_ratios():
    text = HEAD + '{"muon": "linear:peak=0.1,horizon=9", "rest": {"spec": '
    text += '"cosine:peak=0.01,horizon=9"}, "head": {"kind": "linear", "peak": 1, "horizon": 9}, '
    groups = GroupSchedules.from_json(text + '"scalars": 2}}')
    assert [schedule.spec for schedule in groups.values()] == [
        "linear:peak=0.1,horizon=9",
        "cosine:peak=0.01,horizon=9",
        "linear:peak=1.0,horizon=9",
        "linear:peak=0.2,horizon=9",
    ]


@pytest.mark.parametrize(
    ("groups", "told"),
    [
        ({}, "groups must be a mapping from names to schedules, got {}"),
        ([MUON], "groups must be a mapping"),
        ({"": MUON}, "a group is called ''"),
        ({"schedule": MUON}, "a group is called 'schedule'"),
        ({3: MUON}, "a group is called 3"),
        ({"muon": 0.1}, "group 'muon': a ratio refers to the first group"),
        ({"muon": MUON, "head": 0}, "group 'head': the ratio must be above 0, got 0"),
        ({"muon": MUON, "head": float("nan")}, "group 'head': the ratio must be"),
        ({"muon": MUON, "head": True}, "group 'head' has True: give a Schedule"),
        ({"muon": MUON, "head": None}, "group 'head' has None"),
        ({"muon": "cosin:peak=1,horizon=9"}, "group 'muon': unknown schedule 'cosin'"),
        ({"muon": {"kind": "linear"}}, "group 'muon': linear needs peak"),
        ({"muon": {}}, "group 'muon': key 'kind' is missing"),
        (
            {"muon": MUON, "head": "constant:peak=1,horizon=50"},
            "group 'head' has 50 updates and 'muon' 100",
        ),
    ],
)
def test_groups_that_are_none_are_refused_by_name(groups: Any, told: str):
    with pytest.raises(InputError) as refused:
        GroupSchedules(groups)
    assert told in str(refused.value)
    if isinstance(groups, dict) and "muon" not in groups:
        return
    try:
        text = HEAD + json.dumps(groups) + "}"
    except TypeError:  # holds a Schedule
        return
    with pytest.raises(InputError) as refused:
        GroupSchedules.from_json(text)
    assert told in str(refused.value)


def test_a_file_of_groups_is_not_read_as_one_schedule_and_the_other_way_round(tmp_path: Path):
    GroupSchedules({"muon": MUON, "head": 0.5}).save(tmp_path / "groups.json")
    MUON.save(tmp_path / "one.json")
    with pytest.raises(InputError, match=r"groups.json: .* of the groups muon, head, not one"):
        Schedule.load(tmp_path / "groups.json")
    with pytest.raises(InputError, match=r"one.json: the JSON holds one schedule and no groups"):
        GroupSchedules.load(tmp_path / "one.json")


def test_a_name_that_is_not_there_is_an_error_that_lists_those_that_are():
    with pytest.raises(InputError, match=r"'muom': did you mean 'muon'\? known: muon"):
        GroupSchedules({"muon": MUON}).named("muom")
