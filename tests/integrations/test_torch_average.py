"""`AveragedWeights`: the average that its name says, along the schedule, whatever happens."""

from __future__ import annotations

import io
from typing import Any

import numpy as np
import pytest
import torch

from etastar.integrations.torch import AveragedWeights, ScheduledLR
from etastar.schedule import InputError, WeightAverage

T = 60


class Training:
    """SGD on one layer, with the weights after each update kept."""

    def __init__(self, average: Any, schedule: str = "", seed: int = 0, **options: Any) -> None:
        torch.manual_seed(seed)
        self.model = torch.nn.Linear(4, 2).double()
        self.optimizer = torch.optim.SGD(self.model.parameters(), lr=1.0)
        unit = options.pop("scheduler", {})
        spec = schedule or f"linear:peak=0.1,horizon={T}"
        self.scheduler = ScheduledLR(self.optimizer, spec, **unit)
        self.average = AveragedWeights(self.model, self.scheduler, average, **options)
        self.seen: list[np.ndarray] = []

    def run(self, updates: int) -> None:
        for _ in range(updates):
            generator = torch.Generator().manual_seed(self.scheduler.last_epoch)
            x = torch.randn(8, 4, generator=generator, dtype=torch.double)
            self.optimizer.zero_grad()
            self.model(x).square().mean().backward()
            self.optimizer.step()
            self.scheduler.step()
            self.average.update()
            self.seen.append(weights(self.model))


def weights(model: torch.nn.Module) -> np.ndarray:
    return torch.cat([each.detach().flatten() for each in model.parameters()]).numpy().copy()


def expected(average: str, seen: list[np.ndarray]) -> np.ndarray:
    kept = WeightAverage.parse(average).kept(np.arange(len(seen)), len(seen))
    mean = np.zeros_like(seen[0])
    for k, now in zip(kept, seen, strict=True):
        mean = k * mean + (1 - k) * now
    return mean


@pytest.mark.parametrize(
    "average", ["window:0.25", "window:7", "window:1", "ema:0.1", "ema:9", "ema:1"]
)
def test_the_average_is_that_of_the_model(average: str) -> None:
    training = Training(average)
    training.run(T)
    np.testing.assert_allclose(weights(training.average.model), expected(average, training.seen))
    # The training itself does not know of it.
    plain = Training("window:1")
    plain.run(T)
    np.testing.assert_array_equal(weights(plain.model), weights(training.model))


def test_a_window_is_the_plain_mean_of_the_last_weights() -> None:
    training = Training("window:0.25")
    training.run(T - 15)
    assert training.average.model is training.model
    training.run(15)
    assert training.average.count == 15
    np.testing.assert_allclose(
        weights(training.average.model), np.mean(training.seen[-15:], axis=0)
    )


def test_every_so_many_updates() -> None:
    training = Training("window:0.5", every=5)
    training.run(T)
    counted = [training.seen[i - 1] for i in range(35, T + 1, 5)]
    assert training.average.count == len(counted)
    np.testing.assert_allclose(weights(training.average.model), np.mean(counted, axis=0))


def test_a_window_moves_with_the_horizon() -> None:
    training = Training("window:0.25", f"wsd:peak=0.1,horizon={T},cooldown=0.2")
    training.run(40)
    training.scheduler.replan(f"wsd:peak=0.1,horizon={2 * T},cooldown=0.2")
    training.run(2 * T - 40)
    np.testing.assert_allclose(
        weights(training.average.model), np.mean(training.seen[-30:], axis=0)
    )


def test_along_samples_the_window_is_a_part_of_them() -> None:
    unit = {"unit": "samples", "batch_size": 8, "planned_batch_size": 4}
    training = Training("window:0.5", scheduler=unit)
    training.run(T // 2)  # twice the planned batch: half the updates
    np.testing.assert_allclose(
        weights(training.average.model), np.mean(training.seen[-15:], axis=0)
    )


@pytest.mark.parametrize("average", ["window:0.5", "ema:6"])
@pytest.mark.parametrize("stop", [10, 50])
def test_a_resumed_run_has_the_same_average(average: str, stop: int) -> None:
    whole, first, second = (Training(average, seed=seed) for seed in (0, 0, 1))
    whole.run(T)
    first.run(stop)
    file = io.BytesIO()
    state = [each.state_dict() for each in (first.model, first.scheduler, first.average)]
    torch.save(state, file)
    file.seek(0)
    model, scheduler, kept = torch.load(file, weights_only=True)
    second.model.load_state_dict(model)
    second.scheduler.load_state_dict(scheduler)
    second.average.load_state_dict(kept)
    second.run(T - stop)
    np.testing.assert_array_equal(weights(second.average.model), weights(whole.average.model))


def test_buffers_are_those_of_the_latest_weights_until_they_are_computed_anew() -> None:
    torch.manual_seed(0)
    model = torch.nn.Sequential(torch.nn.Linear(4, 2), torch.nn.BatchNorm1d(2))
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    scheduler = ScheduledLR(optimizer, "constant:peak=0.1,horizon=8")
    average = AveragedWeights(model, scheduler, "window:4")
    data = [torch.randn(16, 4) for _ in range(8)]
    for x in data:
        model(x).square().mean().backward()
        optimizer.step()
        scheduler.step()
        average.update()
    latest: Any = model[1]
    found: Any = average.model[1]  # pyright: ignore[reportIndexIssue]
    assert torch.equal(latest.running_mean, found.running_mean)
    torch.optim.swa_utils.update_bn(data, average.model)
    assert not torch.equal(latest.running_mean, found.running_mean)


@pytest.mark.parametrize("change", [{"average": "ema:6"}, {"every": 2}])
def test_a_state_of_another_average_is_refused(change: dict[str, Any]) -> None:
    state = Training("window:0.5").average.state_dict()
    other = Training(**{"average": "window:0.5", **change})
    with pytest.raises(InputError, match="give it the same"):
        other.average.load_state_dict(state)
    with pytest.raises(InputError, match="not a state of AveragedWeights"):
        other.average.load_state_dict({"averaged": {}})


def test_what_is_no_scheduler_or_average_is_refused() -> None:
    training = Training("window:0.5")
    plain = torch.optim.lr_scheduler.ConstantLR(training.optimizer)
    with pytest.raises(InputError, match="must be a ScheduledLR"):
        AveragedWeights(training.model, plain, "window:0.5")  # pyright: ignore
    with pytest.raises(InputError, match="average"):
        AveragedWeights(training.model, training.scheduler, "swa")


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("window:20%", "'20%' is no number; give window:0.2"),
        ("ema", "it needs a length; give window:0.2"),
        (0.2, "average is 0.2: give a kind and a length, such as window:0.2"),
        ("mean:3", "give a kind and a length"),
    ],
)
def test_what_an_average_lacks_is_said(text: Any, message: str) -> None:
    with pytest.raises(InputError, match=message):
        WeightAverage.parse(text)
