"""`ScheduledLR`: the LR and momentum of every update, with every kind of optimiser and caller."""

import json
import math
import subprocess
import sys
import warnings
from copy import deepcopy
from pathlib import Path

import numpy as np
import pytest
import torch
from torch.optim import lr_scheduler

from etastar.integrations.torch import ScheduledLR
from etastar.schedule import InputError, parse_schedule

H = 10_000
SHAPES = [
    f"constant:peak=0.003,horizon={H},warmup=100",
    f"linear:peak=0.003,horizon={H},warmup=333,final=0.1",
    f"cosine:peak=3e-4,horizon={H},warmup=2160,final=0.1",
    f"polynomial:peak=0.7,horizon={H},power=1.7",
    f"polynomial:peak=0.7,horizon={H},power=3",
    f"power:peak=0.3,horizon={H},chi=0.37,warmup=50",
    f"power:peak=0.3,horizon={H},chi=0.5,final=0.01",
    f"inverse_sqrt:peak=0.3,horizon={H},warmup=400",
    f"exponential:peak=0.3,horizon={H},final=0.003",
    f"wsd:peak=1e-3,horizon={H},warmup=50,cooldown=0.2",
    f"wsd:peak=1e-3,horizon={H},cooldown=1234,decay=sqrt",
    f"wsd:peak=1e-3,horizon={H},cooldown=0.37,decay=cosine,final=0.1",
    f"wsd:peak=1e-3,horizon={H},cooldown=0.37,decay=exponential,final=0.1",
    f"step:peak=0.1,horizon={H},at=5000.5,factor=0.3",
    f"table:knots=0:0/10.5:0.2/4321:0.13/7000.25:0.05/{H}:0.01",
    "join:constant:peak=0.1,horizon=6000,warmup=10 then cosine:peak=0.07,horizon=4000",
]
WSD = parse_schedule("wsd:peak=0.2,horizon=100,warmup=10,cooldown=0.2")
LONGER = parse_schedule("wsd:peak=0.2,horizon=200,warmup=10,cooldown=0.2")


def parameter(value=0.0):
    return torch.full((3,), float(value), requires_grad=True)


def sgd(lr=1.0, **keys):
    return torch.optim.SGD([parameter()], lr=lr, **keys)


def lr_of(optimizer):
    return optimizer.param_groups[0]["lr"]


def advance(optimizer, scheduler, updates=1):
    for _ in range(updates):
        optimizer.step()
        scheduler.step()


@pytest.mark.parametrize("spec", SHAPES)
def test_every_update_has_the_lr_of_the_schedule_to_the_last_bit(spec):
    schedule, optimizer = parse_schedule(spec), sgd()
    scheduler = ScheduledLR(optimizer, spec)
    found = [lr_of(optimizer)]
    optimizer.step()
    for _ in range(H):
        scheduler.step()
        found.append(lr_of(optimizer))
    assert found == [schedule(t) for t in range(H + 1)]


