"""The schedule that a `trainer_state.json` tells, against the LRs that the Trainer used."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import Trainer, TrainerCallback, TrainingArguments

from etastar.runs import read_runs

UPDATES = 47


class Line(torch.nn.Module):
    """One weight to be fitted."""

    def __init__(self) -> None:
        super().__init__()
        self.slope = torch.nn.Parameter(torch.ones(1))

    def forward(self, x: torch.Tensor, labels: torch.Tensor) -> dict[str, torch.Tensor]:
        return {"loss": ((self.slope * x - labels) ** 2).mean() + 1}


class Seen(TrainerCallback):
    """The LR in the optimiser at each update."""

    def __init__(self) -> None:
        self.rates: list[float] = []

    def on_pre_optimizer_step(self, args: Any, state: Any, control: Any, **kwargs: Any) -> None:
        self.rates.append(kwargs["optimizer"].param_groups[0]["lr"])


def train(folder: Path, **arguments: Any) -> list[float]:
    """The LRs of a short training that leaves its state in a folder."""
    settings: dict[str, Any] = {
        "output_dir": str(folder),
        "max_steps": UPDATES,
        "per_device_train_batch_size": 1,
        "learning_rate": 1e-3,
        "logging_steps": 5,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
    }
    seen = Seen()
    data = [{"x": torch.tensor([1.0]), "labels": torch.tensor([0.5])}] * UPDATES
    model = Trainer(
        model=Line(),
        args=TrainingArguments(**settings, **arguments),
        train_dataset=data,  # pyright: ignore[reportArgumentType]
        callbacks=[seen],
    )
    model.train()
    model.state.save_to_json(str(folder / "trainer_state.json"))
    return seen.rates


@pytest.mark.filterwarnings("ignore:Both num_training_steps")
@pytest.mark.parametrize(
    ("kind", "keys"),
    [
        ("linear", {}),
        ("cosine", {}),
        ("cosine_with_min_lr", {"min_lr_rate": 0.1}),
        ("warmup_stable_decay", {"num_stable_steps": 24, "num_decay_steps": 16}),
        ("inverse_sqrt", {}),
        ("constant_with_warmup", {}),
    ],
)
def test_the_schedule_is_exact_though_no_row_stands_at_its_ends(tmp_path, kind, keys):
    rates = train(tmp_path, lr_scheduler_type=kind, lr_scheduler_kwargs=keys, warmup_steps=7)
    (run,) = read_runs(tmp_path)
    assert run.schedule.horizon == UPDATES
    np.testing.assert_allclose(run.schedule(np.arange(UPDATES)), rates, atol=1e-9)
    assert not any("guess" in caveat or "first lr" in caveat for caveat in run.caveats)


def test_a_warmup_that_no_row_shows_is_said_to_be_possible(tmp_path):
    rates = train(tmp_path, lr_scheduler_type="linear", warmup_steps=3)
    (run,) = read_runs(tmp_path)
    np.testing.assert_allclose(run.schedule(np.arange(5, UPDATES)), rates[5:], atol=1e-9)
    assert any("a warmup that ended earlier would not show" in caveat for caveat in run.caveats)
