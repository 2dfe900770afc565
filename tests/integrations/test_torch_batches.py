"""`RampedBatchSampler` and `accumulation`: which samples each update sees, and with what weight."""

import json
from collections import Counter
from itertools import chain
from typing import Any

import numpy as np
import pytest
import torch
from torch.utils.data import DataLoader, DistributedSampler, RandomSampler, TensorDataset

from etastar.control import Solution
from etastar.integrations.torch import RampedBatchSampler, accumulation
from etastar.schedule import InputError, parse_schedule, table

RAMP = table([0, 40, 100], [4, 4, 33])
N = 150


def sampler(
    data: Any = N, batch_size: Any = RAMP, rank: Any = 0, world_size: Any = 1, **keys: Any
) -> RampedBatchSampler:
    return RampedBatchSampler(data, batch_size, rank=rank, world_size=world_size, **keys)


def test_the_batches_have_the_planned_sizes_and_every_sample_comes_once_an_epoch():
    batches = list(sampler())
    planned = np.maximum(np.rint(RAMP(np.arange(100))), 1).astype(int)
    assert [len(batch) for batch in batches] == planned.tolist()
    stream = np.concatenate(batches)
    assert len(stream) == planned.sum() == sampler().total_samples
    assert len(batches) == len(sampler()) == 100
    epochs = [stream[i : i + N] for i in range(0, len(stream), N)]
    for epoch in epochs[:-1]:
        assert sorted(epoch) == list(range(N))
    assert len(set(epochs[-1])) == len(epochs[-1])
    assert not np.array_equal(epochs[0], epochs[1])


def test_in_samples_the_run_ends_at_its_total():
    ramp = "table:knots=0:8/500:8/2000:64,horizon=3001"
    batches = list(sampler(batch_size=ramp, unit="samples"))
    seen = 0
    for batch in batches[:-1]:
        assert len(batch) == round(parse_schedule(ramp)(seen))
        seen += len(batch)
    assert seen + len(batches[-1]) == 3001 == sampler(batch_size=ramp, unit="samples").total_samples
    assert len(sampler(batch_size=ramp, unit="samples")) == len(batches)


def test_seed_and_shuffle_decide_the_order():
    assert list(sampler(seed=1)) == list(sampler(seed=1))
    assert list(sampler(seed=1)) != list(sampler(seed=2))
    ordered = np.concatenate(list(sampler(shuffle=False)))
    np.testing.assert_array_equal(ordered, np.arange(len(ordered)) % N)


def test_a_fixed_batch_size_and_that_of_a_solution():
    batches = list(sampler(batch_size=8, horizon=30))
    assert [len(batch) for batch in batches] == [8] * 30
    lr = parse_schedule("constant:peak=0.1,horizon=100")
    solution = Solution(lr, 1.0, (), 0.0, batch_size=RAMP)
    assert list(sampler(batch_size=solution)) == list(sampler())


@pytest.mark.parametrize("unit", ["steps", "samples"])
@pytest.mark.parametrize("at", [0, 1, 37, 60, 99, 100])
def test_resuming_gives_the_batches_that_were_left(unit, at):
    ramp = RAMP if unit == "steps" else "table:knots=0:4/300:4/1500:33,horizon=2000"
    whole = list(sampler(batch_size=ramp, unit=unit))
    at = min(at, len(whole))
    state = json.loads(json.dumps(sampler(batch_size=ramp, unit=unit).state_dict(at)))
    again = sampler(batch_size=ramp, unit=unit)
    again.load_state_dict(state)
    assert list(again) == whole[at:]
    assert len(again) == len(whole) - at
    if at + 1 < len(whole):
        assert again.state_dict(at + 1) == sampler(batch_size=ramp, unit=unit).state_dict(at + 1)