def test_beyond_the_horizon_the_end_value_is_held_and_one_warning_says_so():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, "linear:peak=0.1,horizon=50,final=0.5")
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advance(optimizer, scheduler, 50)
    with pytest.warns(UserWarning, match="51 updates are more than the schedule's horizon 50"):
        advance(optimizer, scheduler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advance(optimizer, scheduler, 5000)
    assert lr_of(optimizer) == 0.05


def test_anything_that_holds_a_schedule_is_a_source(tmp_path):
    schedule = parse_schedule("cosine:peak=0.1,horizon=50")
    schedule.save(tmp_path / "schedule.json")
    plan = {"schedule": {"spec": schedule.spec}, "momentum": {"knots": [[0, 0.5], [50, 0.9]]}}
    (tmp_path / "solve.json").write_text(json.dumps(plan))
    for source in (schedule, schedule.spec, tmp_path, str(tmp_path), tmp_path / "schedule.json"):
        optimizer = sgd()
        advance(optimizer, ScheduledLR(optimizer, source), 20)
        assert lr_of(optimizer) == schedule(20)
    optimizer = sgd(momentum=0.1)
    advance(optimizer, ScheduledLR(optimizer, tmp_path / "solve.json"), 25)
    assert optimizer.param_groups[0]["momentum"] == 0.7


@pytest.mark.parametrize(
    ("source", "message"),
    [
        ("cosin:peak=1,horizon=9", "unknown schedule 'cosin'"),
        ("plans/schedule.json", "plans/schedule.json: no such file"),
        ("cosine", "'cosine' is no file or folder, and as a spec: cosine needs peak"),
        (3e-4, "a schedule is wanted, got 0.0003: give a Schedule"),
        (Path(__file__).parent, "no schedule.json or plan.json in this folder"),
        ({"loss": 3}, "group 'loss': a ratio refers to the first group"),
    ],
)
def test_a_source_that_is_none_is_an_error_that_says_what_is_allowed(source, message):
    with pytest.raises(InputError, match=message):
        ScheduledLR(sgd(), source)


# ------------------------------------------------------------------------- groups and momentum


def test_groups_keep_their_ratios():
    groups = [{"params": [parameter()], "lr": lr} for lr in (0.02, 0.01, 0.0, 0.06)]
    optimizer = torch.optim.SGD(groups, lr=1.0)
    advance(optimizer, ScheduledLR(optimizer, WSD), 50)
    assert [group["lr"] for group in optimizer.param_groups] == [0.2, 0.1, 0.0, 0.2 * (0.06 / 0.02)]
    optimizer = torch.optim.SGD([dict(g) for g in groups], lr=1.0)
    advance(optimizer, ScheduledLR(optimizer, WSD, base_lr=0.01), 50)
    assert [group["lr"] for group in optimizer.param_groups] == [0.4, 0.2, 0.0, 0.2 * (0.06 / 0.01)]


def test_groups_of_equal_lrs_follow_the_schedule_whatever_those_are():
    for lr in (0.0, 1e-9, 0.3):
        optimizer = torch.optim.SGD([{"params": [parameter()]}, {"params": [parameter()]}], lr=lr)
        advance(optimizer, ScheduledLR(optimizer, WSD), 7)
        assert [group["lr"] for group in optimizer.param_groups] == [WSD(7)] * 2


def test_groups_without_a_ratio_are_an_error():
    groups = [{"params": [parameter()], "lr": lr} for lr in (0.0, 0.1)]
    with pytest.raises(InputError, match="has no ratio to 0: give base_lr"):
        ScheduledLR(torch.optim.SGD(groups, lr=1.0), WSD)


MOMENTUM = parse_schedule("table:knots=0:0.95/60:0.8/100:0.95")


@pytest.mark.parametrize("kind", ["SGD", "RMSprop", "Adam", "AdamW", "NAdam", "RAdam", "Adamax"])
def test_momentum_follows_its_schedule(kind):
    keys = {"momentum": 0.9} if kind in ("SGD", "RMSprop") else {"betas": (0.9, 0.95)}
    optimizer = getattr(torch.optim, kind)([parameter()], lr=0.1, **keys)
    scheduler = ScheduledLR(optimizer, WSD, momentum=MOMENTUM)
    for t in range(100):
        group = optimizer.param_groups[0]
        assert group.get("momentum", group.get("betas", [0])[0]) == MOMENTUM(t)
        assert group.get("betas", (0, 0.95))[1] == 0.95
        assert group["lr"] == WSD(t)
        advance(optimizer, scheduler)


def test_a_momentum_out_of_range_or_without_place_is_an_error():
    with pytest.raises(InputError, match="it must stay from 0 to below 1"):
        ScheduledLR(sgd(momentum=0.9), WSD, momentum="constant:peak=1,horizon=9")
    with pytest.raises(InputError, match="Adagrad has neither momentum nor betas"):
        ScheduledLR(torch.optim.Adagrad([parameter()]), WSD, momentum=0.9)


# ----------------------------------------------------------------------- kinds of optimisers


@pytest.mark.parametrize("keys", [{"fused": True}, {"foreach": False}])
def test_an_lr_that_is_a_tensor_is_filled_in_place(keys):
    lr = torch.tensor(1.0)
    weight = parameter(1.0)
    optimizer = torch.optim.AdamW([weight], lr=lr, **keys)
    plain = parameter(1.0)
    reference = torch.optim.AdamW([plain], lr=1.0, **keys)
    scheduler, other = ScheduledLR(optimizer, WSD), ScheduledLR(reference, WSD)
    for t in range(100):
        assert lr_of(optimizer) is lr
        assert float(lr) == float(np.float32(WSD(t)))
        weight.grad, plain.grad = torch.ones(3) * t, torch.ones(3) * t
        advance(optimizer, scheduler)
        advance(reference, other)
    torch.testing.assert_close(weight, plain, rtol=1e-5, atol=1e-6)
    assert scheduler.get_last_lr()[0] is not lr


def test_a_beta_that_is_a_tensor_is_filled_in_place():
    betas = (torch.tensor(0.9), torch.tensor(0.99))
    try:
        optimizer = torch.optim.AdamW(
            [parameter()], lr=torch.tensor(1.0), betas=betas, foreach=False, capturable=True
        )
    except (TypeError, ValueError):
        pytest.skip("this PyTorch takes no betas as tensors")
    advance(optimizer, ScheduledLR(optimizer, WSD, momentum=MOMENTUM))
    assert optimizer.param_groups[0]["betas"][0] is betas[0]
    assert float(betas[0]) == float(np.float32(MOMENTUM(1)))


def test_a_compiled_step_is_not_compiled_again_when_the_lr_changes():
    from torch._dynamo.utils import counters

    weight = parameter(1.0)
    optimizer = torch.optim.SGD([weight], lr=torch.tensor(1.0))
    scheduler = ScheduledLR(optimizer, "linear:peak=0.5,horizon=8")

    @torch.compile(backend="eager")
    def update():
        optimizer.step()

    expected, compiled = 1.0, []
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # the compiled step hides that it was called
        for t in range(8):
            weight.grad = torch.ones(3)
            update()
            scheduler.step()
            expected -= float(np.float32(0.5 * (1 - t / 8)))
            compiled.append(counters["stats"]["unique_graphs"])
    assert compiled[1] == compiled[-1]
    torch.testing.assert_close(weight[0].item(), expected)


def test_updates_that_a_grad_scaler_skips_do_not_count():
    weight = parameter(1.0)
    optimizer = torch.optim.SGD([weight], lr=1.0)
    scheduler = ScheduledLR(optimizer, WSD)
    scaler = torch.amp.GradScaler("cpu", init_scale=4.0)
    applied, skipped = [], {0, 3, 4, 9}
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        for i in range(15):
            before = weight.detach().clone()
            scaler.scale(weight.sum()).backward()
            assert weight.grad is not None
            if i in skipped:
                weight.grad[0] = math.inf
            scale = scaler.get_scale()
            scaler.step(optimizer)
            scaler.update()
            if scaler.get_scale() >= scale:
                scheduler.step()
                applied.append(float((before - weight)[0].detach()))
            else:
                assert torch.equal(before, weight)
            optimizer.zero_grad()
    np.testing.assert_allclose(applied, WSD(np.arange(11)), rtol=1e-5, atol=1e-7)


# --------------------------------------------------------------- beside PyTorch's schedulers


def rates(make, updates):
    optimizer = sgd(lr=0.3)
    scheduler = make(optimizer)
    found = []
    for _ in range(updates):
        found.append(lr_of(optimizer))
        advance(optimizer, scheduler)
    return found


T, W = 300, 30
SAME = {
    f"cosine:peak=0.3,horizon={T},final=0.1": (
        lambda o: lr_scheduler.CosineAnnealingLR(o, T_max=T, eta_min=0.03)
    ),
    f"linear:peak=0.3,horizon={T},final=0.2": (
        lambda o: lr_scheduler.LinearLR(o, 1.0, 0.2, total_iters=T)
    ),
    f"polynomial:peak=0.3,horizon={T},power=1.5": (
        lambda o: lr_scheduler.PolynomialLR(o, total_iters=T, power=1.5)
    ),
    f"exponential:peak=0.3,horizon={T},final={0.99**T!r}": (
        lambda o: lr_scheduler.ExponentialLR(o, gamma=0.99)
    ),
    f"step:peak=0.3,horizon={T},at=200,factor=0.5": (
        lambda o: lr_scheduler.MultiStepLR(o, [200], gamma=0.5)
    ),
    # OneCycleLR meets its end value at its last update, and reaches the peak one update early.
    f"linear:peak=0.3,horizon={T},warmup={W}": (
        lambda o: lr_scheduler.OneCycleLR(
            o, max_lr=0.3, total_steps=T + 1, pct_start=(W + 1) / (T + 1), anneal_strategy="linear",
            div_factor=math.inf, cycle_momentum=False,
        )
    ),
    # A warmup of LinearLR from 1/W is at update t where a warmup from 0 is at update t + 1.
    f"table:knots=0:{0.3 / W}/{W - 1}:0.3,horizon={T}": (
        lambda o: lr_scheduler.LinearLR(o, 1 / W, 1.0, total_iters=W - 1)
    ),
}  # fmt: skip


@pytest.mark.parametrize("spec", SAME)
def test_schedules_of_pytorch_have_the_same_lrs(spec):
    ours = rates(lambda optimizer: ScheduledLR(optimizer, spec), T)
    # PyTorch multiplies the LR before, so that rounding adds up over the updates.
    np.testing.assert_allclose(ours, rates(SAME[spec], T), rtol=1e-10, atol=1e-13)


def sequence(optimizer, on_change=None):
    first = ScheduledLR(optimizer, "linear:peak=0.2,horizon=60,final=0.5", on_change=on_change)
    second = ScheduledLR(optimizer, "cosine:peak=0.1,horizon=40", on_change=on_change)
    last = lr_scheduler.ExponentialLR(optimizer, gamma=0.9)
    return lr_scheduler.SequentialLR(optimizer, [first, second, last], milestones=[60, 90])


@pytest.mark.filterwarnings("ignore:The epoch parameter")
@pytest.mark.parametrize("at", [1, 59, 60, 61, 89, 90, 91, 110])
@pytest.mark.parametrize("optimizer_first", [True, False])
def test_a_sequential_lr_runs_and_resumes(at, optimizer_first):
    optimizer = sgd(lr=0.3)
    scheduler = sequence(optimizer)
    expected, saved = [], []
    for t in range(120):
        if t == at:
            saved = deepcopy([optimizer.state_dict(), scheduler.state_dict()])
        expected.append(lr_of(optimizer))
        advance(optimizer, scheduler)
    joined = parse_schedule(
        "join:linear:peak=0.2,horizon=60,final=0.5 then cosine:peak=0.1,horizon=40,until=90"
    )
    assert expected[:90] == [joined(t) for t in range(90)]

    optimizer = sgd(lr=0.3)
    scheduler = sequence(optimizer)
    if optimizer_first:
        optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    if not optimizer_first:
        optimizer.load_state_dict(saved[0])
    found = []
    for _ in range(at, 120):
        found.append(lr_of(optimizer))
        advance(optimizer, scheduler)
    assert found == expected[at:]


# ------------------------------------------------------------------------ resuming and changing

ORDERS = ("scheduler made, optimiser loaded", "optimiser loaded, scheduler made", "optimiser last")


def resumed(order, optimizer, make, saved):
    """The scheduler of a resumed run, made and loaded in one of the orders there are."""
    if order == ORDERS[1]:
        optimizer.load_state_dict(saved[0])
    scheduler = make(optimizer)
    if order == ORDERS[0]:
        optimizer.load_state_dict(saved[0])
    scheduler.load_state_dict(saved[1])
    if order == ORDERS[2]:
        optimizer.load_state_dict(saved[0])
    return scheduler


def two_groups(kind=torch.optim.SGD, lrs=(0.02, 0.01), **keys):
    return kind([{"params": [parameter(1.0)], "lr": lr} for lr in lrs], lr=1.0, **keys)


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("keys", [{"momentum": 0.9}, {"kind": torch.optim.AdamW}])
def test_resuming_does_not_depend_on_the_order_of_construction(order, keys):
    def make(optimizer):
        return ScheduledLR(optimizer, WSD, momentum=MOMENTUM)

    def settings(optimizer):
        return [
            (group["lr"], group.get("momentum"), group.get("betas"))
            for group in optimizer.param_groups
        ]

    optimizer = two_groups(**keys)
    scheduler = make(optimizer)
    advance(optimizer, scheduler, 37)
    state = json.dumps(scheduler.state_dict())
    assert len(state) < 1000
    saved = deepcopy(optimizer.state_dict()), json.loads(state)
    # The new script was started with other LRs: those of the checkpoint count.
    other = two_groups(lrs=(0.5, 0.5), **keys)
    again = resumed(order, other, make, saved)
    for _ in range(60):
        assert settings(other) == settings(optimizer)
        assert again.get_last_lr() == scheduler.get_last_lr()
        advance(optimizer, scheduler)
        advance(other, again)


def test_last_epoch_starts_in_the_middle():
    optimizer = sgd(lr=0.5)
    ScheduledLR(optimizer, WSD, last_epoch=84)
    assert lr_of(optimizer) == WSD(85)


def saved_after(updates, spec=WSD, **keys):
    optimizer = sgd(momentum=0.9)
    scheduler = ScheduledLR(optimizer, spec, **keys)
    advance(optimizer, scheduler, updates)
    return optimizer.state_dict(), scheduler.state_dict()


def test_an_optimisers_state_loaded_without_the_schedulers_is_a_warning_once():
    saved = saved_after(50, WSD)
    optimizer = sgd(momentum=0.9)
    scheduler = ScheduledLR(optimizer, WSD)
    optimizer.load_state_dict(saved[0])
    with pytest.warns(UserWarning, match="call load_state_dict of the scheduler"):
        advance(optimizer, scheduler)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        advance(optimizer, scheduler)
        for order in ORDERS:
            again = sgd(momentum=0.9)
            advance(again, resumed(order, again, lambda each: ScheduledLR(each, WSD), saved))


def test_what_a_refused_checkpoint_follows_is_told_in_few_words():
    def planned(end):
        knots = "/".join(f"{100 * t}:{0.1 / (1 + t) + end}" for t in range(30))
        return f"table:knots={knots},horizon=3000"

    def scheduler(end):
        groups = {"a": planned(end), "b": "cosine:peak=0.1,horizon=3000"}
        weights = torch.zeros(1, requires_grad=True)
        return ScheduledLR(torch.optim.SGD([{"params": [weights], "name": "a"}]), groups)

    with pytest.raises(InputError) as refused:
        scheduler(0.02).load_state_dict(scheduler(0.01).state_dict())
    message = str(refused.value)
    assert "follows a: a table with horizon 3000, peak 0.11," in message
    assert "this scheduler a: a table with horizon 3000, peak 0.12," in message
    assert "b: cosine" not in message  # which is the same in both
    assert message.endswith("or 'replace' to change")


@pytest.mark.parametrize("order", ORDERS)
@pytest.mark.parametrize("on_change", [None, "keep", "replace"])
def test_a_changed_schedule_is_followed_only_where_asked(order, on_change):
    saved = saved_after(50, WSD.scaled(peak=0.1))
    optimizer = sgd(momentum=0.9)

    def make(optimizer):
        return ScheduledLR(optimizer, LONGER, on_change=on_change)

    if on_change is None:
        with pytest.raises(
            InputError, match=r"after 50 updates the checkpoint follows wsd:peak=0\.1"
        ):
            resumed(order, optimizer, make, saved)
        return
    scheduler = resumed(order, optimizer, make, saved)
    expected = LONGER if on_change == "replace" else WSD.scaled(peak=0.1)
    for t in range(50, 95):
        assert lr_of(optimizer) == expected(t)
        advance(optimizer, scheduler)
    changes = [[50, WSD.scaled(peak=0.1).spec, LONGER.spec]] if on_change == "replace" else []
    assert scheduler.changes == changes


def test_a_replanned_run_is_resumed_with_its_changes():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, WSD)
    advance(optimizer, scheduler, 60)
    scheduler.replan(LONGER)
    advance(optimizer, scheduler, 60)
    scheduler.replan("linear:peak=0.2,horizon=30", start="now")
    assert lr_of(optimizer) == 0.2
    advance(optimizer, scheduler, 10)
    assert lr_of(optimizer) == 0.2 * (1 - 10 / 30)
    assert scheduler.schedule.horizon == 150
    assert [change[0] for change in scheduler.changes] == [60, 120]
    state = json.loads(json.dumps(scheduler.state_dict()))
    other = sgd()
    again = ScheduledLR(other, WSD, on_change="keep")
    again.load_state_dict(state)
    assert lr_of(other) == lr_of(optimizer)
    assert (again.schedule, again.changes) == (scheduler.schedule, scheduler.changes)


