"""torchtitan, Megatron and axolotl themselves, given an exported text, follow the schedule.

They are installed without their dependencies (`frameworks.txt`), and their own code reads the
options and sets the rate of every update of a PyTorch optimiser. The same formulas, written out in
`frameworks.py`, hold where the packages are not installed.
"""

from __future__ import annotations

import subprocess
import warnings
from collections.abc import Callable
from dataclasses import make_dataclass
from typing import Any

import numpy as np
import pytest
import yaml

from etastar.export import export_schedule
from etastar.schedule import parse_schedule

from .test_named import STANDARD, T, W

# Importing PyTorch and one of these takes some seconds.
pytestmark = pytest.mark.slow

Applied = Callable[[str], list[float]]


def imported(name: str) -> Any:
    """A module of a framework; the test is skipped, with the reason, where it cannot be had."""
    pytest.importorskip("torch")
    with warnings.catch_warnings():
        # Each warns of the kernels that a machine without a GPU lacks.
        warnings.simplefilter("ignore")
        return pytest.importorskip(
            name, reason=f"{name} is missing: make test-all installs tests/export/frameworks.txt"
        )


def words_of(text: str) -> list[str]:
    """The words of an exported Bash array."""
    script = text + 'printf "%s\\n" "${ETASTAR_ARGS[@]}"'
    done = subprocess.run(["bash", "-c", script], check=True, capture_output=True, text=True)
    return done.stdout.split()


def optimizer_at(lr: float) -> Any:
    import torch

    return torch.optim.SGD([torch.zeros(1, requires_grad=True)], lr=lr)


def rates_of(optimizer: Any, step: Callable[[], object], updates: int) -> list[float]:
    """The LR of every update of a training."""
    rates = []
    for _ in range(updates):
        rates.append(float(optimizer.param_groups[0]["lr"]))
        optimizer.step()
        step()
    return rates


def largest_errors(to: str, apply: Applied) -> dict[str, tuple[float, float]]:
    """Largest difference from the schedule over the peak, in the warmup and after it, by spec."""
    found = {}
    for spec in STANDARD:
        schedule = parse_schedule(spec)
        result = export_schedule(schedule, to)
        if result.exact:
            error = np.abs(np.array(apply(result.text)) - schedule(np.arange(T))) / schedule.peak
            warm = schedule.warmup
            found[spec] = (float(error[:warm].max(initial=0.0)), float(error[warm:].max()))
    return found


def test_torchtitan_follows_the_exported_options() -> None:
    module = imported("torchtitan.components.optimizer")
    configs, tyro = imported("torchtitan.config.configs"), imported("tyro")
    # Its whole configuration imports data sets; these are its groups with the exported options.
    optimizer_group = make_dataclass("OptimizerGroup", [("lr", float)], kw_only=True)
    groups = {
        "optimizer": optimizer_group,
        "training": configs.TrainingConfig,
        "lr_scheduler": module.LRSchedulersContainer.Config,
    }
    config_class = make_dataclass("Config", list(groups.items()), kw_only=True)

    def apply(text: str) -> list[float]:
        config = tyro.cli(config_class, args=words_of(text))
        optimizer = optimizer_at(config.optimizer.lr)
        steps = config.training.steps
        scheduler = config.lr_scheduler.build(optimizers=[optimizer], training_steps=steps)
        return rates_of(optimizer, scheduler.step, steps)

    errors = largest_errors("torchtitan", apply)
    assert len(errors) >= 9
    for spec, (warm, rest) in errors.items():
        # Its warmup is one update ahead.
        assert warm == pytest.approx(1 / W if "warmup" in spec else 0.0, abs=1e-12), spec
        assert rest < 1e-12, spec


def test_megatron_follows_the_exported_options() -> None:
    module = imported("megatron.core.optimizer_param_scheduler")

    def apply(text: str) -> list[float]:
        words = words_of(text)
        given = dict(zip(words[::2], words[1::2], strict=True))
        optimizer = optimizer_at(float(given["--lr"]))
        wsd = given.get("--lr-wsd-decay-iters")
        # As `get_optimizer_param_scheduler` of megatron/training/training.py makes it, with a
        # global batch size of 1: a step is an update.
        scheduler = module.OptimizerParamScheduler(
            optimizer,
            init_lr=0.0,
            max_lr=float(given["--lr"]),
            min_lr=float(given["--min-lr"]),
            lr_warmup_steps=int(given["--lr-warmup-iters"]),
            lr_decay_steps=int(given["--lr-decay-iters"]),
            lr_decay_style=given["--lr-decay-style"],
            start_wd=0.0,
            end_wd=0.0,
            wd_incr_steps=int(given["--train-iters"]),
            wd_incr_style="constant",
            wsd_decay_steps=None if wsd is None else int(wsd),
            lr_wsd_decay_style=given.get("--lr-wsd-decay-style"),
        )
        return rates_of(optimizer, lambda: scheduler.step(1), int(given["--train-iters"]))

    errors = largest_errors("megatron", apply)
    assert len(errors) >= 10
    assert max(max(pair) for pair in errors.values()) < 1e-12, errors


def test_axolotl_follows_the_exported_keys() -> None:
    schemas, own = imported("axolotl.utils.schemas.config"), imported("axolotl.utils.schedulers")
    transformers = pytest.importorskip("transformers")
    needed = {
        "base_model": "a model",
        "datasets": [{"path": "data", "type": "alpaca"}],
        "micro_batch_size": 1,
        "gradient_accumulation_steps": 1,
    }

    def apply(text: str) -> list[float]:
        given = yaml.safe_load(text)
        assert set(given) <= set(schemas.AxolotlInputConfig.model_fields)
        config = schemas.AxolotlInputConfig(**needed, **given)
        optimizer = optimizer_at(config.learning_rate)
        steps = {
            "num_warmup_steps": config.warmup_steps,
            "num_training_steps": config.max_steps,
        }
        # The choice of `SchedulerMixin.create_scheduler` in axolotl/core/trainers/mixins.
        if config.lr_scheduler == "cosine" and config.cosine_min_lr_ratio:
            least = config.cosine_min_lr_ratio
            scheduler = own.get_cosine_schedule_with_min_lr(optimizer, **steps, min_lr_ratio=least)
        else:
            scheduler = transformers.get_scheduler(
                config.lr_scheduler,
                optimizer,
                **steps,
                scheduler_specific_kwargs=config.lr_scheduler_kwargs or {},
            )
        return rates_of(optimizer, scheduler.step, config.max_steps)

    errors = largest_errors("axolotl", apply)
    assert len(errors) >= 10
    for spec, (warm, rest) in errors.items():
        # The warmup of its warmup_stable_decay starts at the end's part of the peak.
        raised = spec.startswith("wsd") and "warmup" in spec and "final" in spec
        assert warm == pytest.approx(0.1, abs=1e-12) if raised else warm < 1e-12, spec
        assert rest < 1e-9, spec