@pytest.mark.parametrize("world", [1, 2, 3])
def test_processes_share_each_batch_and_may_be_of_another_number_after_a_resume(world):
    whole = list(sampler(multiple_of=6))
    assert {len(batch) % 6 for batch in whole} == {0}
    state = sampler(multiple_of=6, world_size=2).state_dict(40)
    parts = [sampler(multiple_of=6, rank=rank, world_size=world) for rank in range(world)]
    for part in parts:
        part.load_state_dict(state)
    for expected, *shares in zip(whole[40:], *parts, strict=True):
        assert {len(share) for share in shares} == {len(expected) // world}
        assert sorted(chain.from_iterable(shares)) == sorted(expected)


def test_a_dataloader_with_workers_trains_on_the_same_batches():
    data = TensorDataset(torch.arange(N))
    loader = DataLoader(data, batch_sampler=sampler(data), num_workers=1)
    seen = [batch.tolist() for (batch,) in loader]
    assert seen == list(sampler())


def test_a_sampler_that_knows_its_epochs_gives_the_order():
    own = DistributedSampler(TensorDataset(torch.arange(N)), num_replicas=1, rank=0, seed=3)
    stream = np.concatenate(list(sampler(own)))
    for epoch in range(2):
        own.set_epoch(epoch)
        assert stream[epoch * N : (epoch + 1) * N].tolist() == list(own)
    with pytest.raises(InputError, match="RandomSampler has no set_epoch"):
        sampler(RandomSampler(range(N)))


def test_a_checkpoint_of_another_ramp_is_followed_only_where_asked():
    state = sampler().state_dict(50)
    with pytest.raises(InputError, match="give on_change='keep'"):
        sampler(batch_size=7, horizon=80).load_state_dict(state)
    keep = sampler(batch_size=7, horizon=80, on_change="keep")
    keep.load_state_dict(state)
    assert list(keep) == list(sampler())[50:]
    replace = sampler(batch_size=7, horizon=80, on_change="replace")
    replace.load_state_dict(state)
    batches = list(replace)
    assert [len(batch) for batch in batches] == [7] * 30
    whole = sampler(batch_size=1000, horizon=9)
    stream = np.concatenate(list(whole))
    assert np.concatenate(batches).tolist() == stream[state["samples"] :][:210].tolist()


@pytest.mark.parametrize(
    ("keys", "message"),
    [
        ({"data": 0}, "data must be at least 1 sample, got 0"),
        ({"batch_size": 8}, "a fixed batch_size needs horizon"),
        ({"batch_size": -8, "horizon": 9}, "batch_size is -8: it must be a number above 0"),
        ({"unit": "tokens"}, "unit must be one of 'steps', 'samples', got 'tokens'"),
        ({"world_size": 4, "multiple_of": 6}, "cannot be dealt equally to 4 processes"),
        ({"rank": 2, "world_size": 2}, "rank 2 is none of 2 processes"),
        ({"world_size": None}, "rank and world_size belong together"),
        ({"on_change": "ask"}, "on_change must be one of None, 'keep', 'replace', got 'ask'"),
    ],
)
def test_settings_out_of_range_are_errors(keys, message):
    with pytest.raises(InputError, match=message):
        sampler(**keys)


def test_states_that_do_not_belong_are_errors():
    state = sampler(multiple_of=2).state_dict(5)
    with pytest.raises(InputError, match="the checkpoint has size 150 and this sampler 151"):
        sampler(151, multiple_of=2).load_state_dict(state)
    with pytest.raises(InputError, match="cannot be dealt equally to 3 processes"):
        sampler(multiple_of=3, world_size=3, on_change="keep").load_state_dict(state)
    with pytest.raises(InputError, match="not of a RampedBatchSampler"):
        sampler().load_state_dict({"step": 3})
    with pytest.raises(InputError, match="step 101 is after the end of the run"):
        sampler().state_dict(101)


@pytest.mark.parametrize(("size", "most"), [(12, 4), (13, 4), (3, 8), (1, 1)])
def test_an_accumulated_gradient_is_that_of_the_whole_batch(size, most):
    torch.manual_seed(0)
    model = torch.nn.Sequential(
        torch.nn.Linear(5, 7), torch.nn.Tanh(), torch.nn.Linear(7, 1)
    ).double()
    x, y = torch.randn(size, 5).double(), torch.randn(size, 1).double()
    torch.nn.functional.mse_loss(model(x), y).backward()
    whole = [weight.grad.clone() for weight in model.parameters() if weight.grad is not None]
    assert len(whole) == 4
    model.zero_grad()
    pieces = accumulation(size, most)
    for piece, weight in pieces:
        (weight * torch.nn.functional.mse_loss(model(x[piece]), y[piece])).backward()
    for expected, weight in zip(whole, model.parameters(), strict=True):
        torch.testing.assert_close(weight.grad, expected, rtol=1e-12, atol=1e-15)
    seen = Counter(i for piece, _ in pieces for i in range(size)[piece])
    assert seen == Counter(range(size))
    assert max(len(range(size)[piece]) for piece, _ in pieces) <= most