def test_states_that_do_not_belong_are_errors():
    _, state = saved_after(5)
    with pytest.raises(InputError, match="the state is not of a ScheduledLR"):
        ScheduledLR(sgd(), WSD).load_state_dict(
            lr_scheduler.StepLR(sgd(), step_size=3).state_dict()
        )
    with pytest.raises(InputError, match="the state has 1 parameter groups and the optimiser 2"):
        ScheduledLR(two_groups(), WSD).load_state_dict(state)
    with pytest.raises(InputError, match="goes by 'steps' and this scheduler by samples"):
        ScheduledLR(sgd(), WSD, unit="samples", batch_size=4).load_state_dict(state)


# ------------------------------------------------------------------------------------- samples


def test_in_samples_a_resumed_run_of_another_batch_size_keeps_the_lr_of_every_sample():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, WSD, unit="samples", batch_size=32)
    advance(optimizer, scheduler, 50)
    assert (lr_of(optimizer), scheduler.samples) == (WSD(50), 50 * 32)
    state = scheduler.state_dict()
    other = sgd()
    again = ScheduledLR(other, WSD, unit="samples", batch_size=24)
    again.load_state_dict(state)
    updates = 0
    while again.position < WSD.horizon:
        assert lr_of(other) == WSD((50 * 32 + 24 * updates) / 32)
        advance(other, again)
        updates += 1
    assert updates == math.ceil(50 * 32 / 24)


