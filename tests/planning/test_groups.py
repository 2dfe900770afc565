"""A plan from logs with an LR for each parameter group."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from etastar.planning._groups import group_caveats, groups_of
from etastar.runs import Run, read_runs
from etastar.schedule import GroupSchedules, Schedule, load_schedules, parse_schedule

PLANNED = parse_schedule("linear:peak=0.03,horizon=500")
STEP = np.arange(10, 201, 10)
LOSS = 2 + 3 / np.sqrt(STEP)
MUON = parse_schedule("wsd:peak=0.02,horizon=200,warmup=20,cooldown=0.4")(STEP)


def log(folder: Path, name: str, columns: dict[str, object]) -> Run:
    rows = [",".join(["step", "loss", *columns])]
    for number, (step, loss) in enumerate(zip(STEP, LOSS, strict=True)):
        cells = [value[number] for value in columns.values()]  # type: ignore[index]
        rows.append(",".join([str(step), f"{loss:.6f}", *map(str, cells)]))
    (folder / f"{name}.csv").write_text("\n".join(rows) + "\n")
    (run,) = read_runs(folder / f"{name}.csv")
    return run


@pytest.mark.parametrize(
    ("columns", "groups"),
    [
        ({"lr/muon": MUON, "lr/adamw": 0.15 * MUON}, {"muon": 1.0, "adamw": 0.15}),
        ({"lr_muon": MUON, "lr_adamw": 0.15 * MUON}, {"muon": 1.0, "adamw": 0.15}),
        ({"lr-AdamW/pg1": MUON, "lr-AdamW/pg2": 3 * MUON}, {"pg1": 1.0, "pg2": 3.0}),
        ({"lr-Muon/pg1": MUON, "lr-A/pg1": 3 * MUON}, {"Muon/pg1": 1.0, "A/pg1": 3.0}),
        ({"lr": MUON, "train/lr_head": 0.5 * MUON}, {"lr": 1.0, "head": 0.5}),
        ({"lr": [f"[{a}|{a / 4}]" for a in MUON]}, {"group_0": 1.0, "group_1": 0.25}),
        ({"lr": MUON}, {}),
        ({"lr/muon": MUON, "lr/adamw": MUON}, {}),
        ({"lr/muon": MUON, "lr/frozen": 0 * MUON}, {}),
        ({"lr": MUON, "lr_scale": MUON / 0.02, "lr_max": 0 * MUON + 0.02}, {}),
    ],
)
def test_the_ratios_of_the_groups_are_read_from_the_columns(tmp_path: Path, columns, groups):
    run = log(tmp_path, "pilot", columns)
    assert list(run.groups) == list(groups)
    assert run.groups == pytest.approx(groups)
    assert run.schedule.peak == pytest.approx(MUON.max())


def test_the_column_that_is_named_is_the_planned_one(tmp_path: Path):
    log(tmp_path, "pilot", {"lr/muon": MUON, "lr/adamw": 0.1 * MUON})
    (run,) = read_runs(tmp_path / "pilot.csv", lr="lr/adamw")
    assert run.groups == pytest.approx({"adamw": 1.0, "muon": 10.0})


def test_a_group_of_another_shape_is_told_of(tmp_path: Path):
    other = parse_schedule("cosine:peak=0.003,horizon=200,warmup=20")(STEP)
    run = log(tmp_path, "pilot", {"lr/muon": MUON, "lr/adamw": other})
    assert run.groups == pytest.approx({"muon": 1.0, "adamw": other.max() / MUON.max()})
    assert any("LR of adamw is no fixed multiple of that of muon" in line for line in run.caveats)


def with_groups(name: str, groups: object) -> Run:
    return Run(name, STEP, LOSS, PLANNED, metadata={"lr_groups": groups})


def test_what_is_no_mapping_of_ratios_is_not_taken():
    for groups in (None, 3, "x", {}, {"muon": 0.5}, {"muon": "1"}):
        assert with_groups("a", groups).groups == {}
    found = with_groups("a", {"muon": 1, "a\nb": 0.5, "bad": float("nan"), "worse": "x"}).groups
    assert found == {"muon": 1.0, "a b": 0.5}


def test_a_plan_keeps_the_ratios_and_says_so(plan_of, tmp_path: Path):
    runs = [with_groups(name, {"muon": 1.0, "adamw": 0.15, "head": 0.5}) for name in "abc"]
    groups = groups_of(PLANNED, runs)
    assert groups is not None
    assert groups == GroupSchedules({"muon": PLANNED, "adamw": 0.15, "head": 0.5})
    (line,) = group_caveats(runs)
    assert "planned is that of muon" in line
    assert "(adamw 0.15, head 0.5)" in line

    plan = plan_of(schedule=PLANNED, groups=groups)
    plan.save(tmp_path)
    assert load_schedules(tmp_path / "schedule.json") == groups
    document = json.loads((tmp_path / "plan.json").read_text())
    assert document["groups"] == pytest.approx({"muon": 1.0, "adamw": 0.15, "head": 0.5})


def test_a_plan_of_one_lr_has_no_groups(plan_of, tmp_path: Path):
    runs = [with_groups("a", {}), with_groups("b", None)]
    assert groups_of(PLANNED, runs) is None
    assert list(group_caveats(runs)) == []
    plan = plan_of()
    plan.save(tmp_path)
    assert isinstance(load_schedules(tmp_path / "schedule.json"), Schedule)
    assert "groups" not in plan.to_dict()


def test_pilots_that_differ_in_a_ratio_are_a_caveat_and_the_median_is_kept():
    runs = [with_groups(str(ratio), {"muon": 1.0, "head": ratio}) for ratio in (0.1, 0.2, 0.4)]
    groups = groups_of(PLANNED, runs)
    assert groups is not None
    assert groups.ratios == pytest.approx({"muon": 1.0, "head": 0.2})
    assert any(
        "the LR of head over that of muon, from 0.1 to 0.4" in x for x in group_caveats(runs)
    )


def test_pilots_that_do_not_agree_on_the_planned_lr_keep_no_ratios():
    runs = [
        with_groups("a", {"muon": 1.0, "head": 0.5}),
        with_groups("b", {"head": 1.0, "muon": 2.0}),
    ]
    assert groups_of(PLANNED, runs) is None
    (line,) = group_caveats(runs)
    assert "'muon' in a and 'head' in b" in line


def test_a_plan_from_files_with_groups_writes_them(tmp_path: Path, pilots):
    import etastar

    grouped = [
        replace(run, metadata={**run.metadata, "lr_groups": {"muon": 1.0, "adamw": 0.15}})
        for run in pilots[:4]
    ]
    plan = etastar.plan(grouped, 4000, form="power")
    assert plan.groups is not None
    assert plan.groups == GroupSchedules({"muon": plan.schedule, "adamw": 0.15})
    assert any("planned is that of muon" in line for line in plan.caveats)
