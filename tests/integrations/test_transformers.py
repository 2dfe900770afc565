"""The schedule and the run log inside Hugging Face's Trainer."""

from __future__ import annotations

import json
import subprocess
import sys
import warnings
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from transformers import (
    GPT2Config,
    GPT2LMHeadModel,
    Trainer,
    TrainerCallback,
    TrainingArguments,
    get_constant_schedule_with_warmup,
    get_cosine_schedule_with_warmup,
    get_cosine_with_min_lr_schedule_with_warmup,
    get_inverse_sqrt_schedule,
    get_linear_schedule_with_warmup,
    get_polynomial_decay_schedule_with_warmup,
    get_wsd_schedule,
)

from etastar.integrations.transformers import RunLogCallback, ScheduledLR
from etastar.runs import read_runs
from etastar.schedule import InputError, parse_schedule

SPEC = "wsd:peak=0.01,horizon=20,warmup=3,cooldown=8"
UPDATES = 20


class Text(torch.utils.data.Dataset):
    """Random token sequences."""

    def __init__(self, count: int) -> None:
        generator = torch.Generator().manual_seed(0)
        self.tokens = torch.randint(0, 32, (count, 16), generator=generator)

    def __len__(self) -> int:
        return len(self.tokens)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.tokens[index], "labels": self.tokens[index]}


class Seen(TrainerCallback):
    """The LR and first beta in the optimiser at each update."""

    def __init__(self) -> None:
        self.rows: list[tuple[int, float, float]] = []

    def on_pre_optimizer_step(self, args, state, control, **kwargs):
        group = kwargs["optimizer"].param_groups[0]
        self.rows.append((state.global_step, group["lr"], group["betas"][0]))


def trainer(
    folder: Path,
    *callbacks: TrainerCallback,
    source: Any = SPEC,
    on_change: str | None = None,
    **arguments: Any,
) -> Any:
    torch.manual_seed(0)
    size: dict[str, Any] = {
        "n_embd": 16,
        "n_layer": 1,
        "n_head": 2,
        "bos_token_id": 0,
        "eos_token_id": 0,
    }
    model = GPT2LMHeadModel(GPT2Config(vocab_size=32, n_positions=16, **size))
    optimizer = torch.optim.AdamW(model.parameters(), lr=1.0)
    beta = f"linear:peak=0.9,horizon={UPDATES},final=0.5"
    scheduler = (
        None
        if source is None
        else ScheduledLR(optimizer, source, momentum=beta, on_change=on_change)
    )
    settings: dict[str, Any] = {
        "max_steps": UPDATES,
        "per_device_train_batch_size": 4,
        "gradient_accumulation_steps": 2,
        "logging_steps": 2,
        "save_strategy": "no",
        "report_to": [],
        "disable_tqdm": True,
        "use_cpu": True,
        "seed": 0,
        **arguments,
    }
    return Trainer(
        model,
        TrainingArguments(output_dir=str(folder), **settings),
        train_dataset=Text(64),
        eval_dataset=Text(8),
        optimizers=(optimizer, scheduler),  # type: ignore[arg-type]
        callbacks=list(callbacks),
    )


@pytest.fixture(autouse=True)
def one_thread():
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def test_updates_have_the_schedules_lr_and_checkpoints_resume_it(tmp_path: Path) -> None:
    seen = Seen()
    whole = trainer(
        tmp_path / "run",
        seen,
        RunLogCallback(tmp_path / "run.jsonl"),
        save_strategy="steps",
        save_steps=1,
        save_only_model=False,
    )
    whole.train()
    beta = parse_schedule(f"linear:peak=0.9,horizon={UPDATES},final=0.5")
    schedule = parse_schedule(SPEC)
    wanted = [(step, schedule(step), beta(step)) for step in range(UPDATES)]
    assert seen.rows == wanted  # 40 batches, 20 updates
    whole_log = (tmp_path / "run.jsonl").read_text().splitlines()
    for start in (1, 6, 13, 19):
        again = Seen()
        resumed = trainer(
            tmp_path / "again", again, RunLogCallback(tmp_path / f"from{start}.jsonl")
        )
        resumed.train(resume_from_checkpoint=str(tmp_path / "run" / f"checkpoint-{start}"))
        assert again.rows == wanted[start:]
        pairs = zip(whole.model.parameters(), resumed.model.parameters(), strict=True)
        assert all(torch.equal(one, other) for one, other in pairs)
        log = (tmp_path / f"from{start}.jsonl").read_text().splitlines()
        # The first row of a resumed run may be the mean of fewer updates.
        assert log[2:] == whole_log[-(len(log) - 2) :] or start == 19