def test_in_samples_the_batch_size_may_vary():
    optimizer = sgd()
    schedule = parse_schedule("linear:peak=0.2,horizon=2000")
    scheduler = ScheduledLR(optimizer, schedule, unit="samples", batch_size=1, planned_batch_size=1)
    seen = 0
    for size in [8, 8, 16, 3, 64] * 10:
        assert (lr_of(optimizer), scheduler.samples) == (schedule(seen), seen)
        scheduler.batch_size = size
        advance(optimizer, scheduler)
        seen += size


# ------------------------------------------------------------------------------------- imports


def test_only_numpy_and_pytorch_are_needed(tmp_path):
    code = """
import sys
absent = ("jax", "polars", "scipy", "equinox", "optimistix", "typer", "rich", "plotly", "optax")
sys.modules.update(dict.fromkeys(absent))
import torch
from etastar.integrations.torch import RampedBatchSampler, RunLog, ScheduledLR
optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=1.0)
scheduler = ScheduledLR(optimizer, "cosine:peak=0.5,horizon=4")
with RunLog(sys.argv[1], scheduler, batch_size=2, optimizer=optimizer) as log:
    for step, batch in enumerate(RampedBatchSampler(8, 2, horizon=4)):
        optimizer.step(); scheduler.step(); log.add(step + 1, 1.0)
assert optimizer.param_groups[0]["lr"] == 0.0
loaded = {name.partition(".")[0] for name, module in sys.modules.items() if module}
print(sorted(loaded & {*absent, "pandas", "transformers"}))
"""
    command = [sys.executable, "-c", code, str(tmp_path / "run.jsonl")]
    result = subprocess.run(command, capture_output=True, text=True, timeout=120)
    assert result.stdout.strip() == "[]", result.stderr


