"""Muon with AdamW on the GPT of `etastar.train`, each with a cooldown of its own, and resumed."""

from __future__ import annotations

import io
import random
from pathlib import Path
from typing import Any

import jax
import jax.numpy as jnp
import numpy as np
import optax
import optax.contrib
import pytest
import torch

from etastar.integrations.optax import scheduled
from etastar.integrations.torch import ScheduledLR
from etastar.schedule import GroupSchedules
from etastar.train.gpt import GPT, Batches, Settings, cross_entropy

from . import gpt_in_jax

HORIZON = 1000
GROUPS = GroupSchedules(
    {
        "muon": f"wsd:peak=0.02,horizon={HORIZON},warmup=20,cooldown=0.4",
        "adamw": f"wsd:peak=3e-3,horizon={HORIZON},warmup=50,cooldown=0.2,decay=sqrt,final=0.1",
        "head": f"cosine:peak=1e-3,horizon={HORIZON},warmup=50",
    }
)
PLANNED = {name: schedule(np.arange(HORIZON)) for name, schedule in GROUPS.items()}
SETTINGS = Settings(GROUPS["muon"], layers=1, width=16, heads=gpt_in_jax.HEADS, context=8, batch=2)
RESUMED = sorted(random.Random(7).sample(range(1, HORIZON), 10))


def label(name: str, dimensions: int) -> str:
    if name == "head.weight":
        return "head"
    return "muon" if dimensions == 2 and name.startswith("blocks") else "adamw"


def model() -> GPT:
    torch.manual_seed(0)
    return GPT(SETTINGS.layers, SETTINGS.width, SETTINGS.heads, SETTINGS.context)


def batches() -> Batches:
    text = np.random.default_rng(1).integers(97, 123, 40_000).astype(np.uint8)
    return Batches(text, SETTINGS)


class TorchTraining:
    """The model with its two optimisers and their schedulers, made from one file."""

    def __init__(self, source: Path) -> None:
        self.model = model()
        parts: dict[str, list[torch.nn.Parameter]] = {name: [] for name in GROUPS}
        for name, parameter in self.model.named_parameters():
            parts[label(name, parameter.dim())].append(parameter)
        rest = [{"params": parts[name], "name": name} for name in ("adamw", "head")]
        self.optimizers = [torch.optim.Muon(parts["muon"]), torch.optim.AdamW(rest)]
        self.schedulers = [
            ScheduledLR(self.optimizers[0], source, group="muon"),
            ScheduledLR(self.optimizers[1], source, weight_decay_rule={"adamw": "timescale=2000"}),
        ]

    def update(self, batch: tuple[torch.Tensor, torch.Tensor]) -> list[float]:
        """An update; returns the LRs that it had, in the order of the groups."""
        loss = cross_entropy(self.model, *batch, SETTINGS)
        self.model.zero_grad(set_to_none=True)
        loss.backward()
        groups = [group for each in self.optimizers for group in each.param_groups]
        rates = [group["lr"] for group in groups]
        for each in (*self.optimizers, *self.schedulers):
            each.step()
        return rates

    @property
    def parts(self) -> list[Any]:
        return [self.model, *self.optimizers, *self.schedulers]

    def saved(self) -> bytes:
        file = io.BytesIO()
        torch.save([part.state_dict() for part in self.parts], file)
        return file.getvalue()

    def load(self, saved: bytes) -> None:
        states = torch.load(io.BytesIO(saved), weights_only=True)
        for part, state in zip(self.parts, states, strict=True):
            part.load_state_dict(state)


@pytest.mark.slow  # two trainings of 1,000 updates
def test_in_torch_each_group_has_its_lr_at_every_update_and_resumes_bit_for_bit(tmp_path: Path):
    GROUPS.save(tmp_path / "schedule.json")
    data = batches()
    whole = TorchTraining(tmp_path / "schedule.json")
    rates = [whole.update(data(t)) for t in range(HORIZON)]
    for name, found in zip(GROUPS, np.transpose(rates), strict=True):
        assert np.array_equal(found, PLANNED[name]), name

    resumed, again = TorchTraining(tmp_path / "schedule.json"), []
    for t in range(HORIZON):
        if t in RESUMED:
            saved = resumed.saved()
            resumed = TorchTraining(tmp_path / "schedule.json")
            resumed.load(saved)
        again.append(resumed.update(data(t)))
    assert again == rates
    first = model().state_dict()
    for name, weights in whole.model.state_dict().items():
        assert torch.equal(weights, resumed.model.state_dict()[name]), name
        assert not torch.equal(weights, first[name]), name


def optimizer(source: Path) -> optax.GradientTransformation:
    return optax.multi_transform(
        {
            "muon": scheduled(optax.contrib.muon, source, group="muon", weight_decay=0.1),
            "adamw": scheduled(
                optax.adamw,
                source,
                group="adamw",
                weight_decay=0.1,
                weight_decay_rule="timescale=2000",
            ),
            "head": scheduled(optax.adamw, source, group="head"),
        },
        lambda weights: {name: label(name, value.ndim) for name, value in weights.items()},
    )


@pytest.mark.slow  # two trainings of 1,000 updates
def test_in_optax_each_group_has_its_lr_at_every_update_and_resumes_bit_for_bit(tmp_path: Path):
    GROUPS.save(tmp_path / "schedule.json")
    data = batches()
    tokens = [tuple(part.numpy().astype(np.int32) for part in data(t)) for t in range(HORIZON)]
    start = gpt_in_jax.weights_of(model())
    transform = optimizer(tmp_path / "schedule.json")

    @jax.jit
    def update(weights: Any, state: Any, batch: Any) -> Any:
        slopes = jax.grad(gpt_in_jax.loss)(weights, *batch, SETTINGS.layers)
        changes, state = transform.update(slopes, state, weights)
        used = {
            name: inner.inner_state.hyperparams["learning_rate"]
            for name, inner in state.inner_states.items()
        }
        return optax.apply_updates(weights, changes), state, used

    with jax.enable_x64(False):
        weights, state, rates = start, transform.init(start), []
        for batch in tokens:
            weights, state, used = update(weights, state, batch)
            rates.append(used)
        for name, planned in PLANNED.items():
            found = np.array([float(used[name]) for used in rates])
            # The values are float32; the schedule is computed in it to a few roundings.
            assert found == pytest.approx(planned, rel=5e-7, abs=1e-12), name

        again, state, seen = start, transform.init(start), []
        for t, batch in enumerate(tokens):
            if t in RESUMED:
                leaves = jax.tree.leaves((again, state))
                file = io.BytesIO()
                np.savez(file, *leaves)
                file.seek(0)
                saved = [jnp.asarray(leaf) for leaf in np.load(file).values()]
                fresh = (start, optimizer(tmp_path / "schedule.json").init(start))
                again, state = jax.tree.unflatten(jax.tree.structure(fresh), saved)
            again, state, used = update(again, state, batch)
            seen.append(used)
        assert all(
            a == b
            for one, other in zip(rates, seen, strict=True)
            for a, b in zip(one.values(), other.values(), strict=True)
        )
        for name, value in weights.items():
            assert np.array_equal(value, again[name]), name
            assert not np.array_equal(value, start[name]), name


def test_the_model_in_jax_is_that_of_torch():
    tokens, _ = batches()(3)
    made = model()
    with jax.enable_x64(False):
        found = gpt_in_jax.logits(
            gpt_in_jax.weights_of(made), jnp.asarray(tokens.numpy()), SETTINGS.layers
        )
    assert np.array(found) == pytest.approx(made(tokens).detach().numpy(), abs=2e-5)