def test_a_run_log_goes_on_after_a_resume_and_says_the_run(tmp_path: Path) -> None:
    log = RunLogCallback(tmp_path / "run.jsonl", loss="eval_loss", seed=3)
    evaluated = {"eval_strategy": "steps", "eval_steps": 5}
    trainer(tmp_path / "run", log, save_strategy="steps", save_steps=7, **evaluated).train()
    first = (tmp_path / "run.jsonl").read_text().splitlines()
    again = RunLogCallback(tmp_path / "run.jsonl", loss="eval_loss", seed=3)
    resumed = trainer(tmp_path / "run", again, **evaluated)
    resumed.train(resume_from_checkpoint=str(tmp_path / "run" / "checkpoint-7"))
    both = (tmp_path / "run.jsonl").read_text().splitlines()
    assert both[: len(first)] == first
    assert [json.loads(line)["step"] for line in both[len(first) :]] == [10, 15, 20]
    (run,) = read_runs([tmp_path / "run.jsonl"])
    assert run.schedule == parse_schedule(SPEC)
    assert run.step.tolist() == [5, 10, 15, 20]
    assert run.batch_size == 8
    assert run.metadata["optimizer"] == "AdamW"
    assert run.metadata["seed"] == 3
    history = [entry["eval_loss"] for entry in resumed.state.log_history if "eval_loss" in entry]
    assert run.loss.tolist() == history


def test_a_wsd_run_is_extended_and_its_log_says_so(tmp_path: Path) -> None:
    log = RunLogCallback(tmp_path / "run.jsonl")
    trainer(tmp_path / "run", log, save_strategy="steps", save_steps=10).train()
    longer = SPEC.replace("horizon=20", "horizon=30")
    from_ten = {"resume_from_checkpoint": str(tmp_path / "run" / "checkpoint-10")}
    refused = trainer(tmp_path / "run", source=longer, max_steps=30)
    with pytest.raises(InputError, match="after 10 updates the checkpoint follows"):
        refused.train(**from_ten)
    seen, again = Seen(), RunLogCallback(tmp_path / "run.jsonl")
    options = {"source": longer, "max_steps": 30, "on_change": "replace"}
    trainer(tmp_path / "run", seen, again, **options).train(**from_ten)
    whole = parse_schedule(longer)
    assert [(step, lr) for step, lr, _ in seen.rows] == [(t, whole(t)) for t in range(10, 30)]
    (run,) = read_runs([tmp_path / "run.jsonl"])
    assert run.step[-1] == run.schedule.horizon == 30
    np.testing.assert_allclose(run.schedule(np.arange(30)), whole(np.arange(30)), rtol=1e-12)


def test_another_number_of_updates_is_refused_with_a_way_out(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=r"makes 12 updates and its schedule has 20: change max_s"):
        trainer(tmp_path, RunLogCallback(tmp_path / "a.jsonl"), max_steps=12).train()
    warned = RunLogCallback(tmp_path / "b.jsonl", on_mismatch="warn")
    with pytest.warns(UserWarning, match="makes 12 updates"):
        trainer(tmp_path, warned, max_steps=12).train()
    no = RunLogCallback(tmp_path / "c.jsonl", on_mismatch="no")
    with pytest.raises(InputError, match=r"on_mismatch must be one of .*, got 'no'"):
        trainer(tmp_path, no, max_steps=12).train()
    with pytest.raises(InputError, match="ScheduledLR"):
        trainer(tmp_path, RunLogCallback(tmp_path / "d.jsonl"), source=None).train()


def test_a_log_without_rows_is_a_warning(tmp_path: Path) -> None:
    silent = RunLogCallback(tmp_path / "a.jsonl", loss="eval_loss", on_mismatch="ignore")
    with pytest.warns(UserWarning, match="logged no eval_loss"):
        trainer(tmp_path, silent, max_steps=2).train()