@pytest.mark.parametrize(
    ("key", "value", "told"),
    [
        ("lr", [math.nan], "an LR of the state"),
        ("lr", [0.2], "the state's LR of parameter group 0"),
        ("lr", [-0.1], "an LR of the state"),
        ("ratios", [], "0 parameter groups"),
        ("ratios", [2.0], "the state's LR of parameter group 0"),
        ("last_epoch", 7, "the state's LR of parameter group 0"),
        ("last_epoch", -2, "last_epoch of the state"),
        ("last_epoch", "5", "last_epoch of the state"),
        ("last_epoch", 10**400, "last_epoch of the state"),
        ("_step_count", None, "_step_count of the state"),
        ("samples", None, "samples of the state"),
        ("planned_batch_size", 0, "planned_batch_size of the state"),
        ("schedule", 3, "schedule of the state"),
        ("schedule", "cosine", "cosine needs peak"),
        ("momentum", 0.5, "momentum and momentum_now"),
        ("momentum_now", [0.5], "momentum and momentum_now"),
        ("changes", [["x"]], "a change of the state"),
        ("unit", 5, "goes by 5"),
    ],
)
def test_a_state_of_wrong_values_is_refused_and_the_scheduler_stays_as_it_was(key, value, told):
    _, state = saved_after(5)
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, WSD)
    optimizer.step()
    scheduler.step()
    before, rates = scheduler.state_dict(), [group["lr"] for group in optimizer.param_groups]
    with pytest.raises(InputError, match=told):
        scheduler.load_state_dict({**state, key: value})
    assert scheduler.state_dict() == before
    assert [group["lr"] for group in optimizer.param_groups] == rates
    scheduler.load_state_dict(state)
    assert scheduler.last_epoch == 5


