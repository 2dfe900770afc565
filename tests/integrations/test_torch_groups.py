"""Parameter groups with schedules of their own, and weight decays that follow, in PyTorch."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from etastar.integrations.torch import RunLog, ScheduledLR, schedule_of
from etastar.schedule import GroupSchedules, InputError, parse_schedule

H = 60
GROUPS = GroupSchedules(
    {
        "matrices": f"wsd:peak=0.02,horizon={H},warmup=5,cooldown=0.4",
        "rest": f"linear:peak=3e-3,horizon={H},final=0.1",
        "head": 0.5,
    }
)
PLAIN = f"wsd:peak=0.1,horizon={H},warmup=5,cooldown=0.4,final=0.1"


def parameter(value: float = 1.0) -> torch.Tensor:
    return torch.full((2, 2), value, requires_grad=True)


def named(*groups: tuple[str, float], kind: Any = torch.optim.AdamW, **keys: Any) -> Any:
    """An optimiser of groups with these names and LRs."""
    return kind([{"params": [parameter()], "name": name, "lr": lr} for name, lr in groups], **keys)


def rates(optimizer: torch.optim.Optimizer) -> list[float]:
    return [group["lr"] for group in optimizer.param_groups]


def advance(optimizer: torch.optim.Optimizer, scheduler: ScheduledLR, updates: int = 1) -> None:
    for _ in range(updates):
        for group in optimizer.param_groups:
            for each in group["params"]:
                each.grad = torch.zeros_like(each)
        optimizer.step()
        scheduler.step()


# ------------------------------------------------------------------------------------- schedules


def test_each_group_follows_the_schedule_of_its_name_to_the_last_bit():
    optimizer = named(("head", 1.0), ("matrices", 0.3), ("rest", 0.0))
    scheduler = ScheduledLR(optimizer, GROUPS)
    for t in range(H):
        assert rates(optimizer) == [GROUPS[name](t) for name in ("head", "matrices", "rest")]
        advance(optimizer, scheduler)
    assert scheduler.schedule == GROUPS["matrices"]
    assert scheduler.groups == GROUPS
    assert schedule_of(scheduler) == GROUPS["matrices"]


def test_a_file_a_mapping_and_the_schedules_are_the_same_source(tmp_path: Path):
    GROUPS.save(tmp_path / "schedule.json")
    by_hand = {
        "matrices": GROUPS["matrices"].spec,
        "rest": GROUPS["rest"],
        "head": 0.5,
    }
    for source in (tmp_path, json.loads(GROUPS.to_json()), by_hand):
        optimizer = named(("head", 1.0), ("rest", 1.0))
        assert ScheduledLR(optimizer, source).groups == GROUPS


def test_a_plan_its_folder_and_its_json_are_one_source_of_all_groups(plan_of, tmp_path: Path):
    plan = plan_of(groups=GroupSchedules({"matrices": plan_of().schedule, "rest": 0.15}))
    plan.save(tmp_path)
    for source in (plan, tmp_path, tmp_path / "plan.json"):
        optimizer = named(("rest", 1.0), ("matrices", 1.0))
        ScheduledLR(optimizer, source).step()
        wanted = [0.15 * plan.schedule(1), plan.schedule(1)]
        assert rates(optimizer) == pytest.approx(wanted, rel=1e-12)


def test_groups_of_one_name_keep_their_ratios_and_base_lr_may_be_by_name():
    lrs = (("matrices", 0.4), ("rest", 1e-3), ("matrices", 0.1), ("rest", 4e-3))
    planned = [GROUPS[name](20) for name, _ in lrs]
    optimizer = named(*lrs)
    advance(optimizer, ScheduledLR(optimizer, GROUPS), 20)
    assert rates(optimizer) == [p * r for p, r in zip(planned, (1, 1, 0.1 / 0.4, 4.0), strict=True)]
    optimizer = named(*lrs)
    advance(optimizer, ScheduledLR(optimizer, GROUPS, base_lr={"rest": 2e-3}), 20)
    ratios = (1, 0.5, 0.1 / 0.4, 2.0)
    assert rates(optimizer) == [p * r for p, r in zip(planned, ratios, strict=True)]
    optimizer = named(("matrices", 2e-3), ("rest", 1e-3))
    advance(optimizer, ScheduledLR(optimizer, GROUPS, base_lr=1e-3), 20)
    assert rates(optimizer) == [2 * planned[0], planned[1]]


def test_a_whole_optimiser_follows_the_one_that_group_names():
    optimizer = torch.optim.Muon([{"params": [parameter()]}, {"params": [parameter()], "lr": 1e-4}])
    scheduler = ScheduledLR(optimizer, GROUPS, group="rest")
    advance(optimizer, scheduler, 7)
    assert rates(optimizer) == [GROUPS["rest"](7), GROUPS["rest"](7) * 0.1]
    assert scheduler.groups is None
    scheduler.replan(GROUPS.stretched(horizon=90))
    assert scheduler.schedule == GROUPS["rest"].stretched(horizon=90)
    scheduler.replan("constant:peak=0.7,horizon=90")
    assert rates(optimizer)[0] == 0.7


@pytest.mark.parametrize(
    ("groups", "options", "told"),
    [
        ([{"lr": 1.0}], {}, r'parameter group 0 has no name.*make it with "name": \'matrices\''),
        ([{"name": "rset"}], {}, "parameter group 0 is named 'rset': did you mean 'rest'"),
        ([{"name": ["rest"]}], {}, r"parameter group 0 is named \['rest'\]: did you mean"),
        ([{}], {"group": "rset"}, "no schedule for the group 'rset': did you mean 'rest'"),
        ([{"name": "rest"}], {"base_lr": {"rset": 1.0}}, "base_lr of 'rset': did you mean 'rest'"),
        (
            [{"name": "rest", "lr": 0.0}, {"name": "rest", "lr": 0.1}],
            {},
            "a group's LR of 0.1 has no ratio to 0: give base_lr",
        ),
        ([{"name": "rest"}], {"weight_decay_rule": {"rset": "coupled"}}, "did you mean 'rest'"),
        ([{"name": "rest"}], {"weight_decay_rule": "fixed"}, "'fixed': give 'coupled'"),
        ([{"name": "rest"}], {"weight_decay_rule": "timescale=0.2"}, "must be above 1, got 0.2"),
        ([{"name": "rest"}], {"weight_decay_rule": "timescale=nan"}, "must be a finite number"),
    ],
)
def test_what_cannot_be_followed_is_an_error_that_says_how(
    groups: list[dict[str, Any]], options: dict[str, Any], told: str
):
    optimizer = torch.optim.AdamW([{"params": [parameter()], **group} for group in groups])
    with pytest.raises(InputError, match=told):
        ScheduledLR(optimizer, GROUPS, **options)


def test_one_schedule_has_no_groups_to_name():
    optimizer = named(("rest", 1.0))
    with pytest.raises(InputError, match="'rest' is asked for, and the source holds one schedule"):
        ScheduledLR(optimizer, PLAIN, group="rest")
    with pytest.raises(InputError, match="weight_decay_rule names groups, and the schedule has no"):
        ScheduledLR(optimizer, PLAIN, weight_decay_rule={"rest": "decoupled"})


# ----------------------------------------------------------------------------------- added later


def test_a_group_that_is_added_later_has_its_lr_in_the_very_next_update():
    optimizer = torch.optim.SGD([parameter()], lr=0.1)
    scheduler = ScheduledLR(optimizer, PLAIN)
    advance(optimizer, scheduler, 50)
    optimizer.add_param_group({"params": [parameter()], "lr": 0.05})
    assert rates(optimizer) == [scheduler.schedule(50), scheduler.schedule(50) * 0.5]
    assert scheduler.get_last_lr() == rates(optimizer)
    advance(optimizer, scheduler)
    assert rates(optimizer) == [scheduler.schedule(51), scheduler.schedule(51) * 0.5]

    optimizer = named(("matrices", 0.1))
    scheduler = ScheduledLR(optimizer, GROUPS, weight_decay_rule="decoupled")
    advance(optimizer, scheduler, 50)
    optimizer.add_param_group({"params": [parameter()], "name": "rest", "lr": 0.3})
    optimizer.add_param_group({"params": [parameter()], "name": "rest", "lr": 0.6})
    rest = GROUPS["rest"]
    assert rates(optimizer)[1:] == [rest(50), 2 * rest(50)]
    group = optimizer.param_groups[2]
    assert group["lr"] * group["weight_decay"] == pytest.approx(2 * rest.peak * 0.01)


def test_a_group_that_cannot_be_scheduled_is_refused_and_the_optimiser_stays_as_it_was():
    optimizer = named(("matrices", 0.1))
    scheduler = ScheduledLR(optimizer, GROUPS)
    for group, told in (({}, "parameter group 1 has no name"), ({"name": "x"}, "is named 'x'")):
        with pytest.raises(InputError, match=told):
            optimizer.add_param_group({"params": [parameter()], **group})
        assert len(optimizer.param_groups) == 1
    advance(optimizer, scheduler, 3)
    optimizer = torch.optim.SGD([parameter()], lr=0.0)
    scheduler = ScheduledLR(optimizer, PLAIN)
    with pytest.raises(InputError, match="no ratio to 0: give base_lr"):
        optimizer.add_param_group({"params": [parameter()], "lr": 0.1})
    assert len(optimizer.param_groups) == 1
    advance(optimizer, scheduler)


def test_a_scheduler_whose_turn_has_not_come_leaves_an_added_group_alone():
    optimizer = torch.optim.SGD([parameter()], lr=0.1)
    flat = lr_scheduler.ConstantLR(optimizer, factor=0.5, total_iters=100)
    later = ScheduledLR(optimizer, PLAIN)
    both = lr_scheduler.SequentialLR(optimizer, [flat, later], milestones=[10])
    assert rates(optimizer) == [0.05]
    optimizer.add_param_group({"params": [parameter()], "lr": 0.2})
    assert rates(optimizer) == [0.05, 0.2]
    del both


# --------------------------------------------------------------------------------- weight decay


@pytest.mark.parametrize("kind", [torch.optim.AdamW, torch.optim.Muon, torch.optim.SGD])
def test_what_the_weights_lose_is_held_by_the_rule_at_every_update(kind: Any):
    schedule = parse_schedule(PLAIN)
    shrunk = {"coupled": [1 - 0.2 * schedule(t) for t in range(H)]}
    # The LR of update 0 is 0, so that nothing can shrink in it.
    shrunk["decoupled"] = [1.0] + [1 - 0.2 * schedule.peak] * (H - 1)
    shrunk["timescale=40"] = [1.0] + [1 - 1 / 40] * (H - 1)
    for rule, factors in shrunk.items():
        weight = parameter()
        optimizer = kind([weight], lr=1.0, weight_decay=0.2)
        advance(optimizer, ScheduledLR(optimizer, PLAIN, weight_decay_rule=rule), H)
        assert weight.flatten().tolist() == pytest.approx([math.prod(factors)] * 4, rel=1e-5), rule


def test_a_weight_decay_of_zero_stays_zero_and_rules_may_differ_by_name():
    optimizer = torch.optim.AdamW(
        [
            {"params": [parameter()], "name": name, "weight_decay": decay}
            for name, decay in (("matrices", 0.1), ("rest", 0.0), ("rest", 0.3), ("head", 0.2))
        ]
    )
    rule = {"rest": "timescale=500", "matrices": "decoupled"}
    scheduler = ScheduledLR(optimizer, GROUPS, weight_decay_rule=rule)
    for _ in range(H):
        lr, decay = (
            np.array([group[key] for group in optimizer.param_groups])
            for key in ("lr", "weight_decay")
        )
        held = 0.1 * GROUPS["matrices"].peak if lr[0] > 0 else 0.0
        assert lr * decay == pytest.approx([held, 0.0, 1 / 500, lr[3] * 0.2], rel=1e-12)
        assert decay[3] == 0.2
        advance(optimizer, scheduler)


@pytest.mark.parametrize("kind", [torch.optim.Adam, torch.optim.NAdam, torch.optim.LBFGS])
def test_a_rule_is_refused_where_the_weight_decay_is_none_of_the_lr(kind: Any):
    with pytest.raises(InputError, match=f"{kind.__name__} does not: leave it out"):
        ScheduledLR(kind([parameter()], lr=0.1), PLAIN, weight_decay_rule="decoupled")


# -------------------------------------------------------------------------------------- resuming

ORDER = (("rest", 0.4), ("matrices", 0.1), ("rest", 0.2))


def saved(updates: int, source: Any = GROUPS, **options: Any) -> tuple[Any, Any]:
    optimizer = named(*ORDER)
    scheduler = ScheduledLR(optimizer, source, **options)
    advance(optimizer, scheduler, updates)
    # Through JSON: a state holds numbers and text alone.
    return optimizer.state_dict(), json.loads(json.dumps(scheduler.state_dict()))


@pytest.mark.parametrize("scheduler_first", [True, False])
def test_a_checkpoint_brings_back_every_group_and_weight_decay(scheduler_first: bool):
    rule = {"rest": "timescale=500"}
    of_optimizer, of_scheduler = saved(37, weight_decay_rule=rule)
    optimizer = named(*ORDER, weight_decay=0.5)
    if not scheduler_first:
        optimizer.load_state_dict(of_optimizer)
    scheduler = ScheduledLR(optimizer, GROUPS, weight_decay_rule=rule)
    scheduler.load_state_dict(of_scheduler)
    if scheduler_first:
        optimizer.load_state_dict(of_optimizer)
    whole = named(*ORDER)
    straight = ScheduledLR(whole, GROUPS, weight_decay_rule=rule)
    advance(whole, straight, 37)
    for _ in range(5):
        for key in ("lr", "weight_decay"):
            assert [g[key] for g in optimizer.param_groups] == [g[key] for g in whole.param_groups]
        advance(optimizer, scheduler)
        advance(whole, straight)


def test_other_schedules_or_rules_are_refused_unless_the_user_says_which():
    _, state = saved(10)
    longer = GROUPS.stretched(horizon=2 * H)
    with pytest.raises(
        InputError, match=r"follows matrices: wsd.*, and 2 more and .* give on_change"
    ):
        ScheduledLR(named(*ORDER), longer).load_state_dict(state)
    other = ScheduledLR(named(*ORDER), GROUPS, weight_decay_rule={"matrices": "timescale=9"})
    with pytest.raises(InputError, match="scheduler weight decay: coupled, timescale=9, coupled"):
        other.load_state_dict(state)
    optimizer = named(*ORDER)
    scheduler = ScheduledLR(optimizer, longer, on_change="replace")
    scheduler.load_state_dict(state)
    assert scheduler.groups == longer
    assert scheduler.changes[0][0] == 10
    assert rates(optimizer)[1] == longer["matrices"](10)
    optimizer = named(*ORDER)
    scheduler = ScheduledLR(optimizer, longer, on_change="keep")
    scheduler.load_state_dict(state)
    assert scheduler.groups == GROUPS
    assert rates(optimizer)[1] == GROUPS["matrices"](10)


def test_a_weight_decay_that_no_rule_drives_any_more_is_put_back():
    of_optimizer, state = saved(20, weight_decay_rule="timescale=500")
    optimizer = named(*ORDER)
    optimizer.load_state_dict(of_optimizer)
    assert optimizer.param_groups[0]["weight_decay"] != 0.01
    scheduler = ScheduledLR(optimizer, GROUPS, on_change="replace")
    scheduler.load_state_dict(state)
    assert [group["weight_decay"] for group in optimizer.param_groups] == [0.01] * 3


def test_groups_of_other_names_are_not_resumed():
    _, state = saved(5)
    other = named(("rest", 0.4), ("head", 0.1), ("rest", 0.2))
    with pytest.raises(InputError, match="follow rest, matrices, rest and the optimiser's rest, h"):
        ScheduledLR(other, GROUPS).load_state_dict(state)
    with pytest.raises(InputError, match="rest, matrices, rest and the optimiser's one schedule"):
        ScheduledLR(named(*ORDER), PLAIN).load_state_dict(state)


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("groups", 3, "groups must be a mapping"),
        ("groups", {"rest": PLAIN}, "no schedule for the group 'matrices'"),
        ("names", ["rest"], "1 parameter groups"),
        ("names", None, "names of the state must be a list"),
        ("schedule", PLAIN, "is not that of its first group"),
        ("weight_decay", [["x"]] * 3, r"must be \[rule, value\]"),
        ("weight_decay", [["coupled", -1.0]] * 3, "a weight decay of the state"),
        ("weight_decay_now", [0.1], "1 parameter groups"),
    ],
)
def test_a_state_of_wrong_groups_is_refused(key: str, value: Any, told: str):
    _, state = saved(5, weight_decay_rule="timescale=500")
    scheduler = ScheduledLR(named(*ORDER), GROUPS, weight_decay_rule="timescale=500")
    before = scheduler.state_dict()
    with pytest.raises(InputError, match=told):
        scheduler.load_state_dict({**state, key: value})
    assert scheduler.state_dict() == before


def test_groups_are_planned_again_by_name():
    optimizer = named(*ORDER)
    scheduler = ScheduledLR(optimizer, GROUPS)
    advance(optimizer, scheduler, 10)
    end = GroupSchedules(
        {
            name: f"linear:peak={p},horizon=20"
            for name, p in (("matrices", 0.01), ("rest", 0.02), ("head", 0.03))
        }
    )
    scheduler.replan(end, start="now")
    assert scheduler.groups is not None
    assert scheduler.groups.horizon == 30
    assert rates(optimizer) == [0.02, 0.01, 0.01]
    assert scheduler.groups["rest"](5) == GROUPS["rest"](5)
    with pytest.raises(InputError, match="schedules for matrices, rest, head: give a mapping"):
        scheduler.replan(PLAIN)
    with pytest.raises(InputError, match="no schedule for the group 'head'"):
        scheduler.replan({"matrices": PLAIN, "rest": PLAIN})
    with pytest.raises(InputError, match="this scheduler follows one schedule: give one"):
        ScheduledLR(named(*ORDER), PLAIN).replan(GROUPS)


def test_a_run_log_takes_the_first_schedule_and_says_the_ratios(tmp_path: Path):
    from etastar.runs import read_runs

    optimizer = named(*ORDER)
    scheduler = ScheduledLR(optimizer, GROUPS)
    with RunLog(tmp_path / "run.jsonl", scheduler) as log:
        for step in (20, 40, 60):
            log.add(step, 1 + 1 / step)
    (run,) = read_runs(tmp_path / "run.jsonl")
    assert run.schedule == GROUPS["matrices"]
    assert run.groups == pytest.approx({"matrices": 1.0, "rest": 0.15, "head": 0.5})