def test_a_run_log_declares_the_ratios_of_named_groups(tmp_path: Path) -> None:
    path = tmp_path / "run.jsonl"
    made = trainer(tmp_path, RunLogCallback(path), source=None)
    weights = list(made.model.parameters())
    groups = [
        {"params": weights[1:], "name": "rest", "lr": 1.0},
        {"params": weights[:1], "name": "embedding", "lr": 1.0},
    ]
    made.optimizer = torch.optim.AdamW(groups)
    source = {"rest": f"linear:peak=1e-3,horizon={UPDATES}", "embedding": 0.25}
    made.lr_scheduler = ScheduledLR(made.optimizer, source)
    made.train()
    (run,) = read_runs(path)
    assert run.groups == {"rest": 1.0, "embedding": 0.25}


T, W, PEAK, FINAL = 300, 30, 0.3, 0.1
OWN = {
    f"constant:peak={PEAK},horizon={T},warmup={W}": (
        lambda o: get_constant_schedule_with_warmup(o, W)
    ),
    f"linear:peak={PEAK},horizon={T},warmup={W}": (
        lambda o: get_linear_schedule_with_warmup(o, W, T)
    ),
    f"cosine:peak={PEAK},horizon={T},warmup={W}": (
        lambda o: get_cosine_schedule_with_warmup(o, W, T)
    ),
    f"cosine:peak={PEAK},horizon={T},warmup={W},final={FINAL}": (
        lambda o: get_cosine_with_min_lr_schedule_with_warmup(o, W, T, min_lr_rate=FINAL)
    ),
    f"polynomial:peak={PEAK},horizon={T},warmup={W},power=2,final={FINAL}": (
        lambda o: get_polynomial_decay_schedule_with_warmup(o, W, T, FINAL * PEAK, 2.0)
    ),
    f"inverse_sqrt:peak={PEAK},horizon={T},warmup={W}": lambda o: get_inverse_sqrt_schedule(o, W),
    f"inverse_sqrt:peak={PEAK},horizon={T}": (
        lambda o: get_inverse_sqrt_schedule(o, 0, timescale=1)
    ),
    **{
        f"wsd:peak={PEAK},horizon={T},warmup={W},cooldown=60,decay={ours}": (
            lambda o, theirs=theirs: get_wsd_schedule(o, W, 60, T, decay_type=theirs)
        )
        for ours, theirs in {"linear": "linear", "cosine": "cosine", "sqrt": "1-sqrt"}.items()
    },
    # With a minimum their warmup starts from it, so this one has no warmup.
    f"wsd:peak={PEAK},horizon={T},cooldown=60,final={FINAL}": (
        lambda o: get_wsd_schedule(o, 0, 60, T, decay_type="linear", min_lr_ratio=FINAL)
    ),
}


@pytest.mark.parametrize("spec", OWN)
def test_values_are_those_of_transformers_at_the_same_update(spec: str) -> None:
    rates = []
    for make in (OWN[spec], lambda optimizer: ScheduledLR(optimizer, spec)):
        optimizer = torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=PEAK)
        scheduler = make(optimizer)
        rates.append([])
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")
            for _ in range(T):
                rates[-1].append(optimizer.param_groups[0]["lr"])
                optimizer.step()
                scheduler.step()
    np.testing.assert_allclose(rates[1], rates[0], rtol=1e-13, atol=1e-16)
    assert rates[1] == parse_schedule(spec)(np.arange(T)).tolist()


def test_importing_it_brings_in_its_framework_and_numpy_alone() -> None:
    """Lightning's too: one process, because both take seconds to import."""
    code = """
import sys, transformers, lightning.pytorch, torch
from transformers import Trainer
before = set(sys.modules)
import etastar.integrations.transformers, etastar.integrations.lightning
new = set(sys.modules) - before
heavy = {'jax', 'optax', 'polars', 'keras', 'plotly', 'typer', 'scipy'}
assert not {name.split('.')[0] for name in new} & heavy
own = {name.split('.')[1] for name in new if name.startswith('etastar.')}
ground = {'_checks', '_display', '_errors', '_files', '_json', '_locks', '_provenance'}
assert own - ground == {'schedule', 'integrations'}, own
"""
    subprocess.run([sys.executable, "-c", code], check=True)