def test_a_group_that_is_added_later_follows_with_its_ratio_through_a_checkpoint():
    def made(groups):
        return torch.optim.SGD(
            [{"params": [parameter()], "lr": lr} for lr in (0.1, 0.05)[:groups]], lr=0.1
        )

    optimizer = made(1)
    scheduler = ScheduledLR(optimizer, "linear:peak=0.4,horizon=100")
    for update in range(40):
        if update == 20:
            optimizer.add_param_group({"params": [parameter()], "lr": 0.05})
            assert len(scheduler.state_dict()["ratios"]) == 2
        optimizer.step()
        scheduler.step()
    planned = scheduler.schedule(40)
    assert [group["lr"] for group in optimizer.param_groups] == [planned, planned / 2]

    resumed = made(2)
    resumed.load_state_dict(optimizer.state_dict())
    again = ScheduledLR(resumed, "linear:peak=0.4,horizon=100")
    again.load_state_dict(scheduler.state_dict())
    for each, steps in ((optimizer, scheduler), (resumed, again)):
        each.step()
        steps.step()
    assert (
        again.get_last_lr()
        == scheduler.get_last_lr()
        == [scheduler.schedule(41), scheduler.schedule(41) / 2]
    )
    del resumed.param_groups[1]
    with pytest.raises(InputError, match="has 1 parameter groups and had 2"):
        again.step()


def test_a_run_past_its_end_can_be_planned_on_again_and_again():
    optimizer = sgd()
    scheduler = ScheduledLR(optimizer, "linear:peak=0.4,horizon=10,final=0.1")
    for _ in range(3):
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(15):
                optimizer.step()
                scheduler.step()
        assert optimizer.param_groups[0]["lr"] == pytest.approx(0.04)
        scheduler.replan("linear:peak=0.4,horizon=10,final=0.1", start="now")
        assert optimizer.param_groups[0]["lr"] == 0.4
    assert scheduler.schedule.horizon == 55
    assert scheduler.schedule([14, 15, 29, 30, 44, 45]) == pytest.approx([0.04, 0.4] * 3)


def plan_folder(folder, batch: str):
    """A folder with the schedule.json of a plan for a batch size."""
    WSD.save(folder / "schedule.json", batch_size=parse_schedule(batch))
    return folder


def test_the_batch_size_of_a_plan_is_the_planned_one(tmp_path):
    horizon = WSD.horizon
    source = plan_folder(tmp_path, f"constant:peak=4,horizon={horizon}")
    scheduler = ScheduledLR(sgd(), source, unit="samples", batch_size=8)
    assert scheduler.planned_batch_size == 4
    for _ in range(10):
        scheduler.optimizer.step()
        scheduler.step()
    # 80 samples are 20 updates of the plan.
    assert scheduler.position == 20.0
    given = ScheduledLR(sgd(), source, unit="samples", batch_size=8, planned_batch_size=2)
    assert given.planned_batch_size == 2
    assert ScheduledLR(sgd(), source).position == 0.0


def test_samples_of_a_plan_whose_batch_size_changes_are_refused(tmp_path):
    horizon = WSD.horizon
    source = plan_folder(tmp_path, f"table:horizon={horizon},knots=0:4/{horizon - 1}:16")
    with pytest.raises(InputError, match=r"goes from 4 to .*RampedBatchSampler"):
        ScheduledLR(sgd(), source, unit="samples", batch_size=8)
    assert ScheduledLR(sgd(), source).schedule.horizon == horizon
    given = ScheduledLR(sgd(), source, unit="samples", batch_size=8, planned_batch_size=8)
    assert given.planned_batch_size == 8
